"""`outlay report`."""

from __future__ import annotations

import click


@click.command("report")
@click.argument("run", required=False)
@click.option(
    "--format",
    "how",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    help="For a terminal, as a document, or for programs.",
)
def command(run: str | None, how: str) -> None:
    """Say what a run, or an imported session of another agent, achieved and what it cost.

    RUN is a run's id, the beginning of one, or a name; without it the newest run. For a session that `outlay usage`
    has read it is the session's id or the beginning of it.

    \b
    Example:
      outlay report 7k2m --format markdown > report.md
    """
    import msgspec

    from outlay.runs.lookup import open_ledger
    from outlay.views.report import render_markdown, render_table, report_on

    with open_ledger() as ledger:
        report = report_on(ledger, run)
    if how == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=1))
    elif how == "markdown":
        click.echo(render_markdown(report), nl=False)
    else:
        from rich.console import Console

        Console(highlight=False).print(render_table(report))
