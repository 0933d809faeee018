"""Recounts examples/ in plain Python and compares a DuckDB file with it: python tests/check_examples.py FILE."""

import json
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

EXAMPLES = Path(__file__).parent.parent / "examples"


def lines(pattern: str) -> list[dict[str, Any]]:
    """The JSON objects of the files of a glob in examples/, money as Decimal."""
    files = sorted(EXAMPLES.glob(pattern))
    return [json.loads(line, parse_float=Decimal) for file in files for line in file.read_text().splitlines()]


def requests() -> dict[str, tuple[str, int | None, int | None, Decimal | None]]:
    """The day, input and output tokens and reported cost of each request, by its id."""
    found: dict[str, tuple[str, int | None, int | None, Decimal | None]] = {}

    def add(key: str, day: str, tokens: tuple[int | None, int | None], cost: Decimal | None) -> None:
        known = found.get(key)
        if known is None or (tokens[1] if tokens[1] is not None else -1) > (known[2] if known[2] is not None else -1):
            found[key] = (day, *tokens, cost)

    for event in lines("tokenledger/*.jsonl"):
        tokens = event["input_tokens"]
        if tokens is not None and event["provider"] == "anthropic":
            tokens += event["cached_tokens"] or 0
        add(event["event_id"], event["timestamp"][:10], (tokens, event["output_tokens"]), event["cost_usd"])
    for record in lines("tokenmeter/*.jsonl"):
        tokens = record["input_tokens"]
        if record["provider"] == "anthropic":
            tokens += record["cache_read_tokens"] + record["cache_write_tokens"]
        cost = Decimal(record["total_cost"])
        add(record["id"], record["timestamp"][:10], (tokens, record["output_tokens"]), cost)
    for line in lines("claude_code/*/*.jsonl"):
        usage = line.get("message", {}).get("usage") if line["type"] == "assistant" else None
        if usage and line["message"]["model"] != "<synthetic>":
            names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            tokens = sum(usage[name] for name in names)
            add(
                line["message"]["id"],
                line["timestamp"][:10],
                (tokens, usage["output_tokens"]),
                None,
            )
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for number, point in enumerate(sorted(lines("ctm/*.jsonl"), key=lambda point: point["ts"])):
        total = totals[point["session"]]
        now = {name: point[name] for name in ("input_tokens", "cache_tokens", "output_tokens", "cost_usd_micros")}
        grown = {name: max(value - total[name], 0) for name, value in now.items()}
        for name, value in now.items():
            total[name] = max(total[name], value)
        tokens = grown["input_tokens"] + grown["cache_tokens"]
        day = str(duckdb.sql(f"select cast(epoch_ms({point['ts']}) as date)").fetchall()[0][0])
        add(
            f"ctm {number}",
            day,
            (tokens, grown["output_tokens"]),
            Decimal(grown["cost_usd_micros"]) / 1_000_000,
        )
    return found


def main(path: str) -> int:
    """Prints the comparison; returns 0 if all figures agree."""
    expected: dict[str, list[Any]] = defaultdict(lambda: [0, 0, 0, Decimal(0)])
    for day, tokens_in, tokens_out, cost in requests().values():
        row = expected[day]
        # a double in a log has up to 17 digits, money has 12 decimal places
        money = (cost or Decimal(0)).quantize(Decimal("1e-12"))
        for position, value in enumerate((1, tokens_in or 0, tokens_out or 0, money)):
            row[position] += value
    found = {
        str(day): figures
        for day, *figures in duckdb.connect(path, read_only=True)
        .execute("select usage_date, requests, input_tokens, output_tokens, reported_cost_usd from marts.daily_costs")
        .fetchall()
    }
    wrong = sorted(day for day in expected.keys() | found.keys() if expected.get(day) != found.get(day))
    for day in wrong:
        print(f"{day}: recounted {expected.get(day)}, the mart has {found.get(day)}")
    print(f"{len(expected)} days recounted, {len(wrong)} differ")
    return bool(wrong) or not found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
