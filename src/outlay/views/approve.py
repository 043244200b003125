"""What waits for a person's approval, and the decision."""

from __future__ import annotations

from typing import Any

import msgspec

from outlay.agents import labels
from outlay.ledger import Event
from outlay.runs.lookup import find_run, open_ledger
from outlay.runs.owner import owner_here


def show_waiting(run: str, *, as_json: bool) -> str:
    """Everything that waits in a run, with its bytes. Raises InputError when there is no such run."""
    with open_ledger() as ledger:
        found = find_run(ledger, run)
        events = labels.waiting(ledger, found)
    if as_json:
        return msgspec.json.format(msgspec.json.encode([facts(event) for event in events]), indent=1).decode()
    if not events:
        return f"{found}: nothing waits for approval"
    return "\n\n".join(f"{_line(event)}\n{_content(event)}" for event in events)


def decide_on(run: str, id: str, approved: bool, *, as_json: bool) -> str:
    """Write a decision down. Raises InputError when nothing of that id waits."""
    with open_ledger() as ledger:
        found = find_run(ledger, run)
        event = labels.decide(ledger, found, id, owner_here(f"{found}:approvals"), approved=approved)
    if as_json:
        return msgspec.json.encode(facts(event) | {"approved": approved}).decode()
    return f"{id} {'approved' if approved else 'denied'}: {_line(event)}"


def facts(event: Event) -> dict[str, Any]:
    """What is known of a release that waits, its bytes as a terminal may have them."""
    head = event.head
    return {key: head[key] for key in ("id", "release", "to", "session", "sha256")} | {"content": _content(event)}


def _line(event: Event) -> str:
    head = event.head
    size = len(event.payload or b"")
    return f"{head['id']}  release {head['release']} to {head['to']}, asked by {head['session']}, {size:,} bytes"


def _content(event: Event) -> str:
    """The bytes as a terminal may have them: nothing in them can write to it."""
    text = "(redacted)" if event.payload is None else event.payload.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
