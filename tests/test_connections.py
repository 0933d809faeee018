"""The loader's driver and dlt's get the settings of a profile as dbt understands them."""

import base64
import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connections import POSTGRES, SNOWFLAKE, Connections, der, pem
from tokenmart.destinations import connect
from tokenmart.profile import Target

pytest_plugins = ["connections"]


# passwords with special characters of URLs, shells and connection strings
PASSWORDS = ["word", "", "p@ss:w/o?r#d", "100%25+1", 'it\'s "quoted" \\', "pässwörd", "$HOME `x`", " between spaces "]


def from_postgres(dsn: str, arguments: tuple[()], **options: Any) -> dict[str, str]:
    """dlt's arguments, as libpq parses them."""
    from psycopg2.extensions import parse_dsn

    parsed = {**parse_dsn(dsn), **options}
    # without the search path that dlt adds
    return {**parsed, "options": parsed["options"].partition("-csearch_path=")[0].strip()}


POSTGRES_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "required settings only": ({}, {**POSTGRES, "connect_timeout": 10}),
    "aliases of dbt": (
        {"pass": "other", "database": "events", "password": None, "dbname": None},
        {"password": "other", "dbname": "events"},
    ),
    "no port": ({"port": None}, {"port": 5432}),
    "TLS": (
        {"sslmode": "verify-full", "sslrootcert": "/tls/ca.pem", "sslcert": "/tls/c.pem", "sslkey": "/tls/c.key"},
        {"sslmode": "verify-full", "sslrootcert": "/tls/ca.pem", "sslcert": "/tls/c.pem", "sslkey": "/tls/c.key"},
    ),
    "a path with a space": (
        {"sslmode": "verify-ca", "sslrootcert": "/My Files/ca.pem"},
        {"sslrootcert": "/My Files/ca.pem"},
    ),
    "a role": ({"role": "owner"}, {"options": "-c role=owner"}),
    "a search path": (
        {"search_path": "public, ext", "role": "owner"},
        {"options": "-c role=owner -c search_path=public,\\ ext"},
    ),
    "a timeout": ({"connect_timeout": 3}, {"connect_timeout": 3}),
    "an application name": ({"application_name": "nightly load"}, {"application_name": "nightly load"}),
    "keepalives": ({"keepalives_idle": 60}, {"keepalives_idle": 60}),
    # zero means the default; a socket cannot be set to it
    "default keepalives": ({"keepalives_idle": 0}, {"keepalives_idle": None}),
    "no TLS mode": ({"sslmode": ""}, {"sslmode": None}),
    "a socket": ({"host": "/var/run/postgresql"}, {"host": "/var/run/postgresql"}),
    "an address": ({"host": "::1"}, {"host": "::1"}),
    "a user with an @": ({"user": "loader@company"}, {"user": "loader@company"}),
}


@pytest.mark.parametrize("case", POSTGRES_SETTINGS)
def test_postgres_gets_the_same_settings_from_the_loader_and_dlt(case: str, connections: Connections) -> None:
    settings, expected = POSTGRES_SETTINGS[case]
    given = {key: value for key, value in {**POSTGRES, **settings}.items() if value is not None}
    own, dlts = connections.of("postgres", **given, schema="marts")
    dlts = from_postgres(**dlts)
    for name, value in expected.items():
        assert own.get(name) == value
        assert dlts.get(name) == (None if value is None else str(value))


@pytest.mark.parametrize("password", PASSWORDS)
def test_postgres_gets_any_password_unchanged(password: str, connections: Connections) -> None:
    own, dlts = connections.of("postgres", **{**POSTGRES, "password": password}, schema="marts")
    assert own["password"] == password
    assert from_postgres(**dlts).get("password", "") == password


CLICKHOUSE_PORTS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "no port": ({}, (8123, 9000)),
    "no port, TLS": ({"secure": True}, (8443, 9440)),
    "HTTP port": ({"port": 80}, (80, 9000)),
    "both ports": ({"port": 443, "native_port": 9441, "secure": True}, (443, 9441)),
    "HTTP driver": ({"driver": "http", "port": 8124, "native_port": 9001}, (8124, 9001)),
    "native driver": ({"driver": "native"}, (8123, 9000)),
    "native driver, TLS": ({"driver": "native", "secure": True}, (8443, 9440)),
    "native driver with a port": ({"driver": "native", "port": 9001}, (8123, 9001)),
    "native driver with both ports": ({"driver": "native", "port": 9001, "http_port": 8124}, (8124, 9001)),
    # dbt infers the native driver from these ports
    "native port without a driver": ({"port": 9000}, (8123, 9000)),
    "native port without a driver, TLS": ({"port": 9440, "secure": True}, (8443, 9440)),
}


def from_clickhouse(dsn: str, arguments: tuple[()]) -> dict[str, Any]:
    """dlt's arguments, as clickhouse-driver parses them."""
    from clickhouse_driver.util.helpers import parse_url

    host, parsed = parse_url(dsn)
    return {"host": host, **parsed}


@pytest.mark.parametrize("case", CLICKHOUSE_PORTS)
def test_connections_to_clickhouse_use_the_ports_that_dbt_uses(case: str, connections: Connections) -> None:
    settings, (http, native) = CLICKHOUSE_PORTS[case]
    own, dlts, files = connections.of("clickhouse", host="db.example", user="loader", schema="marts", **settings)
    dlts = from_clickhouse(**dlts)
    assert (own["port"], dlts["port"], files["port"]) == (http, native, http)
    assert (own["host"], dlts["host"], files["host"]) == ("db.example",) * 3
    is_secure = settings.get("secure", False)
    assert (own["secure"], dlts["secure"], files["secure"]) == (is_secure,) * 3


@pytest.mark.parametrize("password", PASSWORDS)
def test_clickhouse_gets_any_password_unchanged(password: str, connections: Connections) -> None:
    settings = {"host": "db.example", "user": "a@b", "password": password, "schema": "marts"}
    own, dlts, files = connections.of("clickhouse", **settings)
    dlts = from_clickhouse(**dlts)
    assert (own["username"], dlts["user"], files["user_name"]) == ("a@b",) * 3
    assert (own["password"], dlts["password"], files["password"]) == (password,) * 3
    assert (dlts["database"], files["database"]) == ("raw_usage",) * 2


def test_the_default_user_of_clickhouse_has_no_password(connections: Connections) -> None:
    own, dlts, files = connections.of("clickhouse", host="db.example", schema="marts")
    dlts = from_clickhouse(**dlts)
    assert (own["username"], dlts["user"], files["user_name"]) == ("default",) * 3
    assert (own["password"], dlts["password"], files["password"]) == ("",) * 3


@pytest.mark.parametrize("does_verify", [True, False])
def test_either_all_connections_to_clickhouse_verify_certificates_or_none(
    does_verify: bool, connections: Connections
) -> None:
    own, dlts, files = connections.of("clickhouse", host="db.example", secure=True, verify=does_verify, schema="marts")
    assert (own["verify"], from_clickhouse(**dlts).get("verify", True)) == (does_verify,) * 2
    assert files.get("verify", True) == does_verify


def test_clickhouse_gets_the_certificate_of_the_user(connections: Connections) -> None:
    certificate = {"client_cert": "/My Files/c.pem", "client_cert_key": "/My Files/c.key"}
    own, dlts, files = connections.of("clickhouse", host="db.example", secure=True, schema="marts", **certificate)
    assert certificate.items() <= own.items()
    assert certificate.items() <= files.items()
    dlts = from_clickhouse(**dlts)
    assert (dlts["certfile"], dlts["keyfile"]) == tuple(certificate.values())


def test_clickhouse_gets_the_timeouts_of_the_profile(connections: Connections) -> None:
    seconds = {"connect_timeout": 3, "send_receive_timeout": 900}
    own, dlts, _ = connections.of("clickhouse", host="db.example", schema="marts", **seconds)
    assert seconds.items() <= own.items()
    assert seconds.items() <= from_clickhouse(**dlts).items()


REPLICATED = "Replicated('/clickhouse/databases/raw_usage', 'all', '{shard}_{replica}')"
CLUSTERS: dict[str, tuple[dict[str, str], str, str]] = {
    "one server": ({}, "merge_tree", ""),
    "a cluster": ({"cluster": "all"}, "replicated_merge_tree", f' on cluster "all" engine = {REPLICATED}'),
    "a custom engine": (
        {"cluster": "all", "database_engine": "Replicated('/own', '{shard}', '{replica}')"},
        "replicated_merge_tree",
        " on cluster \"all\" engine = Replicated('/own', '{shard}', '{replica}')",
    ),
}


@pytest.mark.parametrize("case", CLUSTERS)
@pytest.mark.usefixtures("connections")
def test_the_raw_schema_of_a_cluster_is_replicated(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, engine, clause = CLUSTERS[case]
    client = MagicMock()
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **_: client)
    with connect(Target("own", "clickhouse", {"host": "db.example", **settings}, folder, folder)) as warehouse:
        warehouse.create_schema("raw_usage")
        assert warehouse.destination().config_params["table_engine_type"] == engine
    client.query.assert_called_once_with(f"create database if not exists raw_usage{clause}")


@pytest.mark.usefixtures("connections")
def test_the_marts_schema_of_a_cluster_is_created_as_by_dbt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MagicMock()
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **_: client)
    with connect(Target("own", "clickhouse", {"host": "db.example", "cluster": "all"}, folder, folder)) as warehouse:
        warehouse.create_schema("marts")
    client.query.assert_called_once_with('create database if not exists marts on cluster "all"')


SNOWFLAKE_LOGINS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a password": ({"password": "word"}, {"password": "word"}),
    "a second factor": (
        {"password": "word", "authenticator": "username_password_mfa"},
        {"password": "word", "authenticator": "username_password_mfa", "client_request_mfa_token": True},
    ),
    "a browser": (
        {"authenticator": "externalbrowser"},
        {"authenticator": "externalbrowser", "client_store_temporary_credential": True},
    ),
    "an OAuth token": (
        {"authenticator": "oauth", "token": "a token"},
        {"authenticator": "oauth", "token": "a token"},
    ),
    "an OAuth token of a provider": (
        {"authenticator": "jwt", "token": "a token"},
        {"authenticator": "oauth", "token": "a token"},
    ),
    "a programmatic access token": (
        {"authenticator": "programmatic_access_token", "token": "a token"},
        {"authenticator": "programmatic_access_token", "token": "a token"},
    ),
    "a programmatic access token as a password": ({"password": "a token"}, {"password": "a token"}),
    "Okta": (
        {"password": "word", "authenticator": "https://company.example"},
        {"password": "word", "authenticator": "https://company.example"},
    ),
    "a workload identity": (
        {"authenticator": "workload_identity", "workload_identity_provider": "aws"},
        {"authenticator": "WORKLOAD_IDENTITY", "workload_identity_provider": "aws"},
    ),
    "a separate address": (
        {"password": "word", "host": "db.example", "port": 444, "protocol": "http"},
        {"host": "db.example", "port": 444, "protocol": "http"},
    ),
    "an account with an underscore": (
        {"password": "word", "account": "my_organization-account"},
        {"account": "my-organization-account"},
    ),
}


@pytest.mark.parametrize("case", SNOWFLAKE_LOGINS)
def test_snowflake_gets_the_same_settings_from_the_loader_and_dlt(case: str, connections: Connections) -> None:
    settings, expected = SNOWFLAKE_LOGINS[case]
    own, dlts = connections.of("snowflake", **{**SNOWFLAKE, **settings})
    place = {key: SNOWFLAKE[key] for key in ("user", "role", "warehouse", "database", "account")}
    for arguments in (own, dlts):
        assert (place | expected).items() <= arguments.items()
        assert (arguments["timezone"], arguments["autocommit"]) == ("UTC", True)
        assert arguments.get("password") == settings.get("password")
        assert arguments.get("private_key") is None
    assert dlts["schema"] == '"RAW_USAGE"'


@pytest.mark.parametrize("password", PASSWORDS[2:])
def test_snowflake_gets_any_password_unchanged(password: str, connections: Connections) -> None:
    own, dlts = connections.of("snowflake", **SNOWFLAKE, password=password)
    assert (own["password"], dlts["password"]) == (password, password)


@pytest.mark.parametrize("passphrase", ["", "a passphrase"])
@pytest.mark.parametrize("is_file", [True, False])
def test_snowflake_gets_the_key(
    is_file: bool, passphrase: str, key: rsa.RSAPrivateKey, folder: Path, connections: Connections
) -> None:
    text = pem(key, passphrase)
    (folder / "key.p8").write_text(text)
    given = {"private_key_path": str(folder / "key.p8")} if is_file else {"private_key": text}
    own, dlts = connections.of("snowflake", **SNOWFLAKE, **given, private_key_passphrase=passphrase)
    assert own["private_key"] == dlts["private_key"] == der(key)
    assert "password" not in own
    assert dlts.get("password") is None
    # the connector gets neither the file nor its passphrase
    assert not {"private_key_path", "private_key_passphrase"} & (own.keys() | dlts.keys())


def test_snowflake_gets_a_key_without_header_lines(key: rsa.RSAPrivateKey, connections: Connections) -> None:
    own, dlts = connections.of("snowflake", **SNOWFLAKE, private_key=base64.b64encode(der(key)).decode())
    assert own["private_key"] == dlts["private_key"] == der(key)


USER_LOGIN = {"type": "authorized_user", "client_id": "a client", "client_secret": "a secret", "refresh_token": "again"}
BIGQUERY_LOGINS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "gcloud's login": ({"method": "oauth"}, "google.oauth2.credentials", {"refresh_token": "again"}),
    "a key file": (
        {"method": "service-account", "keyfile": "key.json"},
        "google.oauth2.service_account",
        {"service_account_email": "account@project-of-the-account.iam.gserviceaccount.com"},
    ),
    "the content of a key file": (
        {"method": "service-account-json"},
        "google.oauth2.service_account",
        {"service_account_email": "account@project-of-the-account.iam.gserviceaccount.com"},
    ),
    "impersonation with gcloud's login": (
        {"method": "oauth", "impersonate_service_account": "other@project.iam.gserviceaccount.com"},
        "google.auth.impersonated_credentials",
        {"service_account_email": "other@project.iam.gserviceaccount.com"},
    ),
    "impersonation with a key file": (
        {
            "method": "service-account",
            "keyfile": "key.json",
            "impersonate_service_account": "other@project.iam.gserviceaccount.com",
        },
        "google.auth.impersonated_credentials",
        {"service_account_email": "other@project.iam.gserviceaccount.com"},
    ),
    "a token": ({"method": "oauth-secrets", "token": "a token"}, "google.oauth2.credentials", {"token": "a token"}),
    "a refresh token": (
        {
            "method": "oauth-secrets",
            "refresh_token": "again",
            "client_id": "a client",
            "client_secret": "a secret",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        "google.oauth2.credentials",
        {"refresh_token": "again", "client_id": "a client"},
    ),
}


@pytest.mark.parametrize("case", BIGQUERY_LOGINS)
def test_bigquery_gets_the_same_login_from_dbt_and_dlt(
    case: str,
    service_account: dict[str, str],
    folder: Path,
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, kind, expected = BIGQUERY_LOGINS[case]
    if settings["method"] == "service-account-json":
        settings = {**settings, "keyfile_json": service_account}
    (folder / "key.json").write_text(json.dumps(service_account))
    (folder / "login.json").write_text(json.dumps(USER_LOGIN))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "login.json"))
    own, dlts = connections.of("bigquery", project="a-project", dataset="marts", location="EU", **settings)
    # dbt's client is made from dbt's credentials
    (credentials,) = own["arguments"]
    assert (credentials.database, credentials.location, credentials.method) == ("a-project", "EU", settings["method"])
    # dlt gets what dbt made from them
    assert (dlts["arguments"], dlts["location"]) == (("a-project",), "EU")
    assert type(dlts["credentials"]).__module__ == kind
    assert {name: getattr(dlts["credentials"], name) for name in expected} == expected
    if kind == "google.oauth2.service_account":
        assert "https://www.googleapis.com/auth/bigquery" in dlts["credentials"].scopes


def test_bigquery_gets_the_credentials_that_dbt_makes(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.auth.credentials import AnonymousCredentials

    made = AnonymousCredentials()
    monkeypatch.setattr("tokenmart.destinations.bigquery.create_google_credentials", lambda credentials: made)
    _, dlts = connections.of("bigquery", method="oauth", project="a-project", dataset="marts")
    assert dlts["credentials"] is made
    # BigQuery's default, which dlt's client needs explicitly
    assert dlts["location"] == "US"


def test_names_are_resolved_in_the_project_of_the_data(connections: Connections) -> None:
    login = {"method": "oauth-secrets", "token": "a token"}
    connections.of("bigquery", project="data", dataset="marts", execution_project="jobs", **login)
    (of_the_loader,) = connections.opened["create_bigquery_client"]
    (credentials,) = of_the_loader["arguments"]
    assert (credentials.database, credentials.execution_project) == ("data", "data")
    (of_dlt,) = connections.opened["google.cloud.bigquery.Client"]
    assert "data" in (of_dlt.get("project"), *of_dlt["arguments"])
