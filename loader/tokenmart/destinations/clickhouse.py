"""ClickHouse: loads parquet files over HTTP. dlt's own statements use the native protocol."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import clickhouse_connect
import clickhouse_driver  # noqa: F401 - dlt needs it
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokenmart.destinations import (
    Answer,
    Warehouse,
    counting,
    escaped_literal,
    lease_of,
    listed_tables,
    query_errors,
    whole_number,
)
from tokenmart.locks import Check, LeaseSQL, OnWait, lease
from tokenmart.profile import Target

# they log errors that they also raise
for _driver in ("clickhouse_connect", "clickhouse_driver"):
    logging.getLogger(_driver).setLevel(logging.CRITICAL)

ERRORS = (ClickHouseError,)
ADVICE = {
    "authentication failed": "Check user and password in the profile.",
    "not enough privileges": "Ask an administrator to grant the missing privilege.",
    "refused": "Is the server running? Check host, port and native_port (9000, used by dlt) in the profile.",
    "name or service not known": "Check the host in the profile.",
    "timed out": "Is the server reachable from this machine? A firewall may block it.",
    "code: 209": "Is the profile's native_port reachable from this machine? A firewall may block it.",
    "certificate": "Check secure, verify, client_cert and client_cert_key in the profile.",
    "memory limit": "Give the server more memory, or load fewer files at once.",
}
# ClickHouse's default ports, without and with TLS
HTTP_PORTS, NATIVE_PORTS = (8123, 8443), (9000, 9440)

# the models filter raw rows by load
LAYOUT = {table: {"_dlt_load_id": {"primary_key": True}} for table in ("events", "tool_calls")}
TIMEOUTS = {"connect_timeout": 10, "send_receive_timeout": 300}
CONNECTION_ARGUMENTS = ("host", "port", "username", "password", "secure")
# ClickHouse runs the mutations of a table one after the other
LEASE = LeaseSQL(
    text="String",
    clock="select toUnixTimestamp64Milli(now64(3))",
    update="alter table {table} update {values} where {condition} settings mutations_sync = 2",
)


@contextmanager
def _settings_for_file_client(**settings: Any) -> Iterator[None]:
    """Passes the profile's settings to the HTTP client with which dlt loads files.

    dlt's credentials do not have them.
    """
    module: Any = clickhouse_connect
    create = module.create_client
    module.create_client = partial(create, **settings)
    try:
        yield
    finally:
        module.create_client = create


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects over HTTP as dbt-clickhouse does. dlt uses the profile's `native_port`."""
    settings = {name: value for name, value in _http(target).items() if name not in CONNECTION_ARGUMENTS}
    with _session(target) as warehouse, _settings_for_file_client(**settings):
        yield warehouse


def _destination(target: Target) -> Any:
    """dlt's destination, with the same settings."""
    import dlt
    from dlt.destinations.impl.clickhouse.configuration import ClickHouseCredentials

    settings, http = target.settings, _http(target)
    native_port = "port" if _is_native(target) and settings.get("port") else "native_port"
    # dlt's database is dbt's schema; without a dataset name, dlt adds no prefix to table names
    credentials = ClickHouseCredentials()
    credentials.database, credentials.host, credentials.port, credentials.http_port = (
        target.raw_schema,
        http["host"],
        whole_number(target, native_port, NATIVE_PORTS[http["secure"]]),
        http["port"],
    )
    credentials.username, credentials.password = http["username"], http["password"]
    credentials.secure = 1 if http["secure"] else 0
    credentials.connect_timeout, credentials.send_receive_timeout = (http[name] for name in TIMEOUTS)
    credentials.query = {"verify": http["verify"]}
    if certificate := http.get("client_cert"):
        credentials.query |= {"certfile": certificate, "keyfile": http["client_cert_key"] or certificate}
    # otherwise dlt resolves the credentials again and strips spaces from the password
    credentials.__is_resolved__ = True
    engine = "replicated_merge_tree" if settings.get("cluster") else "merge_tree"
    return dlt.destinations.clickhouse(credentials, table_engine_type=engine)


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs a select statement with the setting `readonly`, which a query cannot change."""
    # within a session, the server does not run the counting query while rows are being read
    http = {**_http(target), "database": target.marts_schema, "autogenerate_session_id": False}
    with query_errors(target, ERRORS, _message), closing(clickhouse_connect.get_client(**http)) as client:
        # a read-only user cannot set it, but does not need it either
        is_limited = client.query("select getSetting('readonly')").result_rows[0][0]
        settings = {} if int(is_limited) else {"readonly": 1}
        with client.query_row_block_stream(sql, settings=settings) as blocks:
            yield Answer(
                columns=[str(name) for name in blocks.source.column_names],
                rows=(tuple(row) for block in blocks for row in block),
                count=lambda: int(client.query(counting(sql), settings=settings).result_rows[0][0]),
            )


def _message(error: Exception) -> str:
    """The message of an error, without the URL of the server."""
    return str(error).partition("DB::Exception: ")[2].partition(" (for url ")[0] or str(error)


def lock(target: Target, job: str, on_wait: OnWait) -> AbstractContextManager[Check]:
    """A lease in the raw schema."""
    engine = "ReplicatedMergeTree" if target.settings.get("cluster") else "MergeTree"
    sql = replace(LEASE, layout=f"engine = {engine} order by tuple()")
    return lease(lambda: _session(target), sql, target.raw_schema, lease_of(target, job), job, on_wait)


def _is_native(target: Target) -> bool:
    """Whether dbt-clickhouse uses the profile's `port` for the native protocol."""
    settings = target.settings
    return bool(settings.get("driver", "native" if settings.get("port") in NATIVE_PORTS else "http") == "native")


def _http(target: Target) -> dict[str, Any]:
    """The arguments with which clickhouse-connect connects over HTTP."""
    settings, is_secure = target.settings, bool(target.settings.get("secure"))
    port = "port" if not _is_native(target) and settings.get("port") else "http_port"
    arguments = {
        "host": str(settings.get("host", "localhost")),
        "port": whole_number(target, port, HTTP_PORTS[is_secure]),
        "username": str(settings.get("user") or "default"),
        "password": str(settings.get("password") or ""),
        "secure": is_secure,
        "verify": bool(settings.get("verify", True)),
        **{name: whole_number(target, name, default) for name, default in TIMEOUTS.items()},
    }
    if certificate := settings.get("client_cert"):
        arguments |= {"client_cert": certificate, "client_cert_key": settings.get("client_cert_key")}
    return arguments


@contextmanager
def _session(target: Target) -> Iterator[Warehouse]:
    http = _http(target)
    with closing(clickhouse_connect.get_client(**http)) as client:

        def query(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in client.query(sql).result_rows]

        yield Warehouse(
            destination=lambda: _destination(target),
            query=query,
            location=f"{http['host']}:{http['port']}",
            tables=listed_tables(query),
            create_schema=lambda schema: query(
                f"create database if not exists {schema}{_create_options(target, schema)}"
            ),
            dataset="",
            literal=escaped_literal,
            timestamp="parseDateTime64BestEffort('{}', 6, 'UTC')",
            hints=LAYOUT,
            buckets=("s3", "gs", "gcs", "az", "abfss", "file"),
            permission_checks=(
                "create table {} engine = MergeTree order by tuple() as select 1 as id",
                # the statement that takes the lease
                LEASE.update.format(table="{}", values="id = 2", condition="id = 1"),
                *Warehouse.permission_checks[1:],
            ),
        )


def _create_options(target: Target, schema: str) -> str:
    """The clauses that create a schema on every server of a cluster, with replicated raw tables."""
    cluster, engine = target.settings.get("cluster"), target.settings.get("database_engine")
    if cluster and not engine and schema == target.raw_schema:
        # dlt creates its tables on one server; this database engine replicates them to the others
        engine = f"Replicated('/clickhouse/databases/{schema}', 'all', '{{shard}}_{{replica}}')"
    return (f' on cluster "{cluster}"' if cluster else "") + (f" engine = {engine}" if engine else "")
