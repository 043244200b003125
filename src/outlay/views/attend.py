"""A run attended at the terminal: the work and its view in one process, and the words at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from outlay import home
from outlay.clock import Clock
from outlay.errors import InputError
from outlay.ledger import Ledger, Transaction
from outlay.runs.goal_types import Goal
from outlay.runs.lookup import find_run, open_ledger, refuse_agent
from outlay.runs.outcome import EXIT_CODES, PAUSED_EXIT_CODE, Options, Result
from outlay.runs.owner import owner_here, release_dead
from outlay.runs.prepare import book_for, prepare
from outlay.runs.supervisor import resume, start

if TYPE_CHECKING:
    from rich.console import Console

    from outlay.prices.book import PriceBook

APPEARS_S = 60.0
"""Longest wait for a detached run to reach the ledger."""

Work = Callable[[Callable[[str, Ledger], None]], Awaitable[Result]]


def attend_start(goal: Goal, options: Options, *, run_id: str, as_json: bool, plain: bool) -> int:
    """Run a goal and show it; returns the exit code."""
    return asyncio.run(
        _attend(lambda started: start(goal, options, run_id=run_id, started=started), book_for(goal), as_json, plain)
    )


def attend_resume(
    run: str, instructions: str | None, models: tuple[str, ...], limits: tuple[str, ...], *, as_json: bool, plain: bool
) -> int:
    """Resume a run and show it; returns the exit code."""
    from outlay.views.facts import gather, price_book

    with open_ledger() as ledger:
        found = find_run(ledger, run)
        book = price_book(_listed(), gather(ledger, found))

        def work(started: Callable[[str, Ledger], None]) -> Awaitable[Result]:
            return resume(found, instructions, ledger, models=models, limits=limits, started=started)

        return asyncio.run(_attend(work, book, as_json, plain))


async def _attend(work: Work, book: PriceBook, as_json: bool, plain: bool) -> int:
    from rich.console import Console

    from outlay.views.live import follow

    console = Console()
    view: asyncio.Task[None] | None = None

    def started(run: str, ledger: Ledger) -> None:
        nonlocal view
        if not as_json:
            view = asyncio.create_task(shown(ledger, run))

    async def shown(ledger: Ledger, run: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more (a closed pipe): no reason to stop the work
            await follow(ledger, run, book, console, plain=plain or not console.is_terminal)

    try:
        result = await work(started)
        if view is not None:
            await view  # it ends by itself once it has shown the end
    finally:
        if view is not None and not view.done():
            view.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await view
    try:
        _say(result, book, console, as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit stays silent
    return result.exit_code


def _say(result: Result, book: PriceBook, console: Console, as_json: bool) -> None:
    from outlay.views.report import build, render_table

    with open_ledger() as ledger:
        report = build(ledger, result.run, book)
    if as_json:
        told: dict[str, Any] = {
            "run": result.run,
            "outcome": result.outcome,
            "reason": result.reason,
            "exit_code": result.exit_code,
            "report": report,
        }
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
        return
    if result.outcome is None:
        console.print(f"Paused. Go on with: outlay resume {result.run}")
        return
    console.print(render_table(report))


# ---- detached


def detach_run(goal: Goal, options: Options, *, as_json: bool) -> None:
    """Start the run in a process of its own, once the input is known to be good, and print its id."""
    prepare(goal, Path(options.record) if options.record else None)
    run = Clock().new_id()
    command = ["run", str(goal.path), "--run-id", run, "--plain", "--name", options.name]
    command += [word for model in options.models for word in ("--model", model)]
    command += [word for limit in options.limits for word in ("--limit", limit)]
    command += ["--workspace", options.workspace] if options.workspace else []
    command += ["--record", options.record] if options.record else []
    _tell_detached(run, _detach(run, command), as_json)


def detach_resume(
    run: str, instructions: str | None, models: tuple[str, ...], limits: tuple[str, ...], *, as_json: bool
) -> None:
    """Resume in a process of its own."""
    with open_ledger() as ledger:
        found = find_run(ledger, run)
    _tell_detached(found, resume_apart(found, instructions, models, limits), as_json)


def resume_apart(
    run: str, instructions: str | None = None, models: tuple[str, ...] = (), limits: tuple[str, ...] = ()
) -> int:
    """Resume a run, by its full id, in a process of its own; its pid. Raises InputError when it does not begin."""
    command = ["resume", "--plain"]
    command += [word for model in models for word in ("--model", model)]
    command += [word for limit in limits for word in ("--limit", limit)]
    command += ["--", run, *([instructions] if instructions else [])]
    return _detach(run, command)


def _detach(run: str, command: list[str]) -> int:
    """Start the command in a process of its own and wait until it works on the run; its pid."""
    root = home.home()
    created = [folder for folder in (root, root / "logs") if not folder.exists()]
    home.ensure(home.ensure(root) / "logs")
    log = _log(run)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "outlay", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    end = time.monotonic() + APPEARS_S
    while not _works(run, process.pid):
        if process.poll() is not None or time.monotonic() > end:
            process.poll()
            said = log.read_text(errors="replace").strip().splitlines()
            if process.returncode is not None:
                log.unlink()
                for folder in reversed(created):
                    with contextlib.suppress(OSError):
                        folder.rmdir()
            raise InputError(said[-1].removeprefix("outlay: ") if said else f"the run did not start; see {log}")
        time.sleep(0.1)
    return process.pid


def _log(run: str) -> Path:
    """Where a detached run writes what it would have said."""
    return home.home() / "logs" / f"{run}.log"


def _tell_detached(run: str, pid: int, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode({"run": run, "pid": pid, "log": str(_log(run))}).decode() + "\n")
    else:
        sys.stdout.write(f"{run}  in the background; outlay show {run} --follow, outlay cancel {run}\n")


def _works(run: str, pid: int) -> bool:
    path = home.home() / "ledger.db"
    if not path.exists():
        return False
    with Ledger(path) as ledger:
        row = ledger.rows("SELECT pid FROM runs WHERE id = ?", (run,))
        return bool(row) and bool(row[0]["pid"] == pid)


# ---- asking a run that another process works on


def ask(run: str, what: str, timeout_s: float) -> int:
    """Ask a run to pause or to be cancelled, and wait for it. A run whose process died is ended here."""
    with open_ledger() as ledger:
        found = find_run(ledger, run)
        state = ask_in(ledger, found, what, timeout_s)
    sys.stdout.write(f"{found} {state}\n")
    return 0


def ask_in(ledger: Ledger, run: str, what: str, timeout_s: float) -> str:
    """`ask` for a run by its full id; how it stands then. Raises InputError when that cannot be, or it does not end."""
    refuse_agent(ledger, run, "cancel")
    row = ledger.rows("SELECT status, outcome FROM runs WHERE id = ?", (run,))[0]
    if row["status"] == "ended":
        raise InputError(f"run {run} has ended: {row['outcome']}")
    if row["status"] == "paused" and what == "pause":
        raise InputError(f"run {run} is paused")
    if _abandoned(ledger, run):
        if what == "pause":
            raise InputError(f"run {run} was interrupted, nothing works on it; outlay resume {run}")
        ledger.write(lambda t: _end_abandoned(t, run))
        return "cancelled"
    ledger.write(lambda t: t.update("runs", run, wanted=what))
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        time.sleep(0.2)
        row = ledger.rows("SELECT status, outcome FROM runs WHERE id = ?", (run,))[0]
        if row["status"] != "running":
            return str(row["outcome"] or row["status"])
    raise InputError(f"run {run} has not ended after {timeout_s:.0f} s; it ends at its next safe point")


def _abandoned(ledger: Ledger, run: str) -> bool:
    """Whether no process works on the run: paused, or its owner died."""
    ledger.write(lambda t: release_dead(t, run))
    row = ledger.rows("SELECT owner, lease_until_ms FROM streams WHERE id = ?", (run,))[0]
    return row["owner"] is None or row["lease_until_ms"] < ledger.clock.now_ms()


def _end_abandoned(t: Transaction, run: str) -> None:
    from outlay.ledger import Entry

    epoch = t.claim(run, owner_here(run))
    t.append(run, run, epoch, [Entry("run.ended", {"outcome": "cancelled"}, b"cancelled")])
    now = Clock().now_ms()
    t.update("runs", run, status="ended", outcome="cancelled", reason="cancelled", ended_ms=now, wanted=None)
    t.conn.execute(
        "UPDATE sessions SET status = 'cancelled', ended_ms = ? "
        "WHERE run = ? AND status IN ('queued', 'running', 'waiting')",
        (now, run),
    )
    t.release(owner_here(run))


def _listed() -> PriceBook:
    from outlay.prices import book

    return book.load()


__all__ = ["EXIT_CODES", "PAUSED_EXIT_CODE", "ask", "ask_in", "attend_resume", "attend_start", "detach_resume",
           "detach_run", "resume_apart"]  # fmt: skip
