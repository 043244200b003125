"""An experiment: tasks x arms x repeats, from a file or the command line. Format: docs/reference/tasks.md."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from outlay.agents.written import Count, UsdPico
from outlay.errors import InputError
from outlay.experiments.overlay import composed, read_overlay
from outlay.experiments.shipped import find_task
from outlay.experiments.task import Task, is_task, load_task
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.runs.yaml_lines import Document, Problems, decode, nearest

_NAME = re.compile(r"[\w.+-]{1,40}")
_FORCED = "workspace: {path: ., deliver: never}\n"
"""Nothing is brought back into a task."""
_CHECK = 'checks: [{name: ended, command: "true"}]\n'
"""A task that shows agents no check: whoever says that it is done has ended, and the verifier decides."""


class ExperimentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment file but for `arms` (name -> overlay) and `common` (an overlay laid first): those are goal keys."""

    tasks: tuple[str, ...]
    name: str | None = None
    repeats: Count = 1
    concurrency: Count = 1
    budget: UsdPico | None = None
    seed: int = 1
    stop_early: Literal["true", "false"] = "false"


class Key(msgspec.Struct, frozen=True, order=True):
    """One trial of an experiment."""

    repeat: int
    task: str
    arm: str

    def __str__(self) -> str:
        return f"{self.arm} on {self.task}, try {self.repeat + 1}"


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried, resolved."""

    name: str
    tasks: dict[str, Task]
    arms: dict[str, tuple[str, ...]]
    """Name -> overlays, as YAML, in the order in which they are laid."""
    repeats: int = 1
    concurrency: int = 1
    budget_pico: int | None = None
    """Most money for all trials together."""
    seed: int = 1
    stop_early: bool = False

    def order(self) -> Iterator[Key]:
        """All trials, whole repeats one after the other; tasks in random order in each, and arms in random order on
        each task. Wherever it is cut, arms have tried the same tasks but for the last one."""
        for repeat in range(self.repeats):
            dice = random.Random(f"{self.seed}/{repeat}")
            for task in dice.sample(sorted(self.tasks), len(self.tasks)):
                for arm in dice.sample(sorted(self.arms), len(self.arms)):
                    yield Key(repeat, task, arm)

    def goal_text(self, arm: str, task: str) -> str:
        """The goal file that a trial pursues. It stands where the task's goal stands, as far as paths go."""
        found = self.tasks[task]
        overlays = [_FORCED, *self.arms[arm]]
        if found.at != "/workspace":
            overlays.append(f"workspace: {{at: {found.at}}}\n")
        text = composed(found.text, overlays, str(found.goal))
        return text if re.search(r"^checks:", text, re.MULTILINE) else composed(text, [_CHECK], str(found.goal))


def read_goal(text: str, goal_path: Path, workspace: Path) -> Goal:
    """A trial's goal."""
    return parse(text, goal_path, workspace=workspace)


def load_experiment(sources: Sequence[Path], arms: Sequence[str], models: Sequence[str]) -> Experiment:
    """From one experiment file, or from task folders (or folders of them). `arms`: `NAME` of the file's, or
    `NAME=OVERLAY` (a YAML file, or YAML itself); `models`: as for `outlay run`, for every arm.

    Raises InputError with one line for everything that is wrong.
    """
    files = [path for path in sources if path.is_file()]
    if files and len(sources) > 1:
        raise InputError(f"{files[0]} is an experiment file; it goes alone, without tasks beside it")
    given = (
        _read_file(files[0])
        if files
        else Experiment(name="trials", tasks=_tasks([find_task(str(path), Path()) for path in sources]), arms={})
    )
    chosen = dict(read_arm(text, given.arms) for text in arms) or given.arms
    if not chosen:
        raise InputError("no arms: name at least one, such as --arm 'solo={team: {shape: solo}}'")
    if models:
        extra = models_overlay(models)
        chosen = {name: (*overlays, extra) for name, overlays in chosen.items()}
    return msgspec.structs.replace(given, arms=chosen)


def _read_file(path: Path) -> Experiment:
    problems = Problems()
    document = Document(decode(path.read_bytes(), str(path)), str(path), 1, problems)
    folder = path.absolute().parent
    taken = _take(document.root, ("arms", "common"))
    entry: ExperimentEntry | None = None if document.root is None else document.read(ExperimentEntry)
    problems.raise_if_any()
    if entry is None:
        raise InputError(f"{path}: nothing is written here")
    arms = taken["arms"].value if isinstance(taken.get("arms"), yaml.MappingNode) else []
    shared = [read_overlay(yaml.serialize(taken["common"]), f"{path}, common", folder)] if "common" in taken else []
    found: list[Path] = []
    for pattern in entry.tasks:
        hits = sorted(folder.glob(pattern)) if "*" in pattern else [find_task(pattern, folder)]
        found += [hit for hit in hits if "*" not in pattern or is_task(hit)]
    overlays = {
        key.value: read_overlay(yaml.serialize(value), f"{path}, arm {key.value}", folder) for key, value in arms
    }
    return Experiment(
        name=entry.name or path.stem,
        tasks=_tasks(found),
        arms={_named(name): (*shared, overlay) for name, overlay in overlays.items()},
        repeats=entry.repeats,
        concurrency=entry.concurrency,
        budget_pico=entry.budget,
        seed=entry.seed,
        stop_early=entry.stop_early == "true",
    )


def _take(root: yaml.Node | None, keys: Sequence[str]) -> dict[str, yaml.Node]:
    """Take these keys out of a mapping."""
    if not isinstance(root, yaml.MappingNode):
        return {}
    taken = {key.value: value for key, value in root.value if key.value in keys}
    root.value = [pair for pair in root.value if pair[0].value not in keys]
    return taken


def _tasks(folders: Sequence[Path]) -> dict[str, Task]:
    """Tasks by name; a folder that is none gives the tasks in it."""
    tasks: dict[str, Task] = {}
    for folder in folders:
        inside = [] if is_task(folder) or not folder.is_dir() else [each for each in folder.iterdir() if is_task(each)]
        for each in sorted(inside) or [folder]:
            task = load_task(each)
            if task.name in tasks:
                raise InputError(f"two tasks are called {task.name!r}: {tasks[task.name].folder} and {task.folder}")
            tasks[task.name] = task
    if not tasks:
        raise InputError("no tasks: name folders that hold a task.yaml, or Harbor's task.toml")
    return tasks


def read_arm(text: str, known: dict[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]]:
    """Name and overlays of `NAME` (a known one) or `NAME=OVERLAY`. Raises InputError for what is neither."""
    name, equals, written = text.partition("=")
    if not equals:
        if name not in known:
            raise InputError(f"no arm {name!r} in the experiment{nearest(name, known)}; a new one is NAME=OVERLAY")
        return name, known[name]
    path = Path(written)
    is_file = not written.lstrip().startswith("{") and path.is_file()
    overlay = decode(path.read_bytes(), written) if is_file else written
    return _named(name), (read_overlay(overlay, f"--arm {name}", path.absolute().parent if is_file else Path.cwd()),)


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for an arm: letters, digits, - _ . and +, at most 40")
    return name


def models_overlay(specs: Sequence[str]) -> str:
    """`--model SPEC` and `--model NAME=SPEC` as an overlay."""
    named = [_split(spec) for spec in specs]
    written = json.dumps({"models": {name or "main": spec for name, spec in named}})
    return read_overlay(written, "--model", Path.cwd())


def _split(spec: str) -> tuple[str, str]:
    name, equals, rest = spec.partition("=")
    return (name, rest) if equals and ":" not in name else ("", spec)
