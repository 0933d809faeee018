"""Settings: variables of the dbt project that the user sets in tokenmart.yml or in environment variables."""

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
"""The variable with the contract types of each warehouse, which is not a setting."""
USER_SEEDS = ("budgets", "invoices", "price_overrides")
"""Tokenmart's seeds that users fill, and the variables that name a seed to use instead, in a project of their own."""
SIMILARITY = 0.8
"""The similarity (0 to 1) to the variable of a setting from which an environment variable is reported as misspelled."""


def dbt_variables(project_folder: Path) -> dict[str, Any]:
    """The variables to pass to dbt: those of tokenmart.yml, overridden by those of the environment.

    Variables that are set only in dbt_project.yml are not included. Raises UsageError for unknown names. dbt checks the
    values.
    """
    names = setting_names()
    return {**_from_file(data_folder(project_folder) / FILE, names), **_from_environment(names)}


def all_variables(project_folder: Path) -> dict[str, Any]:
    """The variables that a build uses: those of dbt_project.yml, overridden by those of `dbt_variables`."""
    variables = (read_yaml(project_folder / "dbt_project.yml").get("vars") or {}).get(PROFILE)
    own = variables if isinstance(variables, dict) else {}
    return {**{str(name): value for name, value in own.items()}, **dbt_variables(project_folder)}


def user_seeds(project_folder: Path) -> list[str]:
    """The seeds and models of the user's project that are used instead of Tokenmart's seeds."""
    variables = all_variables(project_folder)
    return [str(variables[name]) for name in USER_SEEDS if variables.get(name)]


def setting_names() -> list[str]:
    """The names of all settings: the variables in Tokenmart's own dbt_project.yml."""
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
        # other variables with this prefix are allowed, because the profile may use them
        if _similar(variable, list(by_variable), SIMILARITY):
            raise UsageError(
                f"The environment variable {variable} does not set anything.",
                _suggestion(variable, list(by_variable), SIMILARITY),
            )
    return {name: _value(os.environ[variable]) for variable, name in by_variable.items() if os.environ.get(variable)}


def _value(text: str) -> Any:
    """The text as YAML, if it is a number, true, false or null; otherwise the text itself."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def _similar(name: str, names: list[str], similarity: float) -> str | None:
    return next(iter(difflib.get_close_matches(name, names, 1, similarity)), None)


def _suggestion(name: str, names: list[str], similarity: float = 0.5) -> str:
    similar = _similar(name, names, similarity)
    return f"Did you mean {similar}?" if similar else f"Settings are {', '.join(names)}."
