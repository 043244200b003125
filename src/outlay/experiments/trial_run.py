"""One trial: an ordinary run of a task's goal, in a process of its own, and what it came to."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from outlay import home
from outlay.economics.coordination import EVENTS, coordination
from outlay.economics.spend import total
from outlay.economics.trials import Outcome, Played, Trial
from outlay.errors import Fenced
from outlay.experiments.harbor import RewardTests, reward
from outlay.experiments.task import Task
from outlay.experiments.verify import Verdict, verify
from outlay.ledger import Call, Ledger
from outlay.prices.book import PriceBook, load
from outlay.runs.goal import parse
from outlay.runs.lookup import worked_ms
from outlay.runs.model_spec import played_by
from outlay.runs.outcome import EXIT_CODES, Options, Result
from outlay.runs.supervisor import resume, start
from outlay.sandbox.types import Sandbox
from outlay.sandbox.workspace import Hub

REVIEWER = "reviewer"
"""Role whose calls are verification: spent on checking work."""
_VERIFIED = "verified"
"""Name of the verifier's copy in a run's folder."""
_AGAIN_S = 0.5


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial's process needs to know; `trials/RUN.json` of an experiment's folder."""

    run: str
    experiment: str
    task: str
    arm: str
    repeat: int
    goal: str
    """Path of the goal file, as it was composed."""
    goal_path: str
    """Where it stands, as far as the paths in it go."""
    workspace: str
    at: str


async def pursue(spec: Spec, lock: Path) -> int:
    """Start the trial's run, or go on with it; wait while another process works on it. Returns the exit code.

    lock: file that the trial's process holds, so that one that outlived its experiment is not met halfway.
    """
    with lock.open("ab") as held:
        while not _taken(held):  # noqa: ASYNC110 (a lock of another process wakes nobody)
            await asyncio.sleep(_AGAIN_S)
        return await _pursue(spec)


def _taken(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _pursue(spec: Spec) -> int:
    path = home.home() / "ledger.db"
    while True:
        row = _row(path, spec.run)
        if row is None:
            goal = parse(Path(spec.goal).read_text(), Path(spec.goal_path), workspace=Path(spec.workspace))
            name = f"{spec.experiment}/{spec.arm}/{spec.task}/{spec.repeat + 1}"
            result = await start(goal, Options(name=name, workspace=spec.workspace), run_id=spec.run)
            return result.exit_code
        if row["status"] == "ended":
            return EXIT_CODES.get(row["outcome"], 1)
        with Ledger(path) as ledger:
            try:
                resumed: Result = await resume(spec.run, None, ledger)
                return resumed.exit_code
            except Fenced:  # somebody resumed it by hand
                await asyncio.sleep(_AGAIN_S)


def _row(path: Path, run: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    with Ledger(path) as ledger:
        return run_row(ledger, run)


def run_row(ledger: Ledger, run: str) -> dict[str, Any] | None:
    """The run as the ledger has it; None before it began."""
    rows = ledger.rows("SELECT * FROM runs WHERE id = ?", (run,))
    return rows[0] if rows else None


async def judge(sandbox: Sandbox, task: Task, ledger: Ledger, run: str) -> Verdict:
    """Let the task's verifier look at what the run ended with. Nothing that it does reaches the run."""
    hub = await Hub.open(sandbox, home.home() / "runs" / run)
    ends = list(ledger.events(f"{run}:main", types=["session.ended"]))
    commit = next((event.head["commit"] for event in reversed(ends) if event.head.get("commit")), hub.base)
    place = await hub.checkout(_VERIFIED, commit)
    try:
        if isinstance(task.verifier, RewardTests):
            return await reward(sandbox, task.verifier, place)
        return await verify(sandbox, task.verifier, place)
    finally:
        await hub.restore(_VERIFIED, hub.base)


def measure(ledger: Ledger, spec: Spec, verdict: Verdict | None) -> Trial:
    """The trial as statistics read it. Without a verdict the run could not be carried out: `errored`.

    A call that a crash or a broken connection left open counts with the most that it may have cost.
    """
    run = spec.run
    row = run_row(ledger, run)
    calls = list(ledger.calls("run = ?", (run,))) if row else []
    book = run_book(ledger, run)
    spent = total(calls, book)
    known = None if spent.unpriced or spent.possible_pico is None else spent.known.total + spent.possible_pico
    outcome = _outcome(row, verdict, calls)
    return Trial(
        task=spec.task,
        arm=spec.arm,
        repeat=spec.repeat,
        success=outcome == "succeeded",
        cost_pico=known,
        free=known == 0,
        tokens=spent.usage,
        wall_ms=sum(worked_ms(ledger, run)),
        coordination_pico=coordination(ledger.events(run=run, types=EVENTS), calls, book).cost_pico,
        verification_pico=total((call for call in calls if call.role == REVIEWER), book).cost_pico,
        outcome=outcome,
        source=run,
        played=_played(ledger, run),
    )


def _outcome(row: dict[str, Any] | None, verdict: Verdict | None, calls: list[Call]) -> Outcome:
    if verdict is not None and verdict.passed:
        return "succeeded"
    ended = row["outcome"] if row else None
    if verdict is None or ended is None or (ended == "failed" and not any(call.status == "ok" for call in calls)):
        return "errored"
    return "failed" if ended == "succeeded" else ended


def _played(ledger: Ledger, run: str) -> Played:
    begun = ledger.events(run, types=["run.started", "run.resumed"])
    return played_by(spec for event in begun for spec in event.head.get("models", {}).values())


def run_book(ledger: Ledger, run: str, listed: PriceBook | None = None) -> PriceBook:
    """The price book (`listed`, when it is at hand) with the run's own prices on top."""
    book = listed or load()
    for event in ledger.events(run, types=["run.started", "run.resumed"]):
        for model, prices in (event.head.get("own_prices") or {}).items():
            book = book.with_price(model, **{name: price for name, price in prices.items() if price is not None})
    return book
