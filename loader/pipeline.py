"""Carries Arrow tables to raw_usage with dlt; what is known of former loads lies in the warehouse, not here."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

# dlt reports on its users, and gives Arrow tables no load id, unless it is told
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
# copies in a bucket go with the load
os.environ["LOAD__TRUNCATE_STAGING_DATASET"] = "true"
os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")

import dlt
import pyarrow as pa
import tenacity
from dlt.common.schema.utils import new_table
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.helpers import retry_load

from loader import contract
from loader.destinations import Warehouse, advice, connect, in_one_line
from loader.errors import TokenmartError, UsageError
from loader.positions import Position
from loader.profile import Target

NAME = "tokenmart"
SOURCE = "usage"
ATTEMPTS = 3  # of the whole load step; within each, dlt tries every file several times


@dataclass(frozen=True)
class Pipeline:
    """A dlt pipeline into an open warehouse, with the positions that the warehouse knows."""

    warehouse: Warehouse
    target: Target
    dlt_pipeline: Any

    @property
    def known(self) -> dict[str, Position]:
        """How far each file was read, by its name."""
        state = self.dlt_pipeline.state.get("sources", {}).get(SOURCE, {})
        return dict(state.get("files", {}))

    def run(self, tables: Iterator[tuple[str, pa.Table]], known: Mapping[str, Position]) -> str | None:
        """Loads (name of a raw table, rows for it) in one package; returns its load id, or None for no tables.

        The positions that `known` holds at the end of `tables` become known with the load, or not at all.
        """

        first = next(tables, None)
        if first is None:
            return None

        def rows() -> Iterator[Any]:
            for name, table in chain([first], tables):
                yield dlt.mark.with_table_name(table.cast(_as_contracted(table.schema)), name)
            dlt.current.source_state()["files"] = dict(known)
            # what parsing took is given back before the warehouse takes its share
            pa.default_memory_pool().release_unused()

        schema = dlt.Schema(SOURCE)
        for name in contract.TABLES:
            columns = contract.dlt_columns(name, self.warehouse.hints.get(name, {}))
            schema.update_table(new_table(name, columns=columns))
        source = dlt.source(lambda: dlt.resource(rows, name=SOURCE), schema=schema)()
        self.dlt_pipeline.extract(source, loader_file_format="parquet")
        self.dlt_pipeline.normalize()
        if contract.TABLES.keys() - self.warehouse.tables(self.target.raw_schema).keys():
            # the models want every table to exist, and dlt makes just those that have rows
            self.warehouse.create_schema(self.target.raw_schema)
            self.dlt_pipeline.sync_schema()
            self.warehouse.lay_out(self.target.raw_schema)
        patience = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(),
            retry=tenacity.retry_if_exception_type(PipelineStepFailed) & tenacity.retry_if_exception(retry_load()),
            reraise=True,
        )
        return next(iter(patience(self.dlt_pipeline.load).loads_ids), None)


@contextmanager
def open_pipeline(target: Target, *, is_new: bool = False) -> Iterator[Pipeline]:
    """Opens the target's warehouse and reads from it how far former loads came, unless it is new and knows of none.

    The working folder begins empty, so that the warehouse alone says what was loaded, and no two targets share one. It
    goes when the load is complete, or when the rows of a broken one are deleted: if need be by a later run.
    """
    with connect(target) as warehouse:
        settings = hashlib.sha256(repr(sorted(target.settings.items())).encode()).hexdigest()[:12]
        folders = target.project_folder / ".tokenmart" / f"{target.name}-{settings}"
        for dead in folders.glob("load-*"):
            if not _is_running(int(dead.name.removeprefix("load-"))):
                _forget(warehouse, target, dead)
        folder = folders / f"load-{os.getpid()}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            pipeline = dlt.pipeline(
                NAME,
                pipelines_dir=str(folder),
                destination=warehouse.destination,
                staging=_bucket(warehouse, target),
                dataset_name=warehouse.dataset,
            )
            if not is_new:
                pipeline.sync_destination()
            yield Pipeline(warehouse, target, pipeline)
        except BaseException as error:
            # the warehouse may be what has failed: then the folder stays, and tells the next run
            with contextlib.suppress(Exception):
                _forget(warehouse, target, folder)
            if isinstance(error, PipelineStepFailed):
                raise _failure(target, error) from error
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _failure(target: Target, error: PipelineStepFailed) -> TokenmartError:
    """What dlt stumbled over, in words."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    if isinstance(cause, TokenmartError):
        return cause
    message = in_one_line(cause)
    return TokenmartError(
        f"The load into {target.name} failed, and nothing of it counts: {message}",
        advice(target, message) or "Run it again when the cause is mended.",
    )


def _bucket(warehouse: Warehouse, target: Target) -> Any:
    """Where files are put for the warehouse to take them from, if TOKENMART_STAGING names a bucket."""
    url = os.environ.get("TOKENMART_STAGING")
    if not url:
        return None
    if not warehouse.takes_from_buckets:
        raise UsageError(
            f"TOKENMART_STAGING names a bucket, and the target {target.name} ({target.type}) takes no files from one.",
            "Unset it.",
        )
    return dlt.destinations.filesystem(url)


def _as_contracted(schema: pa.Schema) -> pa.Schema:
    """The schema with its required columns not nullable: dlt believes Arrow's word for that, not its own hints."""
    return pa.schema([field.with_nullable(field.name not in contract.REQUIRED) for field in schema])


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process_id != os.getpid()


def _forget(warehouse: Warehouse, target: Target, folder: Path) -> None:
    """Deletes the rows of a load that never became complete, and then its folder. No model reads such rows."""
    packages = [package.name for package in folder.glob(f"{NAME}/load/*/*") if package.is_dir()]
    tables = warehouse.tables(target.raw_schema) if packages else {}
    ids = ", ".join(f"'{load_id}'" for load_id in packages)
    for name in contract.TABLES.keys() & tables.keys():
        warehouse.query(
            f"delete from {target.raw_schema}.{name} where _dlt_load_id in ({ids})"
            f" and _dlt_load_id not in (select load_id from {target.raw_schema}._dlt_loads)"
        )
    shutil.rmtree(folder)
