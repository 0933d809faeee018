"""Loads Arrow tables into raw_usage with dlt. The state of earlier loads is stored only in the warehouse."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

# by default, dlt sends telemetry and does not add load ids to Arrow tables
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")

import dlt
import pyarrow as pa
import tenacity
from dlt.common.exceptions import DltException
from dlt.common.schema.utils import new_table
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.helpers import retry_load

from tokenmart import contract
from tokenmart.checkpoints import PIPELINE, SOURCE, Checkpoint
from tokenmart.destinations import Warehouse, advice, connect, lock, one_line
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.locks import Check, OnWait
from tokenmart.profile import Target

ATTEMPTS = 3  # of the whole load step; in each of them, dlt tries every file several times


@dataclass(frozen=True)
class Pipeline:
    """A dlt pipeline into an open warehouse, with the checkpoints that the warehouse stores."""

    warehouse: Warehouse
    target: Target
    dlt_pipeline: Any

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The stored checkpoints, by key."""
        state = self.dlt_pipeline.state.get("sources", {}).get(SOURCE, {})
        return dict(state.get("files", {}))

    def run(
        self,
        tables: Iterator[tuple[str, pa.Table]],
        checkpoints: Callable[[], Mapping[str, Checkpoint]],
        check: Check,
    ) -> str | None:
        """Loads pairs of a raw table's name and its rows in one load. Returns the load id; None if there are no tables.

        `checkpoints` is called after the last table, and its result is stored with the load, in the same package. If
        there are no tables, changed checkpoints are still stored. The load is completed only if `check` does not raise,
        because the lock for loads may have been lost.
        """
        first = next(tables, None)
        if first is None and dict(checkpoints()) == self.checkpoints:
            return None

        def rows() -> Iterator[Any]:
            for name, table in chain([first] if first else [], tables):
                yield dlt.mark.with_table_name(table.cast(_with_required_columns(table.schema)), name)
            dlt.current.source_state()["files"] = dict(checkpoints())
            # release the memory of parsing before the warehouse needs memory
            pa.default_memory_pool().release_unused()

        source = dlt.source(lambda: dlt.resource(rows, name=SOURCE), schema=self._schema())()
        self.dlt_pipeline.extract(source, loader_file_format="parquet")
        self.dlt_pipeline.normalize()
        if contract.missing(self.warehouse.tables(self.target.raw_schema)):
            # the models need all tables, and dlt creates only tables that have rows
            self.warehouse.create_schema(self.target.raw_schema)
            self.dlt_pipeline.sync_schema()
        # in every load, because an earlier one may have been interrupted
        self.warehouse.apply_layout(self.target.raw_schema)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(),
            retry=tenacity.retry_if_exception_type(PipelineStepFailed) & tenacity.retry_if_exception(retry_load()),
            reraise=True,
        )
        with _check_before_completion(check):
            load_id = next(iter(retrying(self.dlt_pipeline.load).loads_ids), None)
        return load_id if first else None

    def upgrade(self, check: Check) -> None:
        """Adds tables and columns that an older version did not create, unless `check` raises."""
        if contract.missing(self.warehouse.tables(self.target.raw_schema)):
            schema = self.dlt_pipeline.schemas[SOURCE]
            schema.update_schema(self._schema())
            self.dlt_pipeline.schemas.save_schema(schema)
            check()
            self.dlt_pipeline.sync_schema(SOURCE)

    def _schema(self) -> dlt.Schema:
        """The raw tables as dlt describes them."""
        schema = dlt.Schema(SOURCE)
        for name in contract.TABLES:
            columns = contract.dlt_columns(name, self.warehouse.hints.get(name, {}))
            table: Any = {**new_table(name, columns=columns), **self.warehouse.table_hints.get(name, {})}
            schema.update_table(table)
        return schema


@contextmanager
def open_pipeline(target: Target, *, is_new: bool = False, to_load: bool = False) -> Iterator[Pipeline]:
    """Opens the target's warehouse and reads the state of earlier loads, unless the target `is_new`.

    dlt's working folder starts empty, so only the state in the warehouse counts. With `to_load`, the caller holds the
    lock for loads. The folder of a load is deleted when the load is complete. If a load fails, its rows and its folder
    are deleted, now or by the next load: that load holds the lock, so all other loads have ended. Raises errors of dlt
    and the warehouse as TokenmartError.
    """
    with connect(target) as warehouse, _dlt_folder(target, to_load) as folder:
        for other in set(folder.parent.glob("load-*")) - {folder} if to_load else ():
            _delete_incomplete(warehouse, target, other)
        try:
            pipeline = dlt.pipeline(
                PIPELINE,
                pipelines_dir=str(folder),
                destination=warehouse.destination(),
                staging=_staging_bucket(warehouse, target),
                dataset_name=warehouse.dataset,
            )
            if not is_new:
                pipeline.sync_destination()
            yield Pipeline(warehouse, target, pipeline)
        except BaseException as error:
            # if the warehouse is not available, the next load deletes the rows and the folder
            with contextlib.suppress(Exception):
                _delete_incomplete(warehouse, target, folder)
            if isinstance(error, DltException):
                raise _failure(target, error) from error
            raise
        shutil.rmtree(folder, ignore_errors=True)


def upgrade(target: Target, on_wait: OnWait) -> None:
    """Adds tables and columns that an older version did not create.

    Raises TokenmartError without permission to do so.
    """
    with lock(target, "load", on_wait) as check, open_pipeline(target) as pipeline:
        pipeline.upgrade(check)


@contextmanager
def _check_before_completion(check: Check) -> Iterator[None]:
    """Makes dlt call `check` before it marks a load as complete.

    Replaces a method, because dlt has no hook for this.
    """
    complete = SqlJobClientBase.complete_load

    def checked(client: Any, load_id: str) -> None:
        check()
        complete(client, load_id)

    SqlJobClientBase.complete_load = checked  # type: ignore
    try:
        yield
    finally:
        SqlJobClientBase.complete_load = complete  # type: ignore[method-assign]


@contextmanager
def _dlt_folder(target: Target, to_load: bool) -> Iterator[Path]:
    """A new folder for dlt: for a load, in the target's working folder, otherwise a temporary folder."""
    if not to_load:
        with tempfile.TemporaryDirectory(prefix="tokenmart-") as name:
            yield Path(name)
        return
    folder = target.working_folder / f"load-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise TokenmartError(
            f"Cannot write to {folder.parent}: {error.strerror}", "Give this user permission to write there."
        ) from error
    yield folder


def _failure(target: Target, error: BaseException) -> TokenmartError:
    """The root cause of an error of dlt as a TokenmartError."""
    cause = error
    while not isinstance(cause, TokenmartError):
        if not (deeper := cause.__cause__ or cause.__context__):
            return TokenmartError(
                f"The target {target.name} failed: {one_line(cause)}",
                f"{advice(target, str(cause)) or 'Fix the cause and run the command again.'}"
                " An interrupted load has no effect.",
            )
        cause = deeper
    return cause


def _staging_bucket(warehouse: Warehouse, target: Target) -> Any:
    """dlt's destination for the staging bucket in TOKENMART_STAGING; None if it is not set.

    Raises UsageError if the warehouse cannot load files from this bucket.
    """
    url = os.environ.get("TOKENMART_STAGING")
    if not url:
        return None
    protocol = url.partition(":")[0].lower()
    if protocol not in warehouse.buckets:
        supported = ", ".join(f"{name}://" for name in warehouse.buckets) or "no bucket"
        raise UsageError(
            f"TOKENMART_STAGING is {url}, but the target {target.name} ({target.type}) reads files from {supported}.",
            "Set it to another bucket, or unset it.",
        )
    return dlt.destinations.filesystem(url)


def _with_required_columns(schema: pa.Schema) -> pa.Schema:
    """The schema with required columns as not nullable: dlt reads this from the Arrow schema, not from its hints."""
    return pa.schema([field.with_nullable(field.name not in contract.REQUIRED) for field in schema])


def _delete_incomplete(warehouse: Warehouse, target: Target, folder: Path) -> None:
    """Deletes the rows of a load that was not completed, then its folder. No model reads such rows."""
    packages = {package.name for package in folder.glob(f"{PIPELINE}/load/*/*") if package.is_dir()}
    tables = warehouse.tables(target.raw_schema) if packages else {}
    if "_dlt_loads" in tables:
        # a separate query, because ClickHouse cannot delete from replicated tables with a subquery
        complete = f"select load_id from {target.raw_schema}._dlt_loads where load_id in ({_literals(packages)})"
        packages -= {load_id for (load_id,) in warehouse.query(complete)}
    for name in contract.TABLES.keys() & tables.keys() if packages else ():
        warehouse.query(f"delete from {target.raw_schema}.{name} where _dlt_load_id in ({_literals(packages)})")
    shutil.rmtree(folder, ignore_errors=True)


def _literals(texts: set[str]) -> str:
    return ", ".join(f"'{text}'" for text in sorted(texts))
