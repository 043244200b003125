"""The day's account: what all runs of a ledger used since midnight, and what they have reserved, in every process.

Nothing is kept beside the ledger. A call's intent says what is reserved for it, its row of `calls` what it used; the
account reads on, inside the transaction that writes the next intent. Processes write one after the other, so two that
share the last of the money cannot both spend it.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import Any

import msgspec

from outlay.clock import Clock
from outlay.errors import LimitReached
from outlay.gateway.budget import Account, Ask, Bounds, Grant
from outlay.ledger import Call, calls
from outlay.prices.book import PriceBook

LONGEST_CALL_MS = 6 * 3_600_000
"""Calls that began before midnight may still be under way; none takes longer than this."""
RETRY_S = 0.5
"""Between two looks at what other processes have freed."""
_ENDS = ("call.result", "call.failed", "call.lost")
_RUNS = ("run.started", "run.resumed")
_TYPES = ("call.intent", *_ENDS, *_RUNS)


class DayFull(LimitReached):
    """The call does not fit into what is left of the day."""

    def __init__(self, limit: str, message: str, *, may_pass: bool) -> None:
        super().__init__(f"day.{limit}", message)
        self.may_pass = may_pass
        """Calls under way, here or in other processes, may still free enough."""


class _Open(msgspec.Struct, frozen=True):
    """A call under way."""

    pico: int
    net: int
    output: int


class Day:
    """What was used and reserved today. Everything but `bounds` is for the ledger's writer thread alone."""

    def __init__(self, bounds: Bounds, book: PriceBook, clock: Clock) -> None:
        self.bounds = bounds
        self._book = book
        self._clock = clock
        self._restart()

    @property
    def account(self) -> Account:
        """What was used today, to be read from any thread; it may be a call behind."""
        return self._account

    def admit(self, conn: sqlite3.Connection, ask: Ask, grant: Grant) -> Grant:
        """The grant, lowered to what is left of the day; to be called in the transaction that writes the intent.

        Raises DayFull when the call does not fit.
        """
        self._read_on(conn)
        account = self._account
        if account.bounds.turns is not None and account.turns + account.under_way >= account.bounds.turns:
            raise DayFull("turns", account.describe("turns"), may_pass=self._may_pass(conn))
        fits, limit = account.affordable_output(ask)
        if not ask.fits(fits):
            raise DayFull(limit, account.describe(limit), may_pass=self._may_pass(conn))
        return grant if fits >= grant.max_output_tokens else ask.grant(fits)

    def _may_pass(self, conn: sqlite3.Connection) -> bool:
        """Whether a call is under way whose owner lives. What a dead one reserved stays until its run is resumed or
        concluded."""
        now = self._clock.now_ms()
        query = "SELECT 1 FROM streams WHERE id = ? AND owner IS NOT NULL AND lease_until_ms > ?"
        streams = {key.rpartition("#")[0] for key in self._open}
        return any(conn.execute(query, (stream, now)).fetchone() for stream in streams)

    def _restart(self) -> None:
        self._begins_ms, self._ends_ms = _day_around(self._clock.now_ms())
        self._account = Account("the day", self.bounds)
        self._open: dict[str, _Open] = {}
        self._books: dict[str, PriceBook] = {}
        self._read: tuple[int, bytes] | None = None
        """The last event that was read, by its place and hash."""

    def _read_on(self, conn: sqlite3.Connection) -> None:
        """Count what was written since the last time, by whomever."""
        if self._clock.now_ms() >= self._ends_ms or (self._read and not _is_there(conn, *self._read)):
            self._restart()  # midnight passed; or what was read has been rolled back
        after = self._read[0] if self._read else _seq_before(conn, self._begins_ms - LONGEST_CALL_MS)
        marks = ", ".join("?" * len(_TYPES))
        rows = conn.execute(
            "SELECT seq, at_ms, run, stream, n, type, head FROM events "
            f"WHERE seq > ? AND +type IN ({marks}) ORDER BY seq",
            (after, *_TYPES),
        ).fetchall()
        for _, at_ms, run, stream, n, type_, head in rows:
            self._count(conn, at_ms, run, f"{stream}#{n}", type_, head)
        last = conn.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        self._read = last or None

    def _count(self, conn: sqlite3.Connection, at_ms: int, run: str, key: str, type_: str, text: str) -> None:
        account = self._account
        head: dict[str, Any] = msgspec.json.decode(text)
        if type_ in _RUNS:
            self._books.pop(run, None)
        elif type_ == "call.intent":
            opened = self._open[key] = _Open(
                head.get("reserved_pico") or 0, head.get("reserved_net") or 0, head.get("max_output_tokens") or 0
            )
            account.reserved_pico += opened.pico
            account.reserved_net += opened.net
            account.reserved_output += opened.output
            account.under_way += 1
        else:
            if (ended := self._open.pop(head["key"], None)) is not None:
                account.reserved_pico -= ended.pico
                account.reserved_net -= ended.net
                account.reserved_output -= ended.output
                account.under_way -= 1
            if at_ms >= self._begins_ms:
                self._spend(conn, run, head["key"])

    def _spend(self, conn: sqlite3.Connection, run: str, key: str) -> None:
        for call in calls.select(conn, "source = 'outlay' AND key = ?", (key,)):
            self._account.spend(used_pico(call, self._book_of(conn, run)), call.usage.net, call.usage.output)
            self._account.turns += call.status == "ok"

    def _book_of(self, conn: sqlite3.Connection, run: str) -> PriceBook:
        """The price book with the run's own prices on top."""
        book = self._books.get(run)
        if book is None:
            book = self._book
            rows = conn.execute(
                "SELECT head FROM events WHERE run = ? AND type IN (?, ?) ORDER BY seq", (run, *_RUNS)
            ).fetchall()
            for (head,) in rows:
                for model, prices in (msgspec.json.decode(head).get("own_prices") or {}).items():
                    book = book.with_price(
                        model, **{name: price for name, price in prices.items() if price is not None}
                    )
            self._books[run] = book
        return book


def used_pico(call: Call, book: PriceBook) -> int:
    """What a call counts against a limit in money: its cost, or the most that it may have cost; 0 without a price."""
    if call.possible_cost_pico is not None:
        return call.possible_cost_pico
    return book.price(call).cost_pico or 0


def _day_around(now_ms: int) -> tuple[int, int]:
    """Midnight before and after a moment, in this machine's time zone, in milliseconds."""
    day = dt.datetime.fromtimestamp(now_ms / 1000).date()
    begins, ends = (dt.datetime.combine(day + dt.timedelta(days=n), dt.time()).astimezone() for n in (0, 1))
    return int(begins.timestamp() * 1000), int(ends.timestamp() * 1000)


def _is_there(conn: sqlite3.Connection, seq: int, hash: bytes) -> bool:
    row = conn.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return row is not None and row[0] == hash


def _seq_before(conn: sqlite3.Connection, moment_ms: int) -> int:
    """The last event written before a moment, found by halving: events are in order of time."""
    low, high = 0, conn.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
    while low < high:
        middle = (low + high + 1) // 2
        row = conn.execute("SELECT at_ms FROM events WHERE seq = ?", (middle,)).fetchone()
        if row is not None and row[0] < moment_ms:
            low = middle
        else:
            high = middle - 1
    return low
