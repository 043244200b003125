"""A session's dialog in pieces: the newest first, what is older after it, what is new as it comes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from outlay.agents.dialog import TYPES, Said, said
from outlay.ledger import Ledger
from outlay.views.dialog import dialog_lines

PAGE = 500
"""Events that are read at once: few enough to be there before a person has looked."""
LINES = 12
"""Lines of a message that are shown before it is unfolded."""
CHARS = 500
"""Characters of a line that are shown before it is unfolded."""
_TOOLS = ("tool_call", "tool_result")
_END = 1 << 62

Line = tuple[str, str]
"""A line and its style, in words of rich."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said, folded; what is longer is read again when it is unfolded."""

    place: tuple[int, int]
    """Its event's place in the stream, and which of the things said in that event it is."""
    lines: tuple[Line, ...]
    hidden: int = 0
    """Lines that are folded away."""
    tool: bool = False
    """A tool's call or result: one line, whatever its length."""


class Pages:
    """Reads one session's stream. Not for two threads at once."""

    def __init__(self, ledger: Ledger, session: str) -> None:
        self.session = session
        self._ledger = ledger
        row = ledger.reader.execute("SELECT next_n FROM streams WHERE id = ?", (session,)).fetchone()
        self._first = self._next = row[0] if row else 0

    @property
    def has_older(self) -> bool:
        return self._first > 0

    def older(self, most: int = PAGE) -> list[Entry]:
        """The entries before those that were read, of `most` events."""
        first = max(self._first - most, 0)
        entries = self._read(first, self._first)
        self._first = first
        return entries

    def newer(self) -> list[Entry]:
        """The entries that came since."""
        return self._read(self._next, _END)

    def unfold(self, entry: Entry) -> tuple[Line, ...]:
        """All of its lines."""
        n, part = entry.place
        for place, one in self._said(n, n + 1):
            if place[1] == part:
                return tuple(dialog_lines(one, unfold=True))
        return entry.lines

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Places where something is said that has `text` in it, in whatever case, oldest first."""
        wanted = text.lower()
        for place, one in self._said(0, _END):
            if wanted in one.text.lower() or wanted in one.tool.lower():
                yield place

    def _read(self, begin: int, end: int) -> list[Entry]:
        return [_entry(place, one) for place, one in self._said(begin, end, keep=True)]

    def _said(self, begin: int, end: int, *, keep: bool = False) -> Iterator[tuple[tuple[int, int], Said]]:
        for event in self._ledger.events(self.session, types=TYPES, places=range(begin, end)):
            if keep:
                self._next = max(self._next, event.n + 1)
            for part, one in enumerate(said(event)):
                yield (event.n, part), one


def _entry(place: tuple[int, int], one: Said) -> Entry:
    lines = tuple(dialog_lines(one, unfold=False))
    if one.kind in _TOOLS:
        return Entry(place=place, lines=lines, hidden=one.text.rstrip().count("\n") + 1, tool=True)
    kept = tuple((text if len(text) <= CHARS else text[:CHARS] + "…", style) for text, style in lines[: LINES + 1])
    cut = sum(len(text) > CHARS for text, _ in lines[: LINES + 1])
    return Entry(place=place, lines=kept, hidden=len(lines) - len(kept) + cut)
