"""Every connection in the example profile reaches dbt, the loader's driver and dlt's; errors are reported."""

import base64
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dbt.adapters.factory import load_plugin
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context
from dlt.pipeline.exceptions import PipelineStepFailed

from conftest import PROJECT
from tokenmart.cli import main
from tokenmart.destinations import TYPES, advice, connect
from tokenmart.doctor import examine
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.pipeline import _failure, open_pipeline
from tokenmart.profile import EXAMPLE, Target, read_target

# ---------------------------------------------------------------- the example and its ways to log in

# lines that say in words what the commented settings below them are for
WAY = re.compile(r"^ +# (?P<words>.+)\n(?P<settings>(?: +# [a-z_]+: .+\n)+)", re.MULTILINE)
VARIABLE = re.compile(r"env_var\('(\w+)'")
# settings that say how, not where or who: they may stand in the file
CONSTANTS = {"type", "schema", "dataset", "method", "authenticator", "sslmode", "priority"}
SECRETS = {"password", "token", "private_key_passphrase"}
OF_DBT_ITSELF = {"type", "threads"}
OWN_SETTINGS = {"clickhouse": {"native_port"}}


def uncommented(text: str) -> str:
    """Lines of the example without their first `# `."""
    return "".join(line.replace("# ", "", 1) for line in text.splitlines(keepends=True))


def commented_blocks() -> dict[str, str]:
    """The blocks of the example, uncommented, by the name of their output."""
    found = {}
    for block in (PROJECT / EXAMPLE).read_text().split("\n\n")[1:]:
        text = uncommented(block.rstrip("\n") + "\n")
        (name,) = yaml.safe_load(text)
        found[str(name)] = text
    return found


def ways(block: str) -> dict[str, str]:
    """The block as it is, and with each group of settings that is still commented in it, keyed by the group's comment.

    The settings that the comment names after "instead of" are removed.
    """
    found = {"as it is": block}
    for way in WAY.finditer(block):
        replaced = re.findall(r"\w+", re.split("[:,]", way["words"].lower().partition("instead of ")[2])[0])
        before, after = (without(part, replaced) for part in (block[: way.start()], block[way.end() :]))
        found[way["words"][:60]] = before + uncommented(way["settings"]) + after
    return found


def without(block: str, settings: list[str]) -> str:
    """The block without the lines of these settings."""
    return re.sub(rf"^ {{6}}({'|'.join(settings)}): .+\n", "", block, flags=re.MULTILINE) if settings else block


BLOCKS = commented_blocks()
WAYS = {f"{name}, {title}": (name, text) for name, block in BLOCKS.items() for title, text in ways(block).items()}


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """A private key for tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def service_account(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """What is in the key file of a Google service account."""
    return {
        "type": "service_account",
        "project_id": "project-of-the-account",
        "private_key_id": "1",
        "private_key": pem(key),
        "client_email": "account@project-of-the-account.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def pem(key: rsa.RSAPrivateKey, passphrase: str = "") -> str:
    """The key as a file has it."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def der(key: rsa.RSAPrivateKey) -> bytes:
    """The key as Snowflake's connector takes it."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, with room for its profile."""
    shutil.copy(PROJECT / "dbt_project.yml", tmp_path)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("TOKENMART_TARGET", "TOKENMART_RAW_SCHEMA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def environment(
    folder: Path, key: rsa.RSAPrivateKey, service_account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables that the example names, all set, and the files that they name."""
    google_key, snowflake_key = folder / "google.json", folder / "snowflake.p8"
    google_key.write_text(json.dumps(service_account))
    snowflake_key.write_text(pem(key, "a passphrase"))
    values = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(google_key),
        "BIGQUERY_KEY_JSON": json.dumps(service_account),
        "SNOWFLAKE_KEY_FILE": str(snowflake_key),
        "DBT_ENV_SECRET_SNOWFLAKE_PASSPHRASE": "a passphrase",
    }
    for name in VARIABLE.findall("".join(BLOCKS.values())):
        monkeypatch.setenv(name, values.get(name, "4321" if name.endswith("_PORT") else f"the {name}"))


def profile_with(folder: Path, block: str) -> Path:
    """Writes the example with this block instead of its commented one."""
    path = folder / "profiles.yml"
    start = (PROJECT / EXAMPLE).read_text().split("\n\n")[0]
    path.write_text(f"{start}\n\n{block}")
    return path


def test_the_example_has_an_output_for_every_warehouse() -> None:
    assert ("duckdb", *BLOCKS) == TYPES
    for name, block in BLOCKS.items():
        assert block.splitlines()[0].endswith(f": pip install 'tokenmart[{name}]'")
    # as many as the words below speak of
    assert {name: len(ways(block)) for name, block in BLOCKS.items()} == {
        "postgres": 3,
        "clickhouse": 5,
        "bigquery": 4,
        "snowflake": 6,
    }


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("way", WAYS)
def test_dbt_takes_every_output_of_the_example(way: str, folder: Path) -> None:
    name, block = WAYS[way]
    path = profile_with(folder, block)
    target = read_target(folder, name)
    set_invocation_context(os.environ)
    raw = yaml.safe_load(path.read_text())["tokenmart"]
    assert (name, target.settings) == Profile.render_profile(raw, "tokenmart", name, ProfileRenderer({}))
    kind: Any = load_plugin(target.type)
    settings = kind.translate_aliases({key: target.settings[key] for key in target.settings.keys() - OF_DBT_ITSELF})
    kind.validate(settings)
    assert kind.from_dict(settings).schema == target.marts_schema == "marts"
    # dbt does not mind a setting that it does not know
    assert settings.keys() <= kind.__dataclass_fields__.keys() | OWN_SETTINGS.get(name, set())
    assert isinstance(target.settings["threads"], int)


@pytest.mark.parametrize("way", WAYS)
def test_no_setting_of_the_example_is_there_twice(way: str) -> None:
    name, block = WAYS[way]
    # YAML would take the last of two, and say nothing
    assert len(yaml.safe_load(block)[name]) == len(re.findall(r"^ {6}[a-z_]+:", block, re.MULTILINE))


@pytest.mark.parametrize("way", WAYS)
def test_nothing_secret_or_local_is_in_the_example(way: str) -> None:
    name, block = WAYS[way]
    for setting, value in yaml.safe_load(block)[name].items():
        if isinstance(value, str) and value and setting not in CONSTANTS:
            (variable,) = VARIABLE.findall(value)
            assert variable.startswith("DBT_ENV_SECRET_") == (setting in SECRETS)


def test_the_servers_of_compose_are_where_the_example_looks() -> None:
    text = (PROJECT / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert services.keys() == {"postgres", "timescale", "clickhouse"}
    for service in services.values():
        assert re.fullmatch(r"[\w/-]+:\d[\w.-]+", service["image"])
        assert service["tmpfs"] and service["healthcheck"]["test"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # the example's defaults: the target and its ports
    defaults = {name: re.findall(r"_PORT', '(\d+)'", block) for name, block in BLOCKS.items()}
    assert services["postgres"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in defaults["postgres"]]
    assert services["clickhouse"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in defaults["clickhouse"][:2]]
    # variables of the example say how to run the tests against them
    said = set(re.findall(r"([A-Z_]+)=", text)) - {"TOKENMART_TEST_POSTGRES", "TOKENMART_TEST_CLICKHOUSE"}
    assert said - {"TOKENMART_TEST_TIMESCALE"} <= set(VARIABLE.findall("".join(BLOCKS.values())))


# ---------------------------------------------------------------- what reaches the drivers


@dataclass(frozen=True)
class Connections:
    """The keyword arguments of every connection that was opened, by the function that was to open it."""

    folder: Path
    opened: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str, **settings: Any) -> tuple[dict[str, Any], ...]:
        """Opens a target of these settings, and in it what dlt opens; the arguments in the order of opening."""
        self.open(Target("own", kind, {"type": kind, **settings}, self.folder, self.folder))
        return tuple(arguments for calls in self.opened.values() for arguments in calls)

    def open(self, target: Target) -> None:
        """Opens the target as a load does: the loader's connection, dlt's, and for ClickHouse its one for files."""
        file = self.folder / "rows.parquet"
        file.touch()
        with open_pipeline(target, is_new=True) as pipeline, pipeline.dlt_pipeline.sql_client() as client:
            if target.type == "clickhouse":
                client.insert_file(str(file), "events", "parquet", "none")

    def record(self, name: str) -> Callable[..., Any]:
        """What stands in for a function that opens connections; `arguments` are those without a keyword."""

        def connected(*arguments: Any, **options: Any) -> Any:
            self.opened.setdefault(name, []).append({"arguments": arguments, **options})
            return MagicMock()

        return connected


@pytest.fixture
def connections(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """Records connections to any warehouse, and opens none."""
    from dbt.adapters.bigquery import credentials as bigquery_credentials

    made = Connections(folder)
    for name in (
        "psycopg2.connect",
        "clickhouse_connect.get_client",
        "clickhouse_connect.create_client",
        "clickhouse_driver.connect",
        "snowflake.connector.connect",
        "google.cloud.bigquery.Client",
    ):
        monkeypatch.setattr(name, made.record(name))
    monkeypatch.setattr("tokenmart.destinations.bigquery.create_bigquery_client", made.record("create_bigquery_client"))
    # dbt keeps what it finds at the first time
    bigquery_credentials._create_bigquery_defaults.cache_clear()
    yield made
    bigquery_credentials._create_bigquery_defaults.cache_clear()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("way", WAYS)
def test_the_loader_and_dlt_connect_with_every_output_of_the_example(
    way: str, folder: Path, connections: Connections
) -> None:
    name, block = WAYS[way]
    profile_with(folder, block)
    connections.open(read_target(folder, name))
    assert sum(map(len, connections.opened.values())) == (3 if name == "clickhouse" else 2)


# passwords that have a meaning in URLs, in shells, in connection strings
PASSWORDS = ["word", "", "p@ss:w/o?r#d", "100%25+1", 'it\'s "quoted" \\', "pässwörd", "$HOME `x`", " between spaces "]


def from_postgres(dsn: str, arguments: tuple[()], **options: Any) -> dict[str, str]:
    """What libpq understands of dlt's arguments."""
    from psycopg2.extensions import parse_dsn

    said = {**parse_dsn(dsn), **options}
    # dlt's own part
    return {**said, "options": said["options"].partition("-csearch_path=")[0].strip()}


POSTGRES = {"host": "db.example", "port": 5433, "user": "loader", "password": "word", "dbname": "usage"}
POSTGRES_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "all that dbt must have": ({}, {**POSTGRES, "connect_timeout": 10}),
    "dbt's other names": (
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
    "how long to wait": ({"connect_timeout": 3}, {"connect_timeout": 3}),
    "a name of the application": ({"application_name": "nightly load"}, {"application_name": "nightly load"}),
    "a pause": ({"keepalives_idle": 60}, {"keepalives_idle": 60}),
    # zero is the default, and nothing that a socket can be set to
    "no pause": ({"keepalives_idle": 0}, {"keepalives_idle": None}),
    "no mode": ({"sslmode": ""}, {"sslmode": None}),
    "a socket": ({"host": "/var/run/postgresql"}, {"host": "/var/run/postgresql"}),
    "an address": ({"host": "::1"}, {"host": "::1"}),
    "a user with an @": ({"user": "loader@company"}, {"user": "loader@company"}),
}


@pytest.mark.parametrize("case", POSTGRES_SETTINGS)
def test_postgres_is_told_the_same_by_the_loader_and_by_dlt(case: str, connections: Connections) -> None:
    settings, expected = POSTGRES_SETTINGS[case]
    given = {key: value for key, value in {**POSTGRES, **settings}.items() if value is not None}
    own, dlts = connections.of("postgres", **given, schema="marts")
    dlts = from_postgres(**dlts)
    for name, value in expected.items():
        assert own.get(name) == value
        assert dlts.get(name) == (None if value is None else str(value))


@pytest.mark.parametrize("password", PASSWORDS)
def test_postgres_gets_any_password_as_it_is(password: str, connections: Connections) -> None:
    own, dlts = connections.of("postgres", **{**POSTGRES, "password": password}, schema="marts")
    assert own["password"] == password
    assert from_postgres(**dlts).get("password", "") == password


CLICKHOUSE_PORTS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "none": ({}, (8123, 9000)),
    "none, TLS": ({"secure": True}, (8443, 9440)),
    "HTTP's": ({"port": 80}, (80, 9000)),
    "both": ({"port": 443, "native_port": 9441, "secure": True}, (443, 9441)),
    "the driver's HTTP": ({"driver": "http", "port": 8124, "native_port": 9001}, (8124, 9001)),
    "the driver's native": ({"driver": "native"}, (8123, 9000)),
    "the driver's native, TLS": ({"driver": "native", "secure": True}, (8443, 9440)),
    "native's": ({"driver": "native", "port": 9001}, (8123, 9001)),
    "native's and HTTP's": ({"driver": "native", "port": 9001, "http_port": 8124}, (8124, 9001)),
    # dbt takes them as a sign of the native driver
    "native's, unsaid": ({"port": 9000}, (8123, 9000)),
    "native's, unsaid, TLS": ({"port": 9440, "secure": True}, (8443, 9440)),
}


def from_clickhouse(dsn: str, arguments: tuple[()]) -> dict[str, Any]:
    """What clickhouse-driver understands of dlt's arguments."""
    from clickhouse_driver.util.helpers import parse_url

    host, said = parse_url(dsn)
    return {"host": host, **said}


@pytest.mark.parametrize("case", CLICKHOUSE_PORTS)
def test_clickhouse_is_reached_at_the_ports_that_dbt_would_take(case: str, connections: Connections) -> None:
    settings, (http, native) = CLICKHOUSE_PORTS[case]
    own, dlts, files = connections.of("clickhouse", host="db.example", user="loader", schema="marts", **settings)
    dlts = from_clickhouse(**dlts)
    assert (own["port"], dlts["port"], files["port"]) == (http, native, http)
    assert (own["host"], dlts["host"], files["host"]) == ("db.example",) * 3
    is_secure = settings.get("secure", False)
    assert (own["secure"], dlts["secure"], files["secure"]) == (is_secure,) * 3


@pytest.mark.parametrize("password", PASSWORDS)
def test_clickhouse_gets_any_password_as_it_is(password: str, connections: Connections) -> None:
    settings = {"host": "db.example", "user": "a@b", "password": password, "schema": "marts"}
    own, dlts, files = connections.of("clickhouse", **settings)
    dlts = from_clickhouse(**dlts)
    assert (own["username"], dlts["user"], files["user_name"]) == ("a@b",) * 3
    assert (own["password"], dlts["password"], files["password"]) == (password,) * 3
    assert (dlts["database"], files["database"]) == ("raw_usage",) * 2


def test_clickhouse_has_the_user_default_without_a_password(connections: Connections) -> None:
    own, dlts, files = connections.of("clickhouse", host="db.example", schema="marts")
    dlts = from_clickhouse(**dlts)
    assert (own["username"], dlts["user"], files["user_name"]) == ("default",) * 3
    assert (own["password"], dlts["password"], files["password"]) == ("",) * 3


@pytest.mark.parametrize("does_verify", [True, False])
def test_clickhouse_is_believed_or_verified_by_all(does_verify: bool, connections: Connections) -> None:
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


def test_clickhouse_is_waited_for_as_long_as_the_profile_says(connections: Connections) -> None:
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
def test_what_is_landed_on_a_cluster_is_on_each_of_its_servers(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, engine, place = CLUSTERS[case]
    client = MagicMock()
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **_: client)
    with connect(Target("own", "clickhouse", {"host": "db.example", **settings}, folder, folder)) as warehouse:
        warehouse.create_schema("raw_usage")
        assert warehouse.destination.config_params["table_engine_type"] == engine
    client.query.assert_called_once_with(f"create database if not exists raw_usage{place}")


@pytest.mark.usefixtures("connections")
def test_the_schema_of_marts_is_on_a_cluster_what_dbt_would_make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MagicMock()
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **_: client)
    with connect(Target("own", "clickhouse", {"host": "db.example", "cluster": "all"}, folder, folder)) as warehouse:
        warehouse.create_schema("marts")
    client.query.assert_called_once_with('create database if not exists marts on cluster "all"')


SNOWFLAKE = {
    "account": "organization-account",
    "user": "loader",
    "role": "owner",
    "warehouse": "small",
    "database": "usage",
    "schema": "marts",
}
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
    "such a token as a password": ({"password": "a token"}, {"password": "a token"}),
    "Okta": (
        {"password": "word", "authenticator": "https://company.example"},
        {"password": "word", "authenticator": "https://company.example"},
    ),
    "the cloud's own identity": (
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
def test_snowflake_is_told_the_same_by_the_loader_and_by_dlt(case: str, connections: Connections) -> None:
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
def test_snowflake_gets_any_password_as_it_is(password: str, connections: Connections) -> None:
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
    # neither the file nor its passphrase is the connector's business
    assert not {"private_key_path", "private_key_passphrase"} & (own.keys() | dlts.keys())


def test_snowflake_gets_a_key_without_its_armour(key: rsa.RSAPrivateKey, connections: Connections) -> None:
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
    "what is in it": (
        {"method": "service-account-json"},
        "google.oauth2.service_account",
        {"service_account_email": "account@project-of-the-account.iam.gserviceaccount.com"},
    ),
    "another account by gcloud's login": (
        {"method": "oauth", "impersonate_service_account": "other@project.iam.gserviceaccount.com"},
        "google.auth.impersonated_credentials",
        {"service_account_email": "other@project.iam.gserviceaccount.com"},
    ),
    "another account by a key file": (
        {
            "method": "service-account",
            "keyfile": "key.json",
            "impersonate_service_account": "other@project.iam.gserviceaccount.com",
        },
        "google.auth.impersonated_credentials",
        {"service_account_email": "other@project.iam.gserviceaccount.com"},
    ),
    "a token": ({"method": "oauth-secrets", "token": "a token"}, "google.oauth2.credentials", {"token": "a token"}),
    "a token for tokens": (
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
def test_bigquery_gets_the_login_from_dbt_and_from_dlt(
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


def test_bigquery_gets_the_very_credentials_that_dbt_makes(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.auth.credentials import AnonymousCredentials

    made = AnonymousCredentials()
    monkeypatch.setattr("tokenmart.destinations.bigquery.create_google_credentials", lambda credentials: made)
    _, dlts = connections.of("bigquery", method="oauth", project="a-project", dataset="marts")
    assert dlts["credentials"] is made
    # BigQuery's own default, which dlt's client wants to hear
    assert dlts["location"] == "US"


# ---------------------------------------------------------------- error messages


def profile_of(folder: Path, kind: str, **settings: Any) -> Target:
    """Writes a profile with one target of this type, and reads it."""
    outputs = {"own": {"type": kind, "schema": "marts", **settings}}
    (folder / "profiles.yml").write_text(yaml.safe_dump({"tokenmart": {"target": "own", "outputs": outputs}}))
    return read_target(folder)


def complaint() -> list[str]:
    """What `tokenmart status` says of a failure, by line."""
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
def test_a_missing_package_is_said_with_what_to_install(
    kind: str, package: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"tokenmart.destinations.{kind}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    profile_of(folder, kind)
    failed, hint = complaint()
    assert failed.startswith(f"Failed: The target own has type {kind}, whose packages are not installed (")
    assert hint == f"Install them: pip install 'tokenmart[{kind}]'"


def test_postgres_is_not_given_a_schema_with_capitals(folder: Path) -> None:
    with pytest.raises(TokenmartError, match="upper-case"), connect(profile_of(folder, "postgres", schema="Marts")):
        pass


def test_a_missing_adapter_is_nothing_that_doctor_finds_fine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "dbt-postgres":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr("tokenmart.doctor.version", version)
    found = next(finding for finding in examine(profile_of(folder, "postgres", port=1)) if finding.what == "packages")
    assert not found.is_fine and "dbt-postgres missing" in found.found
    assert found.to_do == "pip install 'tokenmart[postgres]'"


def test_names_are_looked_for_in_the_project_of_the_data(connections: Connections) -> None:
    login = {"method": "oauth-secrets", "token": "a token"}
    connections.of("bigquery", project="data", dataset="marts", execution_project="jobs", **login)
    (of_the_loader,) = connections.opened["create_bigquery_client"]
    (credentials,) = of_the_loader["arguments"]
    assert (credentials.database, credentials.execution_project) == ("data", "data")
    (of_dlt,) = connections.opened["google.cloud.bigquery.Client"]
    assert "data" in (of_dlt.get("project"), *of_dlt["arguments"])


def test_what_the_loader_itself_says_is_said_as_it_is() -> None:
    try:
        try:
            try:
                raise ValueError("deep inside")
            except ValueError as error:
                raise UsageError("The format lacks a column.", "Select it.") from error
        except UsageError as error:
            raise PipelineStepFailed(MagicMock(), "extract", "1", error, None) from error
    except PipelineStepFailed as error:
        said = _failure(Target("own", "duckdb", {}, Path(), Path()), error)
    assert isinstance(said, UsageError) and (str(said), said.hint) == ("The format lacks a column.", "Select it.")


@pytest.mark.parametrize("kind", ["redshift", "Postgres", "postgresql", "__init__", "..cli"])
def test_another_type_is_said_with_those_that_there_are(kind: str, folder: Path) -> None:
    profile_of(folder, kind)
    failed, hint = complaint()
    assert failed == f"Failed: The target own has type {kind}, which is not supported."
    assert hint == f"Supported types are {', '.join(TYPES)}."


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no method": ("bigquery", {"project": "a-project"}),
    "no such method": ("bigquery", {"project": "a-project", "method": "key"}),
    "a key that is no object": ("bigquery", {"project": "a", "method": "service-account-json", "keyfile_json": "{}"}),
    "a key without its parts": (
        "bigquery",
        {"project": "a-project", "method": "service-account-json", "keyfile_json": {"type": "service_account"}},
    ),
    "no key file": ("bigquery", {"project": "a-project", "method": "service-account", "keyfile": "missing.json"}),
    "a key file of something else": (
        "bigquery",
        {"project": "a-project", "method": "service-account", "keyfile": "dbt_project.yml"},
    ),
    "nobody logged in": ("bigquery", {"project": "a-project", "method": "oauth"}),
    "nobody logged in, no project": ("bigquery", {"method": "oauth"}),
    "no account": ("snowflake", {"user": "loader", "password": "word", "database": "usage"}),
    "no database": ("snowflake", {"account": "account", "user": "loader", "password": "word"}),
    "a number as account": ("snowflake", {"account": 1, "user": "loader", "password": "word", "database": "usage"}),
    "no private key": ("snowflake", {**SNOWFLAKE, "private_key_path": "missing.p8"}),
    "a private key of something else": ("snowflake", {**SNOWFLAKE, "private_key_path": "dbt_project.yml"}),
    "no passphrase": ("snowflake", {**SNOWFLAKE, "private_key_path": "key.p8"}),
    "a wrong passphrase": (
        "snowflake",
        {**SNOWFLAKE, "private_key_path": "key.p8", "private_key_passphrase": "another"},
    ),
}


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_be_used_are_said_so(
    case: str, key: rsa.RSAPrivateKey, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, settings = REFUSED[case]
    (folder / "key.p8").write_text(pem(key, "a passphrase"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "missing.json"))
    profile_of(folder, kind, **settings)
    failed, *hint = complaint()
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
        with pytest.raises(UsageError) as raised, connect(target):
            pass
        assert str(raised.value) == f"The target own has {name}: {value}, which is not a whole number."
        assert raised.value.hint == f"Correct it in {folder / 'profiles.yml'}."


# what the drivers say of people's usual mistakes, and a part of the advice
SAID: list[tuple[str, str, str]] = [
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
    ("kind", "said", "advised"), SAID, ids=[f"{kind}, {number}" for number, (kind, *_) in enumerate(SAID)]
)
def test_there_is_advice_for_what_a_driver_says(kind: str, said: str, advised: str, folder: Path) -> None:
    target = Target("own", kind, {}, folder, folder)
    assert advised in (advice(target, said) or "")
    # as it is after line breaks are gone
    assert advice(target, " ".join(said.split())) == advice(target, said)


def test_no_advice_is_given_for_what_is_not_known(folder: Path) -> None:
    other = 'cannot drop database "a" because other objects depend on it'
    assert advice(Target("own", "postgres", {}, folder, folder), other) is None
    for kind in TYPES:
        assert advice(Target("own", kind, {}, folder, folder), "nobody has said this before") is None


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
        "clickhouse, the way": ("clickhouse", "clickhouse_connect.get_client", clickhouse.OperationalError("refused")),
        "bigquery, no login": ("bigquery", made, google_auth.DefaultCredentialsError("default credentials")),
        "bigquery, an old login": ("bigquery", client, google_auth.RefreshError("invalid_grant")),
        "bigquery, the server": ("bigquery", client, google.Forbidden("access denied")),
        "bigquery, the way": ("bigquery", client, requests.exceptions.ConnectionError("connection aborted")),
        "snowflake, the server": ("snowflake", "snowflake.connector.connect", snowflake.DatabaseError("jwt token")),
        "snowflake, the way": ("snowflake", "snowflake.connector.connect", snowflake.HttpError(msg="404 not found")),
    }


@pytest.mark.parametrize("case", raised_by_drivers())
def test_what_a_driver_raises_is_said_in_one_line_with_advice(
    case: str, folder: Path, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, function, error = raised_by_drivers()[case]

    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr("tokenmart.destinations.bigquery.create_google_credentials", MagicMock())
    monkeypatch.setattr(function if "." in function else f"tokenmart.destinations.bigquery.{function}", fail)
    settings = {"bigquery": {"project": "a-project", "method": "oauth"}, "snowflake": SNOWFLAKE}.get(kind, POSTGRES)
    target = profile_of(folder, kind, **settings)
    failed, hint = complaint()
    assert failed == f"Failed: The target own failed: {' '.join(str(error).split())}"
    assert hint == advice(target, str(error))


def test_advice_is_found_in_the_end_of_what_is_too_long_to_be_said(
    folder: Path, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg2

    def fail(**options: Any) -> Any:
        raise psycopg2.OperationalError("at a name that is long, " * 40 + "connection refused")

    monkeypatch.setattr("psycopg2.connect", fail)
    profile_of(folder, "postgres", **POSTGRES)
    failed, hint = complaint()
    assert len(failed) < 500
    assert "server running" in hint
