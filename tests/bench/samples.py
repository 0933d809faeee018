"""Writes the logs for the measurements: sample events, and transcripts with few requests."""

import datetime as dt
import json
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from measure import measure, tokenmart

from tokenmart.sample import write_sample

WORDS = (
    "def return import the of value \"quoted\" if else range(10): self.name = {'a': 1}\n\tpath/file.py C:\\x line 12 é"
)
PART_EVENTS = 1_000_000


def one_file(path: Path, *, events: int, days: int, seed: int, end: dt.date | None = None) -> Path:
    """Writes TokenLedger events into one file."""
    parts = path.with_name(f"{path.name}.parts")
    ends = {"end": end} if end else {}
    with path.open("wb") as file:
        for part in write_sample(parts, events=events, days=days, seed=seed, **ends):
            # in pieces: the memory of this process would be counted as that of the processes it starts
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, file)
    shutil.rmtree(parts)
    return path


def load_history(folder: Path, settings: Mapping[str, str], *, events: int, days: int, end: dt.date) -> None:
    """Loads events over the days up to `end`, in parts, so that never more than one part is on disk."""
    for number, (first, last) in enumerate(_spans(days, max(1, days * PART_EVENTS // max(events, 1)))):
        count = events * last // days - events * first // days
        path = one_file(
            folder / f"history-{number}.jsonl",
            events=count,
            days=last - first,
            seed=number + 1,
            end=end - dt.timedelta(days=days - last),
        )
        measure(tokenmart("load", path), settings)
        path.unlink()


def _spans(days: int, length: int) -> Iterator[tuple[int, int]]:
    for first in range(0, days, length):
        yield first, min(first + length, days)


def write_transcripts(folder: Path, *, megabytes: int, files: int, seed: int = 1) -> tuple[int, int]:
    """Writes Claude Code transcripts below `folder`/projects; returns the numbers of lines and of bytes.

    User lines have tool results of a few kilobytes, as in real transcripts.
    """
    drawn, lines, size = random.Random(seed), 0, 0
    text = " ".join(drawn.choice(WORDS.split(" ")) for _ in range(20_000))

    def piece(median: int) -> str:
        length = min(int(median * drawn.lognormvariate(0, 1)), 60_000)
        start = drawn.randrange(len(text) - length)
        return text[start : start + length]

    parts = folder / "parts"
    paths = write_sample(parts, events=max(files, 115 * megabytes), days=60, seed=seed, formats=("claude_code",))
    for number in range(min(files, len(paths))):
        path = folder / "projects" / paths[number].parent.name / paths[number].name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for part in paths[number::files]:
                for line in part.read_text(encoding="utf-8").splitlines():
                    value = json.loads(line)
                    if value["type"] == "user":
                        result = piece(3_000)
                        value["message"]["content"] = [{"type": "tool_result", "content": result}]
                        value["toolUseResult"] = {"stdout": result[: len(result) // 3], "interrupted": False}
                    elif value["type"] == "assistant":
                        value["message"]["content"] = [{"type": "text", "text": piece(330)}]
                    written = file.write(json.dumps(value, separators=(",", ":")) + "\n")
                    lines, size = lines + 1, size + written
    shutil.rmtree(parts)
    return lines, size
