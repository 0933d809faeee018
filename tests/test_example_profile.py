"""Every output of the example profile, with every way to log in, works with dbt, the loader's driver and dlt's."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from dbt.adapters.factory import load_plugin
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context

from conftest import PROJECT
from connections import Connections, pem
from tokenmart.destinations import TYPES
from tokenmart.profile import EXAMPLE, read_target

pytest_plugins = ["connections"]


# a comment in words, and the commented settings below it that it describes
WAY = re.compile(r"^ +# (?P<words>.+)\n(?P<settings>(?: +# [a-z_]+: .+\n)+)", re.MULTILINE)
VARIABLE = re.compile(r"env_var\('(\w+)'")
# settings without secrets or local values, which may be in the file
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
    """The block unchanged, and with each of its commented groups of settings, by the comment of the group.

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


@pytest.fixture
def environment(
    folder: Path, key: rsa.RSAPrivateKey, service_account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets all variables that the example uses, and writes the files that they refer to."""
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
    # the number of ways to log in or connect
    assert {name: len(ways(block)) for name, block in BLOCKS.items()} == {
        "postgres": 3,
        "clickhouse": 5,
        "bigquery": 4,
        "snowflake": 6,
    }


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("way", WAYS)
def test_dbt_accepts_every_output_of_the_example(way: str, folder: Path) -> None:
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
    # dbt ignores unknown settings
    assert settings.keys() <= kind.__dataclass_fields__.keys() | OWN_SETTINGS.get(name, set())
    assert isinstance(target.settings["threads"], int)


@pytest.mark.parametrize("way", WAYS)
def test_no_setting_of_the_example_is_repeated(way: str) -> None:
    name, block = WAYS[way]
    # YAML silently takes the last of two
    assert len(yaml.safe_load(block)[name]) == len(re.findall(r"^ {6}[a-z_]+:", block, re.MULTILINE))


@pytest.mark.parametrize("way", WAYS)
def test_the_example_has_no_secrets_or_local_values(way: str) -> None:
    name, block = WAYS[way]
    settings = yaml.safe_load(block)[name].items()
    texts = {setting: value for setting, value in settings if isinstance(value, str) and setting not in CONSTANTS}
    assert texts
    for setting, value in texts.items():
        if value:
            (variable,) = VARIABLE.findall(value)
            assert variable.startswith("DBT_ENV_SECRET_") == (setting in SECRETS)


def test_the_servers_of_compose_listen_where_the_example_connects() -> None:
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
    # the commands to run the tests against them use variables of the example
    variables = set(re.findall(r"([A-Z_]+)=", text)) - {"TOKENMART_TEST_POSTGRES", "TOKENMART_TEST_CLICKHOUSE"}
    assert variables - {"TOKENMART_TEST_TIMESCALE"} <= set(VARIABLE.findall("".join(BLOCKS.values())))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("way", WAYS)
def test_the_loader_and_dlt_connect_with_every_output_of_the_example(
    way: str, folder: Path, connections: Connections
) -> None:
    name, block = WAYS[way]
    profile_with(folder, block)
    connections.open(read_target(folder, name))
    assert sum(map(len, connections.opened.values())) == (3 if name == "clickhouse" else 2)
