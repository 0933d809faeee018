"""Measures the time, processor time and peak memory of commands, and warns if the machine was busy."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
BUSY = 0.1  # of all processor time, spent by other processes
STATISTICS = Path("/proc/stat")


@dataclass(frozen=True)
class Measured:
    """What one run of a command took. `processor_seconds` and `megabytes` (peak memory) include its child processes."""

    seconds: float
    processor_seconds: float
    megabytes: float


def measure(
    command: Sequence[str | Path], settings: Mapping[str, str] | None = None, folder: Path = PROJECT
) -> Measured:
    """Runs a command with additional environment variables. Ends this program if it fails."""
    started = time.perf_counter()
    environment = {**os.environ, "DO_NOT_TRACK": "1", "RUNTIME__DLTHUB_TELEMETRY": "false", **(settings or {})}
    process = subprocess.Popen(
        [str(part) for part in command], env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{stderr.decode(errors='replace')}")
    return Measured(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def tokenmart(*arguments: str | Path) -> list[str | Path]:
    """The command `tokenmart` of this checkout."""
    script = "from tokenmart.cli import main; main()"
    return [sys.executable, "-c", script, *arguments, "--project-dir", PROJECT]


def new_target(folder: Path) -> dict[str, str]:
    """The settings of a DuckDB target that does not exist yet."""
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "profiles.example.yml", folder / "profiles.yml")
    return {
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "TOKENMART_TARGET": "duckdb",
        "TOKENMART_DUCKDB_PATH": str(folder / "bench.duckdb"),
    }


def show(name: str, runs: Sequence[Measured], note: str = "") -> Measured:
    """Prints the medians of some runs on one line, and returns them."""
    median = Measured(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.processor_seconds for run in runs),
        max(run.megabytes for run in runs),
    )
    figures = (
        f"{median.seconds:7.2f} s  {median.processor_seconds:7.2f} s of processor time  {median.megabytes:5.0f} MB"
    )
    print(f"  {name:<34} {figures}  {note}".rstrip())
    return median


def show_ratio(what: str, run: Measured, other: Measured) -> None:
    """Prints how many times as long one run took as another."""
    processor = run.processor_seconds / other.processor_seconds
    print(f"{what}: {run.seconds / other.seconds:.2f} times ({processor:.2f} times the processor time)")


@contextmanager
def busy_warning() -> Iterator[None]:
    """Warns at the end if other processes took more than a tenth of the machine: compare processor times then."""
    load, before, own = os.getloadavg()[0], _busy_seconds(), sum(os.times()[:4])
    started = time.perf_counter()
    yield
    elapsed = (time.perf_counter() - started) * (os.cpu_count() or 1)
    others = (_busy_seconds() - before - (sum(os.times()[:4]) - own)) / elapsed
    if others > BUSY or load > (os.cpu_count() or 1) / 2:
        print(
            f"WARNING: the machine was busy. Other processes took {max(others, 0):.0%} of its processors, and the load"
            f" average was {load:.1f} at the start. Measure again, or compare processor times."
        )


def _busy_seconds() -> float:
    """The processor time of all processes since the machine was started; 0 if the system does not report it."""
    if not STATISTICS.exists():
        return 0.0
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, *_ = map(
        int, STATISTICS.read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
