"""`outlay statusline`: prints what it knew a moment ago at once, and finds out anew in the background."""

from __future__ import annotations

import click

from outlay.cli import status_line


@click.command("statusline")
@click.option("--session", metavar="ID", help="Show this session, too. Claude Code names it on standard input.")
@click.option("--refresh", is_flag=True, help="Find out anew before printing.")
def command(session: str | None, refresh: bool) -> None:
    """Print one line for another tool's status bar: the session's cost, today's cost, today's tokens.

    \b
    Example, in ~/.claude/settings.json:
      {"statusLine": {"type": "command", "command": "outlay statusline"}}
    """
    if not refresh and status_line.print_known(session):
        return
    from outlay.views.statusline import refresh as find_out

    session = session or status_line.named_on_stdin()
    click.echo(find_out(session, status_line.cache_file(session)))
