"""What `outlay top` shows, read from the ledger: the list of runs, and a close look at those that somebody looks at."""

from __future__ import annotations

import time
from collections.abc import Collection

import msgspec

from outlay.agents import labels
from outlay.economics.spend import Spend, total
from outlay.ledger import Event, Ledger
from outlay.prices.book import PriceBook
from outlay.service import look, registry
from outlay.views.facts import WORKING, is_live, price_book, run_of
from outlay.views.watch import Notice, RunView, RunWatch

PRICING_S = 0.05
"""Time that one look may take to price runs that nobody looks at."""


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the list, an agent in the background being one, too."""

    id: str
    name: str
    state: str
    """The outcome or the status; of an agent its state."""
    agent: bool
    started_ms: int
    spend: Spend | None
    """None: not priced yet."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is looked at closely."""

    view: RunView
    notices: tuple[Notice, ...]
    approvals: tuple[Event, ...]
    """Releases that wait for a person: events `approval.asked`."""
    question: str = ""
    """What an agent in the background asks, and waits for."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    rows: tuple[RunRow, ...]
    """Those that have not ended first, the newest first among each."""
    older: int
    """Runs beyond those."""
    seen: dict[str, Seen]
    """By run."""

    @property
    def at_work(self) -> int:
        """Runs on which a process works, or waits to."""
        return sum(row.state in WORKING for row in self.rows)


_LIST = """
SELECT r.id, r.name, r.status, r.outcome, r.started_ms, r.ended_ms, a.live, a.ended
FROM runs r LEFT JOIN agents a ON a.run = r.id
ORDER BY r.status = 'ended', r.started_ms DESC, r.id DESC LIMIT ?
"""


class Desk:
    """Looks at the ledger; used by one thread at a time. A look reads only what is new."""

    def __init__(self, ledger: Ledger, book: PriceBook) -> None:
        self.ledger = ledger
        self._book = book
        self._watches: dict[str, RunWatch] = {}
        self._notices: dict[str, list[Notice]] = {}
        self._priced: dict[str, tuple[object, Spend]] = {}
        """Run -> how it stood when it was priced, and its spend."""

    def look(self, closely: Collection[str], most: int) -> Picture:
        """The newest `most` runs, and those of `closely` with their sessions."""
        listed = self.ledger.rows(_LIST, (most,))
        seen = {run: self._closely(run) for run in closely}
        until = time.monotonic() + PRICING_S
        rows = tuple(self._row(row, seen, until) for row in listed)
        count = self.ledger.reader.execute("SELECT count(*) FROM runs").fetchone()[0]
        return Picture(rows=rows, older=count - len(rows), seen=seen)

    def _closely(self, run: str) -> Seen:
        if run not in self._watches:
            own_prices = price_book(self._book, run_of(self.ledger, run))
            self._watches[run] = RunWatch(self.ledger, run, own_prices)
        view, news = self._watches[run].look()
        notices = self._notices.setdefault(run, [])
        notices += news
        waiting = labels.waiting(self.ledger, run) if view.outcome is None else ()
        return Seen(view=view, notices=tuple(notices), approvals=tuple(waiting), question=self._question(run, view))

    def _question(self, run: str, view: RunView) -> str:
        if view.outcome is not None or all(session.parent or session.status != "waiting" for session in view.sessions):
            return ""
        agents = look.agents(self.ledger, registry.select(self.ledger, "run = ?", (run,)), self._book)
        return next((agent.question for agent in agents if agent.question), "")

    def _row(self, row: dict[str, object], seen: dict[str, Seen], until: float) -> RunRow:
        run = str(row["id"])
        status = str(row["ended"] or row["outcome"] or row["status"])
        agent = row["live"] is not None
        if status == "running" and not agent and not is_live(self.ledger, run):
            status = "interrupted"
        elif status not in WORKING and row["live"]:
            status = "waiting"  # for what it is told
        stands = (status, row["ended_ms"])
        if run in seen:
            self._priced[run] = (stands, seen[run].view.total)
        elif time.monotonic() < until and self._priced.get(run, ("",))[0] != stands:
            book = price_book(self._book, run_of(self.ledger, run))
            self._priced[run] = (stands, total(self.ledger.calls("run = ?", (run,)), book))
        return RunRow(
            id=run,
            name=str(row["name"]),
            state=status,
            agent=agent,
            started_ms=int(str(row["started_ms"])),
            spend=self._priced[run][1] if run in self._priced else None,
        )
