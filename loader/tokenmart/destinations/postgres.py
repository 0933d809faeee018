"""PostgreSQL, with or without TimescaleDB: loads parquet files with COPY through ADBC."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import adbc_driver_postgresql  # noqa: F401 - without it, dlt uses INSERT, which is ten times slower
import psycopg2
import psycopg2.extensions
import tenacity

from tokenmart.destinations import (
    Answer,
    Query,
    Warehouse,
    counting,
    listed_tables,
    missing_schema,
    query_errors,
    whole_number,
)
from tokenmart.errors import TokenmartError
from tokenmart.locks import POLL_SECONDS, Check, OnWait, lock_lost, wait_for_lock
from tokenmart.profile import Target

ERRORS = (psycopg2.Error,)
# The patterns match the SQLSTATE of statement errors. Connection errors, and errors from dbt and dlt, have only a
# message.
ADVICE = {
    r"^28P01|password authentication failed": "Check user and password in the profile.",
    "no password supplied": "Set a password in the profile.",
    "no pg_hba.conf entry": "Set sslmode in the profile if the server requires TLS, or allow it in pg_hba.conf.",
    r"^28000|FATAL: +role \"": "Create the role with createuser, or set another user in the profile.",
    r"^3D000|FATAL: +database \"[^\"]*\" does not exist": (
        "Create the database with createdb, or set another one in the profile."
    ),
    "temporary tables": "Ask an administrator to run: grant temporary on database ... to ...;",
    "permission denied for database": "Ask an administrator to run: grant create on database ... to ...;",
    "permission denied for schema": "Ask an administrator to run: grant usage, create on schema ... to ...;",
    r"^42501|permission denied|must be owner of": (
        "Ask an administrator to grant the missing permission, or to make the user the owner of both schemas."
    ),
    r"too many connections for (role|database)": (
        "Close some of its connections, or raise the limit: alter role or alter database ... connection limit ...;"
    ),
    r"^53300|too many clients|remaining connection slots": (
        "Too many connections are open. Close some, or raise max_connections."
    ),
    r"^57P03|database system is (starting up|not yet accepting)|in recovery mode": "Try again in a moment.",
    r"^25006|read-only transaction": "The server is a standby or read-only. Set the primary in the profile.",
    r"^57014|statement timeout": "Raise statement_timeout for this role: alter role ... set statement_timeout = ...;",
    r"^53100|No space left on device": "Give the server more disk space.",
    r"^40P01|deadlock detected": "Another program changed the same tables. Run the command again.",
    r"^(08|57P0[12])|connection (has been closed|already closed)|closed the connection unexpectedly"
    "|terminating connection|SSL SYSCALL error|could not receive data": (
        "The connection was closed. Run the command again; if it happens again, check the server's log."
    ),
    r"certificate": "Check sslmode, sslrootcert, sslcert and sslkey in the profile.",
    r"refused": "Is the server running? Check host and port in the profile.",
    r"could not translate host name": "Check the host in the profile.",
    r"timeout expired": "Is the server reachable from this machine? A firewall may block it.",
}
OPTIONAL_SETTINGS = ("sslmode", "sslcert", "sslkey", "sslrootcert", "application_name", "keepalives_idle")
CONNECT_SECONDS = 10
# If a machine cannot be reached, the server releases its lock after two minutes. An idle session keeps its lock.
LOCK_SESSION_SETTINGS = """
    select set_config(name, value, false)
    from pg_settings
    join (
        values
            ('tcp_keepalives_idle', '60'),
            ('tcp_keepalives_interval', '10'),
            ('tcp_keepalives_count', '6'),
            ('idle_session_timeout', '0')
    ) as wanted (setting, value) on wanted.setting = pg_settings.name
"""
PERMISSION_CHECKS = (
    *Warehouse.permission_checks[:-1],
    "create index on {} (id)",
    "analyze {}",
    "drop table {}",
    # incremental models use temporary tables
    "create temporary table tokenmart_doctor as select 1 as id",
    "drop table pg_temp.tokenmart_doctor",
)
INDEXES = (
    ("events", "using brin (occurred_at)"),
    ("events", "using btree (_dlt_load_id)"),
    ("tool_calls", "using btree (_dlt_load_id)"),
)
UNOWNED_TABLES = """
    select tablename from pg_tables where schemaname = '{}' and not pg_has_role(tableowner, 'usage') order by tablename
"""
GRANTS = (
    "to give others access: grant usage on schema {0} to ...; alter default privileges in schema {0}"
    " grant select on tables to ...;"
)


def error_text(error: BaseException | str) -> str:
    """The text that ADVICE is matched against: the SQLSTATE of an error, or its message if it has none.

    SQLSTATE 42501 (insufficient privilege) is followed by the message, which says what privilege is missing.
    """
    state = getattr(error, "pgcode", None)
    return f"{state} {error if state == '42501' else ''}" if state else str(error)


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects as dbt-postgres does, with the same settings."""
    if not target.is_package:
        # in a package, only dbt knows the marts schema; loads do not need it
        _check_lower_case(target)
    settings = _settings(target)
    with closing(_connection(target)) as connection:
        query = _query(connection)
        query("set time zone 'UTC'")
        yield Warehouse(
            destination=lambda: _destination(settings),
            query=query,
            location="{host}:{port}/{dbname}".format(**settings),
            tables=listed_tables(query),
            create_schema=missing_schema(query),
            apply_layout=lambda schema: _apply_layout(query, schema),
            dataset=target.raw_schema,
            permission_checks=PERMISSION_CHECKS,
            unowned_tables=UNOWNED_TABLES,
            grants=GRANTS,
            check_session=lambda: _check_session(target, query),
        )


def _destination(settings: dict[str, Any]) -> Any:
    """dlt's destination, with the same settings."""
    import dlt
    from dlt.destinations.impl.postgres.configuration import PostgresCredentials

    credentials = PostgresCredentials()
    options = {name: value for name, value in settings.items() if name not in ("user", "dbname", "host", "port")}
    password = options.pop("password")
    for name, value in {
        "host": settings["host"],
        "port": settings["port"],
        "password": password,
        "username": settings["user"],
        "database": settings["dbname"],
        "query": options,
    }.items():
        setattr(credentials, name, value)
    # the URL that dlt builds does not support sockets or paths with spaces
    dsn = psycopg2.extensions.make_dsn(**settings)
    credentials.to_native_representation = lambda: dsn  # type: ignore[method-assign]
    # otherwise dlt resolves the credentials again and strips spaces from the password
    credentials.__is_resolved__ = True
    return dlt.destinations.postgres(credentials, create_indexes=False)


@contextmanager
def lock(target: Target, job: str, on_wait: OnWait) -> Iterator[Check]:
    """An advisory lock for the schema, on a separate connection. The server releases it when the connection ends."""
    if job == "build":
        _check_lower_case(target)
    schema = target.raw_schema if job == "load" else target.marts_schema
    digest = hashlib.blake2b(f"tokenmart {job} {schema}".encode(), digest_size=8).digest()
    # pg_locks shows the key as two 32-bit numbers
    key, halves = int.from_bytes(digest, signed=True), (int.from_bytes(digest[:4]), int.from_bytes(digest[4:]))

    def holder() -> str | None:
        if query(f"select pg_try_advisory_lock({key})")[0][0]:
            return None
        found = query(
            f"select concat_ws(', ', '{job} by connection ' || pid, application_name, usename, client_addr,"
            " to_char(backend_start at time zone 'UTC', '\"since\" HH24:MI:SS \"UTC\"'))"
            " from pg_locks join pg_stat_activity using (pid)"
            f" where locktype = 'advisory' and granted and (classid, objid) = ({halves[0]}, {halves[1]})"
            " and pg_locks.database = (select oid from pg_database where datname = current_database())"
        )
        return str(found[0][0]) if found else job

    def check() -> None:
        try:
            query("select 1")
        except psycopg2.Error as error:
            raise lock_lost(f"the {job}s of {schema}") from error

    with closing(_connection(target)) as connection:
        query = _query(connection)
        query(LOCK_SESSION_SETTINGS)
        wait_for_lock(holder, on_wait, POLL_SECONDS)
        yield check


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs a select statement with a server-side cursor, in a read-only transaction that is rolled back."""
    with closing(_connection(target)) as connection, query_errors(target, ERRORS):
        connection.set_session(readonly=True, autocommit=False)
        with connection.cursor() as cursor:
            cursor.execute("set time zone 'UTC'")
            path = f"""'"{target.marts_schema}"', nullif(current_setting('search_path'), '')"""
            cursor.execute(f"select set_config('search_path', concat_ws(', ', {path}), false)")
        cursor = connection.cursor("tokenmart_query")
        cursor.execute(sql)
        # the columns are known only after the first fetch
        first = cursor.fetchmany(cursor.itersize)
        yield Answer(
            columns=[column.name for column in cursor.description],
            rows=chain(first, cursor),
            count=_count(connection, sql),
        )


def _count(connection: Any, sql: str) -> Callable[[], int]:
    def count() -> int:
        with connection.cursor() as cursor:
            cursor.execute(counting(sql))
            return int(cursor.fetchone()[0])

    return count


def _check_lower_case(target: Target) -> None:
    """Raises TokenmartError if the marts schema has upper-case letters.

    dbt quotes names, but PostgreSQL converts names without quotes to lower case.
    """
    if target.marts_schema != target.marts_schema.lower():
        raise TokenmartError(
            f"The schema {target.marts_schema} of the target {target.name} has upper-case letters.", "Use lower case."
        )


def _check_session(target: Target, query: Query) -> None:
    """Raises TokenmartError if two connections share a session, or a connection changes its session.

    Some connection poolers do this.
    """
    session = "select pg_backend_pid()"
    with closing(_connection(target)) as connection:
        sessions = [query(session), _query(connection)(session), query(session)]
    if sessions[0] == sessions[1] or sessions[0] != sessions[2]:
        raise TokenmartError(
            "A connection pooler changes the session between transactions, so locks do not hold.",
            "Connect to PostgreSQL directly, or set pool_mode = session (PgBouncer).",
        )


def _settings(target: Target) -> dict[str, Any]:
    """The profile's settings as arguments of libpq."""
    settings = target.settings
    arguments: dict[str, Any] = {
        "host": str(settings.get("host", "localhost")),
        "port": whole_number(target, "port", 5432),
        "user": str(settings.get("user", "")),
        "password": str(settings.get("password", settings.get("pass", ""))),
        "dbname": str(settings.get("dbname", settings.get("database", ""))),
        "application_name": "tokenmart",
        **{name: settings[name] for name in OPTIONAL_SETTINGS if settings.get(name)},
        "connect_timeout": whole_number(target, "connect_timeout", CONNECT_SECONDS),
    }
    session = {name: str(settings[name]) for name in ("role", "search_path") if settings.get(name)}
    if session:
        escaped = {name: value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in session.items()}
        arguments["options"] = " ".join(f"-c {name}={value}" for name, value in escaped.items())
    return arguments


def _connection(target: Target) -> Any:
    """A connection that commits each statement. Retries to connect as many times as `retries` in the profile."""
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(1 + whole_number(target, "retries", 0)),
        wait=tenacity.wait_exponential(),
        retry=tenacity.retry_if_exception_type(psycopg2.OperationalError),
        reraise=True,
    )
    connection = retrying(psycopg2.connect, **_settings(target))
    connection.autocommit = True
    return connection


def _query(connection: Any) -> Query:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    return query


def _apply_layout(query: Query, schema: str) -> None:
    """Creates indexes on time and load. With TimescaleDB, makes `events` a hypertable with weekly chunks.

    Adds only what is missing: an earlier load may have been interrupted, or the extension installed later.
    """
    events = f"{schema}.events"
    indexes = f"select tablename || ' ' || indexdef from pg_indexes where schemaname = '{schema}'"
    # the schema of the extension's functions may not be on the search path
    extension = """
        select 'extension ' || quote_ident(nspname)
        from pg_extension
        join pg_namespace on pg_namespace.oid = extnamespace
        where extname = 'timescaledb'
    """
    tables = f"select 'table ' || tablename from pg_tables where schemaname = '{schema}'"
    found = [str(text) for (text,) in query(f"{indexes} union all {tables} union all {extension}")]
    if extension_schema := next(
        (text.removeprefix("extension ") for text in found if text.startswith("extension ")), None
    ):
        is_events = f"hypertable_schema = '{schema}' and hypertable_name = 'events'"
        if not query(f"select 1 from timescaledb_information.hypertables where {is_events}"):
            partitions = f"{extension_schema}.by_range('occurred_at', interval '7 days')"
            options = "create_default_indexes => false, migrate_data => true, if_not_exists => true"
            query(f"select {extension_schema}.create_hypertable('{events}', {partitions}, {options})")
    for table, index in INDEXES:
        if f"table {table}" in found and not any(
            text.startswith(f"{table} ") and text.lower().endswith(index) for text in found
        ):
            query(f"create index on {schema}.{table} {index}")
