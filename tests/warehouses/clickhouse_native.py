"""The native protocol of ClickHouse, without compression and without blocks of rows to insert."""

import re
import socketserver
import struct
from typing import Any

from chdb import ChdbError

REVISION = 54440  # of the protocol: packets have no fields that 54441 and later add

HELLO, QUERY, CLIENT_DATA, PING = 0, 1, 2, 4
DATA, EXCEPTION, PONG, END_OF_STREAM = 1, 2, 4, 5

BLOCK_INFORMATION = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # 1: no overflow, 2: bucket -1, 0: the end


def number(value: int) -> bytes:
    """A number in the encoding of the protocol: seven bits in each byte, the lowest first."""
    tail = value >> 7
    return bytes([value & 0x7F | 0x80]) + number(tail) if tail else bytes([value])


def string(text: str) -> bytes:
    """A string in the encoding of the protocol."""
    return number(len(text.encode())) + text.encode()


def header_block(columns: list[tuple[str, str]]) -> bytes:
    """A Native block without rows: the names and types of its columns."""
    return number(len(columns)) + number(0) + b"".join(string(name) + string(kind) for name, kind in columns)


def code_and_text(error: ChdbError) -> tuple[int, str]:
    """The code of an error of the engine, and its text as a server sends it."""
    found = re.search(r"Code: (\d+)\. (.*)", str(error), re.DOTALL)
    return (int(found[1]), found[2]) if found else (1002, f"DB::Exception: {error}")


class NativeHandler(socketserver.StreamRequestHandler):
    """One client: a greeting, then one statement at a time, until the client disconnects or a statement fails.

    clickhouse-driver closes the connection after an error, and so does this.
    """

    disable_nagle_algorithm = True
    wbufsize = -1

    def __init__(self, engine: Any, *connection: Any) -> None:
        self.engine = engine
        super().__init__(*connection)

    def handle(self) -> None:
        """Answers packets."""
        try:
            database = self.greet()
            session = self.engine.session_of(None)
            session.use(database, {})
            self.welcome()
            while (packet := self.number()) in (QUERY, PING):
                if packet == QUERY:
                    settings, statement = self.query()
                    session.use(database, settings)
                    for block in session.blocks(statement):
                        self.send(DATA, string(""), BLOCK_INFORMATION, block)
                    self.send(END_OF_STREAM)
                else:
                    self.send(PONG)
        except ChdbError as error:
            code, text = code_and_text(error)
            self.send(EXCEPTION, struct.pack("<i", code), string("DB::Exception"), string(text), string(""), b"\x00")
        except EOFError:
            pass

    def greet(self) -> str:
        """Reads a client's greeting, checks the password, and returns the database that it asks for."""
        self.number(), self.string(), self.number(), self.number(), self.number()  # packet, name, version, revision
        database, user, password = self.string(), self.string(), self.string()
        self.engine.log_in(user, password)
        return database or "default"

    def welcome(self) -> None:
        """Answers a client's greeting."""
        major, minor, patch, *_ = map(int, self.engine.version.split("."))
        name, time_zone = string("ClickHouse"), string(self.engine.time_zone)
        self.send(HELLO, name, number(major), number(minor), number(REVISION), time_zone, name, number(patch))

    def query(self) -> tuple[dict[str, str], str]:
        """Reads a statement and the settings for it."""
        self.string()  # the query's id
        self.client_information()
        settings = {}
        while name := self.string():
            self.read(1)  # whether the server must know the setting
            settings[name] = self.string()
        self.number()  # the processing stage
        if self.number():
            raise ChdbError("Code: 48. DB::Exception: Compression is not served. (NOT_IMPLEMENTED)")
        statement = self.string()
        self.end_of_external_tables()
        return settings, statement

    def client_information(self) -> None:
        """Skips the information of a client about itself."""
        self.read(1)  # the kind of the query
        self.string(), self.string(), self.string()  # the first user, query id and address
        self.read(1)  # the interface
        self.string(), self.string(), self.string()  # the user of the system, the host, the client
        self.number(), self.number(), self.number()  # its version and revision
        self.string(), self.number()  # the key of a quota, the patch of the version

    def end_of_external_tables(self) -> None:
        """Reads the empty block that a client sends after the external tables of a query; tables are refused."""
        packet, name = self.number(), self.string()
        self.read(len(BLOCK_INFORMATION))
        if packet != CLIENT_DATA or name or self.number() or self.number():
            raise ChdbError("Code: 48. DB::Exception: External tables are not served. (NOT_IMPLEMENTED)")

    def read(self, size: int) -> bytes:
        """Reads this number of bytes; raises EOFError if the client has disconnected."""
        data = self.rfile.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def number(self) -> int:
        """Reads a number, see the function `number`."""
        byte = self.read(1)[0]
        return byte & 0x7F | self.number() << 7 if byte & 0x80 else byte

    def string(self) -> str:
        """Reads a string."""
        return self.read(self.number()).decode()

    def send(self, packet: int, *parts: bytes) -> None:
        """Sends a packet of this kind."""
        self.wfile.write(number(packet) + b"".join(parts))
        self.wfile.flush()
