"""Carries Arrow tables to raw_usage with dlt; what is known of former loads lies in the warehouse, not here."""

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
os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")

import dlt
import pyarrow as pa
from dlt.common.schema.utils import new_table
from dlt.pipeline.exceptions import PipelineStepFailed

from loader import contract
from loader.destinations import Warehouse, connect
from loader.errors import TokenmartError
from loader.positions import Position
from loader.profile import Target

NAME = "tokenmart"
SOURCE = "usage"


@dataclass(frozen=True)
class Pipeline:
    """A dlt pipeline into an open warehouse, with the positions that the warehouse knows."""

    warehouse: Warehouse
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
                yield dlt.mark.with_table_name(table, name)
            dlt.current.source_state()["files"] = dict(known)
            # what parsing took is given back before the warehouse takes its share
            pa.default_memory_pool().release_unused()

        schema = dlt.Schema(SOURCE)
        for name in contract.TABLES:
            schema.update_table(new_table(name, columns=contract.dlt_columns(name)))
        source = dlt.source(lambda: dlt.resource(rows, name=SOURCE), schema=schema)()
        try:
            self.dlt_pipeline.extract(source, loader_file_format="parquet")
            self.dlt_pipeline.normalize()
            return next(iter(self.dlt_pipeline.load().loads_ids), None)
        except PipelineStepFailed as error:
            cause: BaseException = error
            while cause.__cause__ or cause.__context__:
                cause = cause.__cause__ or cause.__context__ or cause
            if isinstance(cause, TokenmartError):
                raise cause from error
            raise TokenmartError(
                f"Loading into {self.warehouse.location} failed ({error.step}): {cause}",
                "Nothing of this load counts; run it again when the cause is mended.",
            ) from error


@contextmanager
def open_pipeline(target: Target, *, is_new: bool = False) -> Iterator[Pipeline]:
    """Opens the target's warehouse and reads from it how far former loads came, unless it is new and knows of none."""
    with connect(target) as warehouse, _working_folder(target) as (folder, interrupted):
        pipeline = dlt.pipeline(
            NAME, pipelines_dir=str(folder), destination=warehouse.destination, dataset_name=target.raw_schema
        )
        if not is_new:
            pipeline.sync_destination()
            _forget(warehouse, target, interrupted)
        yield Pipeline(warehouse, pipeline)


@contextmanager
def _working_folder(target: Target) -> Iterator[tuple[Path, list[str]]]:
    """A new folder for one run, and the load ids of runs into this target that were killed before they could end.

    It begins empty, so that the warehouse alone says what was loaded, and no two targets share one.
    """
    settings = hashlib.sha256(repr(sorted(target.settings.items())).encode()).hexdigest()[:12]
    parent = target.project_folder / ".tokenmart" / f"{target.name}-{settings}"
    interrupted = []
    for dead in parent.glob("load-*"):
        if not _is_running(int(dead.name.removeprefix("load-"))):
            interrupted += [package.name for package in dead.glob(f"{NAME}/load/*/*") if package.is_dir()]
            shutil.rmtree(dead)
    folder = parent / f"load-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder, interrupted
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process_id != os.getpid()


def _forget(warehouse: Warehouse, target: Target, load_ids: list[str]) -> None:
    """Deletes the rows of loads that never became complete. No model reads them; they only take up room."""
    if not load_ids:
        return
    ids = ", ".join(f"'{load_id}'" for load_id in load_ids)
    for name in contract.TABLES.keys() & warehouse.tables(target.raw_schema):
        warehouse.query(
            f"delete from {target.raw_schema}.{name} where _dlt_load_id in ({ids})"
            f" and _dlt_load_id not in (select load_id from {target.raw_schema}._dlt_loads)"
        )
