"""`outlay doctor`: what this machine has and lacks."""

from __future__ import annotations

import sys

import click


@click.command(epilog="Example: outlay doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(as_json: bool) -> None:
    """Say what this machine has and lacks for running agents, and what to type.

    Exit code 0 when runs are possible, 2 when something that every run needs is missing.
    """
    import msgspec

    from outlay.sandbox.doctor import diagnose_now

    diagnosis = diagnose_now()
    if as_json:
        document = {"tier": diagnosis.tier, "can_run": diagnosis.can_run, "findings": diagnosis.findings}
        click.echo(msgspec.json.format(msgspec.json.encode(document)))
    else:
        _show(
            diagnosis.tier,
            diagnosis.can_run,
            [(each.name, each.state, each.detail, each.remedy) for each in diagnosis.findings],
        )
    sys.exit(0 if diagnosis.can_run else 2)


def _show(tier: str, can_run: bool, rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "degraded": "yellow", "missing": "bold red"}
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("THING", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("FOUND", overflow="fold")
    table.add_column("WHAT TO DO", overflow="fold")
    for name, state, detail, remedy in rows:
        table.add_row(name, Text(state, styles[state]), Text(detail), Text(remedy))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    console.print(f"\nSandbox tier: {tier}" + ("" if can_run else "; runs are refused until what is missing is mended"))
