"""Snowflake: uploads parquet files to the table's stage with PUT, and loads them with COPY."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import snowflake.connector
from dbt.adapters.snowflake.connections import SnowflakeCredentials
from dbt_common.exceptions import DbtBaseException

from tokenmart.destinations import (
    Answer,
    Warehouse,
    escaped_literal,
    lease_of,
    listed_tables,
    missing_schema,
    one_line,
    query_errors,
)
from tokenmart.destinations import credentials as dbt_credentials
from tokenmart.errors import TokenmartError
from tokenmart.locks import Check, LeaseSQL, OnWait, lease
from tokenmart.profile import Target

ERRORS = (snowflake.connector.Error, DbtBaseException)
ADVICE = {
    "incorrect username or password": "Check user and password, key or token in the profile.",
    "jwt token": "Check user and private key in the profile. The public key must be set for that user.",
    "multi-factor": "Use a key pair or a token, or authenticator: username_password_mfa with a second factor.",
    "access token": "Check the token in the profile, or create a new one.",
    "authenticat": "Check user and password, key or token in the profile.",
    "insufficient privileges": "Ask an administrator to grant create schema on the database to the profile's role.",
    "does not exist or not authorized": (
        "Check database, warehouse and role in the profile, or ask an administrator to grant them."
    ),
    "current database": "Check the database in the profile, or ask an administrator to grant it to the profile's role.",
    "could not connect": "Check the account in the profile. Is Snowflake reachable from this machine?",
    "no active warehouse": "Set a warehouse in the profile that the role has permission to use.",
    "failed to connect": "Check the account in the profile. Is Snowflake reachable from this machine?",
    "404 not found": "Check the account in the profile.",
}
LEASE = LeaseSQL(text="varchar", clock="select date_part(epoch_millisecond, current_timestamp())")
TIMEOUTS = {"login_timeout": 30, "network_timeout": 300}


def _destination(target: Target) -> Any:
    """dlt's destination, with the same credentials."""
    import dlt
    from dlt.destinations.impl.snowflake.configuration import SnowflakeCredentials as DltCredentials

    credentials = dbt_credentials(target, SnowflakeCredentials)
    dlt_credentials = DltCredentials()
    dlt_credentials.database, dlt_credentials.host = credentials.database, credentials.account
    dlt_credentials.username, dlt_credentials.password = credentials.user, credentials.password
    # dlt passes query to the connector unchanged; without the flag, it strips spaces from the password
    dlt_credentials.query = _parameters(target, credentials)
    dlt_credentials.__is_resolved__ = True
    return dlt.destinations.snowflake(dlt_credentials, keep_staged_files=False)


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects with dbt-snowflake's own credentials, so every login method of the profile works."""
    credentials = dbt_credentials(target, SnowflakeCredentials)
    with closing(snowflake.connector.connect(**_parameters(target, credentials), autocommit=True)) as connection:

        def query(sql: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()]

        yield Warehouse(
            destination=lambda: _destination(target),
            query=query,
            location=f"{credentials.account}/{credentials.database}",
            tables=listed_tables(query),
            create_schema=missing_schema(query),
            dataset=target.raw_schema,
            literal=escaped_literal,
            version="select current_version()",
            buckets=("s3", "gs", "gcs", "az", "abfss"),
        )


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs a select statement. Snowflake allows only one statement per query, so it cannot be followed by another."""
    parameters = _parameters(target, dbt_credentials(target, SnowflakeCredentials))
    with (
        closing(snowflake.connector.connect(**parameters, schema=target.marts_schema)) as connection,
        query_errors(target, ERRORS),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql, num_statements=1)
        names = [column.name for column in cursor.description]
        yield Answer(
            # Snowflake converts names without quotes to upper case
            columns=[name.lower() if name.isupper() else name for name in names],
            rows=(tuple(row) for row in cursor),
            count=lambda: int(cursor.rowcount or 0),
        )


def lock(target: Target, job: str, on_wait: OnWait) -> AbstractContextManager[Check]:
    """A lease in the raw schema."""
    return lease(lambda: connect(target), LEASE, target.raw_schema, lease_of(target, job), job, on_wait)


def _parameters(target: Target, credentials: Any) -> dict[str, Any]:
    """The connection parameters, used here and by dlt."""
    try:
        login = credentials.auth_args()
    except (OSError, TypeError, ValueError) as error:
        raise TokenmartError(
            f"The private key of the target {target.name} cannot be read: {one_line(error)}",
            "Check private_key_path and private_key_passphrase in the profile.",
        ) from error
    return {
        "account": credentials.account,
        "database": credentials.database,
        "warehouse": credentials.warehouse,
        "role": credentials.role,
        "timezone": "UTC",
        "application": "tokenmart",
        **TIMEOUTS,
        **{key: value for key, value in login.items() if value is not None},
    }
