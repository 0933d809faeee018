"""BigQuery: loads parquet files with load jobs, which are free."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from typing import Any

from dbt.adapters.bigquery.clients import create_bigquery_client
from dbt.adapters.bigquery.credentials import BigQueryCredentials, create_google_credentials
from dbt_common.exceptions import DbtBaseException
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery import DEFAULT_RETRY, QueryJobConfig
from requests.exceptions import ConnectionError as NotReached

from tokenmart.destinations import Answer, Warehouse, escaped_literal, grouped, lease_of, one_line, query_errors
from tokenmart.destinations import credentials as dbt_credentials
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.locks import Check, LeaseSQL, OnWait, lease
from tokenmart.profile import Target

CONNECT_SECONDS = 20
ERRORS = (GoogleAPIError, GoogleAuthError, NotReached, DbtBaseException)
ADVICE = {
    "default credentials": "Log in with gcloud auth application-default login, or set a keyfile in the profile.",
    "reauthentication": "Log in again with gcloud auth application-default login.",
    "failed to authenticate": "Log in with gcloud auth application-default login, or set a keyfile in the profile.",
    "invalid_grant": "These credentials have expired. Log in again, or create a new key.",
    "access denied": "Ask an administrator to grant the roles BigQuery Data Editor and BigQuery Job User.",
    "permission": "Ask an administrator to grant the roles BigQuery Data Editor and BigQuery Job User.",
    "not found: project": "Check the project in the profile.",
    "location": "Set location in the profile to the location of the datasets.",
    "no such file": "Check the path of the keyfile in the profile.",
    "connection": "Is BigQuery reachable from this machine? If the profile has an api_endpoint, check it.",
    "quota": "Wait, or request a higher quota.",
}
# the models filter raw rows by load
LAYOUT = {table: {"loaded_at": {"partition": True}} for table in ("events", "tool_calls")}
LEASE = LeaseSQL(text="string", clock="select unix_millis(current_timestamp())")
CLUSTERS = {table: {"x-bigquery-cluster-columns": ["_dlt_load_id"]} for table in ("events", "tool_calls")}


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Connects with dbt-bigquery's own credentials, so every `method` of the profile works."""
    with closing(_client(target)) as client:

        def query(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row.values()) for row in client.query_and_wait(sql)]

        def tables(schema: str) -> dict[str, set[str]]:
            try:
                return grouped(query(f"select table_name, column_name from {schema}.INFORMATION_SCHEMA.COLUMNS"))
            except NotFound:
                return {}

        yield Warehouse(
            destination=lambda: _destination(target),
            query=query,
            location=str(client.project),
            tables=tables,
            create_schema=lambda schema: client.create_dataset(f"{client.project}.{schema}", exists_ok=True),
            dataset=target.raw_schema,
            literal=escaped_literal,
            hints=LAYOUT,
            table_hints=CLUSTERS,
            buckets=("gs", "gcs"),
            version="select 'BigQuery'",
        )


def _destination(target: Target) -> Any:
    """dlt's destination, with the same credentials."""
    import dlt
    from dlt.common.configuration.specs.gcp_credentials import GcpDefaultCredentials

    credentials, google_credentials = _credentials(target)
    if credentials.api_endpoint:
        # the only way to set another endpoint for dlt's client
        os.environ["BIGQUERY_EMULATOR_HOST"] = credentials.api_endpoint
    # dlt's own classes support only a few of Google's credential types
    dlt_credentials: Any = GcpDefaultCredentials()
    dlt_credentials.parse_native_representation(google_credentials)
    dlt_credentials.project_id = credentials.database
    return dlt.destinations.bigquery(
        dlt_credentials, location=credentials.location or "US", project_id=credentials.database
    )


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs a select statement. A dry run, which is free, first checks the type of the statement."""
    with closing(_client(target)) as client, query_errors(target, ERRORS, _message):
        defaults = {"default_dataset": f"{client.project}.{target.marts_schema}"}
        kind = client.query(sql, job_config=QueryJobConfig(**defaults, dry_run=True)).statement_type
        if kind != "SELECT":
            raise UsageError(f"The query is not a select statement, but {kind}.")
        result = client.query(sql, job_config=QueryJobConfig(**defaults)).result()
        yield Answer(
            columns=[field.name for field in result.schema],
            rows=(tuple(row.values()) for row in result),
            count=lambda: int(result.total_rows),
        )


def _message(error: Any) -> str:
    """The message of an error, without the URL of the request."""
    return next((str(entry["message"]) for entry in getattr(error, "errors", None) or ()), str(error))


def lock(target: Target, job: str, on_wait: OnWait) -> AbstractContextManager[Check]:
    """A lease in the raw schema."""
    return lease(lambda: connect(target), LEASE, target.raw_schema, lease_of(target, job), job, on_wait)


def _credentials(target: Target) -> tuple[Any, Any]:
    """dbt's credentials, and the Google credentials that dbt creates from them."""
    credentials = dbt_credentials(target, BigQueryCredentials)
    try:
        return credentials, create_google_credentials(credentials)
    except (ValueError, OSError) as error:
        raise TokenmartError(
            f"The service account key of the target {target.name} cannot be used: {one_line(error)}",
            "Check keyfile or keyfile_json in the profile.",
        ) from error


def _client(target: Target) -> Any:
    """A connected client for the project of the profile."""
    credentials, _ = _credentials(target)
    # table names without a project refer to the client's project
    client: Any = create_bigquery_client(replace(credentials, execution_project=credentials.database))
    # by default the client retries for ten minutes
    client.query_and_wait("select 1", retry=DEFAULT_RETRY.with_timeout(CONNECT_SECONDS), job_retry=None)
    return client
