# /// script
# requires-python = ">=3.11"
# dependencies = ["chdb-core==26.9.0"]
# ///
"""ClickHouse from a wheel, on loopback with a password: `clickhouse.py FOLDER` keeps its data below FOLDER.

It serves the parts of HTTP that clickhouse-connect needs for statements and inserts, and the parts of the native
protocol that clickhouse-driver needs for statements. There is one user, and no grants or query log; for clusters see
clickhouse_cluster.py.
"""

import base64
import gzip
import json
import os
import re
import signal
import socketserver
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

os.environ["TZ"] = "America/New_York"  # nothing may depend on it; the engine reads it when it is imported
import chdb
from clickhouse_cluster import DELETE, on_one_server
from clickhouse_native import NativeHandler, code_and_text, header_block

HOST = "127.0.0.1"
USER = "default"
PASSWORD = "tokenmart"

UNLIKE_A_SERVER = "allow_introspection_functions", "implicit_select", "serialize_query_plan", "storage_file_read_method"
NOT_SETTINGS = {"client_protocol_version", "database", "query", "query_id", "session_id", "wait_end_of_query"}
CHANGED_SETTINGS = "SELECT name, value FROM system.settings WHERE changed"

IS_DISTRIBUTED = "engine = 'Alias' AND concat(database, '.', name) = replaceAll('{}', '`', '')"

INSERT_OF_DATA = re.compile(rb"\s*(INSERT\s+INTO\s[^\n]*?)\s+FORMAT\s+(\w+)[^\S\n]*\n", re.IGNORECASE)
SELECT = re.compile(r"[\s(]*(SELECT|WITH)\b", re.IGNORECASE)


def quoted(text: str, quote: str = "'") -> str:
    """The text as a literal, or as a name when the quote is a backtick."""
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


class Session:
    """A connection to the engine, with its own settings and temporary tables. Failures raise chdb.ChdbError."""

    def __init__(self, folder: Path) -> None:
        self.connection = chdb.connect(str(folder))
        self.lock = threading.Lock()
        self.settings: dict[str, str] = {}
        self.settings_before: dict[str, str] = {}
        self.set(dict.fromkeys(UNLIKE_A_SERVER, "DEFAULT"))

    def run(self, statement: str | bytes, format_name: str = "TabSeparated", /, **parameters: str) -> bytes:
        """Runs one statement and returns its result, in the format `format_name` if the statement names none."""
        statement = on_one_server(statement if isinstance(statement, str) else statement.decode())
        if self.connection._conn.classify_query(statement)["statement_count"] > 1:
            raise chdb.ChdbError("Code: 62. DB::Exception: Multi-statements are not allowed. (SYNTAX_ERROR)")
        deleted_from = DELETE.match(statement)
        if deleted_from and self.run(f"SELECT 1 FROM system.tables WHERE {IS_DISTRIBUTED.format(deleted_from[1])}"):
            raise chdb.ChdbError("Code: 48. DB::Exception: A Distributed table has no rows. (NOT_IMPLEMENTED)")
        return self.connection.query(statement, format_name, params=parameters).bytes() or b""

    def rows(self, statement: str) -> list[list[Any]]:
        """The rows of a statement's result."""
        return [json.loads(line) for line in self.run(statement, "JSONCompactEachRow").splitlines()]

    def blocks(self, statement: str) -> Iterator[bytes]:
        """The result of a statement in blocks of the Native format; the first block of a SELECT has no rows."""
        if not SELECT.match(statement):
            yield from filter(None, [self.run(statement, "Native")])
            return
        yield header_block([(name, kind) for name, kind, *_ in self.rows(f"DESCRIBE TABLE (\n{statement}\n)")])
        for block in self.connection.send_query(statement, "Native"):
            yield block.bytes()

    def insert(self, statement: str, format_name: str, data: bytes) -> None:
        """Runs an INSERT, given without its FORMAT, of data in the format `format_name`."""
        try:
            with self.connection.send_insert(statement, format_name) as insert:
                insert.append(data)
                insert.finish()
        except RuntimeError as error:
            raise chdb.ChdbError(str(error)) from None

    def set(self, values: dict[str, str]) -> None:
        """Sets settings; the values are SQL."""
        if values:
            self.run("SET " + ", ".join(f"{name} = {value}" for name, value in values.items()))

    def use(self, database: str, settings: dict[str, str]) -> None:
        """Sets the database and the settings of the next statement, instead of those of the last one."""
        self.run(f"USE {quoted(database, '`')}")
        if settings == self.settings:
            return
        self.set(self.settings_before)
        self.settings, self.settings_before = {}, {}
        before = {name: quoted(value) for name, value in self.rows(CHANGED_SETTINGS) if name in settings}
        self.set({name: quoted(value) for name, value in settings.items()})
        self.settings, self.settings_before = settings, dict.fromkeys(settings, "DEFAULT") | before


class Engine:
    """The engine of one folder, which it keeps open, and the sessions that clients have named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = Session(folder)
        self.sessions: dict[str, Session] = {}
        self.version, self.time_zone = self.session.rows("SELECT version(), timezone()")[0]

    def log_in(self, user: str, password: str) -> None:
        """Raises the error of a server for a wrong user or password."""
        if (user, password) != (USER, PASSWORD):
            reason = "Authentication failed: password is incorrect, or there is no user with such name."
            raise chdb.ChdbError(f"Code: 516. DB::Exception: {user}: {reason} (AUTHENTICATION_FAILED)")

    def session_of(self, name: str | None) -> Session:
        """The session of that name, or a new one."""
        if name is None:
            return Session(self.folder)
        if name not in self.sessions:
            self.sessions[name] = Session(self.folder)
        return self.sessions[name]


class HttpHandler(BaseHTTPRequestHandler):
    """Statements in the body of a request, or in its parameter `query` with the data of an INSERT as the body."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 20
    wbufsize = -1

    def __init__(self, engine: Engine, *connection: Any) -> None:
        self.engine = engine
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answers a ping; statements are sent with POST."""
        self.reply(*(200, b"Ok.\n") if self.path == "/ping" else (405, b"POST it.\n"))

    def do_POST(self) -> None:
        """Answers a statement with its result, or with its error and the code of the error."""
        body = self.body()
        try:
            result = self.result(dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)), body)
        except chdb.ChdbError as error:
            code, text = code_and_text(error)
            status = 403 if code == 516 else 500
            self.reply(status, f"Code: {code}. {text}\n".encode(), {"X-ClickHouse-Exception-Code": str(code)})
        else:
            self.reply(200, result)

    def body(self) -> bytes:
        """The body of the request, of a known length or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def statement(self, arguments: dict[str, str], body: bytes) -> bytes:
        """The statement of a request, followed by the data to insert."""
        encoding = self.headers.get("Content-Encoding", "none")
        if encoding in ("gz", "gzip"):
            body = gzip.decompress(body)
        elif encoding not in ("auto", "none"):
            raise chdb.ChdbError(f"Code: 48. DB::Exception: Compression {encoding} is not served. (NOT_IMPLEMENTED)")
        return arguments["query"].encode() + b"\n" + body if "query" in arguments else body

    def result(self, arguments: dict[str, str], body: bytes) -> bytes:
        """Runs the statement of a request."""
        _, _, credentials = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(credentials).decode().partition(":")
        self.engine.log_in(user, password)
        statement = self.statement(arguments, body)
        parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
        settings = arguments.keys() - NOT_SETTINGS - {f"param_{name}" for name in parameters}
        session = self.engine.session_of(arguments.get("session_id"))
        with session.lock:
            session.use(arguments.get("database", "default"), {name: arguments[name] for name in settings})
            if insert := INSERT_OF_DATA.match(statement):
                session.insert(insert[1].decode(), insert[2].decode(), statement[insert.end() :])
                return b""
            return session.run(statement, **parameters)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Sends a reply."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    """Listens on a free port of the loopback address."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: Any) -> None:
        super().__init__((HOST, 0), handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


def end(*_: Any) -> None:
    """Ends this process without Python's cleanup, in which threads of the engine would crash."""
    os._exit(0)


def main(folder: Path) -> None:
    """Serves until standard input is closed or a signal comes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    engine = Engine(folder / "data")
    http, native = Server(partial(HttpHandler, engine)), Server(partial(NativeHandler, engine))
    ready = {"host": HOST, "http_port": http.port, "native_port": native.port, "user": USER, "password": PASSWORD}
    print(json.dumps(ready), flush=True)
    sys.stdin.read()
    end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
