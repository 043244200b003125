"""Agents in the ledger: registering, finding, telling and asking them. Every step is one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from outlay import __version__
from outlay.agents.mail import post, posted, read_up_to
from outlay.ledger import Entry, Ledger, Transaction
from outlay.runs.goal_types import Goal
from outlay.runs.owner import owner_here
from outlay.runs.prepare import endpoint_of, own_prices
from outlay.service.errors import ServiceError

KIND = "agent"
"""What `run.started` says of such a run."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `agents`."""

    run: str
    project: str
    name: str
    live: int
    ended: str | None
    role: str
    model: str
    folder: str
    begun_ms: int | None
    worked_ms: int
    resumed: int
    tries: int
    changed_files: int | None
    delivered: int


_COLUMNS = ", ".join(Registered.__struct_fields__)


def register(t: Transaction, run: str, project: Path, name: str, role: str, goal: Goal, *, replace: bool) -> str:
    """Write a new agent down, queued; its name. Raises ServiceError (E_NAME_EXISTS) when the name is taken."""
    name = name or _free_name(t, project, role)
    known = _row(t, project, name)
    if known is not None and (known.live or not replace):
        how = "resume it, or choose another" if known.live else "resume it, choose another, or give --replace"
        raise ServiceError("E_NAME_EXISTS", f"there is an agent {name!r} ({_state(known)}); {how}")
    if known is not None:
        t.conn.execute("UPDATE agents SET current = 0 WHERE run = ?", (known.run,))
    owner = owner_here(run)
    t.open_stream(run, "run")
    head = {
        "kind": KIND,
        "goal_sha256": hashlib.sha256(goal.text.encode()).hexdigest(),
        "outlay": __version__,
        "models": {model: spec.spec for model, spec in goal.models.items()},
        "own_prices": own_prices(goal),
        "limits": msgspec.to_builtins(goal.limits),
        "checks": [],
        "options": {},
        "keys": key_names(goal),
    }
    t.append(run, run, t.claim(run, owner), [Entry("run.started", head, goal.text.encode())])
    t.release(owner)
    folder = str(goal.workspace.path)
    t.put(
        "runs", id=run, name=name, goal_path=str(goal.path), workspace=folder, status="queued",
        started_ms=t.now_ms(), main=f"{run}:main",
    )  # fmt: skip
    model = goal.models[goal.team.roles[goal.team.main].model].spec
    t.conn.execute(
        "INSERT INTO agents (run, project, name, current, live, role, model, folder) VALUES (?, ?, ?, 1, 1, ?, ?, ?)",
        (run, str(project), name, role, model, folder),
    )
    return name


def key_names(goal: Goal) -> tuple[str, ...]:
    """The environment variables that hold the keys of a goal's models."""
    return tuple(sorted({endpoint_of(model).key_env for model in goal.models.values()} - {""}))


def _free_name(t: Transaction, project: Path, role: str) -> str:
    taken = {row[0] for row in t.conn.execute("SELECT name FROM agents WHERE project = ?", (str(project),))}
    number = 1
    while f"{role}-{number}" in taken:
        number += 1
    return f"{role}-{number}"


def _state(row: Registered) -> str:
    return "at work" if row.live else row.ended or "ended"


def _row(t: Transaction, project: Path, name: str) -> Registered | None:
    row = t.conn.execute(
        f"SELECT {_COLUMNS} FROM agents WHERE project = ? AND name = ? AND current", (str(project), name)
    ).fetchone()
    return None if row is None else Registered(**dict(zip(Registered.__struct_fields__, row, strict=True)))


def select(ledger: Ledger, where: str, parameters: tuple[object, ...] = ()) -> list[Registered]:
    """Rows that match an SQL condition, oldest first."""
    return [
        Registered(**row)
        for row in ledger.rows(f"SELECT {_COLUMNS} FROM agents WHERE {where} ORDER BY run", parameters)
    ]


def find(ledger: Ledger, project: Path, name: str) -> Registered:
    """The agent of that name. Raises ServiceError: E_NAME_REQUIRED, E_NAME_NOT_FOUND with the names there are."""
    if not name:
        raise ServiceError("E_NAME_REQUIRED", "no name; say which agent is meant")
    rows = select(ledger, "project = ? AND current", (str(project),))
    for row in rows:
        if row.name == name:
            return row
    import difflib

    near = difflib.get_close_matches(name, [row.name for row in rows], n=1)
    known = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(r.name for r in rows[-20:]) or 'none yet'}"
    raise ServiceError("E_NAME_NOT_FOUND", f"no agent {name!r} in {project}; {known}")


def tell(t: Transaction, row: Registered, text: str, head: dict[str, str] | None = None) -> None:
    """A message for an agent at work: it enters before its next turn, or answers its question. head: `to` names another
    of its sessions than the main one."""
    if not _live(t, row.run):
        raise ServiceError(
            "E_NOT_RUNNING", f"{row.name} has ended; `outlay agent resume {row.name}` sets it to work again"
        )
    post(t, row.run, text, head)
    _wake(t, row.run)


def _wake(t: Transaction, run: str) -> None:
    t.conn.execute("UPDATE runs SET status = 'queued', reason = NULL WHERE id = ? AND status = 'paused'", (run,))


def lack_key(t: Transaction, run: str, variable: str) -> None:
    """Nobody works on an agent until its key is found."""
    how = f"run any `outlay agent` command of its project where it is set, or store it: keyring set outlay {variable}"
    t.update("runs", run, reason=f"no key in {variable}; {how}")
    t.conn.execute("UPDATE agents SET tries = 0 WHERE run = ?", (run,))


def found_key(t: Transaction, runs: Iterable[str]) -> None:
    """Agents that waited for a key can be worked on."""
    for run in runs:
        if t.conn.execute("SELECT 1 FROM runs WHERE id = ? AND reason IS NOT NULL", (run,)).fetchone():
            _wake(t, run)


def keys_wanted(ledger: Ledger, project: Path, run: str = "", *, every: bool = False) -> dict[str, list[str]]:
    """Agents of a project at work -> the variables of their keys: those that lack one, and `run`, or all of them."""
    rows = ledger.reader.execute(
        "SELECT r.id, json_extract(e.head, '$.keys') FROM agents a JOIN runs r ON r.id = a.run "
        "JOIN events e ON e.run = a.run AND e.type = 'run.started' "
        "WHERE a.project = ? AND a.live AND (? OR r.id = ? OR (r.status = 'paused' AND r.reason IS NOT NULL))",
        (str(project), every, run),
    )
    return {run: names for run, text in rows if (names := msgspec.json.decode(text or "[]", type=list[str]))}


def set_to_work(t: Transaction, row: Registered, text: str, limits: Sequence[str] = ()) -> None:
    """New instructions, and other limits, for an agent that has ended. Its time starts anew."""
    if _live(t, row.run):
        raise ServiceError("E_NOT_ENDED", f"{row.name} is at work; `outlay agent send {row.name}` tells it something")
    worked_ms = t.conn.execute("SELECT worked_ms FROM agents WHERE run = ?", (row.run,)).fetchone()[0]
    post(t, row.run, text, {"limits": list(limits), "worked_ms": worked_ms})
    t.conn.execute(
        "UPDATE agents SET live = 1, ended = NULL, resumed = resumed + 1, tries = 0 WHERE run = ?", (row.run,)
    )
    t.update("runs", row.run, status="queued", outcome=None, reason=None, ended_ms=None, wanted=None)


def want_cancel(t: Transaction, run: str) -> bool:
    """Ask for an agent's cancellation; whether it was at work."""
    if not _live(t, run):
        return False
    t.update("runs", run, wanted="cancel")
    return True


def unread(conn: sqlite3.Connection, run: str) -> bool:
    """Whether a message for an agent is on its way."""
    return posted(conn, run) > read_up_to(conn, run)


def _live(t: Transaction, run: str) -> bool:
    return bool(t.conn.execute("SELECT live FROM agents WHERE run = ?", (run,)).fetchone()[0])
