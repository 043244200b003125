"""Bringing the result of a run out of it, when the run itself did not or could not."""

from __future__ import annotations

from pathlib import Path

from outlay import home
from outlay.agents.history import rebuild
from outlay.errors import EnvironmentProblem, InputError
from outlay.ledger import Entry, Ledger, Transaction
from outlay.runs.owner import owner_here, release_dead
from outlay.sandbox.deliver import DeliveryConflict
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.workspace import Hub

_EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""git's id of a tree without files, by the length of its ids (SHA-1, SHA-256)."""


async def deliver(run: str, ledger: Ledger, to: Path | None) -> tuple[int, Path]:
    """Bring what the main agent last left into the run's workspace (only what changed), or as a whole into the folder
    `to`. The number of files, and where they are.

    Raises InputError when there is nothing yet or files stand in the way, Fenced while a process works on the run.
    """
    row = ledger.rows("SELECT workspace, main FROM runs WHERE id = ?", (run,))[0]
    commit = rebuild(ledger.events(row["main"])).commit
    if not commit:
        raise InputError(f"run {run} has no result yet; go on with it: outlay resume {run}")
    owner = owner_here(run)

    def claim(t: Transaction) -> int:
        release_dead(t, run)
        return t.claim(run, owner)

    epoch = await ledger.commit(claim)
    try:
        hub = await Hub.open(open_sandbox(), home.home() / "runs" / run)
        files = await _bring(hub, commit, Path(row["workspace"]), to, run)
        entry = Entry("run.delivered", {"commit": commit, "files": files})
        await ledger.commit(lambda t: t.append(run, run, epoch, [entry]))
    finally:
        await ledger.commit(lambda t: t.release(owner))
    return files, to or Path(row["workspace"])


async def _bring(hub: Hub, commit: str, workspace: Path, to: Path | None, run: str) -> int:
    place = to or workspace
    try:
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
        elif not workspace.is_dir():
            raise InputError(f"the workspace {workspace} is gone; choose a folder: outlay deliver {run} --to DIR")
        return await hub.deliver(commit, place, _EMPTY_TREES[len(commit)] if to else hub.base)
    except DeliveryConflict as conflict:
        raise InputError(f"{conflict}; take it to another folder: outlay deliver {run} --to DIR") from None
    except OSError as error:
        raise EnvironmentProblem(f"cannot write to {place}: {error.strerror}") from None
