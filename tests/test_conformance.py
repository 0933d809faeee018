"""One corpus, loaded by the real loader and built by the real models, gives the same marts on every warehouse.

It includes the examples of docs/how-costs-are-computed.md, whose figures another test compares with the page.
"""

import dataclasses
import datetime as dt
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import PROJECT
from corpus import SAMPLE, write_corpus, write_halves
from targets import EMULATED, MARTS, OTHERS, Engine, engine, statements_sent
from test_costs_page import write_lines
from tokenmart import report
from tokenmart.destinations import connect
from warehouses import ENVIRONMENTS, FOLDER, python_of
from warehouses.snowflake_functions import refused

Row = tuple[Any, ...]
Marts = dict[str, Any]

# columns about loads and builds, not about requests
BOOKKEEPING = {"batch_id", "load_id", "loaded_at"}
FLOAT_TOLERANCE = 1e-9
PROJECT_ID = "test-project"  # the analyzer's name for the project


def models() -> dict[str, list[tuple[str, str]]]:
    """The columns of every model about requests, each with its type in the contract."""
    found = {}
    for path in sorted(PROJECT.glob("models/*/*.yml")):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            columns = [(column["name"], column["data_type"]) for column in model["columns"]]
            found[model["name"]] = [column for column in columns if column[0] not in BOOKKEEPING]
    del found["loads"], found["affected_dates"]
    return found


def read(on: Engine) -> Marts:
    """The rows of all models, sorted."""
    marts = {}
    for model, columns in models().items():
        names = ", ".join(name for name, _ in columns)
        # request_days keeps days that have lost all their requests
        condition = "where requests > 0" if model == "request_days" else ""
        rows = [tuple(map(plain, row)) for row in on.query(f"select {names} from {{marts}}.{model} {condition}")]
        marts[model] = sorted(rows, key=lambda row: [repr(value) for value in row if not isinstance(value, float)])
    return marts


def run_summary(on: Engine) -> dict[str, Any]:
    """The summary that `tokenmart run` shows, with floats rounded."""
    with on.chosen(), connect(on.target) as warehouse:
        found = dataclasses.asdict(report.summary(warehouse, on.target))
    return {
        part: [{name: rounded(value) for name, value in row.items()} for row in ([rows] if part == "totals" else rows)]
        for part, rows in found.items()
    }


def rounded(value: Any) -> Any:
    """A float with nine digits, or money with twelve decimal places; with its type, since 1 equals Decimal(1)."""
    if isinstance(value, float):
        value = float(f"{value:.9g}")
    return (type(value).__name__, plain(value))


def plain(value: Any) -> Any:
    """A value without differences between drivers: no time zone, and money with twelve decimal places."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, Decimal):
        assert value == value.quantize(Decimal("1e-12"))
        return value.quantize(Decimal("1e-12"))
    return value


def differences(found: Marts, expected: Marts) -> Iterator[str]:
    """Every value that differs; floats may differ by the tolerance."""
    for model, columns in models().items():
        if len(found[model]) != len(expected[model]):
            yield f"{model} has {len(found[model])} rows, not {len(expected[model])}"
        for row, expected_row in zip(found[model], expected[model], strict=False):
            for (name, _), value, right in zip(columns, row, expected_row, strict=True):
                if isinstance(right, float) and isinstance(value, float):
                    is_same = abs(value - right) <= FLOAT_TOLERANCE * max(1.0, abs(right))
                else:
                    is_same = type(value) is type(right) and value == right
                if not is_same:
                    yield f"{model}.{name} is {value!r}, not {right!r}, in {row[:3]}"


@dataclass(frozen=True)
class Corpus:
    """Folders of the whole corpus and of the first half of the lines of each file; and the arguments of more loads."""

    whole: Path
    half: Path
    loads: list[tuple[str | Path, ...]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "whole")
    write_halves(folder / "whole", folder / "half")
    (folder / "page").mkdir()
    return Corpus(folder / "whole", folder / "half", write_lines(folder / "page"))


def landed(on: Engine) -> dict[str, int]:
    """The number of lines in each raw table that has rows of files."""
    measures = {"events": "count(*)", "rejected_lines": "count(*)"}
    measures |= {"omitted_values": "sum(lines)", "loaded_files": "sum(lines_read)"}
    return {
        table: int(on.query(f"select {measure} from {{raw}}.{table}")[0][0] or 0) for table, measure in measures.items()
    }


def build_in_halves(on: Engine, corpus: Corpus) -> None:
    """Loads and builds the first half of every file, and then the rest."""
    on.run("run", corpus.half, "--max-rejects", "100")
    build_at_once(on, corpus, [corpus.whole])


def build_at_once(on: Engine, corpus: Corpus, paths: list[Path]) -> None:
    """Loads and builds these files and the loads of the corpus."""
    for load in corpus.loads:
        on.run(*load)
    on.run("run", *paths, "--max-rejects", "100")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Marts:
    """DuckDB's marts of the corpus, loaded and built in two halves, and their summary."""
    with engine("duckdb", tmp_path_factory.mktemp("duckdb")) as on:
        build_in_halves(on, corpus)
        return {**read(on), "summary": run_summary(on)}


def test_one_build_of_everything_gives_the_same_marts_as_two_halves(
    tmp_path: Path, corpus: Corpus, expected: Marts
) -> None:
    with engine("duckdb", tmp_path) as on:
        build_at_once(on, corpus, [corpus.whole])
        assert expected["llm_requests"] and expected["daily_costs"]
        assert list(differences(read(on), expected)) == []


@pytest.fixture(scope="module")
def without_samples(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> tuple[Marts, dict[str, int]]:
    """DuckDB's marts and raw tables of the corpus without its sample, loaded and built at once."""
    with engine("duckdb", tmp_path_factory.mktemp("without_samples")) as on:
        build_at_once(on, corpus, [path for path in corpus.whole.iterdir() if path.name != SAMPLE])
        return read(on), landed(on)


@dataclass(frozen=True)
class Built:
    """The marts of one warehouse, and for an emulated one the SQL that was sent to it."""

    name: str
    grown: Marts
    summary: dict[str, Any]
    landed: dict[str, int]
    undone: Marts
    landed_after: dict[str, int]
    builds: list[Row]
    sent: list[str]
    tables: dict[str, dict[str, str]]
    project: str


@pytest.fixture(scope="module", params=OTHERS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Built:
    """The marts of a warehouse: loaded and built in two halves, and rebuilt from scratch without the samples."""
    name, tables = request.param, {}
    record = statements_sent(name) if name in EMULATED else nullcontext([])
    with engine(name, tmp_path_factory.mktemp(name)) as on, record as sent:
        build_in_halves(on, corpus)
        grown, summary, before = read(on), run_summary(on), landed(on)
        on.run("undo", "--samples", "--yes")
        assert "Last build" in on.run("status").output
        on.run("rejects")
        builds = on.query(
            "select target, is_successful, failures, started_at < finished_at, count(*) from {raw}.builds"
            " group by 1, 2, 3, 4"
        )
        if name == "bigquery":
            # the seeds are loaded without SQL
            columns = "select column_name, data_type from {marts}.INFORMATION_SCHEMA.COLUMNS"
            tables = {
                f"{PROJECT_ID}.{MARTS}.{path.stem}": dict(on.query(f"{columns} where table_name = '{path.stem}'"))
                for path in PROJECT.glob("seeds/*.csv")
            }
        project = str(on.target.settings.get("project", ""))
        return Built(name, grown, summary, before, read(on), landed(on), builds, sent, tables, project)


def test_the_marts_equal_those_of_duckdb(built: Built, expected: Marts) -> None:
    assert list(differences(built.grown, expected)) == []


def test_the_summary_equals_that_of_duckdb(built: Built, expected: Marts) -> None:
    assert built.summary == expected["summary"]


def test_undoing_the_samples_leaves_the_marts_of_the_other_events(
    built: Built, without_samples: tuple[Marts, dict[str, int]]
) -> None:
    assert all(built.landed[table] > lines for table, lines in built.landed_after.items())
    assert built.landed_after == without_samples[1]
    assert list(differences(built.undone, without_samples[0])) == []


def test_each_build_is_recorded(built: Built) -> None:
    assert [tuple(row) for row in built.builds] == [(built.name, True, 0, True, 3)]


def without_repetitions(statements: list[str]) -> list[str]:
    """The statements without those that differ from an earlier one only in numbers; all that define tables."""
    seen, kept = set(), []
    for sql in statements:
        form = re.sub(r"\d+", "0", sql)
        if form not in seen or re.search(r"\b(create|alter|drop)\b", sql, re.IGNORECASE):
            seen.add(form)
            kept.append(sql)
    return kept


@pytest.mark.parametrize("built", ["bigquery"], indirect=True)
def test_every_statement_passes_googles_analyzer(built: Built) -> None:
    statements = [sql.replace(built.project, PROJECT_ID) for sql in without_repetitions(built.sent)]
    statements_and_tables = json.dumps({"tables": built.tables, "statements": statements})
    analyzer = [
        python_of("bigquery_analyzer"),
        FOLDER / "bigquery_analyzer.py",
        ENVIRONMENTS / "bigquery_analyzer_cache",
    ]
    done = subprocess.run(analyzer, input=statements_and_tables, stdout=subprocess.PIPE, text=True, check=True)
    assert len(built.sent) > 300
    # dlt queries its tables before they exist, and expects the error
    expected = re.compile("Table not found: .*_dlt_(pipeline_state|version)")
    assert [refusal for refusal in json.loads(done.stdout) if not expected.search(refusal["error"])] == []


@pytest.mark.parametrize("built", ["bigquery"], indirect=True)
def test_bigquery_clusters_events_by_load(built: Built) -> None:
    assert any("PARTITION BY DATE(`loaded_at`)\nCLUSTER BY `_dlt_load_id`" in sql for sql in built.sent)


@pytest.mark.parametrize("built", ["snowflake"], indirect=True)
def test_every_statement_uses_only_functions_that_snowflake_has(built: Built) -> None:
    assert len(built.sent) > 300
    assert {sql: reasons for sql in built.sent if (reasons := refused(sql))} == {}


@pytest.mark.parametrize("built", EMULATED, indirect=True)
def test_deletes_and_merges_of_incremental_runs_are_bounded_by_literal_days(built: Built) -> None:
    literal = re.compile(r"(usage_date\)?|dbt_internal_dest\.usage_date) in \(\s*date '\d{4}-\d\d-\d\d'", re.IGNORECASE)
    writes = re.compile(
        rf"^\s*(merge into|delete from)\s+\S*{MARTS}\S*?(llm_requests|daily_\w+|hourly_costs)", re.IGNORECASE
    )
    bounded = {}
    for sql in built.sent:
        if found := writes.match(re.sub(r"/\*.*?\*/|--[^\n]*\n", "", sql, flags=re.DOTALL)):
            bounded.setdefault(found[2].lower(), []).append(bool(literal.search(sql)))
    assert bounded.keys() == {"llm_requests", *(path.stem for path in PROJECT.glob("models/marts/*.sql"))}
    assert {name: all(each) for name, each in bounded.items()} == dict.fromkeys(bounded, True)
