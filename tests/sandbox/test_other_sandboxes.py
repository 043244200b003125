"""Sandboxes besides the strict one: what the basic one stops and lets through, and what the others are asked to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from escape_table import ESCAPES, HONEST
from test_confined_commands import marked
from test_escapes import PATIENCE_S, PYTHON, bait  # noqa: F401 - a fixture

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox import container, seatbelt
from outlay.sandbox.landlock import Landlock, open_landlock
from outlay.sandbox.types import Bounds, Command, Mount

TAG = f"917{os.getpid()}.5"
"""How long this process's background commands sleep: others may run the same tests meanwhile."""
OPEN = {
    "read others' command lines", "see the host's routes", "see shared memory of the host", "change the personality",
    "fill temporary folders", "have capabilities to gain",
}  # fmt: skip
"""What the basic sandbox does not stop, or does not everywhere; the documentation says so. Capabilities that an
ordinary user's bounding set has cannot be gained without new privileges, which there are none of."""
NOT_HONEST = {
    "a server for its own command",
    "databases, locks, temporary files, shared memory",
    "python with processes and threads",
}
"""Work that it does not let through."""


@pytest.fixture(scope="module")
def landlock() -> Iterator[Landlock]:
    try:
        opened = open_landlock()
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))
    yield opened
    opened.close()


@pytest.mark.parametrize("name", [name for name in ESCAPES if name not in OPEN])
def test_the_basic_sandbox_stops_an_escape(
    name: str,
    landlock: Landlock,
    bait: dict[str, str],  # noqa: F811
    workspace: Path,
) -> None:
    escape = ESCAPES[name]
    if escape.machine not in ("", os.uname().machine):
        pytest.skip("not of this machine")
    if escape.bounds.keys() & {"processes", "memory_bytes"} and landlock.groups.kind == "none":
        pytest.skip("without control groups, this is bounded by looking now and then")
    prey = subprocess.Popen(["sleep", "9182"])
    program = escape.program(bait | {"PREY": str(prey.pid), "PATIENCE": str(PATIENCE_S)})
    command = Command((PYTHON, "-c", program), workspace, bounds=Bounds(**escape.bounds))
    try:
        finished = asyncio.run(landlock.run(command))
    finally:
        prey.kill()
        prey.wait()
    said = (finished.head + finished.tail).decode(errors="replace")
    assert "ESCAPED" not in said and ("confined" in said or finished.exit_code > 128), said[-2000:]


@pytest.mark.parametrize("name", [name for name in HONEST if name not in NOT_HONEST])
def test_honest_work_goes_on_in_the_basic_sandbox(name: str, landlock: Landlock, workspace: Path) -> None:
    script, printed = HONEST[name]
    finished = asyncio.run(landlock.run(Command(("/bin/sh", "-c", script), workspace, bounds=Bounds(wall_s=60))))
    assert finished.head.decode() == printed


def test_the_basic_sandbox_leaves_no_process_and_no_temporary_folder(landlock: Landlock, workspace: Path) -> None:
    script = f"sleep {TAG} & setsid sleep {TAG} & (trap '' TERM INT HUP; sleep {TAG}) & echo $HOME; WAIT"
    for ending, bounds in (("exit 3", Bounds()), ("wait", Bounds(wall_s=3))):
        command = Command(("/bin/sh", "-c", script.replace("WAIT", ending)), workspace, bounds=bounds)
        finished = asyncio.run(landlock.run(command))
        assert (finished.exit_code == 3) if ending == "exit 3" else (finished.ended == "timed_out")
        home = finished.head.decode().strip()
        assert not home or not Path(home).exists()
        assert marked(TAG) == []


def test_the_basic_sandbox_keeps_protected_paths_and_lets_the_rest_be_written(
    landlock: Landlock, workspace: Path
) -> None:
    (workspace / "kept").mkdir()
    (workspace / "kept" / "rules").write_text("kept")
    (workspace / "kept" / "other").write_text("old")
    (workspace / "free").mkdir()
    script = (
        "echo x >kept/rules; rm -rf kept/rules; mv kept away; echo new >kept/other; echo new >free/new; echo x >.git"
    )
    command = Command(("/bin/sh", "-c", script), workspace, protected=("kept/rules", ".git"))
    asyncio.run(landlock.run(command))
    assert (workspace / "kept" / "rules").read_text() == "kept" and not (workspace / ".git").exists()
    assert (workspace / "kept" / "other").read_text() == (workspace / "free" / "new").read_text() == "new\n"


def test_the_basic_sandbox_refuses_what_it_cannot_do(landlock: Landlock, workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no network"):
        asyncio.run(landlock.run(Command(("true",), workspace, hosts=("example.org",))))
    with pytest.raises(InputError, match="another place"):
        asyncio.run(landlock.run(Command(("true",), workspace, mounts=(Mount(tmp_path, "/there"),))))


def test_a_container_gets_what_the_command_may_have_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "GOAL.md").write_text("kept")
    command = Command(("make", "test"), tmp_path, protected=("GOAL.md",), mounts=(Mount(Path("/data"), "/data"),))
    words = container.arguments(command, "example.org/tools:1", "outlay-1", "1000:1000")
    text = " ".join(words)
    assert text.startswith("run --rm --init --name outlay-1 --pull never --network none --read-only --cap-drop ALL")
    for part in (
        "--security-opt no-new-privileges", "--pids-limit 512", f"--memory {4 * 2**30} --memory-swap {4 * 2**30}",
        f"--mount type=bind,source={tmp_path},target=/workspace --mount",
        "--mount type=bind,source=/data,target=/data,readonly", "--user 1000:1000",
        f"--mount type=bind,source={tmp_path}/GOAL.md,target=/workspace/GOAL.md,readonly",
    ):  # fmt: skip
        assert part in text
    assert text.endswith("--workdir /workspace --entrypoint make example.org/tools:1 test")
    with pytest.raises(InputError, match="comma"):
        container.arguments(Command(("true",), tmp_path, mounts=(Mount(Path("/a,b"), "/a"),)), "i", "n", "1:1")
    with pytest.raises(InputError, match="absent"):
        container.arguments(Command(("true",), tmp_path, protected=("gone",)), "i", "n", "1:1")


@pytest.mark.parametrize("program", container.CONTAINER_PROGRAMS)
def test_a_container_program_that_is_not_there_is_said_in_one_line(program: str) -> None:
    try:
        version = container.container_version(program)
    except EnvironmentProblem as problem:
        words = "start its service" if shutil.which(program) else "not present"
        assert words in str(problem) and "\n" not in str(problem)
    else:
        assert "--image" in version


def test_the_seatbelt_profile_denies_what_it_does_not_name(tmp_path: Path) -> None:
    command = Command(("true",), tmp_path / 'odd "name"', protected=("GOAL.md",))
    text = seatbelt.profile_text(command, Path("/private/tmp/room"))
    assert text.startswith("(version 1)\n(deny default)\n") and "network" not in text
    assert '(allow file-write* (subpath "/private/tmp/room"))' in text and '\\"name\\"' in text
    assert text.rstrip().endswith('/GOAL.md"))') and text.count("(") == text.count(")")
    with pytest.raises(EnvironmentProblem, match="macOS"):
        seatbelt.open_seatbelt()


def test_commands_are_seen_to_their_end_where_processes_have_no_descriptors(
    landlock: Landlock, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")  # as on macOS
    short = Command(("/bin/sh", "-c", "echo done; exit 3"), workspace)
    finished = asyncio.run(landlock.run(short))
    assert (finished.exit_code, finished.head) == (3, b"done\n")
    long = Command(("/bin/sh", "-c", f"sleep {TAG} & sleep {TAG}"), workspace, bounds=Bounds(wall_s=0.3))
    assert asyncio.run(landlock.run(long)).ended == "timed_out"
    assert marked(TAG) == []
