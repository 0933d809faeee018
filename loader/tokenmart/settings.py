"""The user's own settings: variables of the dbt project, from tokenmart.yml and from environment variables."""

import difflib
import os
from pathlib import Path
from typing import Any

import yaml

from tokenmart.errors import UsageError
from tokenmart.profile import PROFILE, data_folder, own_project, read_yaml

FILE = "tokenmart.yml"
PREFIX = "TOKENMART_"
TYPES = "types"
"""A variable that is not a setting: the contract types of each warehouse."""
LIKENESS = 0.8
"""How similar an environment variable must be to a setting's to be taken for a mistake: from 0 to 1."""


def dbt_variables(project_folder: Path) -> dict[str, Any]:
    """The variables to give to dbt for this project: those of tokenmart.yml, and over them those of the environment.

    Variables that are set in dbt_project.yml only are left out. Raises UsageError for names that are not settings; dbt
    checks the values.
    """
    names = setting_names()
    return {**_from_file(data_folder(project_folder) / FILE, names), **_from_environment(names)}


def all_variables(project_folder: Path) -> dict[str, Any]:
    """The variables that a build uses, by name: those of `dbt_variables`, and under them those of dbt_project.yml."""
    variables = (read_yaml(project_folder / "dbt_project.yml").get("vars") or {}).get(PROFILE)
    own = variables if isinstance(variables, dict) else {}
    return {**{str(name): value for name, value in own.items()}, **dbt_variables(project_folder)}


def setting_names() -> list[str]:
    """The names of all settings: the variables that Tokenmart's own dbt_project.yml declares."""
    return sorted(read_yaml(own_project() / "dbt_project.yml")["vars"][PROFILE].keys() - {TYPES})


def variable_of(name: str) -> str:
    """The environment variable that sets this setting."""
    return PREFIX + name.upper()


def _from_file(path: Path, names: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    settings = read_yaml(path)
    for name in settings:
        if name not in names:
            raise UsageError(f"{path} has the setting {name}, which does not exist.", _suggestion(str(name), names))
    return settings


def _from_environment(names: list[str]) -> dict[str, Any]:
    by_variable = {variable_of(name): name for name in names}
    for variable in os.environ:
        if variable in by_variable or not variable.startswith(PREFIX):
            continue
        # the profile may read other variables with this prefix
        if _similar(variable, list(by_variable), LIKENESS):
            raise UsageError(
                f"The environment variable {variable} sets nothing.", _suggestion(variable, list(by_variable), LIKENESS)
            )
    return {name: _value(os.environ[variable]) for variable, name in by_variable.items() if os.environ.get(variable)}


def _value(text: str) -> Any:
    """The value that YAML gives the text, if it is a number, true, false or null; else the text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def _similar(name: str, names: list[str], likeness: float) -> str | None:
    return next(iter(difflib.get_close_matches(name, names, 1, likeness)), None)


def _suggestion(name: str, names: list[str], likeness: float = 0.5) -> str:
    similar = _similar(name, names, likeness)
    return f"Did you mean {similar}?" if similar else f"Settings are {', '.join(names)}."
