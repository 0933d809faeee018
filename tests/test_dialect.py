"""Every macro that differs between warehouses gives the same values on all of them: those worked out here, in Python.

A case is SQL with the project's macros in it, over literal rows, and the rows that it has to give. All cases of a
warehouse are compiled at once, since dbt takes seconds to begin, and run one by one.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from conftest import PROJECT
from dbt.cli.main import dbtRunner
from targets import OTHERS, engine

from loader.build import _disconnect

ENGINES = ("duckdb", *OTHERS)
FLOAT_TOLERANCE = 1e-9

Row = tuple[Any, ...]
Ask = Callable[[str], list[Row]]
Samples = list[float | None]


@dataclass(frozen=True)
class Case:
    """A query, and the rows that it gives in that order."""

    sql: str
    rows: list[Row]


# ---------------------------------------------------------------- literal rows

# what stands in a text for a backslash and for a quote: the first line is of the warehouses where a backslash escapes
SETTINGS = r"""
    {%- set escaping = ("\\\\", "\\'") if target.type in ("clickhouse", "bigquery", "snowflake") else ("\\", "''") -%}
    {%- set backslash, quote = escaping -%}
"""


def literal(value: Any, data_type: str) -> str:
    """SQL of a value as one of the contract's types."""
    if value is None:
        text = "null"
    else:
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
        text = "'" + text.replace("\\", "{{ backslash }}").replace("'", "{{ quote }}") + "'"
    return f'cast({text} as {{{{ data_type("{data_type}") }}}})'


def table(rows: list[Row], **types: str) -> str:
    """SQL of a relation of literal rows, whose columns have these names and types."""
    columns = types.items()
    selects = (
        ", ".join(
            f"{literal(value, data_type)} as {name}" for value, (name, data_type) in zip(row, columns, strict=True)
        )
        for row in rows
    )
    return "(select " + " union all select ".join(selects) + ") as given"


def macro(name: str, *arguments: Any) -> str:
    """SQL that a macro gives."""
    # json writes texts as Jinja reads them
    return f"{{{{ {name}({', '.join(json.dumps(argument) for argument in arguments)}) }}}}"


def per_row(sql: list[str], rows: list[Row], expected: list[Row], **types: str) -> Case:
    """The case of expressions over each of the literal rows."""
    numbered = [(number, *row) for number, row in enumerate(rows)]
    query = f"select n, {', '.join(sql)} from {table(numbered, n='bigint', **types)} order by n"
    return Case(query, [(number, *row) for number, row in enumerate(expected)])


# ---------------------------------------------------------------- periods and days

ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # whose summer is half an hour
    "Pacific/Apia",
    "America/St_Johns",
)
PERIODS = ("hour", "day", "week", "month")
MICROSECOND, MINUTE, HOUR = dt.timedelta(microseconds=1), dt.timedelta(minutes=1), dt.timedelta(hours=1)
# in UTC, when the clocks of New York, Berlin and Lord Howe change in 2026
CHANGES = ("03-08 07:00", "11-01 06:00", "03-29 01:00", "10-25 01:00", "10-03 15:30", "04-04 15:00")
AROUND = (-HOUR, -30 * MINUTE, -MICROSECOND, 0 * HOUR, 29 * MINUTE, 30 * MINUTE, HOUR - MICROSECOND, HOUR)
# local midnights: leap days and the day after, a year's end, a Sunday, a Monday, the day that Apia left out
MIDNIGHTS = ("2000-02-29", "2024-02-29", "2024-03-01", "2026-01-01", "2026-06-14", "2026-06-15", "2011-12-31")
INSTANTS = ("2000-01-01 00:00:00", "2026-12-31 23:59:59.999999", "2099-12-31 00:00:00", "2099-12-31 23:59:59.999999")


def instants(zone: str) -> list[dt.datetime]:
    """Instants in UTC that are told apart by little, many of them by the clocks of the zone."""
    changes = [dt.datetime.fromisoformat(f"2026-{change}") for change in CHANGES]
    midnights = [dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC) for day in MIDNIGHTS]
    found = {change + distance for change, distance in product(changes, AROUND)}
    found |= {midnight.replace(tzinfo=None) - before for midnight in midnights for before in (MICROSECOND, 0 * HOUR)}
    return sorted(found | {dt.datetime.fromisoformat(instant) for instant in INSTANTS})


def local(period: str, utc: dt.datetime, zone: str) -> dt.date:
    """What `local_period` is to give."""
    wall = utc.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if period == "hour":
        return wall.replace(minute=0, second=0, microsecond=0)
    day = wall.date()
    return {"day": day, "week": day - dt.timedelta(day.weekday()), "month": day.replace(day=1)}[period]


def periods_in(zone: str) -> Case:
    """The four periods of each instant."""
    given = instants(zone)
    sql = [f"{macro('local_period', period, 'ts', zone)} as in_{period}" for period in PERIODS]
    expected = [tuple(local(period, utc, zone) for period in PERIODS) for utc in given]
    return per_row(sql, [(utc,) for utc in given], expected, ts="timestamp")


def days_before() -> Case:
    """Days before the first of a month, a leap day, a year's first day and others."""
    distances = (0, 1, 30, 365, 366, 10_000)
    days = ["2000-03-01", "2024-02-29", "2024-03-01", "2025-02-28", "2026-01-01", "2026-03-30", "2099-12-31"]
    dates = [dt.date.fromisoformat(day) for day in days]
    sql = [f"{macro('days_before', 'given.d', distance)} as before_{distance}" for distance in distances]
    expected = [tuple(date - dt.timedelta(distance) for distance in distances) for date in dates]
    return per_row(sql, [(date,) for date in dates], expected, d="date")


# ---------------------------------------------------------------- percentiles and averages

FRACTIONS = (0, 0.5, 0.9, 0.95, 0.99, 1)
PERCENTILES = [f"{macro('percentile', 'given.x', p)} as p{round(p * 100)}" for p in FRACTIONS]
AVERAGE = [f"{macro('average', 'given.x')} as mean"]
SAMPLES: dict[str, Samples] = {
    "one row": [1234.567],
    "ties": [2.0, 1.0, 2.0, 2.0, 3.0, 2.0],
    "two rows": [0.2, 0.1],
    "five rows and nulls": [None, 30.5, 10.0, None, 20.25, 0.0, 1000.001, None],
    "only nulls": [None, None],
    "tenths": [number / 10 for number in (7, 1, 3, 9, 2, 1, 6, 11)],
}
AVERAGED: dict[str, Samples] = {
    **SAMPLES,
    "halves of a microsecond": [0.0005, 0.0015, 0.0004999],
    "half, rounded up": [0.0005],
    "less than half, rounded down": [0.0004999],
    "thirds": [1 / 3, 2 / 3, 1.0, 0.001],
    "days": [86400000.001, 86399999.999, 86400000.002],
}
DIGITS = table([(digit,) for digit in range(10)], d="bigint")
NUMBERS = f"""
    with digits as (select d from {DIGITS}),
    numbers as (
        select a.d * 1000 + b.d * 100 + c.d * 10 + e.d as n
        from digits as a cross join digits as b cross join digits as c cross join digits as e
    )
"""


def percentiles_of(sample: Samples) -> Row:
    """The percentiles: between the two neighbours of the place in question, in proportion."""
    values = sorted(Fraction(value) for value in sample if value is not None)
    places = [Fraction(str(p)) * (len(values) - 1) for p in FRACTIONS]
    if not values:
        return (None,) * len(FRACTIONS)
    low_high = [(values[floor(place)], values[-floor(-place)], place - floor(place)) for place in places]
    return tuple(float(low + (high - low) * part) for low, high, part in low_high)


def average_of(sample: Samples) -> Row:
    """The mean of values rounded to microseconds, in milliseconds with six places."""
    known = [Decimal(str(value)).quantize(Decimal("0.001"), ROUND_HALF_UP) for value in sample if value is not None]
    return (float(quotient(sum(known), len(known), places=6)),) if known else (None,)


def quotient(total: Any, count: int, places: int = 12) -> Decimal:
    """A quotient rounded half away from zero."""
    units = Fraction(total) * 10**places / count
    whole = floor(abs(units) + Fraction(1, 2))
    return Decimal(whole if units > 0 else -whole).scaleb(-places)


def measures(sql: list[str], measure: Callable[[Samples], Row], samples: dict[str, Samples]) -> dict[str, Case]:
    """Each sample alone, no rows at all, and all samples as groups of one table."""
    columns = ", ".join(sql)
    cases = {
        name: Case(f"select {columns} from {table([(x,) for x in sample], x='double')}", [measure(sample)])
        for name, sample in samples.items()
    }
    cases["no rows"] = Case(f"select {columns} from {table([(1.0,)], x='double')} where given.x < 0", [measure([])])
    # dealt out in turns
    rows = sorted((turn, group, x) for group, sample in enumerate(samples.values()) for turn, x in enumerate(sample))
    given = table([row[1:] for row in rows], g="bigint", x="double")
    expected = [(group, *measure(sample)) for group, sample in enumerate(samples.values())]
    cases["groups"] = Case(f"select g, {columns} from {given} group by g order by g", expected)
    return cases


def generated(sql: list[str], expected: Row, count: int, numerator: str, denominator: int) -> Case:
    """Measures of the quotients for n from 0."""
    quotients = (
        f'cast({numerator} as {{{{ data_type("double") }}}}) / {denominator} as x from numbers where n < {count}'
    )
    return Case(f"{NUMBERS} select {', '.join(sql)} from (select {quotients}) as given", [expected])


def many() -> dict[str, Case]:
    """A thousand and more values in no order, among them such that a sum of doubles would depend on it."""
    sevenths = [n * 617 % 1001 / 7 for n in range(1001)]
    mixed = [(n * 617 % 1000 + n % 3 * 86_400_000_000) / 1000 for n in range(1000)]
    assert sum(mixed) != sum(sorted(mixed)) != sum(sorted(mixed, reverse=True))
    half = [0.001] + [0.0] * 1999
    return {
        "percentile, 1001 rows": generated(PERCENTILES, percentiles_of(sevenths), 1001, "mod(n * 617, 1001)", 7),
        "average, 1000 rows of any order": generated(
            AVERAGE, average_of(mixed), 1000, "mod(n * 617, 1000) + mod(n, 3) * 86400000000", 1000
        ),
        "average, half a nanosecond": generated(
            AVERAGE, average_of(half), 2000, "case when n = 7 then 1 else 0 end", 1000
        ),
    }


# ---------------------------------------------------------------- money

MONEY = ["0", "1e-12", "3e-12", "-1e-12", "-3e-12", "0.1", "-0.1", "1", "2", "0.666666666667", "-0.000000000005"]
TOTALS = [*map(Decimal, MONEY), Decimal("12345678901234.123456789012"), Decimal("-99999999999.999999999999"), None]
COUNTS = (1, 2, 3, 7, 10, 1_000_000, 0)
TOKENS = (0, 1, 1_000_003, 10**12, None)
PRICES = (Decimal("0"), Decimal("0.000001"), Decimal("0.15"), Decimal("99999.999999"), None)


def average_money() -> Case:
    """Totals divided by counts."""
    given = list(product(TOTALS, COUNTS))
    expected = [(quotient(total, count) if total is not None and count else None,) for total, count in given]
    return per_row(
        [f"{macro('average_money', 'total', 'parts')} as mean"], given, expected, total="money", parts="count"
    )


def token_cost() -> Case:
    """Tokens at prices per million."""
    given = list(product(TOKENS, PRICES))
    expected = [(None if None in pair else pair[0] * pair[1] / 10**6,) for pair in given]
    return per_row(
        [f"{macro('token_cost', 'tokens', 'price')} as cost"], given, expected, tokens="bigint", price="price"
    )


def sums() -> dict[str, Case]:
    """Amounts that doubles would not add up to a round one, and one so large that they would lose the small one."""
    large = Decimal("12345678901234.123456789012")
    amounts = {
        "tenths": [Decimal("0.1")] * 10,
        "large and small": [large, Decimal("1e-12"), large],
        "nulls": [None, None],
    }
    sql = 'select cast(sum(given.x) as {{ data_type("money") }}) as total from '
    return {
        name: Case(sql + table([(x,) for x in given], x="money"), [(sum(given) if None not in given else None,)])
        for name, given in amounts.items()
    }


# ---------------------------------------------------------------- texts and types

KEYS = (
    "plain",
    "Plain",
    "a.b",
    "with space",
    'double"quote',
    "single'quote",
    "back\\slash",
    "sl/ash",
    "til~de",
    "~1",
    "ключ é漢",
)
FIELDS = (
    "text",
    "",
    'it\'s "so" \\ there\n',
    "é漢😀",
    "null",
    7,
    -1.5,
    0,
    10**12,
    True,
    False,
    None,
    {},
    {"plain": 1},
    [],
    ["text"],
)
TEXTS = ["a", "B", "_", "é", "Z", "", "b", "aa", "10", "9", "~", "\uff5e", "😀"]
TYPES = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["types"]
NOT_NULL = ("key", "dimension", "count", "date", "timestamp", "local_timestamp", "boolean")
INSTANT = dt.datetime(2026, 1, 31, 23, 59, 59, 999999)
VALUES = {
    **dict.fromkeys(["key", "dimension", "text", "label"], "it's \\ é"),
    **dict.fromkeys(["count", "bigint"], 2**63 - 1),
    **dict.fromkeys(["date", "optional_date"], INSTANT.date()),
    **dict.fromkeys(["timestamp", "local_timestamp"], INSTANT),
    "boolean": True,
    "double": 0.1,
    "money": Decimal("-12345678901234.123456789012"),
    "price": Decimal("123456789012.123456"),
}


def json_text(keys: tuple[str, ...]) -> Case:
    """A field of each kind under each key; one that differs from key to key; and what has no such field."""
    objects = [dict.fromkeys(keys, field) for field in FIELDS]
    objects.append({key: f"of {key}" for key in keys})
    given = [*(json.dumps(an_object, ensure_ascii=False) for an_object in objects), "{}", "null", '["plain"]', None]
    expected = [tuple(as_text(an_object[key]) for key in keys) for an_object in objects]
    sql = [f"{macro('json_text', 'given.j', key)} as field_{number}" for number, key in enumerate(keys)]
    return per_row(sql, [(text,) for text in given], expected + [(None,) * len(keys)] * 4, j="text")


def as_text(field: Any) -> str | None:
    """What `json_text` is to give."""
    if field is None or isinstance(field, str):
        return field
    return None if isinstance(field, dict | list) else json.dumps(field)


def types() -> Case:
    """A value of each of the types, and for those that may be null, null."""
    assert VALUES.keys() == TYPES.keys()
    sql = [f"{literal(value, name)} as of_{name}" for name, value in VALUES.items()]
    sql += [f"{literal(None, name)} as no_{name}" for name in VALUES if name not in NOT_NULL]
    return Case("select " + ", ".join(sql), [(*VALUES.values(), *[None] * (len(VALUES) - len(NOT_NULL)))])


# ---------------------------------------------------------------- the cases, asked

SORTED = sorted(((text,) for text in TEXTS), key=lambda row: row[0].encode())
CASES = {
    **{f"local_period, {zone}": periods_in(zone) for zone in ZONES},
    "days_before": days_before(),
    **{f"percentile, {name}": case for name, case in measures(PERCENTILES, percentiles_of, SAMPLES).items()},
    **{f"average, {name}": case for name, case in measures(AVERAGE, average_of, AVERAGED).items()},
    **many(),
    "average_money": average_money(),
    "token_cost": token_cost(),
    **{f"sum of money, {name}": case for name, case in sums().items()},
    "json_text": json_text(KEYS),
    "byte_order": Case(
        f"select given.t from {table([(text,) for text in TEXTS], t='text')} order by {macro('byte_order', 'given.t')}",
        SORTED,
    ),
    "data_type": types(),
}
DOLLAR = json_text(("$", "do$lar"))
NOW = "select {{ utc_now() }} as now"


@pytest.fixture(scope="module", params=ENGINES)
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Runs SQL of this module on a warehouse and returns its rows."""
    folder = tmp_path_factory.mktemp(request.param)
    texts = [*(case.sql for case in CASES.values()), DOLLAR.sql, NOW]
    marked = SETTINGS + "".join(f"\n-- case {number}\n{sql}" for number, sql in enumerate(texts))
    with engine(request.param, folder) as on:
        with on.chosen():
            folders = [
                ("--project-dir", PROJECT),
                ("--profiles-dir", folder),
                ("--target-path", folder),
                ("--log-path", folder),
            ]
            options = [str(part) for option in folders for part in option]
            done = dbtRunner().invoke(
                ["compile", "--inline", marked, "--log-level", "none", "--no-introspect", *options]
            )
            _disconnect()
        assert done.success, done.exception
        _, *compiled = re.split(r"^-- case \d+$", done.result.results[0].node.compiled_code, flags=re.MULTILINE)
        statements = dict(zip(texts, compiled, strict=True))

        def answer(sql: str) -> list[Row]:
            # braces have a meaning to Engine.query
            rows = on.query(statements[sql].replace("{", "{{").replace("}", "}}"))
            return [tuple(map(plain, row)) for row in rows]

        yield answer


def plain(value: Any) -> Any:
    """A timestamp in UTC without its time zone, which not all drivers give it."""
    if isinstance(value, dt.datetime) and value.tzinfo:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def differences(found: list[Row], expected: list[Row]) -> Iterator[str]:
    """Every value that is not the same, or as a float not within the tolerance."""
    if len(found) != len(expected):
        yield f"{len(found)} rows, not {len(expected)}"
    for row, right_row in zip(found, expected, strict=False):
        for column, (value, right) in enumerate(zip(row, right_row, strict=True)):
            is_near = isinstance(right, float) and isinstance(value, float) and abs(value - right) <= FLOAT_TOLERANCE
            if not is_near and (type(value) is not type(right) or value != right):
                yield f"{value!r}, not {right!r}, in column {column} of {right_row}"


@pytest.mark.parametrize("name", CASES)
def test_values(name: str, ask: Ask) -> None:
    assert list(differences(ask(CASES[name].sql), CASES[name].rows)) == []


# fakesnow writes the key into a path, where a dollar means the whole
@pytest.mark.parametrize("ask", [name for name in ENGINES if name != "snowflake"], indirect=True)
def test_a_json_key_may_have_a_dollar(ask: Ask) -> None:
    assert list(differences(ask(DOLLAR.sql), DOLLAR.rows)) == []


def test_now_is_in_utc(ask: Ask) -> None:
    ((now,),) = ask(NOW)
    assert abs(now - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < MINUTE
