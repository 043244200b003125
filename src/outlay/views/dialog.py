"""A session's dialog as lines, tools folded to a line each, and a run's events one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from outlay.agents.dialog import Said, dialog
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.views.wording import clock_time, printable


def find_session(ledger: Ledger, run_id: str, name: str) -> str:
    """Id of a session by its name or the end of it. Raises InputError with the names there are."""
    rows = ledger.rows("SELECT id, name FROM sessions WHERE run = ? ORDER BY started_ms, id", (run_id,))
    exact = [row["id"] for row in rows if row["name"] == name]
    found = exact or [row["id"] for row in rows if row["name"].endswith("/" + name)]
    if len(found) == 1:
        return str(found[0])
    names = ", ".join(row["name"] for row in rows)
    if found:
        raise InputError(f"{name!r} fits {len(found)} sessions of this run; there are {names}")
    raise InputError(f"no session {name!r} in this run; there are {names or 'none'}")


def dialog_lines(said: Said, *, unfold: bool) -> Iterator[tuple[str, str]]:
    """Lines of one thing said, each with a style of rich. Tools are one line unless unfolded."""
    when, text = clock_time(said.at_ms, seconds=True), printable(said.text)
    if said.kind in ("tool_call", "tool_result") and not unfold:
        sign = "→" if said.kind == "tool_call" else "✗" if said.is_error else "←"
        size = f" ({len(said.text):,} characters)" if said.kind == "tool_result" else ""
        yield f"  {sign} {said.tool} {_first_line(text)}{size}", "red" if said.is_error else "dim"
        return
    title = f"{said.kind.replace('_', ' ')} {said.tool}".strip()
    yield f"{when}  {title}", "bold red" if said.is_error else "bold"
    for line in text.rstrip().splitlines():
        yield f"  {line}", ""


def _first_line(text: str, width: int = 100) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= width else line[: width - 1] + "…"


def event_lines(ledger: Ledger, run_id: str) -> Iterator[dict[str, Any]]:
    """All events of a run without their payloads."""
    rows = ledger.reader.execute(
        "SELECT seq, at_ms, stream, n, type, head FROM events WHERE run = ? ORDER BY seq", (run_id,)
    )
    for seq, at_ms, stream, n, kind, head in rows:
        yield {"seq": seq, "at_ms": at_ms, "stream": stream, "n": n, "type": kind, "head": msgspec.json.decode(head)}


__all__ = ["Said", "dialog", "dialog_lines", "event_lines", "find_session"]
