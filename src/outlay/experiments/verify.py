"""Verifying what a trial left, so that it cannot be forged: the work under test runs in a sandbox that holds no
answers, and what judges its answers runs in another one that executes nothing of the work."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import msgspec

from outlay.errors import InputError
from outlay.runs.goal_types import PassRule
from outlay.sandbox.types import Bounds, Command, Finished, Mount, Sandbox

PROBE, HIDDEN, ANSWERS = "/probe", "/hidden", "/answers"
SHOWN_CHARS = 4_000
_SCORE = re.compile(r"^score: ([0-9.]+)$", re.MULTILINE)
_BYTES_OF_ANSWERS = 8 * 2**20


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The first step: the work under test is run and answers."""

    command: str
    """Shell command; its output is the answers. It sees the submission as `/workspace` and `folder` as `/probe`."""
    folder: Path
    """Questions and the program that asks them, but no answers. The work under test can read it."""
    timeout_s: float = 10.0


class Verifier(msgspec.Struct, frozen=True, kw_only=True):
    """How a task decides whether it is solved, after the run has ended."""

    command: str
    """Shell command of the judge. It sees the workspace (read-only), `hidden` as `/hidden`, the probe's folder as
    `/probe`, and what the probe printed as the file `/answers`. It prints `score: N`, from 0 to 1."""
    hidden: Path | None = None
    """What only the judge sees."""
    submission: tuple[str, ...] = ()
    """Paths of the workspace that the probe sees; empty: all of it."""
    probe: Probe | None = None
    timeout_s: float = 10.0
    rule: PassRule = PassRule()


class Verdict(msgspec.Struct, frozen=True):
    """What the verifier found."""

    passed: bool
    score: float | None
    """From 0 to 1; None where the verifier printed none."""
    output: str
    """The end of what it printed."""
    wall_ms: int


async def verify(sandbox: Sandbox, verifier: Verifier, workspace: Path) -> Verdict:
    """Probe and judge what lies in `workspace`. Nothing of it is changed, and nothing of it runs where the hidden files
    are mounted, unless the judge itself runs it (a verifier without a probe).

    Raises InputError when a folder of the verifier is missing, EnvironmentProblem when there is no sandbox.
    """
    for folder in (verifier.hidden, verifier.probe.folder if verifier.probe else None):
        if folder is not None and not folder.is_dir():
            raise InputError(f"the verifier's folder {folder} is missing")
    with tempfile.TemporaryDirectory(prefix="outlay-verify-") as place:
        answers = Path(place, "answers")
        answers.touch()
        wall_ms = 0
        if verifier.probe is not None:
            submission = _submission(workspace, verifier.submission, Path(place, "submission"))
            wall_ms = (await _ask(sandbox, verifier.probe, submission, answers)).wall_ms
        judged = await _judge(sandbox, verifier, workspace, answers)
    output = (judged.head + judged.tail).decode(errors="replace")
    ended = judged.ended == "exited"
    found = _SCORE.findall(output)
    return Verdict(
        passed=ended and verifier.rule.passes(judged.exit_code, output),
        score=float(found[-1]) if found and ended else None,
        output=output[-SHOWN_CHARS:] if ended else f"{output[-SHOWN_CHARS:]}\nended: {judged.ended.replace('_', ' ')}",
        wall_ms=wall_ms + judged.wall_ms,
    )


def _submission(workspace: Path, paths: tuple[str, ...], place: Path) -> Path:
    """A copy of what is under test. Links are copied as links: what they name is not there."""
    if not paths:
        shutil.copytree(workspace, place, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        return place
    place.mkdir()
    for path in paths:
        source, target = workspace / path, place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file() and not source.is_symlink():
            shutil.copy(source, target)
    return place


async def _ask(sandbox: Sandbox, probe: Probe, submission: Path, answers: Path) -> Finished:
    return await sandbox.run(
        Command(
            argv=("/bin/bash", "-c", probe.command),
            workspace=submission,
            writable=False,
            mounts=(Mount(probe.folder, PROBE),),
            bounds=Bounds(wall_s=probe.timeout_s, memory_bytes=2**30, output_bytes=_BYTES_OF_ANSWERS),
            output=answers,
        )
    )


async def _judge(sandbox: Sandbox, verifier: Verifier, workspace: Path, answers: Path) -> Finished:
    hidden = (Mount(verifier.hidden, HIDDEN),) if verifier.hidden else ()
    probe = (Mount(verifier.probe.folder, PROBE),) if verifier.probe else ()
    return await sandbox.run(
        Command(
            argv=("/bin/bash", "-c", verifier.command),
            workspace=workspace,
            writable=False,
            mounts=(*hidden, *probe, Mount(answers, ANSWERS)),
            bounds=Bounds(wall_s=verifier.timeout_s),
        )
    )
