"""What people and other agents tell a run's sessions from outside: a stream of its own, whoever writes into it.

The session's `message.added` has the message's place in that stream (`mail`), so that none is lost or read twice,
whoever is killed.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

from outlay.ledger import Entry, Event, Ledger, Transaction

if TYPE_CHECKING:
    from outlay.agents.crew import Crew
    from outlay.agents.session import Session


def mail_of(run: str) -> str:
    """The stream of what others tell the sessions of a run."""
    return f"{run}:mail"


def post(t: Transaction, run: str, text: str, head: dict[str, Any] | None = None) -> None:
    """Write a message down. head: `to` names another session than the main one."""
    stream, owner = mail_of(run), f"mail@:{os.getpid()}"
    t.open_stream(stream, "mail")
    t.append(run, stream, t.claim(stream, owner), [Entry("agent.told", head or {}, text.encode())])
    t.release(owner, stream)


def posted(conn: sqlite3.Connection, run: str) -> int:
    """How many messages there are for a run."""
    row = conn.execute("SELECT next_n FROM streams WHERE id = ?", (mail_of(run),)).fetchone()
    return 0 if row is None else int(row[0])


def read_up_to(conn: sqlite3.Connection, run: str) -> int:
    """How many of them have entered a session."""
    row = conn.execute(
        "SELECT max(json_extract(head, '$.mail')) FROM events WHERE run = ? AND type = 'message.added'", (run,)
    ).fetchone()
    return 0 if row[0] is None else int(row[0]) + 1


def unread(ledger: Ledger, run: str, read: int) -> list[Event]:
    """The messages from place `read` on."""
    if posted(ledger.reader, run) <= read:
        return []
    return [event for event in ledger.events(mail_of(run)) if event.n >= read]


async def hand_in(crew: Crew, event: Event) -> bool:
    """Give a message to the session that it is for: the answer to what it asks, or what it reads before its next turn.
    One that has ended is not disturbed: the nearest session above it that works has it. False when none does."""
    name = event.head.get("to", "main")
    session = reader_of(crew, name)
    if session is None:
        return False
    text = (event.payload or b"(redacted)").decode(errors="replace")
    if session.name != name:
        text = f"(For {name}, which does not work any more.) {text}"
    if session.question is not None and session.history.answered is None:
        await crew.answer(session, text, mail=event.n)
    else:
        await crew.tell(session, text, mail=event.n)
    return True


def reader_of(crew: Crew, name: str) -> Session | None:
    """The session of that name, or the nearest above it that works."""
    while name:
        session = crew.sessions.get(name)
        if session is not None and session.ending is None and session.history.status == "running":
            return session
        name = name.rpartition("/")[0]
    return None
