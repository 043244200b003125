"""`outlay show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from outlay.ledger import Ledger


@click.command("show")
@click.argument("run", required=False)
@click.option("--follow", is_flag=True, help="Keep showing it until it has ended or paused.")
@click.option("--plain", is_flag=True, help="With --follow: plain lines instead of the live view.")
@click.option("--session", metavar="NAME", help="The dialog of one session, e.g. main/scout.")
@click.option("--unfold", is_flag=True, help="With --session: tools with all they were given and said.")
@click.option("--events", is_flag=True, help="Every event of the run, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (events: one object a line); money in picodollars.")
def command(
    run: str | None, follow: bool, plain: bool, session: str | None, unfold: bool, events: bool, as_json: bool
) -> None:
    """Show how a run stands: its sessions, checks, limits, what happened last.

    RUN is an id, the beginning of one, or a name; without it the newest run.

    \b
    Examples:
      outlay show --follow
      outlay show 7k2m --session main/scout
    """
    from outlay.errors import InputError
    from outlay.runs.lookup import find_run, open_ledger

    if follow and (session or events or as_json):
        raise InputError("--follow goes with --plain only")
    if session and events:
        raise InputError("choose one of --session and --events")
    with open_ledger() as ledger:
        found = find_run(ledger, run)
        if session:
            _show_dialog(ledger, found, session, unfold, as_json)
        elif events:
            _show_events(ledger, found, as_json)
        else:
            _show_run(ledger, found, follow, plain, as_json)


def _show_run(ledger: Ledger, run: str, follow_it: bool, plain: bool, as_json: bool) -> None:
    import msgspec
    from rich.console import Console, Group

    from outlay.prices.book import load
    from outlay.views.facts import price_book, run_of
    from outlay.views.live import follow, show_lines
    from outlay.views.watch import RunWatch

    book = price_book(load(), run_of(ledger, run))
    console = Console(highlight=False)
    if follow_it:
        import asyncio

        plain = plain or not console.is_terminal
        try:
            asyncio.run(follow(ledger, run, book, console, plain=plain))
        except KeyboardInterrupt:
            click.echo(f"no longer watching; the run goes on: outlay show {run} --follow")
            return
        if plain:
            return
    view, notices = RunWatch(ledger, run, book).look()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"run": view, "notices": notices}), indent=1))
        return
    console.print(Group(*show_lines(view, notices)))


def _show_dialog(ledger: Ledger, run: str, name: str, unfold: bool, as_json: bool) -> None:
    import msgspec
    from rich.console import Console
    from rich.text import Text

    from outlay.views.dialog import dialog, dialog_lines, find_session

    said = dialog(ledger, find_session(ledger, run, name))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(list(said)), indent=1))
        return
    console = Console(highlight=False)
    for one in said:
        for line, style in dialog_lines(one, unfold=unfold):
            console.print(Text(line, style), soft_wrap=True)


def _show_events(ledger: Ledger, run: str, as_json: bool) -> None:
    import json

    from outlay.views.dialog import event_lines
    from outlay.views.wording import clock_time

    for event in event_lines(ledger, run):
        if as_json:
            click.echo(json.dumps(event))
        else:
            when = clock_time(event["at_ms"], seconds=True)
            stream = event["stream"].removeprefix(f"{run}:")
            click.echo(f"{event['seq']:>6}  {when}  {stream:<20}  {event['type']:<16}  {json.dumps(event['head'])}")
