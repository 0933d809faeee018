"""Warehouses that the tests start: each is a script in this folder with its own virtual environment.

A script lists its packages at its top (inline script metadata); `make constraints` pins them in the .txt file next to
it. When a server is ready, it prints a line of JSON with the settings that a profile needs. It stops when its standard
input is closed.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ENVIRONMENTS = Path(sys.prefix) / "warehouses"


def python_of(name: str) -> Path:
    """The Python of the virtual environment of the script `name`, which is created if it is missing or outdated."""
    pins = FOLDER / f"{name}.txt"
    folder = ENVIRONMENTS / name
    pins_digest = folder / "pins_digest"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not pins_digest.exists() or pins_digest.read_text() != digest:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([folder / "bin/python", *install, "--require-hashes", "-r", pins], check=True)
            pins_digest.write_text(digest)
    return folder / "bin/python"


@contextmanager
def serve(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Starts the server `name`, which keeps its data in `folder`; yields the settings that it prints, and stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("w") as errors:
        server = subprocess.Popen(
            [python_of(name), FOLDER / f"{name}.py", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert server.stdin and server.stdout
    try:
        ready = server.stdout.readline()
        assert ready, f"{name} did not start: {log.read_text()[-4000:]}"
        yield json.loads(ready)
    finally:
        server.stdin.close()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
