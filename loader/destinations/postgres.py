"""PostgreSQL, and TimescaleDB in it: parquet files go in by COPY, through ADBC."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import adbc_driver_postgresql  # noqa: F401 - without it dlt would fall back to INSERTs, ten times slower
import psycopg2
import psycopg2.extensions

from loader.destinations import Query, Warehouse, listed_tables, missing_schema
from loader.errors import TokenmartError
from loader.profile import Target

ERRORS = (psycopg2.Error,)
ADVICE = {
    "password authentication failed": "Check user and password in the profile.",
    "no password supplied": "Give the profile a password.",
    "no pg_hba.conf entry": "Set sslmode in the profile if the server wants TLS, or have it allowed in pg_hba.conf.",
    "certificate": "Check sslmode, sslrootcert, sslcert and sslkey in the profile.",
    'database "': "Create it, or name another in the profile: createdb.",
    'role "': "Create it, or name another in the profile: createuser.",
    "permission denied for database": "Let an administrator: grant create on database ... to ...;",
    "permission denied for schema": "Let an administrator: grant usage, create on schema ... to ...;",
    "permission denied": "Let an administrator grant what is missing, or make the user the owner of both schemas.",
    "refused": "Is the server running, and are host and port of the profile right?",
    "could not translate host name": "Check the host in the profile.",
    "timeout expired": "Is the server reachable from here? A firewall may be in between.",
    "starting up": "Try again in a moment.",
    "too many": "Too many connections are open: close some, or raise max_connections.",
}
PASSED_ON = ("sslmode", "sslcert", "sslkey", "sslrootcert", "application_name", "keepalives_idle")
CONNECT_SECONDS = 10


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects as dbt-postgres does, with the same settings."""
    import dlt
    from dlt.destinations.impl.postgres.configuration import PostgresCredentials

    if target.marts_schema != target.marts_schema.lower():
        # dbt quotes names, and here those that are not quoted are in small letters
        raise TokenmartError(f"The schema {target.marts_schema} of {target.name} has capitals.", "Take small letters.")
    settings = target.settings
    place = {
        "host": str(settings.get("host", "localhost")),
        "port": int(settings.get("port") or 5432),
        "password": str(settings.get("password", settings.get("pass", ""))),
    }
    user, database = str(settings.get("user", "")), str(settings.get("dbname", settings.get("database", "")))
    options = {name: settings[name] for name in PASSED_ON if settings.get(name)}
    options["connect_timeout"] = int(settings.get("connect_timeout") or CONNECT_SECONDS)
    if settings.get("role"):
        options["options"] = f"-crole={settings['role']}"
    location = f"{place['host']}:{place['port']}/{database}"
    with closing(psycopg2.connect(user=user, dbname=database, **place, **options)) as connection:
        connection.autocommit = True
        connection.cursor().execute("set time zone 'UTC'")

        def query(sql: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []

        credentials = PostgresCredentials()
        for name, value in {**place, "username": user, "database": database, "query": options}.items():
            setattr(credentials, name, value)
        # the URL that dlt would make of this has no place for sockets, nor for spaces in paths
        dsn = psycopg2.extensions.make_dsn(user=user, dbname=database, **place, **options)
        credentials.to_native_representation = lambda: dsn  # type: ignore[method-assign]
        # dlt has nothing to add, and is not to strip the password
        credentials.__is_resolved__ = True
        yield Warehouse(
            destination=dlt.destinations.postgres(credentials, create_indexes=False),
            query=query,
            location=location,
            tables=listed_tables(query),
            create_schema=missing_schema(query),
            lay_out=lambda schema: _lay_out(query, schema),
            dataset=target.raw_schema,
        )


def _lay_out(query: Query, schema: str) -> None:
    """Indexes for time and load; where TimescaleDB is there, the events in pieces of a week."""
    events = f"{schema}.events"
    if query("select 1 from pg_extension where extname = 'timescaledb'"):
        pieces = "by_range('occurred_at', interval '7 days')"
        query(f"select create_hypertable('{events}', {pieces}, create_default_indexes => false, if_not_exists => true)")
    query(f"create index on {events} using brin (occurred_at)")
    query(f"create index on {events} (_dlt_load_id)")
