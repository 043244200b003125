"""All runs of the ledger, newest first."""

from __future__ import annotations

import msgspec

from outlay.economics.spend import Spend, total
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.views.facts import RunFacts, price_book, run_of
from outlay.views.tables import Table, left, right
from outlay.views.wording import cost, date_time, duration

SHOWN = 20
"""Runs that are listed unless all are asked for."""


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the list."""

    run: RunFacts
    sessions: int
    turns: int
    spend: Spend


def list_runs(ledger: Ledger, book: PriceBook, *, most: int | None = SHOWN) -> list[RunLine]:
    """The newest runs (all for None), each priced with its goal's own prices on top of `book`."""
    rows = ledger.rows("SELECT id FROM runs ORDER BY started_ms DESC LIMIT ?", (-1 if most is None else most,))
    return [_line(ledger, row["id"], book) for row in rows]


def _line(ledger: Ledger, run_id: str, book: PriceBook) -> RunLine:
    run = run_of(ledger, run_id)
    counted = ledger.rows("SELECT count(*) AS n, total(turns) AS turns FROM sessions WHERE run = ?", (run_id,))[0]
    calls = ledger.calls("run = ?", (run_id,))
    return RunLine(
        run=run, sessions=counted["n"], turns=int(counted["turns"]), spend=total(calls, price_book(book, run))
    )


def runs_table(lines: list[RunLine]) -> Table:
    """The list as a table."""
    columns = (
        left("ID"), left("NAME", flexible=True), left("OUTCOME"), left("STARTED"), right("WALL"),
        right("SESSIONS", short="SESS"), right("TURNS"), right("COST"),
    )  # fmt: skip
    rows = tuple(
        (
            line.run.id, line.run.name, line.run.state, date_time(line.run.started_ms), duration(line.run.wall_ms),
            str(line.sessions), str(line.turns), cost(line.spend) + ("*" if line.run.played else ""),
        )
        for line in lines
    )  # fmt: skip
    played = any(line.run.played for line in lines)
    note = "* Answers were recorded or given by hand: nothing was paid, cost is at the goal's prices." if played else ""
    return Table("Runs", columns, rows, note=note)
