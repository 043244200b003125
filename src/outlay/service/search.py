"""Finding a place in an agent's dialog, its children's included."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from outlay.agents.dialog import dialog
from outlay.ledger import Ledger
from outlay.service.agent import Match
from outlay.service.registry import Registered

SNIPPET_CHARS = 200
KINDS = {"any": (), "user": ("task", "instructions", "answer"), "assistant": ("model", "tool_call")}
"""Who said it -> kinds of what is said; none of them: all."""


def matches(ledger: Ledger, row: Registered, pattern: re.Pattern[str], kinds: Collection[str]) -> Iterator[Match]:
    """Every thing said that fits, once, in order, with the words around its first fit."""
    for session in ledger.rows("SELECT id, name FROM sessions WHERE run = ? ORDER BY id", (row.run,)):
        name = row.name + session["name"].removeprefix("main")
        for index, said in enumerate(dialog(ledger, session["id"])):
            found = pattern.search(said.text)
            if found is not None and (not kinds or said.kind in kinds):
                yield Match(name=name, at_ms=said.at_ms, index=index, kind=said.kind, snippet=_around(said.text, found))


def _around(text: str, found: re.Match[str]) -> str:
    begin = max(found.start() - 60, 0)
    words = " ".join(text[begin : begin + SNIPPET_CHARS].split())
    return ("…" if begin else "") + words + ("…" if begin + SNIPPET_CHARS < len(text) else "")
