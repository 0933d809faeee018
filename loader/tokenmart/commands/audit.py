"""`tokenmart audit`: tests all data of the marts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import (
    DONE,
    FAILED,
    console,
    failed_step,
    locations,
    notify,
    open_loaded,
    progress_bar,
    report_sharing,
)
from tokenmart.errors import TokenmartError
from tokenmart.screen import print_json
from tokenmart.views import show_audit

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart audit --target duckdb")
@as_json
def audit(target: Target, is_json: bool) -> int:
    """Test all data in the marts with dbt.

    A build tests only the dates that it has affected. Run an audit once a week: it compares all requests with the
    raw events, and all marts with the requests.
    """
    from tokenmart.build import audit as run_tests
    from tokenmart.destinations import lock

    report_sharing(target)
    with open_loaded(target) as warehouse:
        location = warehouse.location
        if "llm_requests" not in warehouse.tables(target.marts_schema):
            raise TokenmartError("The marts have not been built yet.", f"Build them: tokenmart build{target.option}")
    with progress_bar(is_json, "{task.description}") as progress, lock(target, "build", notify) as check:
        task = progress.add_task("dbt", total=None, rate="")

        def show_node(description: str, index: int, total: int) -> None:
            progress.update(task, description=description, completed=index, total=total)

        audited = run_tests(target, on_node=show_node, on_message=notify, check=check)
    audited.location = location
    if is_json:
        error = TokenmartError(f"The audit failed: {audited.tests_outcome}", audited.hint)
        print_json(
            {
                **dataclasses.asdict(audited),
                **locations(target, location),
                **(failed_step(error) if audited.failures else {}),
            }
        )
    else:
        show_audit(console, audited, target)
    return FAILED if audited.failures else DONE
