"""Reads the warehouse's connection from dbt's profile, rendered as dbt renders it."""

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tokenmart.errors import TokenmartError, UsageError

PROFILE = "tokenmart"
EXAMPLE = "profiles.example.yml"
INSTALLED_PROJECT = Path(__file__).parent / "project"
"""The dbt project in a wheel. An editable installation does not have it, but uses its checkout."""
# names that dbt, dlt and the loader write the same way, quoted or not
RAW_NAME, MARTS_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*"), re.compile(r"[a-zA-Z0-9_]+")

# what profiles consist of for the most part; to render it takes no Jinja, whose import by dbt takes half a second
_ENV_VAR = re.compile(r"{{ *env_var\( *'(\w+)' *(?:, *'([^'\\{}]*)' *)?\) *}}")


@dataclass(frozen=True)
class Target:
    """One output of the profile: where the warehouse is, and its settings."""

    name: str
    type: str
    settings: dict[str, Any]
    project_folder: Path
    profiles_folder: Path
    is_named: bool = False

    @property
    def option(self) -> str:
        """The option that selects this target in a command; empty for the profile's default."""
        return f" --target {self.name}" if self.is_named else ""

    @property
    def marts_schema(self) -> str:
        """The schema (dataset, database) that dbt builds the marts in.

        A project that has Tokenmart as a package may build them elsewhere (`+schema`), so dbt is asked.
        """
        if self.is_package:
            return schema_of_package(self.project_folder, self.profiles_folder, self.name)
        return self.profile_schema

    @property
    def is_package(self) -> bool:
        """Whether Tokenmart is a package in this dbt project, not the project itself."""
        return bool(_project(self.project_folder).get("name", PROFILE) != PROFILE)

    @property
    def is_installed(self) -> bool:
        """Whether the dbt project is the one in the wheel, where only this command runs dbt."""
        return self.project_folder == INSTALLED_PROJECT

    @property
    def package_folder(self) -> Path:
        """The folder with Tokenmart's own models: that of the project, or of the package in it."""
        if not self.is_package:
            return self.project_folder
        installed = str(_project(self.project_folder).get("packages-install-path", "dbt_packages"))
        return self.project_folder / installed / PROFILE

    @property
    def profile_schema(self) -> str:
        """The schema (dataset, database) that the profile names."""
        return str(self.settings.get("schema") or self.settings.get("dataset") or "")

    @property
    def place(self) -> tuple[str, ...]:
        """Where the marts are. Two targets have the same place only if they build into the same schema."""
        where = ("path", "host", "port", "account", "project", "dbname", "database")
        return (self.type, *(str(self.settings.get(key, "")).lower() for key in where), self.profile_schema.lower())

    @property
    def raw_schema(self) -> str:
        """The schema (dataset, database) that events are loaded into."""
        return os.environ.get("TOKENMART_RAW_SCHEMA", "raw_usage")

    @property
    def working_folder(self) -> Path:
        """The working folder of processes that load into the same schemas, with any login."""
        place = hashlib.sha256(repr((self.place, self.raw_schema)).encode()).hexdigest()[:12]
        return self.data_folder / ".tokenmart" / f"{self.type}-{place}"

    @property
    def data_folder(self) -> Path:
        """The folder of what commands write: an embedded database, profiles.yml and working files."""
        return data_folder(self.project_folder)

    @property
    def dbt_options(self) -> list[str]:
        """The options for dbt, to use this target and the user's settings. It is to run in the folder `data_folder`."""
        options = _dbt_options(self.project_folder, self.profiles_folder, self.name)
        if self.data_folder != self.project_folder:
            for option, variable, folder in (
                ("--target-path", "DBT_TARGET_PATH", "target"),
                ("--log-path", "DBT_LOG_PATH", "logs"),
            ):
                options += [] if variable in os.environ else [option, str(self.data_folder / folder)]
        return options


def own_project() -> Path:
    """Tokenmart's own dbt project: the one in the wheel, or the checkout of an editable installation."""
    return INSTALLED_PROJECT if INSTALLED_PROJECT.is_dir() else Path(__file__).parent.parent.parent


def data_folder(project_folder: Path) -> Path:
    """The project's folder, or the user's data folder for the project in the wheel, which may be read-only."""
    if project_folder != INSTALLED_PROJECT:
        return project_folder
    import platformdirs

    return platformdirs.user_data_path("tokenmart", appauthor=False)


def find_project(start: Path, *, is_named: bool = False) -> Path:
    """The nearest folder with a dbt_project.yml: `start` or one above it, else Tokenmart's own project.

    It must be Tokenmart's own project or one that has Tokenmart as a package. If the user named the folder
    (`is_named`), folders above it are not searched. Raises UsageError if there is no such project.
    """
    for folder in [start] if is_named else [start, *start.parents]:
        if (folder / "dbt_project.yml").is_file():
            name = _project(folder).get("name")
            if name == PROFILE or _has_package(folder):
                return folder
            raise UsageError(
                f"The dbt project {name} in {folder} does not have Tokenmart as a package.",
                "Add it to packages.yml there, or run the command in another folder.",
            )
    if is_named:
        raise UsageError(f"There is no dbt project in {start}.", "Give a checkout of Tokenmart with --project-dir.")
    return own_project()


def read_target(project_folder: Path, name: str | None = None) -> Target:
    """The target with that name, or that of the environment variable TOKENMART_TARGET, or the profile's default.

    The profile is the one that dbt_project.yml names. profiles.yml is searched as dbt does: in DBT_PROFILES_DIR, in
    the project (or the user's data folder, for the project in the wheel), in ~/.dbt. If there is none, the project's
    example is copied, which uses the embedded DuckDB. Raises UsageError if the profile does not have the target.
    """
    profile_name = _profile_name(project_folder)
    folder = _profiles_folder(project_folder, profile_name)
    path = folder / "profiles.yml"
    profile = read_yaml(path).get(profile_name)
    outputs = profile.get("outputs") if isinstance(profile, dict) else None
    if not isinstance(profile, dict) or not isinstance(outputs, dict):
        raise UsageError(f"{path} has no profile '{profile_name}' with outputs.", f"See {own_project() / EXAMPLE}.")
    is_named = bool(name)
    name = str(name or os.environ.get("TOKENMART_TARGET") or _rendered(profile.get("target", "default"), path))
    if name not in outputs:
        raise UsageError(f"{path} has no target {name}.", f"It has {', '.join(outputs)}.")
    settings = _rendered(outputs[name], path)
    if not isinstance(settings, dict) or "type" not in settings:
        raise UsageError(f"{path} has no type for the target {name}.", f"See {own_project() / EXAMPLE}.")
    target = Target(name, str(settings["type"]), settings, project_folder, folder, is_named)
    if not target.profile_schema:
        raise UsageError(f"{path} has no schema for the marts of the target {name}.", "Give it one: schema: marts")
    if not RAW_NAME.fullmatch(target.raw_schema):
        raise UsageError(
            f"TOKENMART_RAW_SCHEMA is {target.raw_schema!r}, which is not a valid schema name.",
            "Use lower-case letters, digits and single underscores, starting with a letter.",
        )
    if not MARTS_NAME.fullmatch(target.profile_schema):
        raise UsageError(
            f"The target {name} builds its marts in {target.profile_schema!r}, which is not a valid schema name.",
            "Use letters, digits and underscores.",
        )
    if target.profile_schema.lower() == target.raw_schema.lower():
        raise UsageError(
            f"The target {name} builds its marts in {target.profile_schema}, the schema of the raw events.",
            "Give the target another schema, or set TOKENMART_RAW_SCHEMA.",
        )
    return target


def target_names(project_folder: Path) -> list[str]:
    """The names of the profile's targets; those of the example if there is no profiles.yml yet. Writes nothing."""
    profile_name = _profile_name(project_folder)
    folder = _existing_profiles_folder(project_folder, profile_name)
    path = folder / "profiles.yml" if folder else project_folder / EXAMPLE
    return [str(name) for name in read_yaml(path)[profile_name]["outputs"]]


def targets_sharing(target: Target) -> list[str]:
    """The profile's other targets that build into the same schema of the same warehouse."""
    path = target.profiles_folder / "profiles.yml"
    others = []
    for name in read_yaml(path)[_profile_name(target.project_folder)]["outputs"].keys() - {target.name}:
        # an output that does not render, for example without its variable, is not used here
        with contextlib.suppress(TokenmartError):
            if read_target(target.project_folder, name).place == target.place:
                others.append(name)
    return sorted(others)


def check_variables(project_folder: Path) -> None:
    """Raises UsageError for variables in Tokenmart's own dbt_project.yml that are not below `vars: tokenmart:`.

    dbt would ignore them without a word. Those below are checked by the macro of the same name, for plain dbt too.
    """
    project = _project(project_folder)
    ignored = [str(name) for name in project.get("vars") or {} if name != PROFILE]
    if project.get("name") == PROFILE and ignored:
        raise UsageError(
            f"{project_folder / 'dbt_project.yml'} has variables that dbt ignores: {', '.join(ignored)}.",
            f"Put variables below vars: {PROFILE}: there.",
        )


def reason_of(message: str) -> str:
    """What dbt says about a failure, in one line, without the macros that it happened in."""
    return " ".join(" ".join(line for line in message.splitlines() if not line.lstrip().startswith("> ")).split())


def _project(folder: Path) -> dict[str, Any]:
    path = folder / "dbt_project.yml"
    return read_yaml(path) if path.is_file() else {}


def _profile_name(project_folder: Path) -> str:
    """The profile that dbt_project.yml names."""
    return str(_rendered(_project(project_folder).get("profile", PROFILE), project_folder / "dbt_project.yml"))


def _has_package(folder: Path) -> bool:
    """Whether the dbt project in `folder` has Tokenmart installed or listed as a package."""
    if (folder / _project(folder).get("packages-install-path", "dbt_packages") / PROFILE).is_dir():
        return True
    for name in ("packages.yml", "dependencies.yml"):
        packages = read_yaml(folder / name).get("packages") if (folder / name).is_file() else None
        for package in packages or []:
            if "local" in package and _project(folder / str(package["local"])).get("name") == PROFILE:
                return True
            if any(re.search(rf"(^|[/:]){PROFILE}(\.git|\.tar\.gz)?/?$", str(value)) for value in package.values()):
                return True
    return False


@functools.cache
def schema_of_package(project_folder: Path, profiles_folder: Path, target: str) -> str:
    """The schema that the project builds Tokenmart's marts in, according to dbt. Raises TokenmartError if unclear."""
    from dbt.cli.main import dbtRunner

    arguments = ["ls", "--quiet", "--select", f"package:{PROFILE}", "--resource-type", "model", "--output", "json"]
    arguments += ["--output-keys", "schema", *_dbt_options(project_folder, profiles_folder, target)]
    with contextlib.chdir(project_folder), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner().invoke(arguments)
    if outcome.exception:
        raise TokenmartError(f"dbt could not start: {reason_of(str(outcome.exception))}", "Run dbt deps there first.")
    models = outcome.result if isinstance(outcome.result, list) else []
    schemas = {str(json.loads(line)["schema"]) for line in models}
    if len(schemas) != 1:
        found = f"They are in {', '.join(sorted(schemas))}." if schemas else "It found none."
        raise TokenmartError(
            f"dbt does not build the models of the package {PROFILE} in {project_folder} into one schema. {found}",
            f"Run dbt deps there, and give the package one +schema under models: {PROFILE} in dbt_project.yml.",
        )
    return schemas.pop()


def _dbt_options(project_folder: Path, profiles_folder: Path, target: str) -> list[str]:
    # the settings module reads the project by this one
    from tokenmart.settings import dbt_variables

    options = ["--target", target, "--project-dir", str(project_folder), "--profiles-dir", str(profiles_folder)]
    if variables := dbt_variables(project_folder):
        options += ["--vars", json.dumps(variables)]
    return options


def _existing_profiles_folder(project_folder: Path, profile_name: str) -> Path | None:
    if named := os.environ.get("DBT_PROFILES_DIR"):
        if not (Path(named) / "profiles.yml").is_file():
            raise UsageError(
                f"There is no profiles.yml in {named}.",
                "The environment variable DBT_PROFILES_DIR points to that folder.",
            )
        return Path(named).absolute()
    folder = data_folder(project_folder)
    if (folder / "profiles.yml").is_file():
        return folder
    shared = Path.home() / ".dbt"
    if (shared / "profiles.yml").is_file() and profile_name in read_yaml(shared / "profiles.yml"):
        return shared
    return None


def _profiles_folder(project_folder: Path, profile_name: str) -> Path:
    """The folder of profiles.yml, into which the example is copied if there is none."""
    if found := _existing_profiles_folder(project_folder, profile_name):
        return found
    folder = data_folder(project_folder)
    if not (project_folder / EXAMPLE).is_file():
        raise UsageError(
            f"There is no profiles.yml with the profile '{profile_name}' in {folder} or {Path.home() / '.dbt'}.",
            "dbt_project.yml names that profile. To use another folder, set DBT_PROFILES_DIR.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project_folder / EXAMPLE, folder / "profiles.yml")
    except OSError as error:
        raise TokenmartError(
            f"Cannot write {folder / 'profiles.yml'}: {error.strerror}",
            "Give this user permission to write there, or set DBT_PROFILES_DIR to a folder with a profiles.yml.",
        ) from error
    return folder


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
        json.dumps(content, default=str, skipkeys=True)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8.", f"See {own_project() / EXAMPLE}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} has no usable profile: an alias in it refers to itself.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} has no usable profile: {error}", f"See {own_project() / EXAMPLE}.") from error
    return content if isinstance(content, dict) else {}


def _env_var(name: str, default: Any = None) -> Any:
    value = os.environ.get(name, default)
    if value is None:
        raise TokenmartError(f"The environment variable {name} is not set.", "The profile reads it with env_var().")
    # like dbt, a default is returned exactly as the profile has it
    return value


def _rendered(value: Any, path: Path, key: str = "") -> Any:
    """A value of the profile, its Jinja rendered by dbt's own environment."""
    if isinstance(value, dict):
        return {name: _rendered(item, path, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_rendered(item, path, key) for item in value]
    if not isinstance(value, str):
        return value
    if simple := _ENV_VAR.fullmatch(value):
        return _env_var(*(text for text in simple.groups() if text is not None))
    if "{" not in value and not value.endswith("\n"):
        return value
    from dbt_common.clients.jinja import get_template, render_template
    from dbt_common.exceptions import DbtRuntimeError

    try:
        context = {"env_var": _env_var}
        rendered = render_template(get_template(value, context, native=True), context)
        return str(rendered) if isinstance(rendered, str) else rendered
    except DbtRuntimeError as error:
        if isinstance(error.__cause__, TokenmartError):
            raise error.__cause__ from error
        if key == "password":
            # text that looks like Jinja may be part of a password
            return value
        raise UsageError(f"{path}: {value} cannot be rendered: {error.msg}") from error
