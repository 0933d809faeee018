"""Reads the connection of a warehouse from dbt's profile, and renders it as dbt does."""

import contextlib
import copy
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
"""The dbt project in a wheel. An editable installation does not have it and uses its checkout."""
# names that are the same for dbt, dlt and the loader, with and without quotes
RAW_NAME, MARTS_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*"), re.compile(r"[a-zA-Z0-9_]+")

# the most common template in profiles; rendered without Jinja, which takes dbt half a second to import
_ENV_VAR = re.compile(r"{{ *env_var\( *'(\w+)' *(?:, *'([^'\\{}]*)' *)?\) *}}")


@dataclass(frozen=True)
class Target:
    """One output of the profile: the connection settings of a warehouse."""

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

        A project that has Tokenmart as a package can set another schema (`+schema`), so dbt computes it. Raises
        TokenmartError as `schema_of_package` does.
        """
        if self.is_package:
            return schema_of_package(self.project_folder, self.profiles_folder, self.name)
        return self.profile_schema

    @property
    def is_package(self) -> bool:
        """Whether Tokenmart is a package in the dbt project, not the project itself."""
        return bool(_project(self.project_folder).get("name", PROFILE) != PROFILE)

    @property
    def is_installed(self) -> bool:
        """Whether the dbt project is the one in the wheel, so that users do not run dbt in it."""
        return self.project_folder == INSTALLED_PROJECT

    @property
    def package_folder(self) -> Path:
        """The folder with Tokenmart's models: the folder of the project, or of the package in the project."""
        if not self.is_package:
            return self.project_folder
        installed = str(_project(self.project_folder).get("packages-install-path", "dbt_packages"))
        return self.project_folder / installed / PROFILE

    @property
    def profile_schema(self) -> str:
        """The schema (dataset, database) that the profile names."""
        return str(self.settings.get("schema") or self.settings.get("dataset") or "")

    @property
    def marts_location(self) -> tuple[str, ...]:
        """Identifies the marts schema in its warehouse. It is equal for targets that build into the same schema."""
        keys = ("path", "host", "port", "account", "project", "dbname", "database")
        return (self.type, *(str(self.settings.get(key, "")).lower() for key in keys), self.profile_schema.lower())

    @property
    def raw_schema(self) -> str:
        """The schema (dataset, database) that events are loaded into."""
        return os.environ.get("TOKENMART_RAW_SCHEMA", "raw_usage")

    @property
    def working_folder(self) -> Path:
        """The working folder, which is the same for all targets that load into the same schemas."""
        digest = hashlib.sha256(repr((self.marts_location, self.raw_schema)).encode()).hexdigest()[:12]
        return self.data_folder / ".tokenmart" / f"{self.type}-{digest}"

    @property
    def data_folder(self) -> Path:
        """The folder that commands write to: for an embedded database, profiles.yml and working files."""
        return data_folder(self.project_folder)

    @property
    def dbt_options(self) -> list[str]:
        """The dbt options for this target and the user's settings. dbt must run in `data_folder`."""
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
    """The folder of the project. For the project in the wheel, which can be read-only, the user's data folder."""
    if project_folder != INSTALLED_PROJECT:
        return project_folder
    import platformdirs

    return platformdirs.user_data_path("tokenmart", appauthor=False)


def find_project(start: Path, *, is_named: bool = False) -> Path:
    """The nearest folder with a dbt_project.yml: `start` or a folder above it; otherwise Tokenmart's own project.

    If the user named the folder (`is_named`), folders above it are not searched. Raises UsageError if the named folder
    has no project, or if the project is not Tokenmart and does not have it as a package.
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
    """Reads the target `name`; if it is None, the target in TOKENMART_TARGET or the default target of the profile.

    dbt_project.yml names the profile. As in dbt, profiles.yml is in DBT_PROFILES_DIR, in the project (for the project
    in the wheel, in the user's data folder), or in ~/.dbt. If there is none, the example profile, whose default target
    is a DuckDB file, is copied. Raises UsageError if the profile has no such target or the target has wrong settings,
    and TokenmartError if an environment variable is missing or the example cannot be copied.
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
        raise UsageError(
            f"{path} has no schema for the marts of the target {name}.", "Add a schema, for example: schema: marts"
        )
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
    """The targets of the profile, or of the example profile if there is no profiles.yml. Writes nothing."""
    profile_name = _profile_name(project_folder)
    folder = _existing_profiles_folder(project_folder, profile_name)
    path = folder / "profiles.yml" if folder else project_folder / EXAMPLE
    return [str(name) for name in read_yaml(path)[profile_name]["outputs"]]


def targets_sharing(target: Target) -> list[str]:
    """The profile's other targets that build into the same schema of the same warehouse."""
    path = target.profiles_folder / "profiles.yml"
    others = []
    for name in read_yaml(path)[_profile_name(target.project_folder)]["outputs"].keys() - {target.name}:
        # ignore outputs that cannot be rendered, for example because an environment variable is not set
        with contextlib.suppress(TokenmartError):
            if read_target(target.project_folder, name).marts_location == target.marts_location:
                others.append(name)
    return sorted(others)


def check_variables(project_folder: Path) -> None:
    """Raises UsageError if Tokenmart's own dbt_project.yml has variables that are not below `vars: tokenmart:`.

    dbt ignores such variables without a warning. The macro `check_variables` checks the variables below it, also for
    plain dbt.
    """
    project = _project(project_folder)
    ignored = [str(name) for name in project.get("vars") or {} if name != PROFILE]
    if project.get("name") == PROFILE and ignored:
        raise UsageError(
            f"{project_folder / 'dbt_project.yml'} has variables that dbt ignores: {', '.join(ignored)}.",
            f"Move them below vars: {PROFILE}:",
        )


def failure_reason(message: str) -> str:
    """dbt's error message on one line, without the list of macros in which the error occurred."""
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
    """The schema in which dbt builds the models of the package Tokenmart in this project.

    Raises TokenmartError if dbt cannot start, or does not build all models into one schema.
    """
    from dbt.cli.main import dbtRunner

    arguments = ["ls", "--quiet", "--select", f"package:{PROFILE}", "--resource-type", "model", "--output", "json"]
    arguments += ["--output-keys", "schema", *_dbt_options(project_folder, profiles_folder, target)]
    with contextlib.chdir(project_folder), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner().invoke(arguments)
    if outcome.exception:
        raise TokenmartError(
            f"dbt could not start: {failure_reason(str(outcome.exception))}",
            "Run dbt deps in the folder of the project first.",
        )
    models = outcome.result if isinstance(outcome.result, list) else []
    schemas = {str(json.loads(line)["schema"]) for line in models}
    if len(schemas) != 1:
        found = f"The schemas are {', '.join(sorted(schemas))}." if schemas else "dbt found no models."
        raise TokenmartError(
            f"dbt does not build the models of the package {PROFILE} in {project_folder} into one schema. {found}",
            f"Run dbt deps in that folder, and set one +schema below models: {PROFILE}: in dbt_project.yml.",
        )
    return schemas.pop()


def _dbt_options(project_folder: Path, profiles_folder: Path, target: str) -> list[str]:
    # imported here because tokenmart.settings imports this module
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
                "The environment variable DBT_PROFILES_DIR names that folder.",
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
    """The folder with profiles.yml. If there is none, copies the example profile."""
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
    """The mapping in a YAML file; empty if it contains something else. Raises UsageError if it is not valid YAML."""
    try:
        content = copy.deepcopy(_parsed(path.read_text()))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8.", f"See {own_project() / EXAMPLE}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid YAML: an alias refers to itself.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {error}", f"See {own_project() / EXAMPLE}.") from error
    return content if isinstance(content, dict) else {}


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> Any:
    """What a YAML text says. A command reads dbt_project.yml a dozen times, and each parsing takes a tenth of a second.

    Raises ValueError or RecursionError if an alias refers to itself.
    """
    content = yaml.safe_load(text)
    json.dumps(content, default=str, skipkeys=True)
    return content


def _env_var(name: str, default: Any = None) -> Any:
    value = os.environ.get(name, default)
    if value is None:
        raise TokenmartError(f"The environment variable {name} is not set.", "The profile reads it with env_var().")
    # like dbt, return a default without changes
    return value


def _rendered(value: Any, path: Path, key: str = "") -> Any:
    """A value of the profile, with its Jinja templates rendered as dbt does."""
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
            # a password can contain text that looks like Jinja
            return value
        raise UsageError(f"{path}: {value} cannot be rendered: {error.msg}") from error
