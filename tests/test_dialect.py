"""Every macro that differs between warehouses returns the same values on all of them, computed here in Python.

A case is SQL with the project's macros, over literal rows, and the rows that it must return. All cases of a warehouse
are compiled at once, because dbt takes seconds to start, and run one by one.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from dbt.cli.main import dbtRunner

from conftest import PROJECT
from targets import OTHERS, engine
from test_conformance import FLOAT_TOLERANCE, Row, plain
from tokenmart.dbt_runner import close_dbt_connections

ENGINES = ("duckdb", *OTHERS)

Ask = Callable[[str], list[Row]]
Sample = list[float | None]


@dataclass(frozen=True)
class Case:
    """A query, and its expected rows in order."""

    sql: str
    rows: list[Row]


# ---------------------------------------------------------------- queries of literal rows

# a backslash and a quote in a literal: first for engines where a backslash escapes
ESCAPES = r"""
    {%- set escapes = ("\\\\", "\\'") if target.type in ("clickhouse", "bigquery", "snowflake") else ("\\", "''") -%}
    {%- set backslash, quote = escapes -%}
"""


def literal(value: Any, data_type: str) -> str:
    """SQL of a value as one of the contract's types."""
    text = "null"
    if value is not None:
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
        text = "'" + text.replace("\\", "{{ backslash }}").replace("'", "{{ quote }}") + "'"
    return f"cast({text} as {macro('data_type', data_type)})"


def table(rows: list[Row], **types: str) -> str:
    """SQL of a relation `given` with these rows, and columns with these names and types."""
    selects = []
    for row in rows:
        cells = zip(row, types.items(), strict=True)
        selects.append(
            "select " + ", ".join(f"{literal(value, data_type)} as {name}" for value, (name, data_type) in cells)
        )
    return f"({' union all '.join(selects)}) as given"


def macro(name: str, *arguments: Any) -> str:
    """The call of a macro; JSON has the literals that Jinja has."""
    return f"{{{{ {name}({', '.join(map(json.dumps, arguments))}) }}}}"


def per_row(columns: list[str], rows: list[Row], expected: list[Row], **types: str) -> Case:
    """A case with these expressions for each of the rows."""
    given = table([(number, *row) for number, row in enumerate(rows)], n="bigint", **types)
    names = ", ".join(f"{column} as c{number}" for number, column in enumerate(columns))
    return Case(f"select n, {names} from {given} order by n", [(number, *row) for number, row in enumerate(expected)])


# ---------------------------------------------------------------- periods and days

ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # summer time adds half an hour
    "Pacific/Apia",
    "America/St_Johns",
)
PERIODS = ("hour", "day")
MICROSECOND, MINUTE, HOUR = dt.timedelta(microseconds=1), dt.timedelta(minutes=1), dt.timedelta(hours=1)
# when the clocks of New York, Berlin and Lord Howe change in 2026, in UTC
CHANGES = ("03-08 07:00", "11-01 06:00", "03-29 01:00", "10-25 01:00", "10-03 15:30", "04-04 15:00")
AROUND = (-HOUR, -30 * MINUTE, -MICROSECOND, 0 * HOUR, 29 * MINUTE, 30 * MINUTE, HOUR - MICROSECOND, HOUR)
# local midnights: leap days and the day after, January 1, a Sunday, a Monday, the day after the one that Apia skipped
MIDNIGHTS = ("2000-02-29", "2024-02-29", "2024-03-01", "2026-01-01", "2026-06-14", "2026-06-15", "2011-12-31")
INSTANTS = ("2000-01-01 00:00:00", "2026-12-31 23:59:59.999999", "2099-12-31 00:00:00", "2099-12-31 23:59:59.999999")
DAYS = ("2000-03-01", "2024-02-29", "2024-03-01", "2025-02-28", "2026-01-01", "2026-03-30", "2099-12-31")
DISTANCES = (0, 1, 30, 365, 366, 10_000)


def local_period(zone: str) -> Case:
    """The hour and day of instants close to the boundaries of periods."""
    changes = [dt.datetime.fromisoformat(f"2026-{change}") for change in CHANGES]
    midnights = [dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC) for day in MIDNIGHTS]
    given = {change + distance for change, distance in product(changes, AROUND)}
    given |= {midnight.replace(tzinfo=None) - before for midnight in midnights for before in (MICROSECOND, 0 * HOUR)}
    given |= {dt.datetime.fromisoformat(instant) for instant in INSTANTS}
    columns = [macro("local_period", period, "given.ts", zone) for period in PERIODS]
    instants = sorted(given)
    return per_row(columns, [(utc,) for utc in instants], [local(utc, zone) for utc in instants], ts="timestamp")


def local(utc: dt.datetime, zone: str) -> Row:
    """The hour and day that the clocks of the zone show."""
    wall = utc.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    day = wall.date()
    hour = wall.replace(minute=0, second=0, microsecond=0)
    return hour, day


def subtract_days() -> Case:
    """Days minus a number of days, across leap days and ends of years."""
    days = [dt.date.fromisoformat(day) for day in DAYS]
    expected = [tuple(day - dt.timedelta(distance) for distance in DISTANCES) for day in days]
    columns = [macro("subtract_days", "given.d", distance) for distance in DISTANCES]
    return per_row(columns, [(day,) for day in days], expected, d="date")


def period_start() -> Case:
    """The first days of months and ISO weeks."""
    days = [dt.date.fromisoformat(day) for day in (*DAYS, *MIDNIGHTS, "2026-12-31", "2027-01-03", "2027-01-04")]
    expected = [(day.replace(day=1), day - dt.timedelta(day.weekday())) for day in days]
    columns = [macro("period_start", period, "given.d") for period in ("month", "week")]
    return per_row(columns, [(day,) for day in days], expected, d="date")


def milliseconds_between() -> Case:
    """The time from each instant to the others, also if they are earlier."""
    instants = [dt.datetime.fromisoformat(instant) for instant in (*INSTANTS, "2026-12-31 23:59:59.998765")]
    pairs = list(product(instants, instants))
    # whole microseconds, so one division
    expected = [((last - first) // MICROSECOND / 1000,) for first, last in pairs]
    columns = [macro("milliseconds_between", "given.first_at", "given.last_at")]
    return per_row(columns, pairs, expected, first_at="timestamp", last_at="timestamp")


def numbers_below(count: int) -> Case:
    return Case(f"{macro('numbers_below', count)} order by number", [(number,) for number in range(count)])


def move_to_date() -> Case:
    """Instants moved to other days at the same time of day."""
    instants = [dt.datetime.fromisoformat(instant) for instant in INSTANTS]
    expected = [
        tuple(dt.datetime.combine(dt.date.fromisoformat(day), instant.time()) for day in DAYS) for instant in instants
    ]
    columns = [macro("move_to_date", "given.ts", day) for day in DAYS]
    return per_row(columns, [(instant,) for instant in instants], expected, ts="timestamp")


# ---------------------------------------------------------------- percentiles and averages

FRACTIONS = (0, 0.5, 0.9, 0.95, 0.99, 1)
PERCENTILES = ", ".join(f"{macro('percentile', 'given.x', p)} as p{round(100 * p)}" for p in FRACTIONS)
AVERAGE = f"{macro('average', 'given.x')} as mean"
SAMPLES: dict[str, Sample] = {
    "one row": [1234.567],
    "ties": [2.0, 1.0, 2.0, 2.0, 3.0, 2.0],
    "two rows": [0.2, 0.1],
    "five rows and nulls": [None, 30.5, 10.0, None, 20.25, 0.0, 1000.001, None],
    "only nulls": [None, None],
    "tenths": [number / 10 for number in (7, 1, 3, 9, 2, 1, 6, 11)],
}
AVERAGED: dict[str, Sample] = {
    **SAMPLES,
    "halves of a microsecond": [0.0005, 0.0015, 0.0045, 0.0004999],
    "thirds": [1 / 3, 2 / 3, 1.0, 0.001],
    "days": [86400000.001, 86399999.999, 86400000.002],
}
# for n from 0
SEVENTHS = [n * 617 % 1002 / 7 for n in range(1002)]
HALF_A_NANOSECOND = [0.001] + [0.0] * 1999
MIXED = [(n * 617 % 1000 + n % 3 * 86_400_000_000) / 1000 for n in range(1000)]
assert sum(MIXED) != sum(sorted(MIXED)) != sum(sorted(MIXED, reverse=True))
NUMBERS = f"""
    with digits as (select given.d from {table([(digit,) for digit in range(10)], d="bigint")}),
    numbers as (
        select a.d * 1000 + b.d * 100 + c.d * 10 + e.d as n
        from digits as a cross join digits as b cross join digits as c cross join digits as e
    )
"""


def percentiles_of(sample: Sample) -> Row:
    """The percentiles, each interpolated linearly between the two neighbors of its position."""
    values = sorted(Fraction(value) for value in sample if value is not None)
    positions = [Fraction(str(p)) * (len(values) - 1) for p in FRACTIONS]
    neighbors = [(values[floor(at)], values[ceil(at)], at % 1) for at in positions] if values else []
    return tuple(float(low + (high - low) * part) for low, high, part in neighbors) or (None,) * len(FRACTIONS)


def average_of(sample: Sample) -> Row:
    """The mean in milliseconds with six decimal places, of values rounded to microseconds."""
    known = [Decimal(str(value)).quantize(Decimal("0.001"), ROUND_HALF_UP) for value in sample if value is not None]
    return (float(quotient(sum(known), len(known), places=6)),) if known else (None,)


def quotient(total: Decimal | int, count: int, places: int = 12) -> Decimal:
    """A quotient rounded half away from zero."""
    units = Fraction(total) * 10**places / count
    whole = floor(abs(units) + Fraction(1, 2))
    return Decimal(whole if units > 0 else -whole).scaleb(-places)


def measured(columns: str, measure: Callable[[Sample], Row], samples: dict[str, Sample]) -> dict[str, Case]:
    """Cases for each sample, for no rows, and for all samples as groups of one table with alternating rows."""
    tables = {name: (table([(x,) for x in sample], x="double"), sample) for name, sample in samples.items()}
    tables["no rows"] = (table([(1.0,)], x="double") + " where given.x < 0", [])
    cases = {
        name: Case(f"select {columns} from {given}", [measure(sample)]) for name, (given, sample) in tables.items()
    }
    rows = [(turn, group, x) for group, sample in enumerate(samples.values()) for turn, x in enumerate(sample)]
    alternating = table([row[1:] for row in sorted(rows, key=lambda row: row[:2])], g="bigint", x="double")
    expected = [(group, *measure(sample)) for group, sample in enumerate(samples.values())]
    return {
        **cases,
        "groups": Case(f"select given.g, {columns} from {alternating} group by given.g order by given.g", expected),
    }


def generated(columns: str, expected: Row, count: int, number: str, divisor: int) -> Case:
    """A case with a generated sample of quotients, for n from 0."""
    quotients = (
        f"select cast({number} as {macro('data_type', 'double')}) / {divisor} as x from numbers where n < {count}"
    )
    return Case(f"{NUMBERS} select {columns} from ({quotients}) as given", [expected])


# ---------------------------------------------------------------- money

LARGE = Decimal("12345678901234.123456789012")
TOTALS = ["0", "1e-12", "3e-12", "-1e-12", "-5e-12", "0.1", "-0.1", "1", "2", "0.666666666667", "1234567.890123499999"]
COUNTS = (1, 2, 3, 7, 10, 1_000_000, 0)
TOKENS = (0, 1, 1_000_003, 10**12, None)
PRICES = (Decimal("0"), Decimal("0.000001"), Decimal("0.15"), Decimal("99999.999999"), None)
SUMMED: dict[str, list[Decimal]] = {"tenths": [Decimal("0.1")] * 10, "a small one": [LARGE, Decimal("1e-12"), -LARGE]}


def average_money() -> Case:
    """Totals divided by counts."""
    given = list(product([*map(Decimal, TOTALS), LARGE, -LARGE, None], COUNTS))
    expected = [(quotient(total, count) if total is not None and count else None,) for total, count in given]
    return per_row([macro("average_money", "given.t", "given.c")], given, expected, t="money", c="count")


def token_cost() -> Case:
    """Tokens at prices per million."""
    given = list(product(TOKENS, PRICES))
    expected = [(None if None in row else row[0] * row[1] / 10**6,) for row in given]
    return per_row([macro("token_cost", "given.t", "given.p")], given, expected, t="bigint", p="price")


def sum_of(amounts: list[Decimal]) -> Case:
    """Amounts added up."""
    total = f"cast(sum(given.x) as {macro('data_type', 'money')}) as total"
    return Case(f"select {total} from {table([(x,) for x in amounts], x='money')}", [(sum(amounts),)])


# ---------------------------------------------------------------- texts and types

UNORDERED = ("a", "B", "_", "é", "Z", "", "b", "aa", "10", "9", "~", "\uff5e", "😀")
HOSTILE = (
    "",
    "it's",
    "\\",
    "\\'",
    "' or 1 = 1 --",
    "\\' or 1 = 1 --",
    "a\nb\r\nc\td",
    "\\n",
    "{{ 1 }} {% if %}",
    "%s é",
    '"',
)
TYPES = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["tokenmart"]["types"]
NEVER_NULL = ("key", "dimension", "count", "date", "timestamp", "local_timestamp", "boolean")
INSTANT = dt.datetime(2026, 1, 31, 23, 59, 59, 999999)
VALUES = {
    **dict.fromkeys(["key", "dimension", "text", "label"], "it's \\ é"),
    **dict.fromkeys(["count", "bigint"], 2**63 - 1),
    **dict.fromkeys(["date", "optional_date"], INSTANT.date()),
    **dict.fromkeys(["timestamp", "local_timestamp", "optional_timestamp"], INSTANT),
    **{"boolean": True, "double": 0.1, "money": -LARGE, "price": Decimal("123456789012.123456")},
}


def binary_collation() -> Case:
    """Text in the order of its UTF-8 bytes."""
    given = table([(text,) for text in UNORDERED], t="text")
    expected = sorted(UNORDERED, key=str.encode)
    return Case(
        f"select given.t from {given} order by {macro('binary_collation', 'given.t')}", [(text,) for text in expected]
    )


def text_literal() -> Case:
    """Texts that would end a literal, or be changed by one, without escapes."""
    columns = ", ".join(f"{macro('text_literal', text)} as c{number}" for number, text in enumerate(HOSTILE))
    return Case(f"select {columns}", [HOSTILE])


def json_members() -> Case:
    """Objects as the loader writes them, without spaces between their parts."""
    texts = {f"text {number}": text for number, text in enumerate(HOSTILE) if "{{" not in text}
    objects = [
        {"a.b": "x", "a": 1.5, "n": -7, "yes": True, "no": False, "nothing": None},
        {**texts, "json": '{ "a":"b","c":1}', "commas": ", : } ]", "kept-name": "é 😀"},
        {},
        {"one": "1"},
    ]
    rows: list[Row] = [
        (number, json.dumps(members, ensure_ascii=False, separators=(",", ":")))
        for number, members in enumerate(objects)
    ]
    given = table(rows, n="bigint", j="text")
    found = macro("json_members", "given", "j", ["n"])
    expected = [
        (number, key, None if value is None else value if isinstance(value, str) else json.dumps(value))
        for number, members in enumerate(objects)
        for key, value in sorted(members.items())
    ]
    return Case(
        f"with given as (select * from {given}) select n, tag_key, tag_value from ({found}) as members"
        f" order by n, {macro('binary_collation', 'tag_key')}",
        expected,
    )


def types() -> Case:
    """A value of each type, and null for the types that allow it."""
    assert VALUES.keys() == TYPES.keys()
    optional = [name for name in TYPES if name not in NEVER_NULL]
    cells = [(f"a_{name}", VALUES[name], name) for name in TYPES] + [(f"no_{name}", None, name) for name in optional]
    columns = ", ".join(f"{literal(value, data_type)} as {name}" for name, value, data_type in cells)
    return Case(f"select {columns}", [tuple(value for _, value, _ in cells)])


# ---------------------------------------------------------------- the cases on every warehouse

CASES = {
    **{f"local_period, {zone}": local_period(zone) for zone in ZONES},
    "subtract_days": subtract_days(),
    "period_start": period_start(),
    "milliseconds_between": milliseconds_between(),
    **{f"numbers_below, {count}": numbers_below(count) for count in (1, 10, 11, 1000)},
    **{f"percentile, {name}": case for name, case in measured(PERCENTILES, percentiles_of, SAMPLES).items()},
    "percentile, 1002 rows": generated(PERCENTILES, percentiles_of(SEVENTHS), 1002, "mod(n * 617, 1002)", 7),
    **{f"average, {name}": case for name, case in measured(AVERAGE, average_of, AVERAGED).items()},
    "average, half a nanosecond": generated(
        AVERAGE, average_of(HALF_A_NANOSECOND), 2000, "case when n = 0 then 1 else 0 end", 1000
    ),
    "average, of any order": generated(
        AVERAGE, average_of(MIXED), 1000, "mod(n * 617, 1000) + mod(n, 3) * 86400000000", 1000
    ),
    "average_money": average_money(),
    "token_cost": token_cost(),
    **{f"sum, {name}": sum_of(amounts) for name, amounts in SUMMED.items()},
    "binary_collation": binary_collation(),
    "move_to_date": move_to_date(),
    "text_literal": text_literal(),
    "json_members": json_members(),
    "data_type": types(),
}
NOW = f"select {macro('utc_now')} as now"


@pytest.fixture(scope="module", params=ENGINES)
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Runs a query of this module on a warehouse and returns its rows."""
    folder = tmp_path_factory.mktemp(request.param)
    queries = [*(case.sql for case in CASES.values()), NOW]
    text = ESCAPES + "".join(f"\n-- case\n{query}" for query in queries)
    folders = {"--project-dir": PROJECT, "--profiles-dir": folder, "--target-path": folder, "--log-path": folder}
    options = ["--log-level", "none", *(str(part) for option in folders.items() for part in option)]
    with engine(request.param, folder) as on:
        with on.chosen():
            done = dbtRunner().invoke(["compile", "--inline", text, *options])
            close_dbt_connections()
        assert done.success, done.exception
        _, *compiled = re.split(r"^-- case$", done.result.results[0].node.compiled_code, flags=re.MULTILINE)
        statements = dict(zip(queries, compiled, strict=True))

        def answer(query: str) -> list[Row]:
            # Engine.query replaces names in single braces
            return [tuple(map(plain, row)) for row in on.query(re.sub(r"([{}])", r"\1\1", statements[query]))]

        yield answer


def differences(found: list[Row], expected: list[Row]) -> Iterator[str]:
    """Every value that differs; floats may differ by the tolerance."""
    if len(found) != len(expected):
        yield f"{len(found)} rows, not {len(expected)}"
    for row, expected_row in zip(found, expected, strict=False):
        for value, right in zip(row, expected_row, strict=True):
            is_near = type(value) is type(right) is float and abs(value - right) <= FLOAT_TOLERANCE
            if not is_near and (type(value) is not type(right) or value != right):
                yield f"{value!r}, not {right!r}, in {row}"


@pytest.mark.parametrize("name", CASES)
def test_a_macro_returns_the_expected_values(name: str, ask: Ask) -> None:
    assert list(differences(ask(CASES[name].sql), CASES[name].rows)) == []


def test_now_is_in_utc(ask: Ask) -> None:
    ((now,),) = ask(NOW)
    assert abs(now - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < MINUTE
