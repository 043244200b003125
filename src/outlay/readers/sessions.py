"""An imported session with all that it started: the inputs of a report, the same as for a run of ours."""

from __future__ import annotations

import msgspec

from outlay.errors import InputError
from outlay.ledger import Call, Ledger


class ImportedSession(msgspec.Struct, frozen=True):
    """One conversation."""

    id: str
    name: str
    """As its parent called it; `main` for a main agent."""
    parent: str | None
    role: str
    model: str
    status: str


class Imported(msgspec.Struct, frozen=True):
    """A main agent's session and its subagents."""

    root: str
    source: str
    project: str
    title: str
    sessions: list[ImportedSession]
    """The main agent first, every parent before its children."""
    calls: list[Call]
    """In order of completion; rows of quality `reported` (what the source says it cost) are not among them."""
    recorded_cost_pico: int | None
    """What the source itself says the whole cost; None when it does not say."""


def find(ledger: Ledger, text: str) -> str | None:
    """The id of the imported main session that `text` is, or is the beginning of; None when there is none.

    Raises InputError when there are several.
    """
    rows = ledger.reader.execute(
        "SELECT DISTINCT root FROM callers WHERE file <> '' AND root GLOB ? LIMIT 5", (_literal(text) + "*",)
    ).fetchall()
    found = [row[0] for row in rows]
    if text in found or len(found) == 1:
        return text if text in found else found[0]
    if not found:
        row = ledger.reader.execute(
            "SELECT root FROM callers WHERE file <> '' AND session = ? LIMIT 1", (text,)
        ).fetchone()
        return row[0] if row else None
    raise InputError(f"{text!r} begins several sessions: {', '.join(found)}; give more of it")


def imported(ledger: Ledger, root: str) -> Imported:
    """A session by its full id (see `find`). Raises InputError when it is not in the ledger."""
    calls = list(ledger.calls("root = ?", (root,)))
    if not calls:
        raise InputError(f"no session {root!r} was read; `outlay usage --by session` lists those that were")
    said = [call.recorded_cost_pico for call in calls if call.recorded_cost_pico is not None]
    own = [call for call in calls if call.quality != "reported"]
    names = {
        row[0]: (row[1], row[2])
        for row in ledger.reader.execute("SELECT session, name, status FROM names WHERE source = ?", (calls[0].source,))
    }
    sessions: dict[str, ImportedSession] = {}
    for call in own or calls:
        if call.session not in sessions:
            name, status = names.get(call.session, ("", ""))
            shown = (name or call.agent) if call.parent else "main"
            sessions[call.session] = ImportedSession(
                call.session, shown, call.parent, call.role, call.model, status or "done"
            )
    main = next((call for call in calls if call.parent is None), calls[0])
    title = names.get(root, ("", ""))[0]
    return Imported(
        root, main.source, main.project, title, _ordered(sessions), own, sum(said) if said else None
    )  # fmt: skip


def _ordered(sessions: dict[str, ImportedSession]) -> list[ImportedSession]:
    ordered: list[ImportedSession] = []
    waiting = list(sessions.values())
    placed: set[str | None] = {None}
    while waiting:
        ready = [s for s in waiting if s.parent in placed or s.parent not in sessions] or waiting[:1]
        ordered += sorted(ready, key=lambda s: s.parent is not None)
        placed.update(s.id for s in ready)
        waiting = [s for s in waiting if s.id not in placed]
    return ordered


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)
