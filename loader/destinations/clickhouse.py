"""ClickHouse: parquet files go in over HTTP, dlt's own statements over the native protocol."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import clickhouse_connect
import clickhouse_driver  # noqa: F401 - dlt needs it
from clickhouse_connect.driver.exceptions import ClickHouseError

from loader.destinations import Warehouse, escaped_literal, listed_tables
from loader.profile import Target

# what they log of an error, the error says too
for _driver in ("clickhouse_connect", "clickhouse_driver"):
    logging.getLogger(_driver).setLevel(logging.CRITICAL)

ERRORS = (ClickHouseError,)
ADVICE = {
    "authentication failed": "Check user and password in the profile.",
    "not enough privileges": "Let an administrator grant what is named there.",
    "refused": "Is the server running, and are host and port of the profile right? dlt uses native_port too (9000).",
    "name or service not known": "Check the host in the profile.",
    "timed out": "Is the server reachable from here? A firewall may be in between.",
    "code: 209": "Is the server reachable from here at native_port of the profile? A firewall may be in between.",
    "certificate": "Check secure, verify, client_cert and client_cert_key in the profile.",
    "memory limit": "Give the server more memory, or load fewer files at a time.",
}
# the ports that ClickHouse listens on unless it is told otherwise, without TLS and with
HTTP_PORTS, NATIVE_PORTS = (8123, 8443), (9000, 9440)

# of the raw tables: what models read is chosen by load
LAYOUT = {"events": {"_dlt_load_id": {"primary_key": True}}}
SECONDS = {"connect_timeout": 10, "send_receive_timeout": 300}


@contextmanager
def _client_for_files(**manner: Any) -> Iterator[None]:
    """Has the HTTP client that dlt opens for files connect in the manner of the profile: dlt's credentials cannot."""
    module: Any = clickhouse_connect
    create = module.create_client
    module.create_client = partial(create, **manner)
    try:
        yield
    finally:
        module.create_client = create


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects as dbt-clickhouse does over HTTP; the profile's `native_port` is for dlt."""
    import dlt
    from dlt.destinations.impl.clickhouse.configuration import ClickHouseCredentials

    settings = target.settings
    host, is_secure = str(settings.get("host", "localhost")), bool(settings.get("secure"))
    is_native = settings.get("driver", "native" if settings.get("port") in NATIVE_PORTS else "http") == "native"
    port = int((not is_native and settings.get("port")) or settings.get("http_port") or HTTP_PORTS[is_secure])
    native = int((is_native and settings.get("port")) or settings.get("native_port") or NATIVE_PORTS[is_secure])
    user, password = str(settings.get("user") or "default"), str(settings.get("password") or "")
    location = f"{host}:{port}"
    seconds = {name: int(settings.get(name) or default) for name, default in SECONDS.items()}
    verify, certificate = bool(settings.get("verify", True)), settings.get("client_cert")
    manner: dict[str, Any] = {"verify": verify, **seconds}
    if certificate:
        manner |= {"client_cert": certificate, "client_cert_key": settings.get("client_cert_key")}
    client = clickhouse_connect.get_client(
        host=host, port=port, username=user, password=password, secure=is_secure, **manner
    )
    with closing(client), _client_for_files(**manner):

        def query(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in client.query(sql).result_rows]

        # what dlt calls a database is a schema to dbt; without a name of a dataset its tables get no prefix
        credentials = ClickHouseCredentials()
        credentials.database, credentials.host, credentials.port, credentials.http_port = (
            target.raw_schema,
            host,
            native,
            port,
        )
        credentials.username, credentials.password, credentials.secure = user, password, 1 if is_secure else 0
        credentials.connect_timeout, credentials.send_receive_timeout = seconds.values()
        credentials.query = {"verify": verify}
        if certificate:
            credentials.query |= {"certfile": certificate, "keyfile": settings.get("client_cert_key") or certificate}
        # dlt has nothing to add, and is not to strip the password
        credentials.__is_resolved__ = True
        engine = "replicated_merge_tree" if settings.get("cluster") else "merge_tree"
        yield Warehouse(
            destination=dlt.destinations.clickhouse(credentials, table_engine_type=engine),
            query=query,
            location=location,
            tables=listed_tables(query),
            create_schema=lambda schema: query(f"create database if not exists {schema}{_place(target, schema)}"),
            dataset="",
            literal=escaped_literal,
            timestamp="parseDateTime64BestEffort('{}', 6, 'UTC')",
            hints=LAYOUT,
            buckets=("s3", "gs", "gcs", "az", "abfss", "file"),
            create_table="create table {} engine = MergeTree order by id as select 1 as id",
        )


def _place(target: Target, schema: str) -> str:
    """Where a schema is created and as what: each server of a cluster has it, and a copy of what is landed."""
    cluster, engine = target.settings.get("cluster"), target.settings.get("database_engine")
    if cluster and not engine and schema == target.raw_schema:
        # dlt does not make its tables on a cluster: this kind of database does
        engine = f"Replicated('/clickhouse/databases/{schema}', 'all', '{{shard}}_{{replica}}')"
    return (f' on cluster "{cluster}"' if cluster else "") + (f" engine = {engine}" if engine else "")
