"""Checks the packages, connection, permissions and schemas of a target, and suggests how to fix problems."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tokenmart import __version__, contract
from tokenmart.destinations import TYPES, Warehouse, advice, is_new, one_line
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.profile import Target, targets_sharing
from tokenmart.report import full_refresh_reason
from tokenmart.screen import counted
from tokenmart.settings import dbt_variables

if TYPE_CHECKING:
    from tokenmart.pipeline import Pipeline

TEST_TABLE = "tokenmart_doctor"
STALE = {
    "undone loads": "which still contain rows of loads that were undone",
    "version": "built by an earlier version, or their last full refresh did not finish",
}


@dataclass(frozen=True)
class Finding:
    """The result of one check: its name, whether it passed, what it found, and how to fix a problem."""

    what: str
    is_fine: bool
    found: str
    to_do: str | None = None


def examine(target: Target) -> Iterator[Finding]:
    """Checks everything that loads and builds need, in order. Stops at a problem that makes other checks impossible."""
    yield Finding("profile", True, f"{target.profiles_folder / 'profiles.yml'}, target {target.name}, {target.type}")
    if others := targets_sharing(target):
        yield Finding(
            "profile", False, f"{', '.join(others)} build into the same schema", "Give each target its own schema."
        )
    if target.type not in TYPES:
        yield Finding("profile", False, f"unknown type {target.type}", f"Use one of {', '.join(TYPES)}.")
        return
    versions = dict(_versions(target))
    missing = [package for package, found in versions.items() if not found]
    found = ", ".join(f"{package} {version or 'missing'}" for package, version in versions.items())
    yield Finding("packages", not missing, found, f"pip install 'tokenmart[{target.type}]'" if missing else None)
    yield from _settings(target)
    from tokenmart.pipeline import open_pipeline

    try:
        # a load also uses dlt's own connection in addition to the loader's
        with open_pipeline(target, is_new=is_new(target)) as pipeline:
            warehouse = pipeline.warehouse
            warehouse.check_session()
            server = str(warehouse.query(warehouse.version)[0][0])
            yield Finding("connection", True, f"{warehouse.location}, {server}")
            for schema in (target.raw_schema, target.marts_schema):
                yield _permissions(warehouse, target, schema)
            yield from _landed(pipeline)
            built = _built(warehouse, target)
            yield built
            if built.is_fine:
                yield from _overlaps(warehouse, target)
    except TokenmartError as error:
        yield Finding("connection", False, str(error), error.hint)


def _settings(target: Target) -> Iterator[Finding]:
    """The settings from tokenmart.yml and from environment variables, if any."""
    try:
        settings = dbt_variables(target.project_folder)
    except UsageError as error:
        yield Finding("settings", False, str(error), error.hint)
        return
    if settings:
        listed = ", ".join(f"{name} = {'null' if value is None else value}" for name, value in settings.items())
        yield Finding("settings", True, listed)


def _versions(target: Target) -> Iterator[tuple[str, str | None]]:
    # the metadata of an editable installation can have an older version
    yield "tokenmart", __version__
    for package in ("dlt", "dbt-core", f"dbt-{target.type}"):
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, None


def _permissions(warehouse: Warehouse, target: Target, schema: str) -> Finding:
    """Runs the statements of `permission_checks` on a test table and view, and drops both."""
    table = f"{schema}.{TEST_TABLE}"
    try:
        warehouse.create_schema(schema)
        warehouse.query(f"drop view if exists {table}_view")
        warehouse.query(f"drop table if exists {table}")
        for statement in warehouse.permission_checks:
            warehouse.query(statement.format(*[table] * statement.count("{}")))
        unowned = (
            [str(name) for (name,) in warehouse.query(warehouse.unowned_tables.format(schema))]
            if warehouse.unowned_tables
            else []
        )
    except Exception as error:
        # created by a statement before the one that failed
        for kind, name in (("view", f"{table}_view"), ("table", table)):
            with contextlib.suppress(Exception):
                warehouse.query(f"drop {kind} if exists {name}")
        return Finding(f"schema {schema}", False, one_line(error), advice(target, error))
    if unowned:
        to_do = (
            f"Ask an administrator to run, for each of these tables: alter table {schema}.{unowned[0]} owner to ...;"
        )
        return Finding(f"schema {schema}", False, f"this login does not own {', '.join(unowned)}", to_do)
    return Finding(f"schema {schema}", True, "tables can be created, changed and dropped")


def _landed(pipeline: "Pipeline") -> Iterator[Finding]:
    """The number of complete loads, and the tables and columns that raw tables of an older version lack."""
    warehouse, target = pipeline.warehouse, pipeline.target
    tables = warehouse.tables(target.raw_schema)
    if not contract.TABLES.keys() & tables.keys():
        yield Finding("landed", True, "no loads yet", f"Start with: tokenmart run PATH{target.option}")
        return
    if missing := contract.missing(tables):
        to_do = f"To add them: tokenmart status{target.option}. A load or a build also adds them."
        yield Finding("raw tables", True, f"created by an older version; missing: {', '.join(missing)}", to_do)
    loads = warehouse.query(f"select count(*) from {target.raw_schema}._dlt_loads where status = 0")[0][0]
    yield Finding("landed", True, f"{loads:,} complete {'load' if loads == 1 else 'loads'}")


def _overlaps(warehouse: Warehouse, target: Target) -> Iterator[Finding]:
    """The applications of which two formats report requests with the same model on the same day, if any."""
    if "llm_requests" not in warehouse.tables(target.marts_schema):
        return
    days = (
        "select usage_date, app_name, canonical_model, min(source_format) as first_format,"
        f" max(source_format) as last_format from {target.marts_schema}.llm_requests where app_name is not null"
        " group by usage_date, app_name, canonical_model having min(source_format) <> max(source_format)"
    )
    for app, first, last, dates in warehouse.query(
        "select app_name, first_format, last_format, count(distinct usage_date)"
        f" from ({days}) as days group by app_name, first_format, last_format order by 1, 2, 3"
    ):
        yield Finding(
            "formats",
            True,
            f"{first} and {last} both report requests of {app} with the same models on {counted(dates, 'day')}",
            "If these are the same requests, they count twice. Load one of the two, and delete the loads of the other:"
            f" tokenmart undo LOAD_ID{target.option}",
        )


def _built(warehouse: Warehouse, target: Target) -> Finding:
    """Whether the marts exist, and whether the next build can update them."""
    tables, schema = warehouse.tables(target.marts_schema), target.marts_schema
    grants = [warehouse.grants.format(schema)] if warehouse.grants else []
    if "llm_requests" not in tables:
        return Finding("marts", True, "; ".join(["not built yet", *grants]))
    if reason := full_refresh_reason(warehouse, target):
        found = f"{len(tables)} tables, {STALE[reason]}"
        return Finding("marts", False, found, f"Rebuild them: tokenmart build --full-refresh{target.option}")
    return Finding("marts", True, "; ".join([f"{len(tables)} tables", *grants]))
