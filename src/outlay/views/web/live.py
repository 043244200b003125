"""What changes, told as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from outlay.agents import labels
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.service import look
from outlay.views.approve import facts
from outlay.views.facts import price_book, run_of
from outlay.views.steering import agent_of
from outlay.views.watch import Notice, RunWatch

POLL_S = 0.25
"""Time between two looks whether anybody wrote."""
STILL_S = 5.0
"""Longest time between two looks at a run: that its process died is written nowhere."""
BREATH_S = 15.0
"""Time after which silence is broken, so that both sides notice a connection that is gone."""
_NOTICES = 50
_SHARE = 10
"""A look takes at most this part of the time (a tenth), however large the run is."""


def run_json(ledger: Ledger, book: PriceBook, watch: RunWatch) -> dict[str, Any]:
    """How a run stands: `run`, `notices` (news since the last look), `waiting` (releases that wait for a person),
    `agent` (when it is one in the background), `sizes` (session -> events in its stream)."""
    view, notices = watch.look()
    agent = agent_of(ledger, view.id)
    rows = ledger.reader.execute(
        "SELECT sessions.id, next_n FROM sessions JOIN streams ON streams.id = sessions.id WHERE run = ?", (view.id,)
    )
    return {
        "run": view,
        "notices": notices[-_NOTICES:],
        "waiting": [facts(event) for event in labels.waiting(ledger, view.id)],
        "agent": look.agents(ledger, [agent], book)[0] if agent else None,
        "sizes": dict(rows.fetchall()),
    }


def watch_of(ledger: Ledger, run: str, book: PriceBook) -> RunWatch:
    """A watch on a run, which prices as the run's own goal says."""
    return RunWatch(ledger, run, price_book(book, run_of(ledger, run)))


async def stream(
    request: web.Request, ledger: Ledger, closing: asyncio.Event, tell: Callable[[], tuple[str, bytes]]
) -> web.StreamResponse:
    """Send what `tell` says, the name of an event and its JSON, whenever that has changed. It is asked in a thread."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    version, asked, said, before = None, 0.0, 0.0, b""
    try:
        while not closing.is_set():
            now = loop.time()
            seen = ledger.reader.execute("PRAGMA data_version").fetchone()[0]
            took = 0.0
            if seen != version or now - asked > STILL_S:
                version = seen
                name, data = await asyncio.to_thread(tell)
                asked = loop.time()
                took = asked - now
                if data != before:
                    await response.write(b"event: %s\ndata: %s\n\n" % (name.encode(), data))
                    before, said = data, asked
            if now - said > BREATH_S:
                await response.write(b": still here\n\n")
                said = now
            await _pause(closing, max(POLL_S, took * _SHARE))
    except (ConnectionError, asyncio.CancelledError):
        pass  # nobody listens any more
    return response


async def _pause(closing: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(closing.wait(), seconds)
    except TimeoutError:
        pass


def telling_run(ledger: Ledger, run: str, book: PriceBook) -> Callable[[], tuple[str, bytes]]:
    """What to tell of one run: all of it each time, but notices once."""
    watch = watch_of(ledger, run, book)
    kept: list[Notice] = []

    def tell() -> tuple[str, bytes]:
        nonlocal kept
        told = run_json(ledger, book, watch)
        kept = [*kept, *told["notices"]][-_NOTICES:]
        return "run", msgspec.json.encode(told | {"notices": kept})

    return tell


def telling_all(ledger: Ledger) -> Callable[[], tuple[str, bytes]]:
    """What to tell of all runs: where the ledger ends, and how runs stand."""

    def tell() -> tuple[str, bytes]:
        row = ledger.reader.execute("SELECT max(seq) FROM events").fetchone()
        states = ledger.reader.execute("SELECT id, status FROM runs ORDER BY started_ms DESC LIMIT 100").fetchall()
        return "runs", msgspec.json.encode({"seq": row[0] or 0, "states": dict(states)})

    return tell
