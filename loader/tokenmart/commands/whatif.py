"""`tokenmart whatif`: compares the cost of requests with their cost at other prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, console, open_loaded
from tokenmart.screen import print_json
from tokenmart.whatif_view import show_what_if

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart whatif --from claude-opus-4-5 --to claude-sonnet-4-5 --since 2026-10-01")
@click.option("--from", "from_model", metavar="MODEL", help="Model, model family, or reported name; by default all.")
@click.option("--to", "to_model", metavar="MODEL", help="Model whose prices to use.")
@click.option(
    "--to-provider",
    metavar="PROVIDER",
    help="Provider whose prices to use; by default the request's own, or the model's vendor if it has no price.",
)
@click.option("--to-tier", metavar="TIER", help="Service tier whose prices to use, such as batch.")
@click.option("--at", metavar="DATE", help="Date whose prices to use; by default the date of each request.")
@click.option("--without-cache", is_flag=True, help="Use the price of uncached input for cached tokens.")
@click.option("--since", metavar="DATE", help="First date of the requests, in the reporting time zone.")
@click.option("--until", metavar="DATE", help="Last date of the requests, in the reporting time zone.")
@click.option("--team", help="Only requests of this team.")
@click.option("--user", help="Only requests of this user.")
@click.option("--project", help="Only requests of this project.")
@click.option("--provider", help="Only requests to this provider.")
@as_json
def whatif(target: Target, is_json: bool, **options: Any) -> int:
    """Show what requests would have cost with another model, provider, service tier or date, or without caching.

    Changes nothing. Requests whose actual cost, tokens or new price are unknown are left out and counted.
    """
    from tokenmart.whatif import Asked, check_options, choose, what_if

    asked = Asked(**options)
    check_options(asked)
    with open_loaded(target) as warehouse:
        chosen = choose(warehouse, target, asked)
    found = what_if(target, asked, chosen)
    if is_json:
        print_json(found)
    else:
        show_what_if(console, found)
    return DONE
