"""The loader reads a profile as dbt does, and reports what is wrong with it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context
from dbt_common.exceptions import DbtRuntimeError

from conftest import PROJECT
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.profile import EXAMPLE, find_project, read_target

ENVIRONMENT = {
    "WORD": "warehouse",
    "PORT": "5432",
    "ZEROS": "0012",
    "POWER": "1e5",
    "FRACTION": "1.5",
    "NEGATIVE": "-7",
    "YES": "yes",
    "TRUE": "True",
    "FALSE": "False",
    "LOWER": "true",
    "NONE": "None",
    "LIST": "[1, 'two']",
    "EMPTY": "",
    "YAML": "a: b # c",
    "QUOTED": '"it\'s"',
    "SPACES": "  7 ",
    "LINES": "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
    "BRACES": "{{ env_var('WORD') }}",
    "ACCENT": "pässwörd\U0001f600",
    "DBT_ENV_SECRET_PASSWORD": "0012",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the profile, with the environment set."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MISSING", raising=False)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    return tmp_path


def write(folder: Path, settings: dict[str, Any], target: Any = "dev", **outputs: dict[str, Any]) -> Path:
    path = folder / "profiles.yml"
    schema = {} if "dataset" in settings else {"schema": "marts"}
    outputs = {"dev": {"type": "duckdb", **schema, **settings}, **outputs}
    path.write_text(yaml.safe_dump({"tokenmart": {"target": target, "outputs": outputs}}, allow_unicode=True))
    return path


def by_dbt(path: Path, target: str | None = None) -> tuple[str, dict[str, Any]]:
    """The name of the target and its settings as dbt renders them."""
    set_invocation_context(os.environ)
    return Profile.render_profile(
        yaml.safe_load(path.read_text())["tokenmart"], "tokenmart", target, ProfileRenderer({})
    )


VALUES: dict[str, Any] = {
    "text": "warehouse",
    "text of digits": "0012",
    "text with a power": "1e5",
    "empty text": "",
    "number": 5432,
    "fraction": 1.5,
    "boolean": True,
    "null": None,
    "list": ["a", 1, "{{ env_var('WORD') }}"],
    "object": {"a": "{{ env_var('PORT') }}", "b": {"c": "{{ env_var('PORT') | as_number }}", "d": [True]}},
    "JSON in a text": '{"type": "service_account", "n": 1}',
    "text that names a filter": "as_number",
    "several lines": "-----BEGIN KEY-----\nabc\n-----END KEY-----",
    "comment": "a{# not seen #}b",
    "condition": "{% if env_var('WORD') == 'warehouse' %}one{% else %}two{% endif %}",
    "variable within text": "host-{{ env_var('WORD') }}.example.com",
    "two variables": "{{ env_var('WORD') }}{{ env_var('PORT') }}",
    "two numbers": "{{ env_var('PORT') }}{{ env_var('PORT') }}",
    "default": "{{ env_var('MISSING', 'here') }}",
    "default not needed": "{{ env_var('WORD', 'here') }}",
    "empty default": "{{ env_var('MISSING', '') }}",
    "default of digits": "{{ env_var('MISSING', '0012') }}",
    "number as default": "{{ env_var('MISSING', 5432) }}",
    "boolean as default": "{{ env_var('MISSING', false) }}",
    "number from a default": "{{ env_var('MISSING', '5432') | as_number }}",
    "boolean from a default": "{{ env_var('MISSING', 'False') | as_bool }}",
    "int": "{{ env_var('PORT') | int }}",
    "upper": "{{ env_var('WORD') | upper }}",
    "expression": "{{ 1 + 1 }}",
    "comparison": "{{ env_var('WORD') == 'warehouse' }}",
    "number after text": "1{{ env_var('PORT') | as_number }}",
    "spaces in braces": "{{env_var('PORT')|as_number}}",
    **{f"{name} as it is": f"{{{{ env_var('{name}') }}}}" for name in ENVIRONMENT},
    **{f"{name} as text": f"{{{{ env_var('{name}') | as_text }}}}" for name in ENVIRONMENT},
    **{f"{name} as native": f"{{{{ env_var('{name}') | as_native }}}}" for name in ("WORD", "PORT", "LIST", "NONE")},
    **{
        f"{name} as number": f"{{{{ env_var('{name}') | as_number }}}}"
        for name in ("PORT", "POWER", "FRACTION", "NEGATIVE")
    },
    **{f"{name} as bool": f"{{{{ env_var('{name}') | as_bool }}}}" for name in ("TRUE", "FALSE")},
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_rendered_as_by_dbt(case: str, folder: Path) -> None:
    path = write(folder, {"value": VALUES[case]})
    expected = by_dbt(path)[1]["value"]
    found = read_target(folder).settings["value"]
    # dbt's subclasses of str count as str
    assert (found, type(found)) == (expected, str if isinstance(expected, str) else type(expected))


@pytest.mark.parametrize(
    "name", ["ZEROS", "POWER", "PORT", "TRUE", "NONE", "LIST", "YAML", "SPACES", "BRACES", "LINES"]
)
def test_a_password_stays_text(name: str, folder: Path) -> None:
    write(folder, {"password": f"{{{{ env_var('{name}') }}}}"})
    assert read_target(folder).settings["password"] == ENVIRONMENT[name]


@pytest.mark.parametrize("password", ["ab{{cd", "ab{%cd", "ab{#cd", "}}ab", "a{b}c", "{{ }}", "0012", "%}"])
def test_a_password_that_looks_like_jinja_is_not_rendered(password: str, folder: Path) -> None:
    path = write(folder, {"password": password})
    assert read_target(folder).settings["password"] == by_dbt(path)[1]["password"]


@pytest.mark.parametrize(
    "value",
    [
        "{{ env_var('MISSING') }}",
        "{{ env_var('WORD') | as_number }}",
        "{{ env_var('TRUE') | as_number }}",
        "{{ env_var('YES') | as_bool }}",
        "{{ env_var('LOWER') | as_bool }}",
        "{{ env_var('PORT') | as_bool }}",
        "{{ env_var('WORD') | nothing }}",
        "{{ env_var( }}",
        "{% if %}",
    ],
)
def test_values_that_dbt_refuses_are_refused(value: str, folder: Path) -> None:
    path = write(folder, {"value": value})
    with pytest.raises(DbtRuntimeError):
        by_dbt(path)
    with pytest.raises(TokenmartError):
        read_target(folder)


# ---------------------------------------------------------------- the target


def test_the_example_is_read_as_dbt_reads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "profiles.yml"
    shutil.copyfile(PROJECT / EXAMPLE, path)
    for name in ("TOKENMART_TARGET", "TOKENMART_DUCKDB_PATH"):
        monkeypatch.delenv(name, raising=False)
    target = read_target(folder)
    assert (target.name, target.settings) == by_dbt(path)
    assert (target.name, target.type) == ("duckdb", "duckdb")
    assert (target.marts_schema, target.raw_schema) == ("marts", "raw_usage")
    monkeypatch.setenv("TOKENMART_DUCKDB_PATH", "0012")
    assert read_target(folder).settings == by_dbt(path)[1]
    assert read_target(folder).settings["path"] == "0012"


@pytest.mark.parametrize(
    ("default", "requested", "name"),
    [
        ("dev", None, "dev"),
        ("dev", "prod", "prod"),
        ("{{ env_var('MISSING', 'prod') }}", None, "prod"),
        ("{{ env_var('TARGET') }}", None, "dev"),
        ("{{ env_var('TARGET') }}", "prod", "prod"),
        # not needed if another target is requested
        ("{{ env_var('MISSING') }}", "prod", "prod"),
    ],
)
def test_the_target_is_the_given_one_or_the_default_of_the_profile(
    default: str, requested: str | None, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARGET", "dev")
    path = write(
        folder, {"path": "dev.duckdb"}, default, prod={"type": "duckdb", "path": "prod.duckdb", "schema": "marts"}
    )
    target = read_target(folder, requested)
    assert (target.name, target.settings) == by_dbt(path, requested)
    assert (target.name, target.settings["path"]) == (name, f"{name}.duckdb")


def test_a_profile_without_a_target_uses_the_output_named_default(folder: Path) -> None:
    outputs = {"default": {"type": "duckdb", "path": "a", "schema": "marts"}}
    path = folder / "profiles.yml"
    path.write_text(yaml.safe_dump({"tokenmart": {"outputs": outputs}}))
    assert read_target(folder).name == "default"


def test_missing_variables_of_other_targets_are_ignored(folder: Path) -> None:
    path = write(folder, {"path": "a"}, prod={"type": "postgres", "password": "{{ env_var('MISSING') }}"})
    assert read_target(folder).settings == by_dbt(path)[1]


@pytest.mark.parametrize(
    ("settings", "schema"),
    [
        ({"schema": "own"}, "own"),
        ({"dataset": "own"}, "own"),
        ({"schema": "{{ env_var('PORT') }}"}, "5432"),
    ],
)
def test_the_marts_are_in_the_schema_or_the_dataset(settings: dict[str, Any], schema: str, folder: Path) -> None:
    write(folder, settings)
    assert read_target(folder).marts_schema == schema


# ---------------------------------------------------------------- error messages


def test_a_missing_environment_variable_is_named(folder: Path) -> None:
    write(folder, {"password": "{{ env_var('MISSING') }}"})
    with pytest.raises(TokenmartError, match=r"^The environment variable MISSING is not set\.$"):
        read_target(folder)


def test_the_error_for_a_missing_target_lists_the_existing_ones(folder: Path) -> None:
    path = write(folder, {}, prod={"type": "duckdb", "schema": "marts"})
    with pytest.raises(UsageError) as raised:
        read_target(folder, "test")
    assert str(raised.value) == f"{path} has no target test."
    assert raised.value.hint is not None and "dev, prod" in raised.value.hint


@pytest.mark.parametrize(
    "content",
    [
        "",
        "tokenmart",
        "- tokenmart",
        "tokenmart:",
        "tokenmart: [",
        "other: {outputs: {}}",
        "tokenmart: {target: dev}",
        "tokenmart: {target: dev, outputs: }",
        "tokenmart: {target: dev, outputs: {dev: }}",
        "tokenmart: {target: dev, outputs: {dev: text}}",
        "tokenmart: {target: dev, outputs: {dev: {path: a.duckdb}}}",
        "tokenmart:\n\ttarget: dev",
        "tokenmart: {target: &a [*a], outputs: {}}",
    ],
)
def test_an_unusable_profile_is_reported_with_its_path(content: str, folder: Path) -> None:
    path = folder / "profiles.yml"
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        read_target(folder)
    assert str(raised.value).startswith((f"{path} has no ", f"{path} is not valid YAML"))


def test_jinja_that_does_not_render_is_reported_with_its_path(folder: Path) -> None:
    path = write(folder, {"path": "{{ env_var( }}"})
    with pytest.raises(UsageError) as raised:
        read_target(folder)
    assert str(raised.value).startswith(f"{path}: ") and "{{ env_var( }}" in str(raised.value)


# ---------------------------------------------------------------- where the profile is


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the example profile, and a home folder without a profile."""
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copyfile(PROJECT / EXAMPLE, folder / EXAMPLE)
    shutil.copyfile(PROJECT / "dbt_project.yml", folder / "dbt_project.yml")
    return folder


@pytest.fixture
def profile_in() -> Callable[[Path, str], Path]:
    """Writes a profile whose target has this name."""

    def make(folder: Path, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        profile = {"tokenmart": {"target": name, "outputs": {name: {"type": "duckdb", "schema": "marts"}}}}
        (folder / "profiles.yml").write_text(yaml.safe_dump(profile))
        return folder

    return make


def test_the_example_is_copied_if_there_is_no_profile(project: Path) -> None:
    target = read_target(project)
    assert (target.name, target.profiles_folder, target.project_folder) == ("duckdb", project, project)
    assert (project / "profiles.yml").read_bytes() == (project / EXAMPLE).read_bytes()


def test_a_profile_of_the_project_is_not_overwritten(project: Path, profile_in: Callable[[Path, str], Path]) -> None:
    profile_in(project, "own")
    profile_in(Path.home() / ".dbt", "home")
    assert read_target(project).name == "own"


def test_a_profile_in_the_home_folder_is_used_if_the_project_has_none(
    project: Path, profile_in: Callable[[Path, str], Path]
) -> None:
    folder = profile_in(Path.home() / ".dbt", "home")
    target = read_target(project)
    assert (target.name, target.profiles_folder) == ("home", folder)
    assert not (project / "profiles.yml").exists()


@pytest.mark.parametrize("content", ["", "other: {target: a, outputs: {}}"])
def test_profiles_of_other_projects_in_the_home_folder_are_ignored(content: str, project: Path) -> None:
    (Path.home() / ".dbt").mkdir()
    (Path.home() / ".dbt/profiles.yml").write_text(content)
    assert read_target(project).profiles_folder == project


def test_profiles_in_the_home_folder_that_are_not_yaml_are_reported(project: Path) -> None:
    (Path.home() / ".dbt").mkdir()
    (Path.home() / ".dbt/profiles.yml").write_text("tokenmart: [")
    with pytest.raises(UsageError, match=r"profiles\.yml is not valid YAML"):
        read_target(project)


def test_dbt_profiles_dir_takes_precedence(
    project: Path, profile_in: Callable[[Path, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile_in(project, "own")
    folder = profile_in(tmp_path / "named", "named")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(folder))
    assert (read_target(project).name, read_target(project).profiles_folder) == ("named", folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DBT_PROFILES_DIR", "named")
    assert read_target(project).profiles_folder == folder


def test_dbt_profiles_dir_without_a_profile_is_reported(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=f"There is no profiles.yml in {tmp_path}"):
        read_target(project)
    assert not (project / "profiles.yml").exists()


def test_the_project_is_found_from_its_subfolders(project: Path, tmp_path: Path) -> None:
    subfolder = project / "models/deep"
    subfolder.mkdir(parents=True)
    assert find_project(subfolder) == find_project(project) == project
    # from other folders, it is the checkout of the code
    assert find_project(tmp_path) == PROJECT


def test_a_dbt_project_without_tokenmart_is_refused(project: Path) -> None:
    other = project / "other"
    other.mkdir()
    (other / "dbt_project.yml").write_text("name: other\n")
    with pytest.raises(UsageError, match=f"The dbt project other in {other} does not have Tokenmart as a package"):
        find_project(other)


@pytest.mark.parametrize(
    "package", ["local: ..", "git: https://example.com/acme/tokenmart.git", "package: acme/tokenmart"]
)
@pytest.mark.parametrize("file", ["packages.yml", "dependencies.yml"])
def test_a_project_that_has_tokenmart_among_its_packages_is_found(project: Path, file: str, package: str) -> None:
    other = project / "other"
    (other / "models").mkdir(parents=True)
    (other / "dbt_project.yml").write_text("name: other\nprofile: others\n")
    (other / file).write_text(f"packages:\n  - {package}\n")
    assert find_project(other / "models") == other


def test_the_profile_is_the_one_that_the_project_names(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    outputs = {"prod": {"type": "duckdb", "schema": "marts", "path": "prod.duckdb"}}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump({"warehouse": {"target": "prod", "outputs": outputs}}))
    (project / "dbt_project.yml").write_text("name: tokenmart\nprofile: warehouse\n")
    assert read_target(project).settings["path"] == "prod.duckdb"


def test_keys_that_are_not_text_are_accepted(project: Path) -> None:
    with (project / "dbt_project.yml").open("a") as file:
        file.write("\ndispatch: {2026-01-01: new year, 7: [~, {2026-01-02 10:00:00: x}]}\n")
    assert read_target(project).type == "duckdb"


@pytest.mark.parametrize("name", ["RawUsage", "raw-usage", "raw__usage", "raw_", "1raw", ""])
def test_a_raw_schema_that_dlt_would_rename_is_refused(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "profiles.yml").write_text("tokenmart: {target: a, outputs: {a: {type: duckdb, schema: marts}}}")
    monkeypatch.setenv("TOKENMART_RAW_SCHEMA", name)
    with pytest.raises(UsageError, match="not a valid schema name"):
        read_target(folder)


def test_only_targets_of_one_schema_share_a_working_folder(folder: Path) -> None:
    place = {"type": "postgres", "host": "a", "schema": "marts"}
    outputs = {"one": {**place, "password": "x"}, "twin": {**place, "password": "y"}, "other": {**place, "host": "b"}}
    (folder / "profiles.yml").write_text(yaml.safe_dump({"tokenmart": {"target": "one", "outputs": outputs}}))
    one, twin, other = (read_target(folder, name).working_folder for name in outputs)
    assert one == twin != other


def test_a_target_without_a_schema_is_refused(folder: Path) -> None:
    # dbt would build in another schema than the loader reads
    (folder / "profiles.yml").write_text("tokenmart: {target: a, outputs: {a: {type: duckdb, shema: marts}}}")
    with pytest.raises(UsageError, match="no schema for the marts"):
        read_target(folder)


def test_a_marts_schema_that_needs_quotes_is_refused(folder: Path) -> None:
    (folder / "profiles.yml").write_text("tokenmart: {target: a, outputs: {a: {type: duckdb, schema: my-marts}}}")
    with pytest.raises(UsageError, match="my-marts"):
        read_target(folder)
