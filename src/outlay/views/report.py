"""The report of one run or imported session: what it achieved, what it cost, where that went."""

from __future__ import annotations

from outlay.economics.coordination import EVENTS, coordination
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook, load
from outlay.runs.lookup import find_run
from outlay.views.facts import gather, price_book
from outlay.views.report_data import Report, compute
from outlay.views.report_text import render_markdown, render_table

__all__ = ["Report", "build", "compute", "render_markdown", "render_table", "report_on"]


def build(ledger: Ledger, run_id: str, book: PriceBook) -> Report:
    """The report of a run as the ledger has it now. Raises InputError if there is no such run."""
    facts = gather(ledger, run_id)
    told = None
    if len(facts.sessions) > 1:
        told = coordination(ledger.events(run=run_id, types=EVENTS), facts.calls, price_book(book, facts))
    return compute(facts, book, ledger.clock.now_ms(), told)


def report_on(ledger: Ledger, text: str | None) -> Report:
    """The report of the run, or the imported session of another agent, that `text` means; None: of the newest run.

    Raises InputError when it means neither.
    """
    from outlay.views import imported

    try:
        return build(ledger, find_run(ledger, text), load())
    except InputError as no_run:
        found = imported.build(ledger, text, load()) if text else None
        if found is None:
            raise InputError(f"{no_run}, `outlay usage --by session` the sessions of other agents") from None
        return found
