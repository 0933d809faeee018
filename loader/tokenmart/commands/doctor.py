"""`tokenmart doctor`: checks a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, FAILED, console
from tokenmart.screen import print_json
from tokenmart.views import show_finding

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart doctor --target duckdb")
@as_json
def doctor(target: Target, is_json: bool) -> int:
    """Check a target: packages, connection, permissions and schemas."""
    from tokenmart.doctor import examine

    findings = []
    for finding in examine(target):
        findings.append(finding)
        if not is_json:
            show_finding(console, finding)
    if is_json:
        print_json(findings)
    return DONE if all(finding.is_fine for finding in findings) else FAILED
