"""Helpers for the tests of connections: profiles, keys, and recorded arguments instead of real connections."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from conftest import PROJECT
from tokenmart.pipeline import open_pipeline
from tokenmart.profile import Target, read_target


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """A private key for tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def service_account(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The content of the key file of a Google service account."""
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
    """The key in PEM format, as in a file."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def der(key: rsa.RSAPrivateKey) -> bytes:
    """The key in DER format, as Snowflake's connector takes it."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a profile, as the current folder and the folder of profiles."""
    shutil.copy(PROJECT / "dbt_project.yml", tmp_path)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("TOKENMART_TARGET", "TOKENMART_RAW_SCHEMA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


POSTGRES = {"host": "db.example", "port": 5433, "user": "loader", "password": "word", "dbname": "usage"}


SNOWFLAKE = {
    "account": "organization-account",
    "user": "loader",
    "role": "owner",
    "warehouse": "small",
    "database": "usage",
    "schema": "marts",
}


def profile_of(folder: Path, kind: str, **settings: Any) -> Target:
    """Writes a profile with one target of this type, and reads it."""
    outputs = {"own": {"type": kind, "schema": "marts", **settings}}
    (folder / "profiles.yml").write_text(yaml.safe_dump({"tokenmart": {"target": "own", "outputs": outputs}}))
    return read_target(folder)


@dataclass(frozen=True)
class Connections:
    """The arguments of every connection that would have been opened, by the name of the function that opens it."""

    folder: Path
    opened: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str, **settings: Any) -> tuple[dict[str, Any], ...]:
        """Opens a target with these settings; returns the arguments of its connections in the order of opening."""
        self.open(Target("own", kind, {"type": kind, **settings}, self.folder, self.folder))
        return tuple(arguments for calls in self.opened.values() for arguments in calls)

    def open(self, target: Target) -> None:
        """Opens the target as a load does: the loader's connection, dlt's, and for ClickHouse dlt's for files."""
        file = self.folder / "rows.parquet"
        file.touch()
        with open_pipeline(target, is_new=True) as pipeline, pipeline.dlt_pipeline.sql_client() as client:
            if target.type == "clickhouse":
                client.insert_file(str(file), "events", "parquet", "none")

    def record(self, name: str) -> Callable[..., Any]:
        """Returns a function to use instead of one that opens connections; `arguments` are the positional ones."""

        def connected(*arguments: Any, **options: Any) -> Any:
            self.opened.setdefault(name, []).append({"arguments": arguments, **options})
            return MagicMock()

        return connected


@pytest.fixture
def connections(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """Records the arguments of connections to any warehouse, and opens none."""
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
    # dbt caches the default credentials
    bigquery_credentials._create_bigquery_defaults.cache_clear()
    yield made
    bigquery_credentials._create_bigquery_defaults.cache_clear()
