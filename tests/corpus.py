"""The logs of the conformance test: the examples, difficult lines of several formats, and a large sample."""

import json
import shutil
from pathlib import Path
from typing import Any

from conftest import PROJECT, as_lines, tokenledger
from test_agent_formats import CHAT, counted, message, meta, tokens, turn, usage
from test_gateway_formats import LITELLM
from tokenmart.files import SAMPLE_MARK
from tokenmart.sample import write_sample

SAMPLE_EVENTS = 8_000
SAMPLE = "sam'ple \\ 1"
"""The folder of the large sample, whose name needs quoting. Files outside it do not count as samples."""
# text that wrong quoting, escaping, sorting or trimming would change
TEXTS = ["", " ", "ann", "Ann", "ann ", "Zoë", "İstanbul", "ß", "日本語 😀", "a'b", 'a"b', "a\\b", "a\\", "a\tb\nc\rd"]
TEXTS += [
    "50%",
    "a_b",
    "{{ b }}",
    "--",
    "/* c */",
    "null",
    "NULL",
    "\\N",
    "\u0000x",
    "a,b",
    "`d`",
    "e\u0301",
    "0",
    "x" * 3000,
]
COSTS: list[Any] = [None, 0, 1e-12, 0.1, 0.30000000000000004, 1.005, 2.5e-7, 123456.789012345, 99999999.99, 1e-15, -1]
COSTS += ["0.000000000001", "12345678901234.123456789012", "1e-7", "0.0000000000005", "0.0000000000015"]
DURATIONS: list[Any] = [None, 0, 0.0004, 0.0005, 1 / 3, 12.3455, 100, 100, 100, 250.5, 1e6, 86400000.001]
DURATIONS += [1e10, 1e13, 1e300]
TIMES = ["2026-10-25T00:59:59.999999Z", "2026-10-25T01:30:00+00:00", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]
TIMES += [
    "2026-12-31T23:59:59.999999+05:45",
    "2027-01-01T00:00:00-03:30",
    "2000-01-01T00:00:00Z",
    "2099-12-31T23:59:59Z",
]
TIMES += ["2028-02-29T12:00:00.5Z", "2026-03-08T07:00:00.000001Z"]
MODELS: list[Any] = [
    None,
    "",
    "GPT-4o-mini-2024-07-18",
    "gpt-4o-mini",
    "claude-sonnet-4-5-20250929",
    "50%_off",
    "modèle-é",
]
TOKENS: list[Any] = [(0, 0, 0), (1000, 0, 10), (1000, 1000, 1), (10, 1000, 1), (10**12, 0, 10**12), (None, 0, 5)]
TOKENS += [(7, None, None), (None, None, None)]


def write_corpus(folder: Path) -> list[Path]:
    """Writes all files of the corpus below `folder`."""
    shutil.copytree(PROJECT / "examples", folder / "examples", ignore=shutil.ignore_patterns(SAMPLE_MARK))
    write_sample(folder / SAMPLE, events=SAMPLE_EVENTS, days=60, seed=11)
    # a value that is left out of the raw tables, and a line that is rejected
    with (folder / SAMPLE / "tokenledger/more.jsonl").open("wb") as file:
        file.write(as_lines(tokenledger("more", metadata={"prompt": "p"}), "no JSON", tokenledger("most")))
    hard = folder / "hard"
    hard.mkdir()
    for name, lines in {"tokenledger": _tokenledger(), "tokenmeter": _tokenmeter(), "ctm": _ctm()}.items():
        (hard / f"{name}.jsonl").write_bytes(as_lines(*lines))
    (hard / "claude_code.jsonl").write_bytes(as_lines(*_claude_code()))
    for name, lines in {"codex": _codex(), "gemini_cli": _gemini_cli(), "litellm": _litellm()}.items():
        (hard / f"{name}.jsonl").write_bytes(as_lines(*lines))
    # several requests in a line
    arrays = [json.dumps([tokenledger(f"array {row} {column}") for column in range(3)]) for row in range(2)]
    (hard / "arrays.jsonl").write_bytes(as_lines(*arrays))
    return sorted(path for path in folder.rglob("[!.]*") if path.is_file())


def write_halves(folder: Path, into: Path) -> None:
    """Writes the first half of the lines of every file below `folder`, under the same names below `into`."""
    for path in sorted(path for path in folder.rglob("[!.]*") if path.is_file()):
        lines = path.read_bytes().splitlines(keepends=True)
        half = into / path.relative_to(folder)
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(b"".join(lines[: (len(lines) + 1) // 2]))
    shutil.copy(folder / SAMPLE / "tokenledger" / SAMPLE_MARK, into / SAMPLE / "tokenledger")


def _tokenledger() -> list[str | dict[str, Any]]:
    lines: list[str | dict[str, Any]] = []
    for number, text in enumerate(TEXTS):
        people = dict.fromkeys(("user_id", "team", "project", "organization_id", "error_type", "error_message"), text)
        status = "error" if number % 2 else "timeout"
        lines.append(tokenledger(f"text {number}", status=status, session_id=text, metadata={text: text}, **people))
    lines += [tokenledger(text or "empty", model="gpt-4o") for text in TEXTS]
    lines += [tokenledger(f"cost {number}", cost_usd=cost) for number, cost in enumerate(COSTS)]
    lines += [tokenledger(f"ms {number}", duration_ms=ms, model="timed") for number, ms in enumerate(DURATIONS)]
    lines += [
        tokenledger(f"first ms {number}", duration_ms=ms, provider="one") for number, ms in enumerate(DURATIONS[4:5])
    ]
    lines.append(tokenledger("shorter than its mean", duration_ms=0.0005, model="instant"))
    lines += [tokenledger(f"at {number}", timestamp, duration_ms=7) for number, timestamp in enumerate(TIMES)]
    lines += [tokenledger(f"model {number}", model=model) for number, model in enumerate(MODELS)]
    for number, (inputs, cached, outputs) in enumerate(TOKENS):
        for provider in ("openai", "anthropic", None):
            counts = {"input_tokens": inputs, "cached_tokens": cached, "output_tokens": outputs}
            lines.append(tokenledger(f"tokens {number} {provider}", provider=provider, **counts))
    for request, days in (("streamed", [1, 1, 1]), ("over midnight", [3, 4, 2]), ("falling", [5, 5, 5])):
        for position, day in enumerate(days):
            outputs = 100 - position if request == "falling" else [9, 9, 159][position]
            lines.append(tokenledger(request, f"2026-09-0{day}T23:59:59Z", output_tokens=outputs))
    # loaded again with the last lines: one request leaves its day empty, and one is an exact duplicate
    lines += [
        tokenledger("moving", "2026-08-01T12:00:00Z", output_tokens=1),
        tokenledger("same", "2026-08-02T12:00:00Z"),
    ]
    lines += ["not JSON at all", '{"timestamp": "2026-10-01T00:00:00Z", "event_id": "bad", "input_tokens": -5}']
    lines += [tokenledger(f"more {number}", f"2026-07-{number % 28 + 1:02}T12:00:00Z") for number in range(len(lines))]
    lines += [
        tokenledger("moving", "2026-08-09T12:00:00Z", output_tokens=5),
        tokenledger("same", "2026-08-02T12:00:00Z"),
    ]
    return lines


def _tokenmeter() -> list[str | dict[str, Any]]:
    record = {"timestamp": "2026-10-11T10:00:00", "provider": "anthropic", "model": "claude-haiku-4-5-20251001"}
    record |= {"input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 30, "cache_write_tokens": 40}
    costs = ["0.1", "0.000000000001", "1.0000000000005", "0", None]
    return [
        {**record, "id": f"m{number}", "total_cost": cost, "water_ml": cost, "tags": {"team": text}}
        for number, cost in enumerate(costs)
        for text in ("é", "a'b")
    ]


def _ctm() -> list[str | dict[str, Any]]:
    totals = [(1, 10), (2, 15), (2, 15), (4, 12), (3, 30), (9, 31)]
    return [
        {"ts": 1790941721322 + 3_600_000 * hour, "session": session, "input_tokens": total, "output_tokens": total}
        | {"cache_tokens": 2 * total, "cost_usd_micros": total * 333}
        for session in ("s", "S")
        for hour, total in totals
    ]


def _claude_code() -> list[str | dict[str, Any]]:
    def line(request: str, second: int, outputs: int, **usage: Any) -> dict[str, Any]:
        counts = {"input_tokens": 3, "output_tokens": outputs, **usage}
        message = {"id": f"msg_{request}", "role": "assistant", "model": "claude-opus-4-5-20251101", "usage": counts}
        at = f"2026-10-12T23:59:{second:02}.123Z"
        return {"type": "assistant", "uuid": f"{request}{second}", "sessionId": "c", "timestamp": at} | {
            "requestId": f"req_{request}",
            "message": message,
        }

    writes = {"cache_creation_input_tokens": 500, "cache_creation": {"ephemeral_1h_input_tokens": 300}}
    return [
        json.dumps({"type": "user", "uuid": "u", "sessionId": "c", "timestamp": "2026-10-12T23:59:00Z", "message": {}}),
        *(line("a", second, outputs) for second, outputs in ((1, 2), (2, 2), (3, 77))),
        *(line("b", second, 5, cache_read_input_tokens=100, **writes) for second in (4, 5)),
        *_tool_calls(),
        line("c", 59, 1),
    ]


def _tool_calls() -> list[dict[str, Any]]:
    """The starts of calls in one half of the lines, and their results in the other."""
    blocks: list[dict[str, Any]] = [{"type": "tool_use", "id": f"t{n}", "name": f"Tool{n % 3}"} for n in range(6)]
    blocks += [
        {"type": "tool_result", "tool_use_id": f"t{n}", "content": "x" * n, "is_error": n == 4} for n in (5, 4, 2, 0)
    ]
    return [
        {"type": "user", "uuid": f"tool{n}", "sessionId": f"c{n % 2}", "timestamp": f"2026-10-12T23:59:{n:02}.12{n}Z"}
        | {"message": {"content": [block]}}
        for n, block in enumerate(blocks)
    ]


def _codex() -> list[str | dict[str, Any]]:
    """The model and the totals that a request needs are in earlier lines, also in the other half of the file."""
    counts = [usage(number * 1_000, number * 800, 0, number * 50, number * 20) for number in (1, 2, 2, 4, 7)]
    return [
        meta(model_provider="openai", cwd="/w"),
        turn("gpt-5"),
        *(counted(second, count) for second, count in enumerate(counts[:3], 1)),
        turn("gpt-5-mini"),
        *(counted(second, count) for second, count in enumerate(counts[3:], 4)),
    ]


def _gemini_cli() -> list[str | dict[str, Any]]:
    """The last version of a message counts, which has fewer tokens."""
    sizes = {"m1": (10_103, 7_168), "m2": (80, 70), "m3": (5, 900)}
    return [
        CHAT,
        *(message(name, tokens(first, 9, 0, 3, 0)) for name, (first, _) in sizes.items()),
        *(message(name, tokens(last, 8, 2, 1, 4)) for name, (_, last) in sizes.items()),
    ]


def _litellm() -> list[str | dict[str, Any]]:
    """The same request billed, served from the cache with and without a cost, and failed."""
    hit = {"cache_hit": True, "response_cost": 0.0}
    return [
        LITELLM,
        {**LITELLM, **hit, "id": "hit"},
        {**LITELLM, **hit, "id": "hit with a cost", "response_cost": 0.5},
        {**LITELLM, "id": "unknown price", "response_cost": 0.0, "model": "unheard-of"},
        {**LITELLM, "id": "failed", "status": "failure", "response_cost": 0.0},
    ]
