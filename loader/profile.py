"""Reads the warehouse's connection from dbt's profile, rendered as dbt renders it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, TemplateError

from loader.errors import TokenmartError, UsageError

PROFILE = "tokenmart"
EXAMPLE = "profiles.example.yml"


@dataclass(frozen=True)
class Target:
    """One output of the profile: where the warehouse is and what its parts are called."""

    name: str
    type: str
    settings: dict[str, Any]
    project_folder: Path
    profiles_folder: Path

    @property
    def marts_schema(self) -> str:
        """The schema (dataset, database) that dbt builds the marts in."""
        return str(self.settings.get("schema") or self.settings.get("dataset") or "marts")

    @property
    def raw_schema(self) -> str:
        """The schema (dataset, database) that events are landed in."""
        return "raw_usage"


def find_project(start: Path) -> Path:
    """The folder of dbt_project.yml: `start` or one above it, else the checkout that this module lies in."""
    for folder in [start, *start.parents, Path(__file__).parent.parent]:
        project = folder / "dbt_project.yml"
        if project.is_file() and yaml.safe_load(project.read_text()).get("name") == PROFILE:
            return folder
    raise UsageError(
        "No Tokenmart project here.", "Run this in a checkout of Tokenmart, or name it with --project-dir."
    )


def read_target(project_folder: Path, name: str | None = None) -> Target:
    """The target of that name, or the profile's own default.

    profiles.yml is looked for as dbt does: in DBT_PROFILES_DIR, in the project, in ~/.dbt. Where there is none, the
    project's example is copied: it names the embedded DuckDB. Raises UsageError for a target that the profile lacks.
    """
    folder = _profiles_folder(project_folder)
    path = folder / "profiles.yml"
    try:
        profile = (yaml.safe_load(path.read_text()) or {})[PROFILE]
        outputs = profile["outputs"]
        name = name or _rendered(profile.get("target", "default"), path)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(f"{path} has no usable profile '{PROFILE}': {error}", f"See {EXAMPLE}.") from error
    if name not in outputs:
        raise UsageError(f"{path} has no target {name}.", f"It has {', '.join(outputs)}; see {EXAMPLE} for the others.")
    settings = _rendered(outputs[name], path)
    return Target(str(name), str(settings["type"]), settings, project_folder, folder)


def _profiles_folder(project_folder: Path) -> Path:
    if named := os.environ.get("DBT_PROFILES_DIR"):
        if not (Path(named) / "profiles.yml").is_file():
            raise UsageError(f"There is no profiles.yml in {named}.", "DBT_PROFILES_DIR names that folder.")
        return Path(named).absolute()
    for folder in (project_folder, Path.home() / ".dbt"):
        path = folder / "profiles.yml"
        if path.is_file() and (folder == project_folder or PROFILE in (yaml.safe_load(path.read_text()) or {})):
            return folder
    shutil.copyfile(project_folder / EXAMPLE, project_folder / "profiles.yml")
    return project_folder


def _env_var(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if value is None:
        raise TokenmartError(f"The environment variable {name} is not set.", "The profile reads it with env_var().")
    return value


_JINJA = Environment(undefined=StrictUndefined)
_JINJA.globals["env_var"] = _env_var
_TYPED = ("as_bool", "as_number", "as_native")
_JINJA.filters.update(dict.fromkeys((*_TYPED, "as_text"), str))


def _rendered(value: Any, path: Path) -> Any:
    """A value of the profile with its Jinja rendered: text stays text unless dbt's filters say what it is."""
    if isinstance(value, dict):
        return {key: _rendered(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_rendered(item, path) for item in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    try:
        rendered = _JINJA.from_string(value).render()
    except TemplateError as error:
        raise UsageError(f"{path}: {value} does not render: {error}") from error
    return yaml.safe_load(rendered) if any(name in value for name in _TYPED) else rendered
