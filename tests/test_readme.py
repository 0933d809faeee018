"""The examples of the README work: its queries, its custom format, and plain dbt in the checkout."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from check_examples import main as recount
from conftest import PROJECT, Mart, choose

# views that are empty in the examples, which have no budgets and no changed prices, and span a month
EMPTY = re.compile(r"from marts\.(budget_status|cost_anomalies|price_changes)\b")
README = (PROJECT / "README.md").read_text()
MARTS = {
    path.stem for folder in ("marts", "summaries", "tools") for path in (PROJECT / "models" / folder).glob("*.sql")
}


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, artifacts: Path, profiles: Path) -> Path:
    """A DuckDB file with the examples, loaded by the command and built and tested by plain dbt.

    The unit tests, which take a minute, run elsewhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        path = choose(artifacts, profiles, patch)
        patch.delenv("DBT_WRITE_JSON")
        path.unlink(missing_ok=True)
        build = "dbt build --exclude-resource-type unit_test"
        for command in ("tokenmart load examples", build, "dbt docs generate"):
            program, *arguments = f"{command} --target duckdb".split()
            done = subprocess.run(
                [Path(sys.executable).with_name(program), *arguments], cwd=PROJECT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return Path(shutil.move(path, tmp_path_factory.mktemp("readme") / "tokenmart.duckdb"))


@pytest.mark.slow
def test_marts_built_by_plain_dbt_equal_a_recount_of_the_examples(built: Path) -> None:
    assert recount(str(built)) == 0


@pytest.mark.slow
def test_every_query_returns_rows(built: Path) -> None:
    queries = [
        query for block in blocks("sql") if "create type" not in block for query in block.split(";") if query.strip()
    ]
    assert len(queries) >= 12
    with duckdb.connect(str(built), read_only=True) as connection:
        for query in queries:
            assert connection.execute(query).fetchall() or EMPTY.search(query), query


def test_the_console_session_is_real(mart: Mart) -> None:
    session = next(block for block in blocks("console") if "Landed" in block)
    shown = [line for line in session.splitlines()[1:] if line != "..." and not re.search(r" in \d+\.\d s", line)]
    shown = [line for line in shown if not line.startswith("  target ")]
    printed = [line.rstrip() for line in mart.run("run", "examples").output.splitlines()]
    assert len(shown) > 10
    assert [line for line in shown if line not in printed] == []

    for name in ("whatif", "costs"):
        session = next(block for block in blocks("console") if f"tokenmart {name}" in block)
        command, *shown = session.splitlines()
        printed = [line.rstrip() for line in mart.run(*command.split()[2:]).output.splitlines()]
        assert printed == shown


def test_every_mart_has_an_example_query() -> None:
    asked = set(re.findall(r"from marts\.(\w+)", "".join(blocks("sql"))))
    assert MARTS | {"llm_requests"} == asked


def test_the_example_format_reads_the_example_line(mart: Mart) -> None:
    script = next(block for block in blocks("sql") if "create type" in block)
    (mart.folder / "gateway.sql").write_text(script)
    line = json.loads(re.search(r'`({"id": "r1".*})`', README).group(1))  # type: ignore[union-attr]
    mart.run("load", mart.write("gateway.log", {**line, "new": 1}), "--format", mart.folder / "gateway.sql")
    found = mart.query(
        "select event_id, strftime(occurred_at, '%H:%M'), provider, model, input_tokens, cache_read_tokens,"
        " output_tokens, user_id, extra from raw_usage.events"
    )
    assert found == [("r1", "09:30", "openai", "gpt-4o", 1200, 1000, 80, "ada", '{"new":1}')]
