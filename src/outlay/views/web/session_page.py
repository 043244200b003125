"""A session's dialog and events in pages: however long it is, what is sent is short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from outlay.agents.dialog import TYPES, Said, said
from outlay.errors import InputError
from outlay.ledger import Event, Ledger
from outlay.ledger.store import unpack

PREVIEW_CHARS = 2_000
"""Longer texts are cut in pages, and sent whole when asked for."""
_SNIPPET_CHARS = 80
_MATCHES = 200


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said, as it stands in a page."""

    n: int
    """Place of its event in the session's stream."""
    part: int
    """Place within that event."""
    at_ms: int
    kind: str
    text: str
    """Its first PREVIEW_CHARS characters."""
    chars: int
    """Length of the whole."""
    tool: str = ""
    is_error: bool = False
    key: str = ""
    """The call that it is the answer of."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a dialog."""

    items: list[Item]
    first: int | None
    """`n` of the first event in the page; None when it is empty."""
    last: int | None
    before: bool
    """Whether there is something before it."""
    after: bool
    size: int
    """Events in the session's stream."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An event without its text."""

    seq: int
    at_ms: int
    stream: str
    n: int
    type: str
    head: dict[str, Any]
    text: bool
    """Whether it has a text that can be asked for."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a dialog that has the words looked for."""

    n: int
    at_ms: int
    kind: str
    tool: str
    snippet: str


def session_row(ledger: Ledger, session: str) -> dict[str, Any]:
    """The row of a session. Raises InputError when there is none."""
    rows = ledger.rows("SELECT * FROM sessions WHERE id = ?", (session,))
    if not rows:
        raise InputError(f"no session {session!r}")
    return rows[0]


def size(ledger: Ledger, stream: str) -> int:
    """Events in a stream."""
    row = ledger.reader.execute("SELECT next_n FROM streams WHERE id = ?", (stream,)).fetchone()
    return 0 if row is None else int(row[0])


def dialog_page(
    ledger: Ledger, session: str, *, start: int | None = None, end: int | None = None, most: int = 100
) -> Page:
    """At most `most` events in which something is said: from place `start` on, or those before place `end`; without
    either the last."""
    if start is not None:
        found = _events(ledger, session, "n >= ? ", start, "ASC", most)
    else:
        found = _events(ledger, session, "n < ?", 2**62 if end is None else end, "DESC", most)[::-1]
    first, last = (found[0].n, found[-1].n) if found else (None, None)
    return Page(
        items=[item for event in found for item in _items(event)],
        first=first,
        last=last,
        before=first is not None and bool(_events(ledger, session, "n < ?", first, "DESC", 1)),
        after=last is not None and bool(_events(ledger, session, "n > ?", last, "ASC", 1)),
        size=size(ledger, session),
    )


def whole(ledger: Ledger, session: str, n: int, part: int) -> str:
    """The whole text of one thing said. Raises InputError when it is not there."""
    for event in _events(ledger, session, "n = ?", n, "ASC", 1):
        for place, each in enumerate(said(event)):
            if place == part:
                return each.text
    raise InputError(f"nothing was said at {n}.{part} of {session}")


def search(ledger: Ledger, session: str, words: str) -> list[Match]:
    """Places that have these words, case aside; the first 200."""
    wanted = words.strip().casefold()
    if not wanted:
        raise InputError("no words to look for")
    found: list[Match] = []
    for event in ledger.events(session, types=TYPES):
        for each in said(event):
            place = each.text.casefold().find(wanted)
            if place < 0 and wanted not in each.tool.casefold():
                continue
            begin = max(place - _SNIPPET_CHARS // 2, 0)
            snippet = " ".join(each.text[begin : begin + _SNIPPET_CHARS].split())
            found.append(Match(n=event.n, at_ms=event.at_ms, kind=each.kind, tool=each.tool, snippet=snippet))
            if len(found) == _MATCHES:
                return found
    return found


def event_page(
    ledger: Ledger, run: str, *, stream: str = "", types: Iterable[str] = (), end: int | None = None, most: int = 100
) -> list[Line]:
    """The last events of a run before `end` (a `seq`), oldest first; of one stream or some types only."""
    where, values = ["run = ?", "seq < ?"], [run, 2**62 if end is None else end]
    kinds = list(types)
    if stream:
        where, values = ["+run = ?", "seq < ?", "stream = ?"], [*values, stream]
    if kinds:
        where.append(f"type IN ({', '.join('?' * len(kinds))})")
        values += kinds
    order = "n" if stream else "seq"
    rows = ledger.reader.execute(
        f"SELECT seq, at_ms, stream, n, type, head, payload IS NOT NULL FROM events WHERE {' AND '.join(where)} "
        f"ORDER BY {order} DESC LIMIT ?",
        (*values, most),
    ).fetchall()
    return [
        Line(seq=seq, at_ms=at, stream=of, n=n, type=kind, head=msgspec.json.decode(head), text=bool(text))
        for seq, at, of, n, kind, head, text in reversed(rows)
    ]


def event_text(ledger: Ledger, seq: int) -> str:
    """The text of an event. Raises InputError when it has none, or none any more."""
    row = ledger.reader.execute(
        "SELECT body FROM events JOIN vault ON vault.id = payload WHERE seq = ?", (seq,)
    ).fetchone()
    if row is None:
        raise InputError(f"event {seq} has no text, or it was redacted")
    return unpack(row[0]).decode(errors="replace")


def _events(ledger: Ledger, session: str, where: str, place: int, order: str, most: int) -> list[Event]:
    marks = ", ".join("?" * len(TYPES))
    rows = ledger.reader.execute(
        "SELECT seq, at_ms, run, stream, n, type, head, body FROM events LEFT JOIN vault ON vault.id = payload "
        f"WHERE stream = ? AND {where} AND type IN ({marks}) ORDER BY n {order} LIMIT ?",
        (session, place, *TYPES, most),
    ).fetchall()
    return [
        Event(seq, at, run, stream, n, kind, msgspec.json.decode(head), unpack(body) if body is not None else None)
        for seq, at, run, stream, n, kind, head, body in rows
    ]


def _items(event: Event) -> Iterator[Item]:
    for part, each in enumerate(said(event)):
        yield _item(event, part, each)


def _item(event: Event, part: int, each: Said) -> Item:
    return Item(
        n=event.n, part=part, at_ms=each.at_ms, kind=each.kind, text=each.text[:PREVIEW_CHARS], chars=len(each.text),
        tool=each.tool, is_error=each.is_error, key=str(event.head.get("key", "")),
    )  # fmt: skip
