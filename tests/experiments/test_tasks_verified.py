"""The shipped tasks: what solves them passes, what only looks like it scores nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from outlay.errors import InputError
from outlay.experiments.layout import make_workspace
from outlay.experiments.shipped import find_task, shipped
from outlay.experiments.task import Task, load_task
from outlay.experiments.verify import Verdict, Verifier, verify
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.probe import open_sandbox

TASKS = {name: load_task(folder) for name, folder in shipped().items()}
CHEATS = [(name, cheat.name) for name, task in TASKS.items() for cheat in task.cheats]
MOST_MS = 10_000


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Bubblewrap:
    return open_sandbox(tmp_path_factory.mktemp("sandbox-cache"))


@pytest.fixture(scope="module")
def laid_out(sandbox: Bubblewrap, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The workspace of each task, made once."""
    places = {name: tmp_path_factory.mktemp(name) / "workspace" for name in TASKS}
    for name, place in places.items():
        asyncio.run(make_workspace(sandbox, TASKS[name], place))
    return places


def verified(sandbox: Bubblewrap, task: Task, workspace: Path, files: Path, place: Path) -> Verdict:
    shutil.copytree(workspace, place, copy_function=os.link)  # some have thousands of files
    for file in files.rglob("*"):
        if file.is_symlink() or not file.is_dir():
            target = place / file.relative_to(files)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() and file.is_symlink():
                shutil.rmtree(target)
            target.unlink(missing_ok=True)
            shutil.copy(file, target, follow_symlinks=False)
    assert isinstance(task.verifier, Verifier)
    return asyncio.run(verify(sandbox, task.verifier, place))


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_of_a_shipped_task_passes_its_verifier(
    name: str, sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    task = TASKS[name]
    assert task.solution is not None
    verdict = verified(sandbox, task, laid_out[name], task.solution, tmp_path / "work")
    assert verdict.passed and verdict.score == 1, verdict.output
    assert verdict.wall_ms < MOST_MS


@pytest.mark.parametrize(("name", "cheat"), CHEATS)
def test_a_cheat_scores_nothing(
    name: str, cheat: str, sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    files = TASKS[name].folder / "cheats" / cheat
    verdict = verified(sandbox, TASKS[name], laid_out[name], files, tmp_path / "work")
    assert not verdict.passed and verdict.score == 0, verdict.output
    assert verdict.wall_ms < MOST_MS


@pytest.mark.parametrize(
    ("name", "link", "leads_to"),
    [
        ("requirements", "findings.json", "/hidden/key.json"),
        ("search", "answers.json", "/hidden/key.json"),
        ("valuation", "assumptions.json", "/hidden/truth.json"),
        ("commonmark", "md2html", "/hidden"),
        ("commonmark", "spec.json", "/hidden/expected.json"),
        ("refactor", "ferry", "/hidden"),
        ("refactor", "rules.py", "/hidden/judge.py"),
        ("bugfix", "stockroom", "/hidden"),
    ],
)
def test_a_link_to_the_hidden_files_scores_nothing(
    name: str, link: str, leads_to: str, sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    task, solution = TASKS[name], tmp_path / "solution"
    assert task.solution is not None
    shutil.copytree(task.solution, solution)
    if (solution / link).is_dir():
        shutil.rmtree(solution / link)
    (solution / link).unlink(missing_ok=True)
    (solution / link).symlink_to(leads_to)
    verdict = verified(sandbox, task, laid_out[name], solution, tmp_path / "work")
    assert not verdict.passed and verdict.score == 0, verdict.output


SOLVES = "from md2html import blocks, render\n\ndef convert(text):\n    return render.to_html(*blocks.parse(text))\n"
WAYS_OUT = {
    "a process by a module that is built in": """
import sys
modules = getattr(sys, "modu" + "les")
machinery, system = modules["_frozen_importlib"], modules["posix"]
spawning = modules["_imp"].create_builtin(machinery.ModuleSpec("_posixsubprocess", machinery.BuiltinImporter))
read, write = system.pipe()
failed, fails = system.pipe()
spawning.fork_exec(
    [b"/bin/echo", b"out"], [b"/bin/echo"], True, (fails,), None, None, -1, -1, -1, write, -1, -1, failed, fails,
    False, False, -1, None, None, None, -1, None, False,
)
system.close(write)
assert system.read(read, 9) == b"out\\n"
""",
    "a module that is not loaded": """
import enum
assert getattr(enum.bltns, "__imp" + "ort__")("_posixsubprocess").fork_exec
""",
    "its own source, where comments hold a table": """
import dataclasses, sys
assert getattr(dataclasses.inspect.os, "op" + "en")(getattr(sys, "modu" + "les")["md2html.blocks"].__file__, 0)
""",
    "a number as a table": f"TABLE = {2**4000:#x}\n",
    "names as a table": "".join(f"def {'x' * 90}{n}(): pass\n" for n in range(200)),
    "letters of four bytes as a table": "".join(f"T{n} = '{chr(0x20000 + n) * 1_400}'\n" for n in range(8)),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_converter_that_works_by_a_forbidden_way_scores_nothing(
    way: str, sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    task, solution = TASKS["commonmark"], tmp_path / "solution"
    assert task.solution is not None
    shutil.copytree(task.solution, solution)
    (solution / "md2html" / "__init__.py").write_text(WAYS_OUT[way] + SOLVES)
    verdict = verified(sandbox, task, laid_out["commonmark"], solution, tmp_path / "work")
    assert not verdict.passed and verdict.score == 0, verdict.output


def test_a_converter_is_judged_without_what_python_left_beside_it(
    sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    task, solution = TASKS["commonmark"], tmp_path / "solution"
    assert task.solution is not None
    shutil.copytree(task.solution, solution)
    (solution / "md2html" / "__pycache__").mkdir(exist_ok=True)
    (solution / "md2html" / "__pycache__" / "blocks.cpython-311.pyc").touch()
    assert verified(sandbox, task, laid_out["commonmark"], solution, tmp_path / "work").passed


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("requirements", "findings.json", "[" * 100_000),
        ("search", "answers.json", "[" * 10_000),
        ("valuation", "assumptions.json", f'{{"shares": {10**400}}}'),
    ],
)
def test_answers_that_break_a_reader_score_nothing(
    name: str, file: str, content: str, sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / file).write_text(content)
    verdict = verified(sandbox, TASKS[name], laid_out[name], tmp_path / "files", tmp_path / "work")
    assert not verdict.passed and verdict.score == 0, verdict.output


@pytest.mark.parametrize("name", TASKS)
def test_an_untouched_workspace_scores_nothing(
    name: str, sandbox: Bubblewrap, laid_out: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "no-files").mkdir()
    verdict = verified(sandbox, TASKS[name], laid_out[name], tmp_path / "no-files", tmp_path / "work")
    assert not verdict.passed and verdict.score == 0, verdict.output


def test_a_task_is_found_by_its_name_or_its_folder(tmp_path: Path) -> None:
    assert find_task("commonmark", tmp_path) == shipped()["commonmark"]
    assert find_task(str(tmp_path), Path()) == tmp_path
    with pytest.raises(InputError, match=r"no task commonmrk: .*commonmark"):
        find_task("commonmrk", tmp_path)
