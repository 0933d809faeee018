"""The examples of docs/how-costs-are-computed.md: the arithmetic is exact, and the tables show what is computed."""

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT, Mart, as_lines
from marts import Row, run, tables, total

PAGE = (PROJECT / "docs" / "how-costs-are-computed.md").read_text()
RULES = [
    "Tokens and their parts",
    "Prices and the parts of a cost",
    "Long prompts",
    "Service tiers",
    "Dates and hours of prices",
    "Providers",
    "Names of models",
    "Free and unknown models",
    "Missing token counts",
    "Reported and computed costs",
    "Several lines for one request",
    "Running totals",
    "Days and time zones",
    "Changed prices and settings",
]
# a key of each format that the lines of no other format have
FORMATS = {
    "event_id": "tokenledger",
    "sessionId": "claude_code",
    "total_cost": "tokenmeter",
    "cost_usd_micros": "ctm",
    "tier": "gateway",
}
NUMBER = r"\d{1,3}(?:,\d{3})*(?:\.\d+)?"
ARITHMETIC = re.compile(rf"(?P<label>\S.*): (?P<expression>[\d,. x+/()-]+) = (?P<result>{NUMBER})")


@dataclass(frozen=True)
class Arithmetic:
    """A line such as `a: (1,000 x 3 + 500 x 15) / 1,000,000 = 0.0105`.

    Its label is the first cell of a row, whose cells include the result, or `sum of` and a column of the table.
    """

    label: str
    expression: str
    result: Decimal


@dataclass(frozen=True)
class Example:
    """The log lines, the arithmetic and the table of one section. The first cell of a row identifies the request."""

    lines: list[str]
    arithmetic: list[Arithmetic]
    columns: list[str]
    rows: list[dict[str, str]]

    @property
    def key(self) -> str:
        return self.columns[0]


def blocks(text: str, language: str) -> list[list[str]]:
    """The lines of each code block in a language."""
    return [block.splitlines() for block in re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.S | re.M)]


def sections() -> dict[str, str]:
    """The text of each section by its heading; the text before the first one has the heading ''."""
    first, *others = re.split(r"^## ", PAGE, flags=re.M)
    return {"": first, **dict(other.split("\n", 1) for other in others)}


def number(text: str) -> Decimal:
    assert re.fullmatch(NUMBER, text), f"{text} is not a number such as 1,000 or 0.05"
    return Decimal(text.replace(",", ""))


def example(heading: str) -> Example:
    """The example of a section. Fails if a part of it is missing or not in its strict form."""
    text = sections().get(heading)
    assert text is not None, f"no section {heading}"
    for language in ("json", "text"):
        assert len(blocks(text, language)) == 1, f"{heading}: not one block of {language}"
    lines, calculations = blocks(text, "json")[0], blocks(text, "text")[0]
    arithmetic = []
    for line in calculations:
        match = ARITHMETIC.fullmatch(line)
        assert match, f"{heading}: {line}"
        arithmetic.append(Arithmetic(match["label"], match["expression"], number(match["result"])))
    table = [[cell.strip() for cell in row[1:-1].split("|")] for row in re.findall(r"^\|.*\|$", text, flags=re.M)]
    assert lines and arithmetic and len(table) > 2, f"{heading}: no lines, no arithmetic or no table"
    head, rule, *body = table
    assert set(rule) == {"---"}, f"{heading}: more than one table, or none"
    rows = [dict(zip(head, row, strict=True)) for row in body]
    return Example(lines, arithmetic, head, rows)


def evaluate(expression: str) -> Decimal:
    """The exact value of an expression of numbers with +, -, x, / and parentheses."""
    tokens = re.findall(rf"{NUMBER}|[-+x/()]", expression)
    assert "".join(tokens) == expression.replace(" ", ""), expression

    def term() -> Decimal:
        token = tokens.pop(0)
        if token != "(":
            return number(token)
        value = terms()
        assert tokens.pop(0) == ")", expression
        return value

    def product() -> Decimal:
        value = term()
        while tokens[:1] in (["x"], ["/"]):
            value = value * term() if tokens.pop(0) == "x" else value / term()
        return value

    def terms() -> Decimal:
        value = product()
        while tokens[:1] in (["+"], ["-"]):
            value = value + product() if tokens.pop(0) == "+" else value - product()
        return value

    with localcontext(Context(traps=[Inexact, InvalidOperation])):
        value = terms()
    assert not tokens, expression
    return value


def cell_value(cell: str, like: Any) -> Any:
    """The value of a cell of a table, as the type of the value in the warehouse."""
    if cell == "NULL":
        return None
    if isinstance(like, int | Decimal):
        return number(cell)
    return cell


def shown(value: Any) -> Any:
    """A value of the warehouse as a table shows it: times as text, numbers unchanged."""
    return str(value) if isinstance(value, dt.date) else value


def format_of(line: str) -> str:
    fields = json.loads(line)
    assert isinstance(fields, dict), line
    (name,) = [name for key, name in FORMATS.items() if key in fields]
    return name


def all_lines() -> list[str]:
    """The lines of all examples."""
    return [line for heading in RULES for line in example(heading).lines]


def write_lines(folder: Path) -> list[tuple[str | Path, ...]]:
    """Writes the lines of all examples below `folder`; returns the arguments of the loads."""
    by_format = {name: [line for line in all_lines() if format_of(line) == name] for name in FORMATS.values()}
    (script,) = blocks(sections()[""], "sql")
    (folder / "gateway.sql").write_text("\n".join(script))
    for name, lines in by_format.items():
        (folder / f"{name}.jsonl").write_bytes(as_lines(*lines))
    recognized = [folder / f"{name}.jsonl" for name in by_format if name != "gateway"]
    return [("load", *recognized), ("load", folder / "gateway.jsonl", "--format", folder / "gateway.sql")]


@pytest.fixture(scope="module")
def requests(make_mart: Callable[[str], Mart]) -> list[Row]:
    """The rows of llm_requests after the lines of all examples were loaded and built."""
    mart = make_mart("costs_page")
    for load in write_lines(mart.folder):
        run(mart, *load)
    run(mart, "build")
    assert mart.query("select sum(lines_landed) from raw_usage.loaded_files") == [(len(all_lines()),)]
    assert {name for (name,) in mart.query("select distinct source_format from raw_usage.loaded_files")} == {
        *FORMATS.values()
    }
    return tables(mart)["llm_requests"]


def stored(requests: list[Row], column: str, key: str) -> Row:
    """The only request whose column shows this text."""
    found = [request for request in requests if str(request[column]) == key]
    assert len(found) == 1, f"{len(found)} requests with {column} {key}"
    return found[0]


def test_the_page_has_a_section_for_each_rule() -> None:
    headings = [heading for heading in sections() if heading]
    assert headings == [*RULES, "What is not included"]
    assert len(blocks(PAGE, "json")) == len(blocks(PAGE, "text")) == len(RULES)


@pytest.mark.parametrize("heading", RULES)
def test_the_arithmetic_is_exact(heading: str) -> None:
    for line in example(heading).arithmetic:
        assert evaluate(line.expression) == line.result, f"{line.label}: {line.expression}"


@pytest.mark.parametrize("heading", RULES)
def test_the_table_shows_what_is_in_the_warehouse(heading: str, requests: list[Row]) -> None:
    part = example(heading)
    for row in part.rows:
        request = stored(requests, part.key, row[part.key])
        found = {column: shown(request[column]) for column in row}
        wrong = {column: cell for column, cell in row.items() if cell_value(cell, request[column]) != found[column]}
        assert not wrong, f"{row[part.key]}: {wrong}, but {[(column, str(found[column])) for column in wrong]}"


@pytest.mark.parametrize("heading", RULES)
def test_each_result_of_the_arithmetic_is_in_the_table(heading: str, requests: list[Row]) -> None:
    part = example(heading)
    found = [stored(requests, part.key, row[part.key]) for row in part.rows]
    for line in part.arithmetic:
        if line.label.startswith("sum of "):
            assert total(found, line.label.removeprefix("sum of ")) == line.result, line.label
        else:
            (row,) = [row for row in part.rows if row[part.key] == line.label]
            cells = [number(cell) for cell in row.values() if re.fullmatch(NUMBER, cell)]
            assert line.result in cells, f"{line.label}: {line.result}"


@pytest.mark.parametrize("heading", RULES)
def test_each_computed_cost_in_the_table_has_its_arithmetic(heading: str, requests: list[Row]) -> None:
    part = example(heading)
    for row in part.rows:
        computed = stored(requests, part.key, row[part.key])["computed_cost_usd"]
        results = [line.result for line in part.arithmetic if line.label == row[part.key]]
        assert computed is None or computed in results, row


def test_each_request_is_in_one_table(requests: list[Row]) -> None:
    assert len(requests) == sum(len(example(heading).rows) for heading in RULES)
