"""Loads Arrow tables into raw_usage with dlt; the state of earlier loads is stored in the warehouse, not here."""

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

# by default dlt sends telemetry and adds no load id to Arrow tables
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
from tokenmart.destinations import Warehouse, advice, connect, in_one_line, lock
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.locks import Check, OnWait
from tokenmart.profile import Target

ATTEMPTS = 3  # of the whole load step; within each, dlt tries every file several times


@dataclass(frozen=True)
class Pipeline:
    """A dlt pipeline into an open warehouse, with the checkpoints that the warehouse stores."""

    warehouse: Warehouse
    target: Target
    dlt_pipeline: Any

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """How far each file was read, by the key of its checkpoint."""
        state = self.dlt_pipeline.state.get("sources", {}).get(SOURCE, {})
        return dict(state.get("files", {}))

    def run(
        self,
        tables: Iterator[tuple[str, pa.Table]],
        checkpoints: Callable[[], Mapping[str, Checkpoint]],
        check: Check,
    ) -> str | None:
        """Loads (name of a raw table, rows for it) in one package; returns its load id, or None for no tables.

        `checkpoints` is called when `tables` has ended; what it returns is stored with the load, or not at all. If
        there are no tables, new checkpoints are still stored. A load is completed only if `check` does not raise: the
        lock for loads may have been lost.
        """
        first = next(tables, None)
        if first is None and dict(checkpoints()) == self.checkpoints:
            return None

        def rows() -> Iterator[Any]:
            for name, table in chain([first] if first else [], tables):
                yield dlt.mark.with_table_name(table.cast(_as_contracted(table.schema)), name)
            dlt.current.source_state()["files"] = dict(checkpoints())
            # parsing's memory is released before the warehouse needs its own
            pa.default_memory_pool().release_unused()

        source = dlt.source(lambda: dlt.resource(rows, name=SOURCE), schema=self._schema())()
        self.dlt_pipeline.extract(source, loader_file_format="parquet")
        self.dlt_pipeline.normalize()
        if contract.missing(self.warehouse.tables(self.target.raw_schema)):
            # the models need every table to exist, and dlt creates only those that have rows
            self.warehouse.create_schema(self.target.raw_schema)
            self.dlt_pipeline.sync_schema()
        # every time: an earlier load may have been interrupted
        self.warehouse.lay_out(self.target.raw_schema)
        patience = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(),
            retry=tenacity.retry_if_exception_type(PipelineStepFailed) & tenacity.retry_if_exception(retry_load()),
            reraise=True,
        )
        with _completing_only_if(check):
            load_id = next(iter(patience(self.dlt_pipeline.load).loads_ids), None)
        return load_id if first else None

    def upgrade(self, check: Check) -> None:
        """Adds the tables and columns that raw tables of an older version lack, if any, unless `check` raises."""
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
    """Opens the target's warehouse and reads from it how far earlier loads came, unless the target is new.

    The working folder starts empty, so that only the warehouse says what was loaded. The folder of a load (`to_load`,
    under the lock for loads) is removed when the load is complete, or when the rows of an interrupted load have been
    deleted, if necessary by a later load: it holds the lock, so all others have ended.
    """
    with connect(target) as warehouse, _folder(target, to_load) as folder:
        for other in set(folder.parent.glob("load-*")) - {folder} if to_load else ():
            _forget(warehouse, target, other)
        try:
            pipeline = dlt.pipeline(
                PIPELINE,
                pipelines_dir=str(folder),
                destination=warehouse.destination(),
                staging=_bucket(warehouse, target),
                dataset_name=warehouse.dataset,
            )
            if not is_new:
                pipeline.sync_destination()
            yield Pipeline(warehouse, target, pipeline)
        except BaseException as error:
            # if the warehouse itself has failed, the folder stays for the next load to clean up
            with contextlib.suppress(Exception):
                _forget(warehouse, target, folder)
            if isinstance(error, DltException):
                raise _failure(target, error) from error
            raise
        shutil.rmtree(folder, ignore_errors=True)


def upgrade(target: Target, on_wait: OnWait) -> None:
    """Adds what raw tables of an older version lack. Raises TokenmartError if this login may not."""
    with lock(target, "load", on_wait) as check, open_pipeline(target) as pipeline:
        pipeline.upgrade(check)


@contextmanager
def _completing_only_if(check: Check) -> Iterator[None]:
    """Makes dlt mark a load as complete only if `check` does not raise; dlt has no hook for that."""
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
def _folder(target: Target, to_load: bool) -> Iterator[Path]:
    """A new working folder for dlt; for a load, inside the target's."""
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
    """The cause of dlt's error, as a TokenmartError."""
    cause = error
    while not isinstance(cause, TokenmartError):
        if not (deeper := cause.__cause__ or cause.__context__):
            return TokenmartError(
                f"The target {target.name} failed: {in_one_line(cause)}",
                f"{advice(target, str(cause)) or 'Fix the cause and run the command again.'}"
                " An interrupted load has no effect.",
            )
        cause = deeper
    return cause


def _bucket(warehouse: Warehouse, target: Target) -> Any:
    """The bucket that files are put into for the warehouse to read, if TOKENMART_STAGING names one."""
    url = os.environ.get("TOKENMART_STAGING")
    if not url:
        return None
    protocol = url.partition(":")[0].lower()
    if protocol not in warehouse.buckets:
        taken = ", ".join(f"{name}://" for name in warehouse.buckets) or "no bucket"
        raise UsageError(
            f"TOKENMART_STAGING is {url}, but the target {target.name} ({target.type}) reads files from {taken}.",
            "Set it to another bucket, or unset it.",
        )
    return dlt.destinations.filesystem(url)


def _as_contracted(schema: pa.Schema) -> pa.Schema:
    """The schema with its required columns not nullable: dlt takes this from Arrow, not from its own hints."""
    return pa.schema([field.with_nullable(field.name not in contract.REQUIRED) for field in schema])


def _forget(warehouse: Warehouse, target: Target, folder: Path) -> None:
    """Deletes the rows of a load that was never completed, then its folder. No model reads such rows."""
    packages = {package.name for package in folder.glob(f"{PIPELINE}/load/*/*") if package.is_dir()}
    tables = warehouse.tables(target.raw_schema) if packages else {}
    if "_dlt_loads" in tables:
        # a separate query, because replicated tables of ClickHouse refuse to delete by a subquery
        complete = f"select load_id from {target.raw_schema}._dlt_loads where load_id in ({_literals(packages)})"
        packages -= {load_id for (load_id,) in warehouse.query(complete)}
    for name in contract.TABLES.keys() & tables.keys() if packages else ():
        warehouse.query(f"delete from {target.raw_schema}.{name} where _dlt_load_id in ({_literals(packages)})")
    shutil.rmtree(folder, ignore_errors=True)


def _literals(texts: set[str]) -> str:
    return ", ".join(f"'{text}'" for text in sorted(texts))
