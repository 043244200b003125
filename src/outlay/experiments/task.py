"""Tasks: a goal, a workspace and a verifier in a folder. Format: docs/reference/tasks.md; Harbor's folders are read by
`outlay.experiments.harbor`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, field

from outlay.errors import InputError
from outlay.experiments.verify import Probe, Verifier
from outlay.runs.goal_types import PassRule, Seconds
from outlay.runs.yaml_lines import Document, Problems, decode

if TYPE_CHECKING:
    from outlay.experiments.harbor import RewardTests

FILE = "task.yaml"
_NAME = re.compile(r"[\w.-]{1,60}")


class Generator(msgspec.Struct, frozen=True):
    """What makes the workspace, where it is too large or too repetitive to be kept."""

    command: str
    """Shell command, run in the sandbox in an empty workspace; it sees the task's `folder` as `/task`."""
    folder: Path
    timeout_s: float = 60.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, read and resolved: every path absolute and there."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    folder: Path
    """The task's own folder. Nothing of it is shown to a run but the workspace."""
    goal: Path
    """Where the goal stands; relative paths in it start there."""
    text: str
    """A whole goal file: front matter (it may name no models: arms bring them) and what is to be achieved."""
    workspace: Path | None = None
    """Folder that runs start from; None: an empty one, or what `generate` makes."""
    generate: Generator | None = None
    verifier: Verifier | RewardTests
    solution: Path | None = None
    """Files which, laid over the workspace, pass the verifier."""
    cheats: tuple[Path, ...] = ()
    """Folders of files which, laid over the workspace, must not."""
    at: str = "/workspace"
    """Where the goal's words say that the workspace is."""
    notes: tuple[str, ...] = ()
    """What of the task cannot be had here, one line each."""


class ProbeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first step of a verifier as task.yaml writes it."""

    command: Annotated[str, Meta(description="Shell command that runs the work; what it prints are its answers.")]
    folder: Annotated[str, Meta(description="Questions, without answers; seen as /probe.")]
    timeout_s: Annotated[Seconds, Meta(description="Longest time it may take.")] = field(default=10.0, name="timeout")


class VerifierEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verifier as task.yaml writes it."""

    command: Annotated[str, Meta(description="Shell command of the judge; it may print `score: N`, from 0 to 1.")]
    hidden: Annotated[str | None, Meta(description="Folder that only the judge sees, as /hidden.")] = None
    submission: Annotated[tuple[str, ...], Meta(description="Paths of the workspace that the probe sees.")] = ()
    probe: Annotated[ProbeEntry | None, Meta(description="Runs the work, away from hidden files.")] = None
    timeout_s: Annotated[Seconds, Meta(description="Longest time the judge may take.")] = field(
        default=10.0, name="timeout"
    )
    rule: Annotated[PassRule, Meta(description="When it passes, as in a goal's checks.")] = field(
        default=PassRule(), name="pass"
    )


class GeneratorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The generator as task.yaml writes it."""

    command: str
    timeout_s: Seconds = field(default=60.0, name="timeout")


class TaskEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """task.yaml."""

    verifier: VerifierEntry
    name: Annotated[str | None, Meta(description="Default: the folder's name.")] = None
    description: str = ""
    tags: tuple[str, ...] = ()
    goal: Annotated[str, Meta(description="Goal file.")] = "GOAL.md"
    workspace: Annotated[str | None, Meta(description="Folder; default: `workspace` where there is one.")] = None
    generate: Annotated[GeneratorEntry | None, Meta(description="What makes the workspace instead.")] = None
    solution: Annotated[str | None, Meta(description="Default: `solution` where there is one.")] = None
    cheats: Annotated[str | None, Meta(description="Folder of folders; default: `cheats` where there is one.")] = None


def load_task(folder: Path) -> Task:
    """Read a task's folder, ours or Harbor's.

    Raises InputError with one line for everything that is wrong: `task.yaml:3: no folder ...`.
    """
    folder = folder.absolute()
    if (folder / FILE).is_file():
        return _read(folder)
    if (folder / "task.toml").is_file():
        from outlay.experiments.harbor import load_harbor

        return load_harbor(folder)
    what = "no such folder" if not folder.is_dir() else f"holds neither {FILE} nor Harbor's task.toml"
    raise InputError(f"no task {folder}: {what}")


def is_task(folder: Path) -> bool:
    """Whether a folder holds a task."""
    return any((folder / name).is_file() for name in (FILE, "task.toml"))


def _read(folder: Path) -> Task:
    file = folder / FILE
    problems = Problems()
    document = Document(decode(file.read_bytes(), str(file)), str(file), 1, problems)
    if document.root is None:
        problems.raise_if_any()
    entry: TaskEntry | None = document.read(TaskEntry)
    if entry is None:
        problems.raise_if_any()
    assert entry is not None
    paths = _Paths(document, folder)
    name = entry.name or folder.name
    if not _NAME.fullmatch(name):
        document.problem(("name",), f"{name!r} is no name for a task: letters, digits, - _ and ., at most 60")
    if entry.workspace and entry.generate:
        document.problem(("generate",), "a workspace is given or generated, not both")
    goal = folder / entry.goal
    if not goal.is_file():
        document.problem(("goal",), f"no goal file {entry.goal} in {folder}")
    cheats = paths.folder(("cheats",), entry.cheats, "cheats")
    task = Task(
        name=name,
        description=" ".join(entry.description.split()),
        tags=entry.tags,
        folder=folder,
        goal=goal,
        text=decode(goal.read_bytes(), str(goal)) if goal.is_file() else "",
        workspace=None if entry.generate else paths.folder(("workspace",), entry.workspace, "workspace"),
        generate=Generator(entry.generate.command, folder, entry.generate.timeout_s) if entry.generate else None,
        verifier=_verifier(entry.verifier, paths),
        solution=paths.folder(("solution",), entry.solution, "solution"),
        cheats=tuple(sorted(each for each in cheats.iterdir() if each.is_dir())) if cheats else (),
    )
    problems.raise_if_any()
    return task


def _verifier(entry: VerifierEntry, paths: _Paths) -> Verifier:
    probe = None
    if entry.probe is not None:
        questions = paths.folder(("verifier", "probe", "folder"), entry.probe.folder, "")
        probe = Probe(command=entry.probe.command, folder=questions or paths.top, timeout_s=entry.probe.timeout_s)
    return Verifier(
        command=entry.command,
        hidden=paths.folder(("verifier", "hidden"), entry.hidden, "hidden"),
        submission=entry.submission,
        probe=probe,
        timeout_s=entry.timeout_s,
        rule=entry.rule,
    )


class _Paths:
    """Folders as task.yaml names them."""

    def __init__(self, document: Document, top: Path) -> None:
        self._document = document
        self.top = top

    def folder(self, place: tuple[str, ...], written: str | None, usual: str) -> Path | None:
        """The folder that is written, the usual one where it exists and none is written, or None."""
        if written is None:
            found = self.top / usual
            return found if usual and found.is_dir() else None
        found = self.top / written
        if not found.is_dir():
            self._document.problem(place, f"no folder {written} in {self.top}")
        return found
