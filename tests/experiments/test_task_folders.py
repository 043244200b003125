"""Task folders: read whole, and what is wrong named by its line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlay.errors import InputError
from outlay.experiments.harbor import RewardTests, copy_environment, reward
from outlay.experiments.task import Task, is_task, load_task
from outlay.experiments.verify import Verifier, verify
from outlay.sandbox.probe import open_sandbox

TASK = """\
description: Write the word.
tags: [small]
verifier:
  command: |-
    grep -qx "$(cat /hidden/word)" /workspace/word.txt && echo 'score: 1'
"""


def write_task(folder: Path, text: str = TASK) -> Path:
    for name, content in {
        "task.yaml": text,
        "GOAL.md": "---\nchecks: [{name: there, command: test -f word.txt}]\n---\nWrite the word.\n",
        "workspace/README": "nothing\n",
        "hidden/word": "plum\n",
        "solution/word.txt": "plum\n",
        "cheats/guess/word.txt": "pear\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def write_harbor(folder: Path) -> Path:
    """A task as `harbor tasks init` lays one out."""
    for name, content in {
        "task.toml": 'version = "1.0"\n[metadata]\ndifficulty = "easy"\ntags = ["files"]\n[verifier]\n'
        "timeout_sec = 60.0\n[agent]\ntimeout_sec = 90.0\n[environment]\ncpus = 1\n",
        "instruction.md": "Create a file called hello.txt in /app with the text `Hello, world!`.\n",
        "environment/Dockerfile": "FROM ubuntu:24.04\nWORKDIR /app\nCOPY seed.txt .\n",
        "environment/seed.txt": "seed\n",
        "solution/solve.sh": "#!/bin/bash\necho 'Hello, world!' > hello.txt\n",
        "tests/test.sh": "#!/bin/bash\nif python3 /tests/check.py; then echo 1 > /logs/verifier/reward.txt;\n"
        "else echo 0 > /logs/verifier/reward.txt; fi\n",
        "tests/check.py": "assert open('/app/hello.txt').read().strip() == 'Hello, world!'\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def laid_over(task: Task, files: Path, place: Path) -> Path:
    import shutil

    assert task.workspace is not None
    shutil.copytree(task.workspace, place)
    shutil.copytree(files, place, dirs_exist_ok=True)
    return place


def test_a_solution_passes_the_verifier_and_a_cheat_does_not(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path / "word"))
    assert (task.name, task.tags, [cheat.name for cheat in task.cheats]) == ("word", ("small",), ["guess"])
    assert isinstance(task.verifier, Verifier) and task.solution is not None
    sandbox = open_sandbox(tmp_path / "cache")
    good = asyncio.run(verify(sandbox, task.verifier, laid_over(task, task.solution, tmp_path / "good")))
    bad = asyncio.run(verify(sandbox, task.verifier, laid_over(task, task.cheats[0], tmp_path / "bad")))
    assert (good.passed, good.score, bad.passed) == (True, 1.0, False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("  commnd: x\n", "task.yaml:6: unknown key 'commnd'"),
        ("  hidden: answers\n", "task.yaml:6: no folder answers"),
        ("goal: WHAT.md\n", "task.yaml:6: no goal file WHAT.md"),
        ("name: 'a b'\n", "task.yaml:6: 'a b' is no name"),
        ("workspace: workspace\ngenerate: {command: x}\n", "given or generated, not both"),
    ],
)
def test_what_is_wrong_in_a_task_is_named_with_its_line(tmp_path: Path, wrong: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_task(write_task(tmp_path / "word", TASK + wrong))
    assert said in str(caught.value)


def test_a_folder_that_is_no_task_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Harbor's task"):
        load_task(tmp_path)
    assert not is_task(tmp_path)


def test_a_harbor_folder_is_read_and_verified_as_it_is(tmp_path: Path) -> None:
    task = load_task(write_harbor(tmp_path / "hello-world"))
    assert isinstance(task.verifier, RewardTests)
    assert (task.at, task.verifier.timeout_s, task.tags) == ("/app", 60.0, ("files",))
    assert "wall: 90s" in task.text and task.text.endswith("(/app is the workspace.)\n")
    assert task.notes == ("not done here: FROM ubuntu:24.04",)
    assert task.workspace is not None
    sandbox, place = open_sandbox(tmp_path / "cache"), tmp_path / "work"
    copy_environment(task.workspace, place)
    assert sorted(path.name for path in place.iterdir()) == ["seed.txt"]
    before = asyncio.run(reward(sandbox, task.verifier, place))
    (place / "hello.txt").write_text("Hello, world!\n")
    after = asyncio.run(reward(sandbox, task.verifier, place))
    assert (before.passed, before.score, after.passed, after.score) == (False, 0.0, True, 1.0)


@pytest.mark.parametrize("missing", ["instruction.md", "tests/test.sh"])
def test_a_harbor_folder_without_its_parts_is_refused(tmp_path: Path, missing: str) -> None:
    (write_harbor(tmp_path / "task") / missing).unlink()
    with pytest.raises(InputError, match=f"without {missing}"):
        load_task(tmp_path / "task")


def test_a_folder_that_harbor_init_made_is_read_and_says_what_is_not_done(tmp_path: Path) -> None:
    folder = write_harbor(tmp_path / "demo")
    (folder / "task.toml").write_text(  # as harbor 0.25.0 writes it
        'schema_version = "1.4"\nartifacts = []\n\n[task]\nname = "demo/tested"\nversion = "1.0.0"\ndescription = ""\n'
        'authors = []\nkeywords = []\n\n[metadata]\n\n[verifier]\ntimeout_sec = 600.0\nenvironment_mode = "separate"\n'
        'collect = []\n\n[verifier.env]\nWORD = "plum"\nKEY = "${JUDGE_KEY}"\n\n[agent]\n\n[environment]\n'
        'network_mode = "public"\nbuild_timeout_sec = 600.0\nos = "linux"\nmcp_servers = []\nworkdir = "/srv/work/"\n'
        "\n[environment.env]\n\n[solution.env]\n"
    )
    (folder / "instruction.md").write_text("<!-- a canary -->\n# canary GUID 1\n\nWrite it.\n")
    task = load_task(folder)
    assert (task.name, task.at) == ("tested", "/srv/work")
    assert task.text == "---\n---\nWrite it.\n\n(/srv/work is the workspace.)\n"
    assert isinstance(task.verifier, RewardTests) and task.verifier.environment == (("WORD", "plum"),)
    assert [note for note in task.notes if "container of its own" in note or "[verifier.env]" in note] == [
        "not done here: a verifier in a container of its own (tests see the workspace as it was left)",
        "not done here: [verifier.env] from variables of this machine",
    ]


@pytest.mark.parametrize(
    ("files", "score"),
    [
        ("echo 1 > reward.txt", 1.0),
        ("echo 1 > reward.txt; echo '{\"reward\": 0.25}' > reward.json", 0.25),
        ('echo \'{"a": 1, "b": 0.5}\' > reward.json', 0.5),
        ("echo nan > reward.txt", None),
        ("echo 1e999 > reward.txt", None),
        ("echo '[]' > reward.json", None),
        ('echo "$WORD" > reward.txt', 0.75),
    ],
)
def test_rewards_are_read_as_harbor_reads_them(files: str, score: float | None, tmp_path: Path) -> None:
    folder = write_harbor(tmp_path / "demo")
    (folder / "tests" / "test.sh").write_text(f"#!/bin/bash\ncd /logs/verifier && ls ../artifacts && {files}\n")
    tests = RewardTests(tests=folder / "tests", at="/app", environment=(("WORD", "0.75"),))
    (tmp_path / "work").mkdir()
    verdict = asyncio.run(reward(open_sandbox(tmp_path / "cache"), tests, tmp_path / "work"))
    assert (verdict.score, verdict.passed) == (score, score == 1.0)
