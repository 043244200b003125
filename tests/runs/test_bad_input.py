"""Bad input, bad places, a machine that lacks something: one line that says what to do, exit code 2, nothing left."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserver import Answer, Tool, serving
from outlay.errors import EnvironmentProblem
from outlay.ledger import Ledger, verify
from outlay.runs.goal import load
from outlay.runs.prepare import prepare
from project import Project

MODELS = "models: {main: openai:m@http://127.0.0.1:9/v1}"
CHECKS = "checks: [{name: a, command: 'true'}]"


def tree(*folders: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below the folders: kinds, modes and contents."""
    found = {}
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            if path.is_symlink() or path.exists():
                status = path.lstat()
                content = path.read_bytes() if path.is_file() else b""
                found[str(path)] = (status.st_mode, content)
    return found


def refused(it: Project, *arguments: str, lines: int = 1) -> str:
    """What `outlay ARGUMENTS` says when it refuses; nothing may have changed on disk."""
    before = tree(it.folder)
    done = it.outlay(*arguments)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    said = done.stderr.strip()
    assert "Traceback" not in said and said.count("\n") == lines - 1, said
    assert tree(it.folder) == before
    return said.removeprefix("outlay: ")


def project(tmp_path: Path, front: str = f"{MODELS}\n{CHECKS}", body: str = "Do it.\n") -> Project:
    it = Project(tmp_path, "http://127.0.0.1:9/v1")
    it.write_goal()
    it.goal.write_text(f"---\n{front}\n---\n{body}")
    return it


BROKEN = [
    (f"{MODELS}\n{CHECKS}\nlimit: {{usd: 2}}", "unknown key 'limit'", "did you mean 'limits'?"),
    (f"models: {{main: antropic:x}}\n{CHECKS}", "unknown provider 'antropic'", "did you mean 'anthropic'?"),
    (f"models: {{main: claude-sonnet-5-5}}\n{CHECKS}", "no provider", "anthropic:claude-sonnet-5-5"),
    (CHECKS, "no model", "give --model PROVIDER:MODEL"),
    (MODELS, "no checks", "name at least one"),
    (f"models: {{main: anthropic:claude-sonnet-5-5}}\n{CHECKS}", "no key for anthropic", "set ANTHROPIC_API_KEY"),
    (f"models: {{main: google:gemini-3-pro}}\n{CHECKS}", "no key for google", "set GEMINI_API_KEY"),
    (f"{MODELS}\n{CHECKS}\nlimits: {{usd: 2}}", "has no price", "price: {input: ..., output: ...}"),
    (f"{MODELS}\n{CHECKS}\nlimits: {{session: {{usd: 2}}}}", "has no price", "or drop the limit"),
    (f"{MODELS}\n{CHECKS}\nworkspace: {{path: nowhere}}", "nowhere does not exist", ":4:"),
    (f"models: {{main: recorded:r.jsonl}}\n{CHECKS}", "no recording at", "r.jsonl"),
    (f"models: {{main: recorded:GOAL.md}}\n{CHECKS}", "is no recording of outlay", "GOAL.md"),
    (f"models: {{main: manual:GOAL.md}}\n{CHECKS}", "GOAL.md is not a folder", "main"),
    (f"{MODELS}\n{CHECKS}\nmcp: {{a: {{command: x, env: {{K: '${{NO_SUCH}}'}}}}}}", "NO_SUCH", "not set"),
    (f"{MODELS}\n{CHECKS}\ncontext: [gone.md]", "no file gone.md in the workspace", ":4:"),
]  # fmt: skip


@pytest.mark.parametrize(("front", "what", "todo"), BROKEN, ids=[what for _, what, _ in BROKEN])
def test_a_goal_that_cannot_be_run_is_refused_in_one_line(tmp_path: Path, front: str, what: str, todo: str) -> None:
    it = project(tmp_path, front)
    it.environment = {k: v for k, v in it.environment.items() if not k.endswith("_API_KEY")}
    said = refused(it, "run", str(it.goal))
    assert what in said and todo in said


def test_several_problems_are_a_line_each(tmp_path: Path) -> None:
    it = project(tmp_path, f"{MODELS}\nlimits: {{usd: x, turns: 0}}\nchecks: [{{name: a}}]")
    said = refused(it, "run", str(it.goal), lines=3)
    assert all("GOAL.md:" in line for line in said.splitlines())


def test_a_goal_file_that_is_none_is_refused(tmp_path: Path) -> None:
    it = project(tmp_path)
    assert "outlay goal new" in refused(it, "run", str(tmp_path / "none.md"))
    it.goal.write_bytes(b"")
    assert "no front matter" in refused(it, "run", str(it.goal))
    it.goal.write_bytes(b"---\n\x00\x01\xfe\xff" + bytes(range(256)))
    assert "not UTF-8" in refused(it, "run", str(it.goal))
    it.goal.write_text(f"---\n{MODELS}\n{CHECKS}\n---\n \n")
    assert "no goal" in refused(it, "run", str(it.goal))
    it.goal.unlink()
    it.goal.mkdir()
    assert "directory" in refused(it, "run", str(it.goal)).lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "usd"), "--limit 'usd' is not KEY=VALUE"),
        (("--limit", "usd=much"), "usd wants an amount in USD"),
        (("--limit", "money=2"), "unknown key 'money'"),
        (("--limit", "session.sub=2"), "unknown key 'sub'"),
        (("--model", "nobody=manual:x"), "no role or model 'nobody'"),
        (("--model", "gpt-5"), "did you mean 'openai:gpt-5'?"),
        (("--model", "openai:@http://x/v1"), "no model after 'openai:'"),
        (("--workspace", "nowhere"), "the workspace nowhere does not exist"),
        (("--record", "no/such/folder/r.jsonl"), "is not a folder"),
        (("--record", "GOAL.md"), "is no recording of outlay"),
        (("--limits", "usd=2"), "--limit"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    it = project(tmp_path)
    assert said in refused(it, "run", str(it.goal), *arguments)


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("show", "abc"), ("report",), ("resume", "abc"), ("cancel", "abc"), ("ledger", "verify")],
)
def test_without_a_ledger_commands_say_how_to_get_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    it = project(tmp_path)
    assert "outlay run GOAL.md" in refused(it, *arguments)
    assert it.outlay("runs").returncode == 0 and it.outlay("runs", "--json").stdout.strip() == "[]"
    assert not it.home.exists()


def test_unknown_runs_are_told_apart_from_unknown_commands(tmp_path: Path) -> None:
    it = project(tmp_path)
    it.home.mkdir()
    Ledger(it.home / "ledger.db").close()
    for command in ("show", "report", "resume", "cancel"):
        assert "no run 'abc'; `outlay runs` lists them" in it.outlay(command, "abc").stderr
    assert "there are no runs yet" in it.outlay("show").stderr
    (it.home / "ledger.db").write_bytes(b"no database at all" * 100)
    done = it.outlay("runs")
    assert done.returncode == 2 and "ledger.db" in done.stderr and "Traceback" not in done.stderr


def test_without_bubblewrap_it_says_what_to_type(tmp_path: Path) -> None:
    it = project(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    it.environment["PATH"] = str(programs)
    assert "bubblewrap is not installed; type `" in refused(it, "run", str(it.goal))
    assert "bubblewrap is not installed" in refused(it, "run", str(it.goal), "--detach")


# ---- places that cannot be written


@contextlib.contextmanager
def mounted(where: Path, *options: str) -> Iterator[Path]:
    """A file system mounted for the test; skipped where that is not allowed."""
    where.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(where)], capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def small(where: Path, size: str) -> contextlib.AbstractContextManager[Path]:
    return mounted(where, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def fill(folder: Path) -> Path:
    """A file that takes all the space there is."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_full_disk_under_the_state_folder_is_refused(tmp_path: Path) -> None:
    it = project(tmp_path)
    with small(it.home, "1m"):
        fill(it.home)
        said = refused(it, "run", str(it.goal))
        assert "No space left" in said or "full" in said


def test_a_read_only_state_folder_is_refused(tmp_path: Path) -> None:
    it = project(tmp_path)
    with mounted(it.home, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        said = refused(it, "run", str(it.goal))
        assert "Read-only file system" in said and "OUTLAY_HOME" in said
        assert "OUTLAY_HOME" in refused(it, "run", str(it.goal), "--detach")
    it.environment["OUTLAY_HOME"] = str(it.goal / "below")
    assert "OUTLAY_HOME" in refused(it, "run", str(it.goal))


def test_a_read_only_workspace_is_refused(tmp_path: Path) -> None:
    it = project(tmp_path, f"{MODELS}\n{CHECKS}\nworkspace: workspace")
    with mounted(it.workspace, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        said = refused(it, "run", str(it.goal))
        assert "is read-only" in said and "--workspace" in said


def test_a_workspace_that_may_not_be_written_is_refused_for_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        monkeypatch.setenv("OUTLAY_HOME", f"{place}/state")
        goal = load(project(Path(place), f"{MODELS}\n{CHECKS}\nworkspace: workspace").goal)
        prepare(goal)
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(EnvironmentProblem, match=r"is read-only.*--workspace"):
                prepare(goal)
        finally:
            os.setresuid(0, 0, 0)


def test_a_disk_that_becomes_full_in_the_middle_stops_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    def script(call):
        steps = [Answer("", (Tool("shell", {"command": f"head -c 300000 /dev/urandom > big{call.turn}"}),))] * 40
        return [*steps, Answer("", (Tool("shell", {"command": "touch done.txt"}),)), Answer("Done.")][
            min(call.turn, 41) if call.turn < 40 or room["free"] else 39
        ]

    room = {"free": False}
    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        with small(it.home, "9m"):
            done = it.outlay("run", str(it.goal), "--plain")
            assert done.returncode == 2, done.stdout + done.stderr
            said = done.stderr.strip()
            assert "Traceback" not in said and said.count("\n") == 0, said
            assert "outlay resume" in said and ("No space left" in said or "full" in said)
            subprocess.run(["mount", "-o", "remount,size=200m", str(it.home)], check=True)
            room["free"] = True
            run = it.run_row()["id"]
            again = it.outlay("resume", run, "--plain")
            assert again.returncode == 0, again.stdout + again.stderr
            with it.ledger() as ledger:
                assert verify(ledger).problems == []
            assert (it.workspace / "big39").stat().st_size == 300000
            turns = [r["turn"] for r in server.records]
            assert len(turns) - len(set(turns)) <= 1  # at most the call that was under way


def test_a_full_workspace_keeps_the_result_until_there_is_room(tmp_path: Path) -> None:
    steps = [Answer("", (Tool("shell", {"command": "head -c 2000000 /dev/urandom > done.txt"}),)), Answer("Done.")]
    with serving(lambda call: steps[min(call.turn, 1)]) as server:
        it = Project(tmp_path, server.base_url("openai"))
        with small(it.workspace, "1m"):
            it.write_goal()
            done = it.outlay("run", str(it.goal), "--plain")
            assert "not delivered" in done.stdout and "No space left" in done.stdout, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            assert "outlay deliver" in done.stdout
            subprocess.run(["mount", "-o", "remount,size=20m", str(it.workspace)], check=True)
            assert it.outlay("deliver", it.run_row()["id"]).returncode == 0
            assert (it.workspace / "done.txt").stat().st_size == 2_000_000


def test_keys_given_in_vain_are_not_shown(tmp_path: Path) -> None:
    it = project(tmp_path, f"models: {{main: anthropic:claude-sonnet-5-5}}\n{CHECKS}")
    it.environment["OPENAI_API_KEY"] = "sk-secret-1234567890"
    assert "secret" not in refused(it, "run", str(it.goal))
