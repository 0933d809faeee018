"""PostgreSQL, and TimescaleDB in it: parquet files go in by COPY, through ADBC."""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import adbc_driver_postgresql  # noqa: F401 - without it dlt would fall back to INSERTs, ten times slower
import psycopg2
import psycopg2.extensions
import tenacity

from loader.destinations import Query, Warehouse, listed_tables, missing_schema
from loader.errors import TokenmartError
from loader.locks import POLL_SECONDS, Check, OnWait, lost, wait
from loader.profile import Target

ERRORS = (psycopg2.Error,)
# by SQLSTATE where there is one, as of the server's answer to a statement; what failed to connect, and what dbt or dlt
# says of an error, is text
ADVICE = {
    r"^28P01|password authentication failed": "Check user and password in the profile.",
    "no password supplied": "Give the profile a password.",
    "no pg_hba.conf entry": "Set sslmode in the profile if the server wants TLS, or have it allowed in pg_hba.conf.",
    r"^28000|FATAL: +role \"": "Create the role, or name another user in the profile: createuser.",
    r"^3D000|FATAL: +database \"[^\"]*\" does not exist": "Create it, or name another in the profile: createdb.",
    "temporary tables": "Let an administrator: grant temporary on database ... to ...;",
    "permission denied for database": "Let an administrator: grant create on database ... to ...;",
    "permission denied for schema": "Let an administrator: grant usage, create on schema ... to ...;",
    r"^42501|permission denied|must be owner of": (
        "Let an administrator grant what is missing, or make the user the owner of both schemas."
    ),
    r"too many connections for (role|database)": (
        "Close some connections of it, or raise its limit: alter role or alter database ... connection limit ...;"
    ),
    r"^53300|too many clients|remaining connection slots": (
        "Too many connections are open: close some, or raise max_connections."
    ),
    r"^57P03|database system is (starting up|not yet accepting)|in recovery mode": "Try again in a moment.",
    r"^25006|read-only transaction": "The server is a standby, or read-only: name the primary in the profile.",
    r"^57014|statement timeout": "Raise statement_timeout for this role: alter role ... set statement_timeout = ...;",
    r"^53100|No space left on device": "Give the server more disk space.",
    r"^40P01|deadlock detected": "Another program changed the same tables. Run it again.",
    r"^(08|57P0[12])|connection (has been closed|already closed)|closed the connection unexpectedly"
    "|terminating connection|SSL SYSCALL error|could not receive data": (
        "The connection was cut. Run it again; if that repeats, look into the server's log."
    ),
    r"certificate": "Check sslmode, sslrootcert, sslcert and sslkey in the profile.",
    r"refused": "Is the server running, and are host and port of the profile right?",
    r"could not translate host name": "Check the host in the profile.",
    r"timeout expired": "Is the server reachable from here? A firewall may be in between.",
}
PASSED_ON = ("sslmode", "sslcert", "sslkey", "sslrootcert", "application_name", "keepalives_idle")
CONNECT_SECONDS = 10
# a server that hears nothing of a machine for two minutes takes back its lock; one that is at work may be silent
LOCK_SESSION = """
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
TRIALS = (
    *Warehouse.trials[:-1],
    "create index on {} (id)",
    "analyze {}",
    "drop table {}",
    # the rows that a later run writes go through one
    "create temporary table tokenmart_doctor as select 1 as id",
    "drop table pg_temp.tokenmart_doctor",
)
FOREIGN_TABLES = """
    select tablename from pg_tables where schemaname = '{}' and not pg_has_role(tableowner, 'usage') order by tablename
"""
GRANTS = (
    "let others read them: grant usage on schema {0} to ...; alter default privileges in schema {0}"
    " grant select on tables to ...;"
)


def said(error: BaseException | str) -> str:
    """What ADVICE is looked up by: the server's SQLSTATE, and its words where that says too little; else the words."""
    state = getattr(error, "pgcode", None)
    return f"{state} {error if state == '42501' else ''}" if state else str(error)


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects as dbt-postgres does, with the same settings."""
    import dlt
    from dlt.destinations.impl.postgres.configuration import PostgresCredentials

    if target.marts_schema != target.marts_schema.lower():
        # dbt quotes names, and here those that are not quoted are in small letters
        raise TokenmartError(f"The schema {target.marts_schema} of {target.name} has capitals.", "Take small letters.")
    settings = _settings(target)
    user, database, host, port = (settings[name] for name in ("user", "dbname", "host", "port"))
    with closing(_connection(target)) as connection:
        query = _query(connection)
        query("set time zone 'UTC'")
        credentials = PostgresCredentials()
        options = {name: value for name, value in settings.items() if name not in ("user", "dbname", "host", "port")}
        password = options.pop("password")
        for name, value in {
            "host": host,
            "port": port,
            "password": password,
            "username": user,
            "database": database,
            "query": options,
        }.items():
            setattr(credentials, name, value)
        # the URL that dlt would make of this has no place for sockets, nor for spaces in paths
        dsn = psycopg2.extensions.make_dsn(**settings)
        credentials.to_native_representation = lambda: dsn  # type: ignore[method-assign]
        # dlt has nothing to add, and is not to strip the password
        credentials.__is_resolved__ = True
        yield Warehouse(
            destination=dlt.destinations.postgres(credentials, create_indexes=False),
            query=query,
            location=f"{host}:{port}/{database}",
            tables=listed_tables(query),
            create_schema=missing_schema(query),
            lay_out=lambda schema: _lay_out(query, schema),
            dataset=target.raw_schema,
            trials=TRIALS,
            foreign_tables=FOREIGN_TABLES,
            grants=GRANTS.format(target.marts_schema),
        )


@contextmanager
def lock(target: Target, job: str, on_wait: OnWait) -> Iterator[Check]:
    """An advisory lock of a connection of its own, by the name of the schema: the server releases it with that."""
    schema = target.raw_schema if job == "load" else target.marts_schema
    digest = hashlib.blake2b(f"tokenmart {job} {schema}".encode(), digest_size=8).digest()
    # as pg_locks shows it, in two halves
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
            raise lost(f"the {job}s of {schema}") from error

    with closing(_connection(target)) as connection:
        query = _query(connection)
        query(LOCK_SESSION)
        wait(holder, on_wait, POLL_SECONDS)
        yield check


def _settings(target: Target) -> dict[str, Any]:
    """The profile's settings as libpq takes them."""
    settings = target.settings
    taken: dict[str, Any] = {
        "host": str(settings.get("host", "localhost")),
        "port": int(settings.get("port") or 5432),
        "user": str(settings.get("user", "")),
        "password": str(settings.get("password", settings.get("pass", ""))),
        "dbname": str(settings.get("dbname", settings.get("database", ""))),
        "application_name": "tokenmart",
        **{name: settings[name] for name in PASSED_ON if settings.get(name)},
        "connect_timeout": int(settings.get("connect_timeout") or CONNECT_SECONDS),
    }
    session = {name: str(settings[name]) for name in ("role", "search_path") if settings.get(name)}
    if session:
        escaped = {name: value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in session.items()}
        taken["options"] = " ".join(f"-c {name}={value}" for name, value in escaped.items())
    return taken


def _connection(target: Target) -> Any:
    """A connection that commits each statement; as often as the profile's `retries` says it is tried again."""
    patience = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(1 + int(target.settings.get("retries") or 0)),
        wait=tenacity.wait_exponential(),
        retry=tenacity.retry_if_exception_type(psycopg2.OperationalError),
        reraise=True,
    )
    connection = patience(psycopg2.connect, **_settings(target))
    connection.autocommit = True
    return connection


def _query(connection: Any) -> Query:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    return query


def _lay_out(query: Query, schema: str) -> None:
    """Indexes for time and load; where TimescaleDB is there, the events in pieces of a week.

    What is there stays: a load may have been cut before all was made, and the extension may come later.
    """
    events = f"{schema}.events"
    indexes = f"select indexdef from pg_indexes where schemaname = '{schema}' and tablename = 'events'"
    # the schema of the extension's functions need not be on the search path
    extension = """
        select 'extension ' || quote_ident(nspname)
        from pg_extension
        join pg_namespace on pg_namespace.oid = extnamespace
        where extname = 'timescaledb'
    """
    found = [str(text) for (text,) in query(f"{indexes} union all {extension}")]
    if place := next((text.removeprefix("extension ") for text in found if text.startswith("extension ")), None):
        of_events = f"hypertable_schema = '{schema}' and hypertable_name = 'events'"
        if not query(f"select 1 from timescaledb_information.hypertables where {of_events}"):
            pieces = f"{place}.by_range('occurred_at', interval '7 days')"
            how = "create_default_indexes => false, migrate_data => true, if_not_exists => true"
            query(f"select {place}.create_hypertable('{events}', {pieces}, {how})")
    for index in ("using brin (occurred_at)", "using btree (_dlt_load_id)"):
        if not any(text.lower().endswith(index) for text in found):
            query(f"create index on {events} {index}")
