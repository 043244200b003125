"""`outlay top`."""

from __future__ import annotations

import click


@click.command("top")
@click.argument("run", required=False)
@click.option("--session", metavar="NAME", help="Begin with the dialog of one session, e.g. main/scout.")
def command(run: str | None, session: str | None) -> None:
    """Watch and steer all runs and agents on one screen, live and afterwards.

    Their sessions as a tree, the dialog of each, checks, limits, money; keys to send a message, approve, pause, resume
    and cancel (`?` lists them). RUN is an id, the beginning of one, or a name; without it the newest at work. It only
    reads the ledger: leaving it ends nothing.

    \b
    Examples:
      outlay top
      outlay top 7k2m --session main/scout
    """
    from outlay.views.top.begin import watch

    watch(run, session)
