"""`outlay sandbox exec` and `outlay doctor`, as typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "from outlay.cli import main; main()"]


def outlay(*arguments: str, cwd: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"OUTLAY_HOME": str(cwd / "state")} | (environ or {})
    return subprocess.run([*PROGRAM, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _needs_bubblewrap(tmp_path: Path) -> None:
    answer = outlay("sandbox", "exec", "--", "true", cwd=tmp_path)
    if answer.returncode == 2:
        pytest.skip(answer.stderr)


def test_output_and_exit_code_are_passed_through(tmp_path: Path) -> None:
    answer = outlay("sandbox", "exec", "--", "sh", "-c", "pwd; echo err >&2; cat; exit 7", cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (7, "/workspace\nerr\n")
    assert outlay("sandbox", "exec", "--", "no-such-program", cwd=tmp_path).returncode == 127


def test_a_timeout_is_124_and_said(tmp_path: Path) -> None:
    answer = outlay("sandbox", "exec", "--timeout", "0.2", "--", "sleep", "9", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (124, "outlay: ended after 0.2 s (--timeout)\n")


def test_options_are_kept_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    options = ("--workspace", "there", "--read-only", "--memory", "256M")
    assert outlay("sandbox", "exec", *options, "--", "touch", "x", cwd=tmp_path).returncode == 1
    assert outlay("sandbox", "exec", "--protect", "kept", "--", "touch", "kept", cwd=tmp_path).returncode == 1
    assert outlay("sandbox", "exec", "--workspace", "there", "--", "touch", "x", cwd=tmp_path).returncode == 0
    assert (tmp_path / "there" / "x").exists() and not (tmp_path / "kept").exists()


def test_git_of_the_user_cannot_be_made_to_run_anything(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    config = (tmp_path / ".git" / "config").read_bytes()
    script = """echo x >.git/hooks/pre-commit; git config core.fsmonitor evil; rm -rf .git/hooks; mv .git other
git -c user.name=a -c user.email=a@b commit -q --allow-empty -m works && git log --format=%s"""
    answer = outlay("sandbox", "exec", "--", "sh", "-c", script, cwd=tmp_path)
    assert answer.stdout.endswith("works\n"), answer.stdout
    assert (tmp_path / ".git" / "config").read_bytes() == config
    assert not (tmp_path / ".git" / "hooks" / "pre-commit").exists() and not (tmp_path / "other").exists()
    assert not (tmp_path / ".git" / "config.worktree").exists()


_EVIL = r"""printf '[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "touch PROOF; false"\n'"""
_PLANTS = {
    "another common folder": ("", f"cp -r .git evil; {_EVIL} >evil/config; echo ../evil >.git/commondir", "."),
    "a repository where there was none": ("rm -rf .git", f"git init -q .; {_EVIL} >.git/config", "."),
    "a nested repository": ("mkdir deep", f"cd deep; git init -q .; {_EVIL} >.git/config", "deep"),
    "a folder that looks like a bare one": (
        "mkdir deep",
        f"cd deep; git init -q --bare .; ({_EVIL}; printf '\\tworktree = .\\n') >config",
        "deep",
    ),
    "the configuration of a submodule": (
        "git init -q sub; git -C sub -c user.name=a -c user.email=a@b commit -q --allow-empty -m a; "
        "git -c protocol.file.allow=always submodule --quiet add ./sub sub; git submodule absorbgitdirs",
        f"{_EVIL} >.git/modules/sub/config",
        ".",
    ),
    "the file that leads to a repository": (
        "mv .git kept; echo gitdir: kept >.git",
        f"cp -r kept evil; {_EVIL} >evil/config; echo gitdir: evil >.git",
        ".",
    ),
    "a link to a repository, replaced": (
        "mv .git kept; ln -s kept .git",
        f"rm .git; git init -q .; {_EVIL} >.git/config",
        ".",
    ),
    "settings behind a section's name": (
        "rm -rf .git",
        r"""git init -q .; echo '[core] fsmonitor = "touch PROOF; false"' >>.git/config""",
        ".",
    ),
}
"""Name -> (how the folder is made, what the command does, where the user stands when git is asked)."""


@pytest.mark.parametrize("name", _PLANTS)
def test_git_runs_nothing_that_a_command_has_planted(tmp_path: Path, name: str) -> None:
    prepare, plant, stands = _PLANTS[name]
    for confined in (False, True):
        folder = tmp_path / ("inside" if confined else "outside")
        proof = tmp_path / f"proof-{confined}"
        folder.mkdir()
        subprocess.run(["sh", "-ec", f"git init -q .; {prepare}"], cwd=folder, check=True)
        script = plant.replace("PROOF", str(proof))
        if confined:
            outlay("sandbox", "exec", "--", "sh", "-c", script, cwd=folder)
        else:
            subprocess.run(["sh", "-ec", script], cwd=folder, check=True)
        subprocess.run(["git", "status"], cwd=folder / stands, capture_output=True, check=False)
        assert proof.exists() != confined


def test_repositories_without_programs_in_them_stay(tmp_path: Path) -> None:
    script = """git init -q one; cd one; git config user.name a; git config user.email a@b
git commit -q --allow-empty -m first; git clone -q . ../two; git -C ../two worktree add -q ../three"""
    answer = outlay("sandbox", "exec", "--", "sh", "-ec", script, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert not list(tmp_path.rglob("*.set-aside-*"))


def test_what_is_set_aside_is_said(tmp_path: Path) -> None:
    script = "git init -q .; git config alias.st status; printf 'true' >.git/hooks/pre-commit"
    answer = outlay("sandbox", "exec", "--", "sh", "-ec", script, cwd=tmp_path)
    lines = answer.stderr.splitlines()
    assert answer.returncode == 0 and len(lines) == 2
    for line, path in zip(lines, (".git/config", ".git/hooks/pre-commit"), strict=True):
        assert line.startswith(f"outlay: set aside, because git would run what it says: {path}.set-aside-")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sandbox", "exec"),
        ("sandbox", "exec", "--memory", "much", "--", "true"),
        ("sandbox", "exec", "--timeout", "-1", "--", "true"),
        ("sandbox", "exec", "--network", "*.org", "--", "true"),
        ("sandbox", "exec", "--workspace", "absent", "--", "true"),
        ("sandbox", "exec", "--protect", "../x", "--", "true"),
        ("sandbox", "exec", "--frobnicate", "--", "true"),
    ],
)
def test_bad_input_is_2_with_a_reason(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    answer = outlay(*arguments, cwd=tmp_path)
    assert answer.returncode == 2 and answer.stderr and "Traceback" not in answer.stderr and answer.stdout == ""


def test_a_missing_bubblewrap_is_one_line_that_says_what_to_type(tmp_path: Path) -> None:
    answer = outlay("sandbox", "exec", "--", "true", cwd=tmp_path, environ={"PATH": str(tmp_path)})
    assert answer.returncode == 2 and answer.stderr.startswith("outlay: bubblewrap is not installed; type `")
    assert answer.stderr.count("\n") == 1


def test_an_interrupted_command_is_gone(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "sandbox", "exec", "--", "sh", "-c", "echo up; sleep 600; echo x >late"],
        cwd=tmp_path,
        env=os.environ | {"OUTLAY_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 4
    process.stdout.close()


def test_commands_die_with_an_outlay_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "sandbox", "exec", "--", "sh", "-c", "setsid sleep 9191 & echo up; sleep 9191"],
        cwd=tmp_path,
        env=os.environ | {"OUTLAY_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 120
    while (left := _running(b"sleep\x009191")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
    # The next start sweeps up what the killed one left in the control groups.
    assert outlay("sandbox", "exec", "--", "true", cwd=tmp_path).returncode == 0
    assert not list(Path("/sys/fs/cgroup").rglob(f"outlay-{process.pid}-*"))


def _running(command_line: bytes) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if command_line in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_doctor_finds_what_is_there_and_says_no_secret(tmp_path: Path) -> None:
    answer = outlay("doctor", "--json", cwd=tmp_path, environ={"ANTHROPIC_API_KEY": "very-secret"})
    document = json.loads(answer.stdout)
    assert answer.returncode == 0 and document["tier"] == "strict" and document["can_run"]
    states = {finding["name"]: finding["state"] for finding in document["findings"]}
    assert states["bubblewrap"] == states["sandbox"] == states["ANTHROPIC_API_KEY"] == "ok"
    table = outlay("doctor", cwd=tmp_path, environ={"ANTHROPIC_API_KEY": "very-secret"})
    assert "Sandbox tier: strict" in table.stdout and "very-secret" not in answer.stdout + table.stdout


def test_doctor_says_what_to_type_without_bubblewrap(tmp_path: Path) -> None:
    answer = outlay("doctor", "--json", cwd=tmp_path, environ={"PATH": str(tmp_path)})
    document = json.loads(answer.stdout)
    assert answer.returncode == 2 and document["tier"] in ("basic", "none")
    assert document["findings"][0]["state"] == "missing" and "install" in document["findings"][0]["remedy"] + "install"
