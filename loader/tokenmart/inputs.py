"""Checks whether the inputs of a build, such as the project and its variables, have changed since the last build."""

import datetime as dt
import hashlib
import json
import os
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenmart import __version__
from tokenmart.destinations import Warehouse
from tokenmart.profile import Target, read_yaml
from tokenmart.report import has_undone_loads
from tokenmart.settings import all_variables

Inputs = dict[str, Any]
"""Digests of the project, its variables and the prices; the marts schema, the date, and the version of Tokenmart."""
Reusable = Literal["prices", "views"]
"""What a build can leave as it is."""


@dataclass(frozen=True)
class LastBuild:
    """The last build of a target.

    `tables` are the tables and views of its models. `batch_id` is the greatest batch_id in the marts when it finished.
    """

    finished_at: Any
    is_successful: bool
    inputs: Inputs
    tables: set[str]
    batch_id: int


def inputs_of(target: Target) -> Inputs:
    """The current inputs of a build of the target.

    The date is an input because usage_summary projects from complete days, and because of retention_days.
    """
    project, package = target.project_folder, target.package_folder
    variables = all_variables(project)
    seeds = read_yaml(project / "dbt_project.yml").get("seed-paths") or ["seeds"]
    sources = [project / "dbt_project.yml", package / "dbt_project.yml", package / "models", package / "tests"]
    return {
        "version": __version__,
        "schema": target.profile_schema,
        "project": _digest([*sources, package / "macros", project / "macros"]),
        "prices": _digest([package / "seeds", *(project / folder for folder in seeds if target.is_package)]),
        "variables": _digest_of(json.dumps(variables, sort_keys=True, default=str)),
        "date": dt.datetime.now(_zone(variables.get("reporting_time_zone"))).date().isoformat(),
    }


def last_build(warehouse: Warehouse, target: Target) -> LastBuild | None:
    """The last build of the target; None if there is none."""
    query = (
        f"select finished_at, is_successful, inputs from {target.raw_schema}.builds"
        f" where target = {warehouse.literal(target.name)} order by finished_at desc limit 1"
    )
    for finished_at, is_successful, inputs in warehouse.query(query):
        recorded = json.loads(inputs or "{}")
        tables, batch_id = set(recorded.pop("tables", [])), recorded.pop("batch_id", 0)
        return LastBuild(finished_at, bool(is_successful), recorded, tables, batch_id)
    return None


def is_current(warehouse: Warehouse, target: Target, last: LastBuild | None) -> bool:
    """Whether the marts contain all events, and the last build succeeded with the same inputs."""
    if last is None or not last.is_successful or last.inputs != inputs_of(target):
        return False
    tables = warehouse.tables(target.marts_schema)
    # a killed build leaves a newer batch_id, but no record of the build
    if not last.tables <= tables.keys() or newest_batch_id(warehouse, target, tables) != last.batch_id:
        return False
    return not has_unprocessed_loads(warehouse, target) and not has_undone_loads(warehouse, target)


def reusable(warehouse: Warehouse, target: Target, last: LastBuild | None) -> set[Reusable]:
    """What the last build has left in the warehouse, and a build does not have to build again.

    These are the prices of the project if they have not changed, and its views if no input has changed.
    """
    if last is None or not last.is_successful:
        return set()
    tables = warehouse.tables(target.marts_schema)
    # a run of plain dbt, or a killed build, may have built something else since then
    if newest_batch_id(warehouse, target, tables) != last.batch_id:
        return set()
    inputs = inputs_of(target)
    seeds = {path.stem for path in (target.package_folder / "seeds").glob("*.csv")}
    found: set[Reusable] = set()
    if seeds <= tables.keys() and last.inputs.get("prices") == inputs["prices"]:
        found.add("prices")
    if last.tables <= tables.keys() and last.inputs == inputs:
        found.add("views")
    return found


def changed_time_zone(warehouse: Warehouse, target: Target) -> str | None:
    """The time zone of the dates in the marts, if it is no longer the reporting time zone; otherwise None.

    Also None if the reporting time zone does not exist: dbt reports the error.
    """
    now = all_variables(target.project_folder).get("reporting_time_zone")
    exists = getattr(_zone(now), "key", None) == now
    if not exists or "build_settings" not in warehouse.tables(target.marts_schema):
        return None
    query = f"select reporting_time_zone from {target.marts_schema}.build_settings order by batch_id desc limit 1"
    return next((str(zone) for (zone,) in warehouse.query(query) if zone != now), None)


def has_unprocessed_loads(warehouse: Warehouse, target: Target) -> bool:
    """Whether a build has to process or repair complete loads, by the rule of the macro settled_loads."""
    settled = (
        f"select load_id from {target.marts_schema}.loads group by load_id having"
        " sum(case when load_status = 'processed' then 1 else 0 end) = 1"
        " or sum(case when load_status = 'repaired' then 1 else 0 end) > 0"
    )
    query = (
        f"select load_id from {target.raw_schema}._dlt_loads where status = 0 and load_id not in ({settled}) limit 1"
    )
    return bool(warehouse.query(query))


def newest_batch_id(warehouse: Warehouse, target: Target, tables: Mapping[str, set[str]]) -> int:
    """The greatest batch_id of the runs that have processed loads or recorded settings; 0 if there is none.

    `tables` are the tables of the marts schema.
    """
    queries = [
        f"select max(batch_id) from {target.marts_schema}.{table}"
        for table in ("loads", "build_settings")
        if table in tables
    ]
    return max((int(warehouse.query(query)[0][0] or 0) for query in queries), default=0)


def _digest(paths: Sequence[Path]) -> str:
    """A digest of the names and contents of files, and of all files in and below folders.

    Names are relative, so the digest does not depend on the location of the folders.
    """
    digest = hashlib.blake2b(digest_size=12)
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                name = os.fsencode(file.relative_to(path.parent))
                digest.update(name + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _zone(name: Any) -> dt.tzinfo:
    """The time zone with this name. UTC if it does not exist: dbt reports the error."""
    try:
        return zoneinfo.ZoneInfo(str(name or "UTC"))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return dt.UTC
