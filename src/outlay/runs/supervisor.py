"""Start a run, or resume one: what is written before the team works."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from outlay import __version__, home
from outlay.clock import Clock
from outlay.errors import InputError
from outlay.ledger import Entry, Ledger, Transaction
from outlay.prices.keep import keep
from outlay.runs.beginning import beginning
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.runs.limits import change
from outlay.runs.lookup import refuse_agent
from outlay.runs.outcome import Options, Result
from outlay.runs.owner import owner_here, release_dead
from outlay.runs.prepare import (
    ALWAYS_LEFT_OUT,
    Prepared,
    own_prices,
    prepare,
)
from outlay.runs.pursuit import Pursuit
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.workspace import Hub

Started = Callable[[str, Ledger], None]


async def start(
    goal: Goal, options: Options, *, run_id: str = "", clock: Clock | None = None, started: Started = lambda *_: None
) -> Result:
    """Run a goal. `started` is called once the run is in the ledger. Bad input leaves nothing behind."""
    clock = clock or Clock()
    prepared = prepare(goal, Path(options.record) if options.record else None)
    root = home.home()
    run = run_id or clock.new_id()
    with beginning(root, run, clock) as folder:
        sandbox = open_sandbox(at_least=goal.workspace.sandbox)
        left_out = (*ALWAYS_LEFT_OUT, *goal.workspace.exclude)
        hub = await Hub.create(sandbox, folder, goal.workspace.path, left_out, history=prepared.policy is None)
        with Ledger(root / "ledger.db", clock) as ledger:
            owner = owner_here(run)
            epoch = await ledger.commit(lambda t: _write_start(t, run, owner, prepared, options, sandbox.tier, clock))
            keep(prepared.book)
            started(run, ledger)
            return await Pursuit(run, owner, epoch, prepared, options, ledger, sandbox, hub, clock).pursue(None)


def _write_start(
    t: Transaction, run: str, owner: str, prepared: Prepared, options: Options, tier: str, clock: Clock
) -> int:
    goal = prepared.goal
    t.open_stream(run, "run")
    epoch = t.claim(run, owner)
    head = {
        "goal_sha256": hashlib.sha256(goal.text.encode()).hexdigest(),
        "outlay": __version__,
        "sandbox_tier": tier,
        "price_book": prepared.book.id,
        "models": {name: goal.models[name].spec for name in prepared.endpoints},
        "own_prices": own_prices(goal),
        "limits": msgspec.to_builtins(goal.limits),
        "checks": [check.name for check in goal.checks],
        "options": msgspec.to_builtins(options),
    }
    t.append(run, run, epoch, [Entry("run.started", head, goal.text.encode())])
    t.put(
        "runs",
        id=run,
        name=options.name or goal.name,
        goal_path=str(goal.path.absolute()),
        workspace=str(goal.workspace.path),
        status="running",
        pid=os.getpid(),
        started_ms=clock.now_ms(),
        main=f"{run}:main",
    )
    return epoch


async def resume(
    run: str,
    instructions: str | None,
    ledger: Ledger,
    *,
    models: tuple[str, ...] = (),
    limits: tuple[str, ...] = (),
    clock: Clock | None = None,
    started: Started = lambda *_: None,
) -> Result:
    """Go on with a run that was paused, interrupted or has ended.

    models, limits: changes on top of those the run was started with, as on the command line.
    Raises InputError when there is nothing to go on with, Fenced while another process works on it.
    """
    clock = clock or Clock()
    refuse_agent(ledger, run, "resume")
    row = ledger.rows("SELECT * FROM runs WHERE id = ?", (run,))[0]
    first = next(ledger.events(run, types=["run.started"]))
    if first.payload is None:
        raise InputError(f"run {run}: its goal was redacted from the ledger, it cannot be resumed")
    options = msgspec.convert(first.head["options"], Options)
    workspace = Path(options.workspace) if options.workspace else None
    goal = parse(first.payload.decode(), Path(row["goal_path"]), models=[*options.models, *models], workspace=workspace)
    if row["outcome"] == "succeeded" and not instructions:
        raise InputError(f'run {run} has succeeded; to go on with it say what else: outlay resume {run} "..."')
    changed = change((*options.limits, *limits))(goal)
    prepared = prepare(changed, Path(options.record) if options.record else None)
    sandbox = open_sandbox(at_least=prepared.goal.workspace.sandbox)
    folder = home.home() / "runs" / run
    hub = await Hub.open(sandbox, folder)
    owner = owner_here(run)

    def work(t: Transaction) -> int:
        release_dead(t, run)
        epoch = t.claim(run, owner)
        payload = instructions.encode() if instructions else None
        head = {
            "pid": os.getpid(),
            "sandbox_tier": sandbox.tier,
            "models": {name: prepared.goal.models[name].spec for name in prepared.endpoints},
            "own_prices": own_prices(prepared.goal),
            "limits": msgspec.to_builtins(prepared.goal.limits),
        }
        t.append(run, run, epoch, [Entry("run.resumed", head, payload)])
        t.update("runs", run, status="running", outcome=None, reason=None, ended_ms=None, pid=os.getpid(), wanted=None)
        return epoch

    epoch = await ledger.commit(work)
    keep(prepared.book)
    started(run, ledger)
    activation = Pursuit(run, owner, epoch, prepared, options, ledger, sandbox, hub, clock)
    activation.was_ended = row["status"] == "ended"
    return await activation.pursue(instructions)
