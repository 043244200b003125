"""`outlay runs`."""

from __future__ import annotations

import click


@click.command("runs")
@click.option("--all", "every", is_flag=True, help="All runs, not only the newest 20.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; money in picodollars.")
def command(every: bool, as_json: bool) -> None:
    """List the runs of the ledger, newest first."""
    import msgspec

    from outlay import home
    from outlay.ledger import Ledger
    from outlay.prices.book import load
    from outlay.views.run_list import SHOWN, list_runs, runs_table

    path = home.home() / "ledger.db"
    if not path.exists():
        click.echo("[]" if as_json else "no runs yet; `outlay run GOAL.md` starts one")
        return
    with Ledger(path) as ledger:
        lines = list_runs(ledger, load(), most=None if every else SHOWN)
        count = ledger.rows("SELECT count(*) AS n FROM runs")[0]["n"]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(lines), indent=1))
        return
    if not lines:
        click.echo("no runs yet; `outlay run GOAL.md` starts one")
        return
    from rich.console import Console

    from outlay.views.tables import draw

    console = Console(highlight=False)
    table = runs_table(lines)
    console.print(draw(table, console.width))
    if table.note:
        click.echo(table.note)
    if count > len(lines):
        click.echo(f"… and {count - len(lines)} older ones: outlay runs --all")
