"""From the command line to the screen."""

from __future__ import annotations

import sys

from outlay.errors import InputError
from outlay.prices.book import load
from outlay.runs.lookup import find_run, open_ledger
from outlay.views.dialog import find_session


def watch(run: str | None, session: str | None) -> None:
    """Show the screen until the person leaves it. Raises InputError without a terminal, a ledger, or what is named."""
    with open_ledger() as ledger:
        chosen = find_run(ledger, run) if run or session else ""
        dialog = find_session(ledger, chosen, session) if session else ""
        if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
            raise InputError("`outlay top` needs a terminal; `outlay runs --json` and `outlay show --json` need none")
        from outlay.views.top.app import Top

        Top(ledger, load(), chosen, dialog).run()
