"""Who works on a run: this process, named so that its death can be told from its silence."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from outlay.ledger import Transaction


def owner_here(run: str) -> str:
    """`run@host:pid:start`, where start (Linux: clock ticks since boot) tells a process from a later one of its pid."""
    pid = os.getpid()
    return f"{run}@{socket.gethostname()}:{pid}:{_started(pid)}"


def is_dead(owner: str) -> bool:
    """Whether the owner surely no longer runs: a process of this machine that is gone."""
    host, _, rest = owner.rpartition("@")[2].partition(":")
    pid, _, start = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(int(pid)) != start


def release_dead(t: Transaction, run: str) -> None:
    """Free the leases of a run whose owner died, so that nobody waits for them to expire."""
    row = t.conn.execute("SELECT owner FROM streams WHERE id = ?", (run,)).fetchone()
    if row and row[0] and is_dead(row[0]):
        t.release(row[0])


def _started(pid: int) -> str:
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if facts[0] in "ZX" else facts[19]  # dead, only nobody has asked for its exit code yet
    except (OSError, IndexError):
        return ""
