"""Carrying out an experiment: trials side by side, within a budget, stopping early where that was asked for.

Every trial is a process of its own. A process that is killed with the experiment, or survives it, is found again by its
run's id: what was paid is not paid again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from outlay import home
from outlay.economics.trials import Trial
from outlay.errors import EnvironmentProblem, InputError, OutlayError
from outlay.experiments.experiment import Experiment, Key
from outlay.experiments.folder import Folder, lay_out
from outlay.experiments.stopping import clear
from outlay.experiments.trial_run import Spec, judge, measure, run_row
from outlay.ledger import Ledger
from outlay.money import show
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.runs.prepare import prepare
from outlay.sandbox.types import Sandbox

ATTEMPTS = 2
"""Processes that a trial may lose before it counts as errored."""
ERRORS_IN_A_ROW = 3
"""Trials that could not be carried out, one after the other, before the machine is suspected."""

Why = Literal["", "budget", "clear", "paused"]
"""Why trials are left: none are; the next might not fit the budget; the answer is clear; a person asked."""


class Planned(msgspec.Struct, frozen=True):
    """A trial before it is begun."""

    key: Key
    limit_pico: int | None
    """The most that it can cost; None without a limit in USD."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How carrying out an experiment ended."""

    why: Why
    told: str
    done: int
    left: int
    spent_pico: int
    """Of all trials, an unknown cost at its trial's limit."""


def plan(experiment: Experiment, folder: Folder | None = None) -> list[Planned]:
    """Every trial in order, each goal checked as `outlay run` would check it.

    Raises InputError for what cannot run: a goal that is wrong, a key that is missing, a budget without limits.
    """
    limits: dict[tuple[str, str], int | None] = {}
    for arm in experiment.arms:
        for name in experiment.tasks:
            goal = _goal(experiment, arm, name, folder)
            limits[arm, name] = goal.limits.usd_pico
            if experiment.budget_pico is not None and goal.limits.usd_pico is None:
                raise InputError(
                    f"arm {arm!r} on {name}: a budget holds only when every trial has a limit; "
                    "give the arm `limits: {usd: ...}`"
                )
    return [Planned(key, limits[key.arm, key.task]) for key in experiment.order()]


def _goal(experiment: Experiment, arm: str, name: str, folder: Folder | None) -> Goal:
    task = experiment.tasks[name]
    workspace = folder.workspace(task) if folder else task.workspace
    place = workspace if workspace is not None and workspace.is_dir() else task.folder
    try:
        goal = parse(experiment.goal_text(arm, name), task.goal, workspace=place)
        prepare(goal)
    except OutlayError as error:
        raise type(error)(f"arm {arm!r} on {name}: {error}") from None
    return goal


@dataclass
class Bench:
    """An experiment that is being carried out."""

    experiment: Experiment
    folder: Folder
    sandbox: Sandbox
    began: Callable[[Key], None] = lambda key: None
    ended: Callable[[Key, Trial, int], None] = lambda key, trial, spent: None
    """Told of every trial; the last is what all trials have spent."""
    done: dict[Key, Trial] = field(default_factory=dict)
    at_work: dict[Key, asyncio.Task[Trial | None]] = field(default_factory=dict)
    processes: dict[Key, asyncio.subprocess.Process] = field(default_factory=dict)
    limits: dict[Key, int | None] = field(default_factory=dict)
    errors: int = 0
    stopping: Why = ""
    told: str = ""

    async def carry_out(self, trials: list[Planned]) -> Ended:
        """Until every trial has ended, or there is a reason not to begin more."""
        self.limits = {trial.key: trial.limit_pico for trial in trials}
        self.done = {key: trial for key, trial in self.folder.done().items() if key in self.limits}
        for task in self.experiment.tasks.values():
            await lay_out(self.sandbox, self.folder, task)
        left = self._begun_first([trial.key for trial in trials if trial.key not in self.done])
        with self._signals():
            try:
                await self._work(left)
            finally:
                for process in self.processes.values():
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(signal.SIGINT)
                await asyncio.gather(*self.at_work.values(), return_exceptions=True)
        return Ended(
            why=self.stopping,
            told=self.told,
            done=len(self.done),
            left=len(self.limits) - len(self.done),
            spent_pico=self.spent(),
        )

    def _begun_first(self, keys: list[Key]) -> list[Key]:
        """Trials that were begun come first: a part of them is paid."""
        path = home.home() / "ledger.db"
        if not path.exists():
            return keys
        with Ledger(path) as ledger:
            begun = {key for key in keys if run_row(ledger, self.folder.run_id(key)) is not None}
        return sorted(keys, key=lambda key: key not in begun)

    async def _work(self, left: list[Key]) -> None:
        while True:
            if not self.stopping and self.experiment.stop_early and (told := clear(self.experiment, self.done)):
                self.stopping, self.told = "clear", told
            while left and not self.stopping and len(self.at_work) < self.experiment.concurrency:
                if not self._fits(left[0]):
                    break
                key = left.pop(0)
                self.at_work[key] = asyncio.create_task(self._trial(key))
            if not self.at_work:
                if left and not self.stopping:
                    self.stopping, self.told = "budget", self._no_room(left[0])
                return
            await asyncio.wait(self.at_work.values(), return_when=asyncio.FIRST_COMPLETED)
            for key in [key for key, task in self.at_work.items() if task.done()]:
                self._take(key, self.at_work.pop(key).result())

    def spent(self) -> int:
        """Picodollars of all trials that have ended."""
        return sum(self._cost(key, trial) for key, trial in self.done.items())

    def _cost(self, key: Key, trial: Trial) -> int:
        return trial.cost_pico if trial.cost_pico is not None else self.limits.get(key) or 0

    def _fits(self, key: Key) -> bool:
        budget = self.experiment.budget_pico
        if budget is None:
            return True
        reserved = sum(self.limits[other] or 0 for other in self.at_work)
        return self.spent() + reserved + (self.limits[key] or 0) <= budget

    def _no_room(self, key: Key) -> str:
        return (
            f"{show(self.spent())} of {show(self.experiment.budget_pico)} is spent, "
            f"and {key} may cost {show(self.limits[key])}"
        )

    def _take(self, key: Key, trial: Trial | None) -> None:
        if trial is None:  # paused
            self.stopping = self.stopping or "paused"
            return
        self.folder.add(trial)
        self.done[key] = trial
        self.ended(key, trial, self.spent())

    # ---- one trial

    async def _trial(self, key: Key) -> Trial | None:
        """A trial to its verdict; None when it pauses."""
        spec = self.folder.spec(self.experiment, key)
        self.began(key)
        verdict = None
        for _ in range(ATTEMPTS):
            code = await self._process(key, spec)
            if self._has_ended(spec):
                with Ledger(home.home() / "ledger.db") as ledger:
                    verdict = await judge(self.sandbox, self.experiment.tasks[key.task], ledger, spec.run)
                self.folder.keep_verdict(spec.run, verdict)
                break
            if self.stopping or code == 5:
                return None
        with Ledger(home.home() / "ledger.db") as ledger:
            trial = measure(ledger, spec, verdict)
            row = run_row(ledger, spec.run)
        self._count_error(spec, trial, (row or {}).get("reason") or "")
        return trial

    async def _process(self, key: Key, spec: Spec) -> int:
        with self.folder.log_path(spec.run).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "outlay", "bench", "trial", str(self.folder.spec_path(spec.run))),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it is this process that takes Ctrl-C and hands it on
            )
        self.processes[key] = process
        try:
            return await process.wait()
        finally:
            self.processes.pop(key, None)

    def _has_ended(self, spec: Spec) -> bool:
        path = home.home() / "ledger.db"
        if not path.exists():
            return False
        with Ledger(path) as ledger:
            row = run_row(ledger, spec.run)
        return row is not None and row["status"] == "ended"

    def _count_error(self, spec: Spec, trial: Trial, reason: str) -> None:
        """Raises EnvironmentProblem when trial after trial cannot be carried out: that is no arm's fault."""
        self.errors = self.errors + 1 if trial.outcome == "errored" else 0
        if self.errors >= ERRORS_IN_A_ROW:
            log = self.folder.log_path(spec.run)
            said = reason or log.read_text(errors="replace").strip().rpartition("\n")[2].removeprefix("outlay: ")
            raise EnvironmentProblem(
                f"{self.errors} trials in a row could not be carried out: {said or 'see ' + str(log)}; "
                "the same command goes on with the others"
            )

    # ---- signals

    @contextlib.contextmanager
    def _signals(self):  # type: ignore[no-untyped-def]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        """Once: begin no more trials, pause those at work at their next safe point. Twice: end their processes; what
        they were doing is found again when the experiment goes on."""
        again = self.stopping == "paused"
        self.stopping = "paused"
        for process in list(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if again else signal.SIGINT)
