"""Connection problems are reported in one line, with advice."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from dlt.pipeline.exceptions import PipelineStepFailed

from connections import POSTGRES, SNOWFLAKE, Connections, pem, profile_of
from tokenmart.cli import main
from tokenmart.destinations import TYPES, advice, connect
from tokenmart.doctor import examine
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.pipeline import _failure
from tokenmart.profile import Target

pytest_plugins = ["connections"]


def failure_lines() -> list[str]:
    """The lines that `tokenmart status` prints when it fails."""
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    return result.stderr.splitlines()


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        ("postgres", "psycopg2"),
        ("postgres", "adbc_driver_postgresql"),
        ("clickhouse", "clickhouse_connect"),
        ("clickhouse", "clickhouse_driver"),
        ("bigquery", "dbt.adapters.bigquery.clients"),
        ("bigquery", "google.cloud.bigquery"),
        ("snowflake", "snowflake.connector"),
        ("snowflake", "dbt.adapters.snowflake.connections"),
    ],
)
def test_the_error_for_a_missing_package_says_what_to_install(
    kind: str, package: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"tokenmart.destinations.{kind}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    profile_of(folder, kind)
    failed, hint = failure_lines()
    assert failed.startswith(f"Failed: The target own has type {kind}, whose packages are not installed (")
    assert hint == f"Install them: pip install 'tokenmart[{kind}]'"


def test_a_postgres_schema_with_upper_case_is_refused(folder: Path) -> None:
    with pytest.raises(TokenmartError, match="upper-case"), connect(profile_of(folder, "postgres", schema="Marts")):
        pass


def test_doctor_reports_a_missing_adapter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "dbt-postgres":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr("tokenmart.doctor.version", version)
    found = next(finding for finding in examine(profile_of(folder, "postgres", port=1)) if finding.what == "packages")
    assert not found.is_fine and "dbt-postgres missing" in found.found
    assert found.to_do == "pip install 'tokenmart[postgres]'"


def test_errors_of_the_loader_are_passed_through_dlt_unchanged() -> None:
    try:
        try:
            try:
                raise ValueError("deep inside")
            except ValueError as error:
                raise UsageError("The format lacks a column.", "Select it.") from error
        except UsageError as error:
            raise PipelineStepFailed(MagicMock(), "extract", "1", error, None) from error
    except PipelineStepFailed as error:
        failure = _failure(Target("own", "duckdb", {}, Path(), Path()), error)
    assert isinstance(failure, UsageError) and (str(failure), failure.hint) == (
        "The format lacks a column.",
        "Select it.",
    )


@pytest.mark.parametrize("kind", ["redshift", "Postgres", "postgresql", "__init__", "..cli"])
def test_the_error_for_an_unknown_type_lists_the_supported_ones(kind: str, folder: Path) -> None:
    profile_of(folder, kind)
    failed, hint = failure_lines()
    assert failed == f"Failed: The target own has type {kind}, which is not supported."
    assert hint == f"Supported types are {', '.join(TYPES)}."


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no method": ("bigquery", {"project": "a-project"}),
    "no such method": ("bigquery", {"project": "a-project", "method": "key"}),
    "a key that is not an object": (
        "bigquery",
        {"project": "a", "method": "service-account-json", "keyfile_json": "{}"},
    ),
    "a key without its parts": (
        "bigquery",
        {"project": "a-project", "method": "service-account-json", "keyfile_json": {"type": "service_account"}},
    ),
    "no key file": ("bigquery", {"project": "a-project", "method": "service-account", "keyfile": "missing.json"}),
    "a key file with other content": (
        "bigquery",
        {"project": "a-project", "method": "service-account", "keyfile": "dbt_project.yml"},
    ),
    "no login": ("bigquery", {"project": "a-project", "method": "oauth"}),
    "no login, no project": ("bigquery", {"method": "oauth"}),
    "no account": ("snowflake", {"user": "loader", "password": "word", "database": "usage"}),
    "no database": ("snowflake", {"account": "account", "user": "loader", "password": "word"}),
    "a number as account": ("snowflake", {"account": 1, "user": "loader", "password": "word", "database": "usage"}),
    "no private key": ("snowflake", {**SNOWFLAKE, "private_key_path": "missing.p8"}),
    "a private key file with other content": ("snowflake", {**SNOWFLAKE, "private_key_path": "dbt_project.yml"}),
    "no passphrase": ("snowflake", {**SNOWFLAKE, "private_key_path": "key.p8"}),
    "a wrong passphrase": (
        "snowflake",
        {**SNOWFLAKE, "private_key_path": "key.p8", "private_key_passphrase": "another"},
    ),
}


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("case", REFUSED)
def test_unusable_settings_are_reported(
    case: str, key: rsa.RSAPrivateKey, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, settings = REFUSED[case]
    (folder / "key.p8").write_text(pem(key, "a passphrase"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "missing.json"))
    profile_of(folder, kind, **settings)
    failed, *hint = failure_lines()
    assert failed.startswith("Failed: ")
    assert len(hint) == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("postgres", name) for name in ("port", "connect_timeout", "retries")),
        *(("clickhouse", name) for name in ("port", "native_port", "http_port", "connect_timeout")),
        ("clickhouse", "send_receive_timeout"),
    ],
)
@pytest.mark.usefixtures("connections")
def test_a_setting_that_is_not_a_number_is_named(kind: str, name: str, folder: Path) -> None:
    for value in ("54x2", ["5432"]):
        target = profile_of(folder, kind, **{name: value})
        with pytest.raises(UsageError) as raised, connect(target) as warehouse:
            warehouse.destination()
        assert str(raised.value) == f"The target own has {name}: {value}, which is not a whole number."
        assert raised.value.hint == f"Correct it in {folder / 'profiles.yml'}."


# drivers' messages for common mistakes, and a part of the advice for each
DRIVER_MESSAGES: list[tuple[str, str, str]] = [
    ("postgres", 'FATAL:  password authentication failed for user "loader"\n', "user and password"),
    ("postgres", "fe_sendauth: no password supplied\n", "a password"),
    ("postgres", 'FATAL:  database "usage" does not exist\n', "createdb"),
    ("postgres", 'FATAL:  role "loader" does not exist\n', "createuser"),
    (
        "postgres",
        'connection to server at "db.example" (192.0.2.1), port 5432 failed: Connection refused\n'
        "\tIs the server running on that host and accepting TCP/IP connections?\n",
        "server running",
    ),
    ("postgres", 'could not translate host name "db" to address: Name or service not known\n', "the host"),
    ("postgres", 'connection to server at "192.0.2.1", port 5432 failed: timeout expired\n', "firewall"),
    ("postgres", "FATAL:  the database system is starting up\n", "in a moment"),
    ("postgres", 'FATAL:  too many connections for role "loader"\n', "connection limit"),
    ("postgres", "SSL connection has been closed unexpectedly\n", "The connection was closed"),
    ("postgres", "server closed the connection unexpectedly\n", "The connection was closed"),
    ("postgres", "FATAL:  sorry, too many clients already\n", "max_connections"),
    ("postgres", "permission denied for database usage\n", "create on database"),
    ("postgres", "permission denied for schema raw_usage\nLINE 1: create table raw_usage.events (\n", "on schema"),
    ("postgres", "permission denied for table events\n", "the owner"),
    (
        "postgres",
        'FATAL:  no pg_hba.conf entry for host "192.0.2.2", user "loader", database "usage", no encryption\n',
        "sslmode",
    ),
    ("postgres", "SSL error: certificate verify failed\n", "sslrootcert"),
    (
        "postgres",
        'root certificate file "/tls/ca.pem" does not exist\nEither provide the file, use the system\'s trusted roots'
        " with sslrootcert=system, or change sslmode to disable server certificate verification.\n",
        "sslrootcert",
    ),
    (
        "clickhouse",
        "Received ClickHouse exception, code: 516, server response: Code: 516. DB::Exception: loader: Authentication"
        " failed: password is incorrect, or there is no user with that name. (AUTHENTICATION_FAILED)"
        " (for url http://db.example:8123)",
        "user and password",
    ),
    (
        "clickhouse",
        "Received ClickHouse exception, code: 497, server response: Code: 497. DB::Exception: loader: Not enough"
        " privileges. To execute this query, it's necessary to have the grant CREATE DATABASE ON raw_usage.*."
        " (ACCESS_DENIED) (for url http://db.example:8123)",
        "grant",
    ),
    (
        "clickhouse",
        "Received ClickHouse exception, code: 241, server response: Code: 241. DB::Exception: (total) memory limit"
        " exceeded: would use 3.49 GiB, maximum: 3.48 GiB. (MEMORY_LIMIT_EXCEEDED)",
        "more memory",
    ),
    (
        "clickhouse",
        "Error HTTPConnectionPool(host='db.example', port=8123): Max retries exceeded with url: /?query_id=1 (Caused by"
        " NewConnectionError(\"HTTPConnection(host='db.example', port=8123): Failed to establish a new connection:"
        ' [Errno 111] Connection refused")) executing HTTP request attempt 1 (http://db.example:8123)',
        "native_port",
    ),
    (
        "clickhouse",
        "NameResolutionError(\"HTTPConnection(host='db', port=8123): Failed to resolve 'db' ([Errno -2] Name or service"
        ' not known)")',
        "the host",
    ),
    ("clickhouse", "Connection to db.example timed out. (connect timeout=10)", "firewall"),
    (
        "clickhouse",
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"
        " certificate (_ssl.c:1006)'))",
        "verify",
    ),
    # these two from dlt's driver
    ("clickhouse", "Code: 210. Connection refused (db.example:9000)", "native_port"),
    ("clickhouse", "Code: 209. None (db.example:9000)", "native_port"),
    (
        "bigquery",
        "Your default credentials were not found. To set up Application Default Credentials, see"
        " https://cloud.google.com/docs/authentication/external/set-up-adc for more information.",
        "gcloud auth",
    ),
    ("bigquery", "('invalid_grant: Bad Request', {'error_description': 'Bad Request'})", "Log in again"),
    (
        "bigquery",
        "Reauthentication is needed. Please run `gcloud auth application-default login` to reauthenticate.",
        "gcloud auth",
    ),
    (
        "bigquery",
        "403 POST https://bigquery.googleapis.com/projects/a-project/jobs: Access Denied: Project a-project:"
        " User does not have bigquery.jobs.create permission in project a-project.",
        "BigQuery Job User",
    ),
    (
        "bigquery",
        "403 Permission bigquery.tables.create denied on dataset a-project:raw_usage (or it may not exist).",
        "BigQuery Data Editor",
    ),
    ("bigquery", "404 POST https://bigquery.googleapis.com/: Not found: Project a-project", "the project"),
    ("bigquery", "404 Not found: Dataset a-project:raw_usage was not found in location EU", "the location"),
    ("bigquery", "403 Quota exceeded: Your table exceeded quota for imports or query appends per table", "quota"),
    ("snowflake", "Failed to connect to DB: a:443. Incorrect username or password was specified.", "user and password"),
    ("snowflake", "Failed to connect to DB: a:443. JWT token is invalid. [0a1b2c3d]", "public key"),
    (
        "snowflake",
        "Failed to connect to DB: a:443. Multi-factor authentication is required for this account. Log in to Snowsight"
        " to enroll.",
        "second factor",
    ),
    ("snowflake", "Failed to connect to DB. MFA authentication failed: a:443. Timeout", "user and password"),
    ("snowflake", "Failed to connect to DB: a:443. Invalid OAuth access token. [0a1b2c3d]", "token"),
    ("snowflake", "Failed to connect to DB: a:443. Programmatic access token is invalid.", "token"),
    (
        "snowflake",
        "Failed to connect to DB. Verify the account name is correct: a:443. 000403: 403: HTTP 403: Forbidden",
        "the account",
    ),
    ("snowflake", "Could not connect to Snowflake backend after 2 attempt(s).Aborting", "reachable"),
    ("snowflake", "404 Not Found: POST https://a.example:443/session/v1/login-request", "the account"),
    (
        "snowflake",
        "SQL access control error:\nInsufficient privileges to operate on database 'USAGE'",
        "create schema",
    ),
    (
        "snowflake",
        "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse'"
        " command.",
        "a warehouse",
    ),
    ("snowflake", "SQL compilation error:\nDatabase 'USAGE' does not exist or not authorized.", "role"),
    (
        "snowflake",
        "Cannot perform CREATE SCHEMA. This session does not have a current database. Call 'USE DATABASE', or use a"
        " qualified name.",
        "the database",
    ),
]


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    DRIVER_MESSAGES,
    ids=[f"{kind}, {number}" for number, (kind, *_) in enumerate(DRIVER_MESSAGES)],
)
def test_errors_of_drivers_get_advice(kind: str, message: str, expected: str, folder: Path) -> None:
    target = Target("own", kind, {}, folder, folder)
    assert expected in (advice(target, message) or "")
    # the same message without line breaks
    assert advice(target, " ".join(message.split())) == advice(target, message)


def test_unknown_errors_get_no_advice(folder: Path) -> None:
    other = 'cannot drop database "a" because other objects depend on it'
    assert advice(Target("own", "postgres", {}, folder, folder), other) is None
    for kind in TYPES:
        assert advice(Target("own", kind, {}, folder, folder), "nobody has seen this before") is None


def raised_by_drivers() -> dict[str, tuple[str, str, Exception]]:
    """Errors of every kind that drivers raise: the warehouse, the function that raises, the error."""
    import requests
    from clickhouse_connect.driver import exceptions as clickhouse
    from google.api_core import exceptions as google
    from google.auth import exceptions as google_auth
    from psycopg2 import OperationalError
    from snowflake.connector import errors as snowflake

    function, made, client = "psycopg2.connect", "create_google_credentials", "create_bigquery_client"
    return {
        "postgres": ("postgres", function, OperationalError("connection refused\n\tno, really\n")),
        "clickhouse, the server": ("clickhouse", "clickhouse_connect.get_client", clickhouse.DatabaseError("refused")),
        "clickhouse, the network": (
            "clickhouse",
            "clickhouse_connect.get_client",
            clickhouse.OperationalError("refused"),
        ),
        "bigquery, no login": ("bigquery", made, google_auth.DefaultCredentialsError("default credentials")),
        "bigquery, an old login": ("bigquery", client, google_auth.RefreshError("invalid_grant")),
        "bigquery, the server": ("bigquery", client, google.Forbidden("access denied")),
        "bigquery, the network": ("bigquery", client, requests.exceptions.ConnectionError("connection aborted")),
        "snowflake, the server": ("snowflake", "snowflake.connector.connect", snowflake.DatabaseError("jwt token")),
        "snowflake, the network": (
            "snowflake",
            "snowflake.connector.connect",
            snowflake.HttpError(msg="404 not found"),
        ),
    }


@pytest.mark.parametrize("case", raised_by_drivers())
def test_errors_of_drivers_are_printed_in_one_line_with_advice(
    case: str, folder: Path, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, function, error = raised_by_drivers()[case]

    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr("tokenmart.destinations.bigquery.create_google_credentials", MagicMock())
    monkeypatch.setattr(function if "." in function else f"tokenmart.destinations.bigquery.{function}", fail)
    settings = {"bigquery": {"project": "a-project", "method": "oauth"}, "snowflake": SNOWFLAKE}.get(kind, POSTGRES)
    target = profile_of(folder, kind, **settings)
    failed, hint = failure_lines()
    assert failed == f"Failed: The target own failed: {' '.join(str(error).split())}"
    assert hint == advice(target, str(error))


def test_advice_is_found_at_the_end_of_long_errors(
    folder: Path, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg2

    def fail(**options: Any) -> Any:
        raise psycopg2.OperationalError("at a name that is long, " * 40 + "connection refused")

    monkeypatch.setattr("psycopg2.connect", fail)
    profile_of(folder, "postgres", **POSTGRES)
    failed, hint = failure_lines()
    assert len(failed) < 500
    assert "server running" in hint
