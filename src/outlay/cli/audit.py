"""`outlay audit`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("audit")
@click.argument("call")
@click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours (TOML).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(call: str, prices: tuple[Path, ...], as_json: bool) -> None:
    """Show one call from file and line to counters, price row and cost.

    CALL is a call's key (a message or response id), or the beginning of one; FILE:LINE of a transcript works, too.

    \b
    Examples:
      outlay audit msg_01AbC
      outlay audit ~/.claude/projects/-home-me-app/6f0c.jsonl:17
    """
    from outlay import home
    from outlay.ledger import Ledger
    from outlay.prices.book import load
    from outlay.views.audit import audit, render, to_json

    with Ledger(home.ensure(home.home()) / "ledger.db") as ledger:
        found = audit(ledger, load(prices), call)
    click.echo(to_json(found) if as_json else render(found))
