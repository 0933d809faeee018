"""`tokenmart query` reads the marts with one select statement, exactly and without writing, on every engine."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from conftest import Mart, tokenledger
from targets import SERVED, Engine, engine
from tokenmart.destinations import select
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.screen import Screen, show_rows
from tokenmart.statements import select_statement

MONEY = {"bigquery": "bignumeric"}


@pytest.fixture(scope="module", params=["duckdb", *SERVED])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warehouse whose marts are one table with three rows."""
    with engine(request.param, tmp_path_factory.mktemp(request.param)) as started:
        money = MONEY.get(request.param, "decimal(38, 12)")
        layout = "engine = MergeTree order by tuple() " if request.param == "clickhouse" else ""
        rows = " union all ".join(
            f"select {number} as requests, cast('{cost}' as {money}) as cost_usd"
            for number, cost in ((1, "12345678901234.000000000001"), (2, "0"), (3, "0.000420000000"))
        )
        with started.chosen():
            target = started.target
        if target.type == "clickhouse":
            started.query("create database if not exists {marts}")
        else:
            started.query("create schema if not exists {marts}")
        started.query(f"create table {{marts}}.daily_costs {layout}as {rows}")
        yield started


def run_select(on: Engine, sql: str) -> tuple[list[str], list[tuple[Any, ...]], int]:
    """Runs a statement; returns its columns, its rows and the number of its rows."""
    with on.chosen(), select(on.target, sql) as answer:
        return answer.columns, list(answer.rows), answer.count()


def test_a_query_reads_the_marts_exactly(on: Engine) -> None:
    columns, rows, count = run_select(on, "select requests, cost_usd from daily_costs order by requests -- all")
    assert columns == ["requests", "cost_usd"] and count == 3
    costs = [row[1] for row in rows]
    assert costs == [Decimal("12345678901234.000000000001"), Decimal(0), Decimal("0.00042")]
    assert all(isinstance(cost, Decimal) for cost in costs)
    columns, rows, count = run_select(on, "with c as (select 7 as seven) select seven, null as nothing from c")
    assert (columns, rows, count) == (["seven", "nothing"], [(7, None)], 1)


def test_rows_are_counted_while_they_are_read(on: Engine) -> None:
    numbers = " union all ".join(f"select {number} as number" for number in range(20))
    sql = f"select 1 as one from ({numbers}) as a cross join ({numbers}) as b cross join ({numbers}) as c"
    with on.chosen(), select(on.target, sql) as answer:
        assert next(answer.rows) == (1,)
        assert answer.count() == 8000


def test_a_query_writes_nothing(on: Engine) -> None:
    before = on.query("select count(*) from {marts}.daily_costs")
    for statement in ("delete from daily_costs where requests = 1", "drop table daily_costs"):
        with on.chosen(), pytest.raises(UsageError, match="only select statements"):
            select_statement(statement, on.target.type)
        # the session is read-only too; Snowflake has no read-only sessions
        if on.name != "snowflake":
            with pytest.raises(TokenmartError):
                run_select(on, statement)
    assert on.query("select count(*) from {marts}.daily_costs") == before


def test_an_error_of_the_statement_is_one_line(on: Engine) -> None:
    with pytest.raises(TokenmartError) as raised:
        run_select(on, "select * from daily_cost")
    message = str(raised.value)
    assert message.startswith("The query failed: ") and "daily_cost" in message.lower() and "\n" not in message
    assert "LINE 1" not in message and "http" not in message and "tokenmart build" in str(raised.value.hint)


# ---------------------------------------------------------------- one select statement


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("select 1", "select 1"),
        ("-- first\nSELECT ';' /* ; */ ;\n", "SELECT ';'"),
        ("with a as (select 1) select * from a;;", "with a as (select 1) select * from a"),
        ("(select 1)", "(select 1)"),
        ("from daily_costs", "from daily_costs"),
        ("select $$;$$", "select $$;$$"),
    ],
)
def test_one_select_statement_is_accepted(text: str, statement: str) -> None:
    assert select_statement(text, "postgres") == statement


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no query"),
        ("-- nothing", "no query"),
        ("select 1; select 2", "more than one statement"),
        ("select 1; commit", "more than one statement"),
        ("insert into a select 1", "begin with insert"),
        ("copy daily_costs to 'costs.csv'", "begin with copy"),
        ("explain analyze delete from a", "begin with explain"),
        ("select 'a", "is not closed"),
    ],
)
def test_everything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select_statement(text, "postgres")


# ---------------------------------------------------------------- the command


@pytest.fixture
def costs(mart: Mart, project: Path) -> Mart:
    """A DuckDB file with one mart of 120 rows."""
    mart.query(
        "create schema marts; create table marts.daily_costs as select number::int as requests,"
        " cast(number as decimal(38, 12)) / 1000000 as cost_usd, 'a' || chr(27) || '[31m' as team, null as nothing"
        " from range(120) numbers(number)"
    )
    return mart


def test_a_query_prints_a_table_json_or_csv(costs: Mart) -> None:
    sql = "select requests, cost_usd::decimal(38, 12) as cost_usd, team, nothing from daily_costs order by requests"
    shown = costs.run("query", sql).stdout
    assert shown.splitlines()[0].split() == ["requests", "cost_usd", "team", "nothing"]
    assert shown.splitlines()[1].split() == ["0", "0.000000000000", "a\\x1b[31m", "NULL"]
    assert shown.splitlines()[-1] == "100 rows; 20 left out, raise --limit to print more"
    assert costs.run("query", sql, "--limit", "200").stdout.splitlines()[-1] == "120 rows"

    found = costs.json("query", sql, "--limit", "2")
    assert found["left_out"] == 118 and len(costs.json("query", sql)["rows"]) == 120
    assert found["rows"][1] == {"requests": 1, "cost_usd": "0.000001000000", "team": "a\x1b[31m", "nothing": None}

    result = costs.run("query", "-", "--csv", "--limit", "119", stdin=sql.encode())
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert rows[0] == ["requests", "cost_usd", "team", "nothing"] and len(rows) == 120
    assert rows[1] == ["0", "0.000000000000", "a\\x1b[31m", ""]
    assert result.stderr == "1 row left out; raise --limit to print them.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["select * from daily_cost"], 1, "Did you mean"),
        (["select from"], 1, "The query failed: Parser Error"),
        (["drop table daily_costs"], 2, "only select statements"),
        (["select 1 as a, 2 as a", "--json"], 2, "Several columns are named a"),
        (["select 1", "--json", "--csv"], 2, "cannot be used together"),
        (["select 1", "--csv", "--focus"], 2, "cannot be used together"),
        (["select * from read_csv('/etc/passwd')"], 1, "disabled by configuration"),
        (["select 1", "--limit", "0"], 2, "--limit"),
    ],
    ids=str,
)
def test_a_query_that_cannot_be_answered_says_why(arguments: list[str], code: int, message: str, costs: Mart) -> None:
    assert message in costs.run("query", *arguments, code=code).output


def test_a_query_before_the_first_build_says_what_to_do(mart: Mart, project: Path) -> None:
    assert "Nothing has been loaded" in mart.run("query", "select * from daily_costs", code=1).output
    mart.run("load", mart.write("a.jsonl", tokenledger("e1")))
    assert "tokenmart build" in mart.run("query", "select * from daily_costs", code=1).output


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_every_digit_is_shown_at_any_terminal_width(width: int) -> None:
    screen = Screen(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    money = Decimal("12345678901234.000000000001")
    rows = [(money, "a long text with many words " * 3, f"user_{number}") for number in range(2)]
    show_rows(screen, ["cost_usd", "error_message", "user_id"], rows, 0)
    assert isinstance(screen.file, io.StringIO) and isinstance(screen, Console)
    lines = screen.file.getvalue().splitlines()
    assert sum("12345678901234.000000000001" in line for line in lines) == (2 if width > 26 else 0)
    assert "".join(lines).replace(" ", "").count("12345678901234.000000000001") == 2
    assert max(map(len, lines)) <= width
    assert ("row 1" in lines) == (width < 60)
