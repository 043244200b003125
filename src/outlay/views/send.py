"""Telling a session at work something: `outlay send`."""

from __future__ import annotations

import msgspec

from outlay.agents.mail import post
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.runs.lookup import find_run, open_ledger
from outlay.views.dialog import find_session

LONGEST_CHARS = 100_000
WORKS = ("queued", "running", "waiting")


class Sent(msgspec.Struct, frozen=True):
    """Where a message went."""

    run: str
    session: str
    status: str
    """How the run stands: when it is paused the message is read after its resume."""


def send(target: str, text: str) -> Sent:
    """Put a message before the next turn of a session. target: `RUN` (its main session) or `RUN:SESSION`.

    Raises InputError: no such run or session, it has ended, nothing to say.
    """
    with open_ledger() as ledger:
        named = ledger.rows("SELECT 1 FROM runs WHERE name = ?", (target,))
        run, _, session = (target, "", "") if named else target.partition(":")
        return send_in(ledger, find_run(ledger, run), session, text)


def send_in(ledger: Ledger, run: str, session: str, text: str) -> Sent:
    """`send` for a run by its full id. session: its name or the end of it; empty: the main one."""
    if not text.strip():
        raise InputError("no message; say what the session is to be told")
    if len(text) > LONGEST_CHARS:
        raise InputError(f"the message has {len(text):,} characters, at most {LONGEST_CHARS:,}: put it into a file")
    name = find_session(ledger, run, session).removeprefix(f"{run}:") if session else "main"
    head = {"to": name} if name != "main" else {}
    status = str(ledger.rows("SELECT status FROM runs WHERE id = ?", (run,))[0]["status"])
    if agent := ledger.rows("SELECT name, live FROM agents WHERE run = ?", (run,)):
        _to_agent(ledger, run, agent[0]["name"], bool(agent[0]["live"]), text, head)
        return Sent(run, name, status)
    if status == "ended":
        raise InputError(f'run {run} has ended; to go on with it: outlay resume {run} "..."')
    row = ledger.rows("SELECT status FROM sessions WHERE id = ?", (f"{run}:{name}",))
    if name != "main" and row and row[0]["status"] not in WORKS:
        raise InputError(f"{name} of run {run} has ended ({row[0]['status']}); send it to the one that started it")
    ledger.write(lambda t: post(t, run, text, head))
    return Sent(run, name, status)


def _to_agent(ledger: Ledger, run: str, name: str, live: bool, text: str, head: dict[str, str]) -> None:
    from outlay.service import keeper, registry

    if not live:
        raise InputError(f'agent {name} has ended; to set it to work again: outlay agent resume {name} "..."')
    rows = registry.select(ledger, "run = ?", (run,))
    ledger.write(lambda t: registry.tell(t, rows[0], text, head))
    keeper.ensure_worker(wait=False)


def said(sent: Sent) -> str:
    """For people."""
    when = "when the run is resumed" if sent.status == "paused" else "before its next turn"
    return f"run {sent.run}: {sent.session} reads it {when}"
