"""Deletes loads, or the samples of all loads, from the raw tables."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenmart import contract
from tokenmart.destinations import Warehouse
from tokenmart.errors import UsageError
from tokenmart.locks import Check
from tokenmart.profile import Target

FILES_PER_STATEMENT = 500
LANDED_TABLES = [name for name, columns in contract.TABLES.items() if "source_file" in columns]
"""The raw tables with rows from files. loaded_files is the last, because it lists what can be undone."""
LANDED_TABLES.sort(key=lambda name: name == "loaded_files")


@dataclass(frozen=True)
class UndoPlan:
    """What an undo deletes. `parts` has each load id with the files whose rows are deleted, or None for the whole load.

    `events` and `rejected` are numbers of rows.
    """

    load_ids: list[str]
    names: list[str]
    events: int
    rejected: int
    location: str
    parts: list[tuple[str, list[str] | None]]

    @property
    def files(self) -> int:
        """The number of files."""
        return len(self.names)


def find(warehouse: Warehouse, target: Target, load_ids: Sequence[str], *, samples: bool) -> UndoPlan:
    """Plans the undo of the loads with these ids, or of the sample files of all loads.

    Raises UsageError for an unknown load id, and if there are no samples.
    """
    raw = target.raw_schema
    rows = warehouse.query(
        "select _dlt_load_id, source_file, sum(coalesce(events_landed, lines_landed)), sum(lines_rejected),"
        f" max(case when is_sample then 1 else 0 end) from {raw}.loaded_files group by _dlt_load_id, source_file"
        " order by _dlt_load_id, source_file"
    )
    known = {str(row[0]) for row in rows}
    # an interrupted undo can leave events of a load without rows in loaded_files
    known |= {str(row[0]) for row in warehouse.query(f"select distinct _dlt_load_id from {raw}.events")}
    if missing := [load_id for load_id in load_ids if load_id not in known]:
        raise UsageError(
            f"There is no load {', '.join(missing)} in {warehouse.location}.", f"See: tokenmart status{target.option}"
        )
    wanted = [row for row in rows if (samples and row[4]) or row[0] in load_ids]
    if samples and not wanted:
        raise UsageError(f"{warehouse.location} has no samples.")
    parts: list[tuple[str, list[str] | None]] = []
    for load_id in sorted({*load_ids, *(str(row[0]) for row in wanted)}):
        files = [str(row[1]) for row in wanted if row[0] == load_id]
        is_whole = load_id in load_ids or len(files) == sum(row[0] == load_id for row in rows)
        parts.append((load_id, None if is_whole else files))
    return UndoPlan(
        load_ids=[load_id for load_id, _ in parts],
        names=sorted({str(row[1]) for row in wanted}),
        events=sum(int(row[2]) for row in wanted),
        rejected=sum(int(row[3]) for row in wanted),
        location=warehouse.location,
        parts=parts,
    )


def delete(warehouse: Warehouse, target: Target, plan: UndoPlan, check: Check) -> None:
    """Deletes the rows from the raw tables. Stops if `check` raises. An interrupted undo can be run again.

    Records the loads in `undone_loads`, because existing marts contain the rows until a full refresh.
    """
    _record(warehouse, target, plan)
    for table in LANDED_TABLES:
        for load_id, files in plan.parts:
            for condition in _conditions(warehouse, load_id, files):
                check()
                warehouse.query(f"delete from {target.raw_schema}.{table} where {condition}")
    # again, because a build may have started in the meantime and read some of the rows
    _record(warehouse, target, plan)


def _record(warehouse: Warehouse, target: Target, plan: UndoPlan) -> None:
    batch_id = time.time_ns() // 1000
    if "build_settings" in warehouse.tables(target.marts_schema):
        # batch ids are times, and the clock of the machine that ran the last full refresh may be ahead
        last = warehouse.query(f"select max(batch_id) from {target.marts_schema}.build_settings")[0][0]
        batch_id = max(batch_id, int(last or 0) + 1)
    rows = ", ".join(f"({warehouse.literal(load_id)}, {batch_id}, '')" for load_id in plan.load_ids)
    warehouse.query(f"insert into {target.raw_schema}.undone_loads (load_id, batch_id, _dlt_load_id) values {rows}")


def _conditions(warehouse: Warehouse, load_id: str, files: list[str] | None) -> Iterator[str]:
    """Conditions for the rows of a load, or of some of its files, with at most FILES_PER_STATEMENT files each."""
    of_load = f"_dlt_load_id = {warehouse.literal(load_id)}"
    if files is None:
        yield of_load
    for first in range(0, len(files or ()), FILES_PER_STATEMENT):
        names = ", ".join(map(warehouse.literal, (files or [])[first : first + FILES_PER_STATEMENT]))
        yield f"{of_load} and source_file in ({names})"
