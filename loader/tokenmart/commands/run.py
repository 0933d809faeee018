"""`tokenmart run`: loads, builds, and prints a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenmart.commands.build import build_marts
from tokenmart.commands.load import exit_code, load_files
from tokenmart.commands.options import as_json, command, input_options
from tokenmart.commands.shared import FAILED, console, failed_build, failed_load, failed_step, locations
from tokenmart.dbt_runner import background_parsing
from tokenmart.errors import TokenmartError
from tokenmart.screen import print_json
from tokenmart.summary_view import show_summary

if TYPE_CHECKING:
    from tokenmart.profile import Target
    from tokenmart.report import Summary
    from tokenmart.results import LoadResult


@command("tokenmart run ~/.claude/projects")
@input_options
@as_json
def run(target: Target, is_json: bool, max_rejects: int, **options: Any) -> int:
    """Load files, build the marts, and print a summary of them."""
    with background_parsing(target) as wait_for_parsing:
        loaded = load_files(target, is_quiet=is_json, **options)
        output: dict[str, Any] = {"load": loaded, **locations(target, loaded.location)}
        if not any(file.format for file in loaded.files) and exit_code(loaded, max_rejects) == FAILED:
            if is_json:
                print_json({**output, **failed_load(loaded)})
            return FAILED
        try:
            built = output["build"] = build_marts(target, is_quiet=is_json, before_dbt=wait_for_parsing)
            output["summary"] = _summary(target, loaded, is_quiet=is_json)
        except TokenmartError as error:
            if not is_json:
                raise
            print_json({**output, **failed_step(error)})
            return error.exit_code
    if is_json:
        print_json({**output, **(failed_build(built) if built.failures else {})})
    return FAILED if built.failures else exit_code(loaded, max_rejects)


def _summary(target: Target, loaded: LoadResult, *, is_quiet: bool) -> Summary:
    """Reads the summary of the marts that exist, and prints it unless `is_quiet`."""
    from tokenmart import report
    from tokenmart.destinations import connect

    with connect(target, to_read=True) as warehouse:
        summary = report.summary(warehouse, target)
        location = warehouse.location
    if not is_quiet:
        are_samples = all(file.is_sample for file in loaded.files)
        show_summary(console, summary, location, target, are_samples=are_samples)
    return summary
