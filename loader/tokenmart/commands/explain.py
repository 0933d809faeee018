"""`tokenmart explain`: shows how the cost of one request was computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, FAILED, console, open_loaded
from tokenmart.explanation_view import show_explanation
from tokenmart.screen import print_json

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart explain msg_01XFDUDYJgAACzvnptvVoYEL")
@click.argument("event_id")
@as_json
def explain(target: Target, event_id: str, is_json: bool) -> int:
    """Show how the cost of one request was computed.

    Multiplies its tokens by the prices again, and fails if the result is not the stored cost.
    """
    from tokenmart.explain import explain_request

    with open_loaded(target) as warehouse:
        explained = explain_request(warehouse, target, event_id)
    if is_json:
        print_json(explained)
    else:
        show_explanation(console, explained)
    return FAILED if explained.problems else DONE
