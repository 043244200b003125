"""An experiment's folder: what was to be tried, every trial's goal, and `results.jsonl`. Whoever finds it can go on.

`experiment.json` (id, arms, tasks), `goals/ARM/TASK.md`, `workspaces/TASK`, `trials/RUN.json`, `logs/RUN.log`,
`verdicts/RUN.json`, `results.jsonl` (a line for each trial that has ended)."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from outlay.clock import Clock
from outlay.economics.trials import Trial
from outlay.errors import EnvironmentProblem, InputError
from outlay.experiments.experiment import Experiment, Key
from outlay.experiments.harbor import RewardTests
from outlay.experiments.layout import make_workspace
from outlay.experiments.results import encode_row, read_jsonl
from outlay.experiments.task import Task
from outlay.experiments.trial_run import Spec
from outlay.experiments.verify import Verdict
from outlay.sandbox.types import Sandbox

_RUN_ID_CHARS = 16


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    seed: int
    goals: dict[str, str]
    """`ARM/TASK` -> hash of the goal that is tried."""


class Folder:
    """An experiment's folder on disk."""

    def __init__(self, path: Path, record: _Record) -> None:
        self.path = path
        self._record = record

    @property
    def results(self) -> Path:
        return self.path / "results.jsonl"

    def run_id(self, key: Key) -> str:
        """The same for the same trial, so that one that was begun is found again."""
        text = f"{self._record.id}/{key.arm}/{key.task}/{key.repeat}"
        return "bench" + hashlib.sha256(text.encode()).hexdigest()[: _RUN_ID_CHARS - len("bench")]

    def spec(self, experiment: Experiment, key: Key) -> Spec:
        """What the trial's process is told, written where it finds it."""
        task = experiment.tasks[key.task]
        spec = Spec(
            run=self.run_id(key),
            experiment=self._record.name,
            task=key.task,
            arm=key.arm,
            repeat=key.repeat,
            goal=str(self.path / "goals" / key.arm / f"{key.task}.md"),
            goal_path=str(task.goal),
            workspace=str(self.workspace(task)),
            at=task.at,
        )
        self.spec_path(spec.run).write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=1))
        return spec

    def spec_path(self, run: str) -> Path:
        return self.path / "trials" / f"{run}.json"

    def log_path(self, run: str) -> Path:
        return self.path / "logs" / f"{run}.log"

    def workspace(self, task: Task) -> Path:
        """Folder from which a task's runs start."""
        if task.workspace is not None and not isinstance(task.verifier, RewardTests):
            return task.workspace
        return self.path / "workspaces" / task.name

    def done(self) -> dict[Key, Trial]:
        """Trials that have ended. A last line that a crash cut is dropped."""
        if not self.results.exists():
            return {}
        whole = self.results.read_bytes()
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            self.results.write_bytes(kept)
        return {Key(trial.repeat, trial.task, trial.arm): trial for trial in read_jsonl(self.results).trials}

    def add(self, trial: Trial) -> None:
        """Write the end of a trial, to stay."""
        with self.results.open("ab") as out:
            out.write(encode_row(trial))
            out.flush()
            os.fsync(out.fileno())

    def keep_verdict(self, run: str, verdict: Verdict) -> None:
        (self.path / "verdicts" / f"{run}.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(verdict), indent=1)
        )


def open_folder(path: Path, experiment: Experiment, clock: Clock) -> Folder:
    """The folder of this experiment, made or found again; more repeats, tasks and arms may have come to it.

    Raises InputError when what is there tries something else.
    """
    texts = {f"{arm}/{task}": experiment.goal_text(arm, task) for arm in experiment.arms for task in experiment.tasks}
    goals = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    file = path / "experiment.json"
    try:
        if file.exists():
            found = msgspec.json.decode(file.read_bytes(), type=_Record)
            _check_same(path, found, goals, experiment)
            record = msgspec.structs.replace(found, goals=found.goals | goals)
        else:
            if path.exists() and any(path.iterdir()):
                raise InputError(f"{path} holds other things; choose another folder with --out")
            record = _Record(id=clock.new_id(), name=experiment.name, seed=experiment.seed, goals=goals)
        for part in ("goals", "workspaces", "trials", "logs", "verdicts"):
            (path / part).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            place = path / "goals" / f"{name}.md"
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
        new.rename(file)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write to {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{file}: {error}; choose another folder with --out") from None
    return Folder(path, record)


def _check_same(path: Path, found: _Record, goals: dict[str, str], experiment: Experiment) -> None:
    other = sorted(name for name, digest in goals.items() if found.goals.get(name, digest) != digest)
    if other:
        arm, _, task = other[0].partition("/")
        raise InputError(
            f"{path} holds trials of arm {arm!r} on {task} with another goal than now; "
            "give the arm another name, or choose another folder with --out"
        )
    if found.seed != experiment.seed:
        raise InputError(f"{path} holds an experiment with seed {found.seed}, not {experiment.seed}")


async def lay_out(sandbox: Sandbox, folder: Folder, task: Task) -> None:
    """Make the workspace of a task that is not kept as it is. Raises InputError when its generator fails."""
    target = folder.workspace(task)
    if target.exists():
        return
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    await make_workspace(sandbox, task, part)
    part.rename(target)
