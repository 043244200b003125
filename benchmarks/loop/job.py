"""What every loop under measurement is given, and how its process measures itself. Standard library only: the peers
live in another virtualenv."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL = "scripted-large"
SAY = "I look at the next file before I go on; its first lines should say what it is about."
WARM_TURNS = 2


@dataclass(frozen=True)
class Job:
    """One cell of the table."""

    base_url: str
    sessions: int
    """Sessions that work at the same time."""
    turns: int
    """Model calls of each session: all but the last ask for one tool."""
    system: str
    """System prompt, the same for every loop."""
    tools: list[dict[str, Any]]
    """Tools as chat completions take them (pydantic-ai makes its own from functions of the same names)."""
    folder: str
    """An empty folder of this job, with the files to read in `workspace/notes/`."""

    @property
    def workspace(self) -> Path:
        return Path(self.folder) / "workspace"


@dataclass(frozen=True)
class Measured:
    """What one process measured of itself."""

    user_s: float
    """CPU of all its threads in user mode, from the start of the sessions to the end of the last one."""
    system_s: float
    wall_s: float
    start_rss_kib: int
    """Resident memory when the sessions started: imports, pools, one session of `WARM_TURNS` turns."""
    peak_rss_kib: int
    """Most resident memory since the process began."""


def task(number: int, turns: int) -> str:
    """The first message of a session; the scripted model reads its plan out of it."""
    plan = f'[[turns={turns - 1} tool=read path="notes/{{turn}}.txt" say="{SAY}"]]'
    return f"Session {number}: read the notes one after the other, then say that you are done. {plan}"


def run(work: Callable[[Job], Awaitable[Callable[[int, int], Awaitable[None]]]]) -> None:
    """Measure one loop: `python LOOP.py JOB.json` prints a `Measured` as JSON.

    work: sets the loop up and returns what runs so many sessions of so many turns at the same time.
    """
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    asyncio.run(_run(job, work))


async def _run(job: Job, work: Callable[[Job], Awaitable[Callable[[int, int], Awaitable[None]]]]) -> None:
    sessions = await work(job)
    await sessions(1, WARM_TURNS)
    start_rss_kib = _status_kib("VmRSS")
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await sessions(job.sessions, job.turns)
    after = resource.getrusage(resource.RUSAGE_SELF)
    measured = Measured(
        after.ru_utime - before.ru_utime,
        after.ru_stime - before.ru_stime,
        time.monotonic() - wall,
        start_rss_kib,
        _status_kib("VmHWM"),
    )
    print(json.dumps(asdict(measured)))


def _status_kib(field: str) -> int:
    """A field of /proc/self/status. (ru_maxrss would carry over what the parent process had before the exec.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)
