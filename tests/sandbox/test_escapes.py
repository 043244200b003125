"""Escapes, each with a live bait: the same program succeeds without a sandbox and fails inside."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from escape_table import ESCAPES, HONEST

from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.cgroup import Groups
from outlay.sandbox.types import Bounds, Command, Finished

Run = Callable[..., Finished]
SECRET = f"bait-{uuid.uuid4().hex}"
PYTHON = "/usr/bin/python3"
ORDINARY_USER = 65534
PATIENCE_S = 30
"""How long a command waits to be ended by a watch."""


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A home with a key, another workspace, files in shared folders, servers of every kind, a process."""
    folder = tmp_path_factory.mktemp("bait")
    home = folder / "home"
    for path in (
        home / ".ssh" / "id",
        home / "letter",
        home / ".local/share/outlay/ledger.db",
        folder / "ws/other/work",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SECRET)
    shared = [Path("/tmp") / f"outlay-bait-{os.getpid()}", Path("/dev/shm") / f"outlay-bait-{os.getpid()}"]
    for path in shared:
        path.write_text(SECRET)
    services = [home / "socket", Path("/run") / f"outlay-bait-{os.getpid()}"]
    servers = [socket.create_server(("127.0.0.1", 0), backlog=64)]
    servers += [_listening(path) for path in services if os.access(path.parent, os.W_OK)]
    servers.append(_listening(f"\0outlay-{os.getpid()}"))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    threading.Thread(target=_echo, args=(udp,), daemon=True).start()
    victim = subprocess.Popen(["sleep", "9180"], env={"VICTIM": SECRET})
    inherited = os.open(home / "letter", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    os.environ["OUTLAY_BAIT"] = SECRET
    libc = ctypes.CDLL(None)
    key = 0x0A7B0000 + os.getpid() % 0xFFFF
    segment = libc.shmget(key, 100, 0o1666)
    yield {
        "FOLDER": str(folder),
        "HOME": str(home),
        "TMP": str(shared[0]),
        "SHM": str(shared[1]),
        "TCP": str(servers[0].getsockname()[1]),
        "UDP": str(udp.getsockname()[1]),
        "ABSTRACT": f"outlay-{os.getpid()}",
        "SERVICE": str(services[1]),
        "VICTIM-MARK": "9180",
        "VICTIM": str(victim.pid),
        "SECRET": SECRET,
        "KEY": str(key),
        "HANDLE": _handle(home / ".ssh" / "id").hex(),
    }
    del os.environ["OUTLAY_BAIT"]
    os.close(inherited)
    victim.kill()
    victim.wait()
    libc.shmctl(segment, 0, None)
    for each in (*servers, udp):
        each.close()
    for path in (*shared, *services):
        path.unlink(missing_ok=True)


def _listening(address: Path | str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(address))
    server.listen(16)
    return server


def _echo(server: socket.socket) -> None:
    try:
        while True:
            data, sender = server.recvfrom(100)
            server.sendto(data, sender)
    except OSError:
        pass


def _handle(path: Path) -> bytes:
    """The kernel's handle of a file (open_by_handle_at(2)), or nothing where it gives none."""
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little"), 136)
    mount = ctypes.c_int()
    failed = ctypes.CDLL(None).name_to_handle_at(-100, bytes(path), handle, ctypes.byref(mount), 0)
    return b"" if failed else handle.raw[: 8 + int.from_bytes(handle.raw[:4], "little")]


@pytest.mark.parametrize("name", ESCAPES)
def test_an_escape_that_works_outside_fails_inside(
    name: str, sandbox: Bubblewrap, bait: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    escape = ESCAPES[name]
    if escape.machine not in ("", os.uname().machine):
        pytest.skip("not of this machine")
    if escape.root and os.geteuid() != 0:
        pytest.skip("the bait needs root outside")
    prey = [subprocess.Popen(["sleep", "9181"]) for _ in range(2)]
    try:
        control, inside = (
            escape.program(bait | {"PREY": str(each.pid), "PATIENCE": str(wait)})
            for each, wait in zip(prey, (0, PATIENCE_S), strict=True)
        )
        finished = asyncio.run(sandbox.run(Command((PYTHON, "-c", inside), workspace, bounds=Bounds(**escape.bounds))))
        outside = tmp_path / "outside"
        outside.mkdir()
        # Through a shell, so that there is a parent whose environment has the secret.
        argv = ["sh", "-c", '"$@"; exit $?', "sh", PYTHON, "-c", control]
        free = subprocess.run(argv, cwd=outside, capture_output=True, text=True, close_fds=False)
    finally:
        for each in prey:
            each.kill()
            each.wait()
    said = (finished.head + finished.tail).decode(errors="replace")
    assert "ESCAPED" not in said, said
    # A crash by a refused call is a stop as well; an import error would be a test that tests nothing.
    assert "confined" in said or finished.exit_code > 128, said[-2000:]
    if "ESCAPED" not in free.stdout:
        pytest.skip(f"the bait of {name!r} does not work on this machine: {free.stdout.strip()}")


@pytest.mark.parametrize("name", HONEST)
def test_honest_work_goes_on_inside(name: str, confined: Run) -> None:
    script, printed = HONEST[name]
    assert confined(script, bounds=Bounds(wall_s=60)).head.decode() == printed


def test_what_git_and_outlay_would_run_or_read_later_stays_as_it_is(
    confined: Run, workspace: Path, tmp_path: Path
) -> None:
    script = """
printf '#!/bin/sh\ntouch ran' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit
git config core.fsmonitor 'touch ran #' 2>/dev/null; mkdir -p evil && cp -r .git/. evil/ && echo evil >evil/config
mv .git old && mv evil .git
echo 'may_go_to = ["any"]' >policy.toml; mv policy.toml aside; rm -f policy.toml
mkdir -p .claude && echo evil >.claude/settings.json"""
    protected = (".git/hooks", ".git/config", "policy.toml", ".claude/settings.json")

    def prepare(folder: Path) -> dict[str, str]:
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        (folder / "policy.toml").write_text("version = 1\n")
        return state(folder)

    def state(folder: Path) -> dict[str, str]:
        names = (".git/config", ".git/hooks/pre-commit", "policy.toml", ".claude/settings.json")
        return {name: (folder / name).read_text() for name in names if (folder / name).is_file()}

    before = prepare(workspace)
    confined(script, protected=protected)
    assert state(workspace) == before and (workspace / ".git" / "HEAD").exists()
    outside = tmp_path / "outside"
    outside.mkdir()
    before = prepare(outside)
    subprocess.run(["sh", "-c", script], cwd=outside, check=False, capture_output=True)
    after = state(outside)
    assert set(after) != set(before) and after[".git/config"] == "evil\n"  # the bait is live


def test_escapes_fail_and_honest_work_goes_on_for_an_ordinary_user_too(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The tests of this file and of file access, by a user who is not root."""
    if os.geteuid() != 0:
        pytest.skip("all of them are those of an ordinary user already")
    folder = Path("/tmp") / f"outlay-ordinary-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, ORDINARY_USER, ORDINARY_USER)
    tests = Path(__file__).parent
    ours = [str(tests.parent), *(path for path in sys.path if path.endswith(("/src", "/site-packages")))]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OUTLAY_HOME": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join(ours),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    as_user = ["setpriv", f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups", "--inh-caps=-all"]
    # Where a checkout or a Python is root's alone, it is what an ordinary user would install that is needed.
    usable = [
        python
        for python in (PYTHON, sys.executable)
        if not subprocess.run([*as_user, python, "-c", "import pytest, outlay.sandbox.probe, escape_table"],
                              env=environment | {"PYTHONPATH": environment["PYTHONPATH"] + f":{tests}"}, cwd=folder,
                              capture_output=True, check=False).returncode
    ]  # fmt: skip
    try:
        if not usable:
            pytest.skip("no Python here that an ordinary user could run these tests with")
        files = [
            str(tests / name) for name in ("test_escapes.py", "test_other_sandboxes.py", "test_workspace_files.py")
        ]
        done = subprocess.run(
            [*as_user, usable[0], "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--basetemp={folder}/t",
             f"--rootdir={tests.parents[1]}", "-o", "addopts=", *files],
            env=environment, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and passed and int(passed[1]) > 80, done.stdout[-5000:] + done.stderr[-2000:]


def test_nothing_was_left_in_the_bait(bait: dict[str, str], confined: Run) -> None:
    folder = bait["FOLDER"]
    before = Path(bait["TMP"]).read_text() + Path(bait["SHM"]).read_text()
    confined(f"touch {folder}/inside; mkdir -p {folder}; echo x >{bait['TMP']}; echo x >{bait['SHM']}")
    assert not Path(folder, "inside").exists()
    assert Path(bait["TMP"]).read_text() + Path(bait["SHM"]).read_text() == before


def test_only_three_descriptors_are_open(sandbox: Bubblewrap, workspace: Path) -> None:
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    script = "import os; print(sorted(os.listdir('/proc/self/fd'))[:-1])"
    finished = asyncio.run(sandbox.run(Command(("python3", "-c", script), workspace)))
    os.close(secret)
    assert finished.head == b"['0', '1', '2']\n"


def test_capabilities_and_privileges_are_gone(confined: Run) -> None:
    text = confined("grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status; id -u").head.decode()
    assert text.count("0000000000000000") == 5
    assert "NoNewPrivs:\t1" in text and "Seccomp:\t2" in text and text.endswith("1000\n")


def test_mounts_cannot_be_changed_and_the_root_not_written(confined: Run) -> None:
    script = "mount -o remount,rw /usr || echo no; umount /workspace || echo no"
    script += "".join(f"; touch {path}/x || echo no" for path in ("", "/etc", "/run", "/dev"))
    assert confined(script).head.count(b"no\n") == 6


def test_a_fork_bomb_is_bounded(confined: Run) -> None:
    script = "i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); done 2>&1; echo started $i"
    finished = confined(script, bounds=Bounds(processes=40, wall_s=60))
    assert b"ork" in finished.head, finished.head[-300:]
    bomb = confined("b() { b | b & }; b; sleep 0.3", bounds=Bounds(processes=40, wall_s=60))
    assert bomb.ended == "exited"


def test_memory_of_one_process_and_of_many_is_bounded(sandbox: Bubblewrap, confined: Run) -> None:
    bounds = Bounds(memory_bytes=64 * 2**20, wall_s=60)
    assert confined("python3 -c 'bytearray(10**9)'", bounds=bounds).exit_code != 0
    one = "import time; x = bytearray(40_000_000); time.sleep(5)"
    many = f"for i in 1 2 3 4; do python3 -c '{one}' & all=\"$all $!\"; done"
    finished = confined(f"{many}; for one in $all; do wait $one || exit 9; done", bounds=bounds)
    assert finished.memory_peak_bytes is not None and finished.memory_peak_bytes > 30_000_000
    if "memory" in sandbox.groups.controllers:
        assert finished.memory_peak_bytes <= bounds.memory_bytes
    assert finished.exit_code != 0 and finished.ended == "out_of_memory"


def test_memory_is_bounded_without_control_groups(sandbox: Bubblewrap, workspace: Path) -> None:
    allowed, sandbox.groups = sandbox.groups, Groups("none", {}, "for this test")
    one = "import time; x = bytearray(40_000_000); time.sleep(50)"
    many = f"for i in 1 2 3; do python3 -c '{one}' & done; wait"
    try:
        command = Command(("sh", "-c", many), workspace, bounds=Bounds(memory_bytes=64 * 2**20, wall_s=60))
        finished = asyncio.run(sandbox.run(command))
    finally:
        sandbox.groups = allowed
    assert finished.ended == "out_of_memory"
    assert finished.memory_peak_bytes is not None and finished.memory_peak_bytes > 64 * 2**20 and finished.cpu_ms > 0


def test_processes_are_bounded_without_control_groups(sandbox: Bubblewrap, workspace: Path) -> None:
    allowed, sandbox.groups = sandbox.groups, Groups("none", {}, "for this test")
    try:
        many = "i=0; while [ $i -lt 100 ]; do sleep 30 & i=$((i+1)); done; wait"
        command = Command(("sh", "-c", many), workspace, bounds=Bounds(processes=40, wall_s=60))
        finished = asyncio.run(sandbox.run(command))
    finally:
        sandbox.groups = allowed
    # The kernel says no to an ordinary user, and a watch ends what root starts.
    assert finished.ended == "process_limit" or b"ork" in finished.head


def test_files_and_temporary_folders_are_bounded(confined: Run, workspace: Path) -> None:
    bounds = Bounds(file_bytes=1_000_000, tmp_bytes=2**20)
    assert confined("head -c 5000000 /dev/zero >big", bounds=bounds).exit_code != 0
    assert (workspace / "big").stat().st_size <= 1_000_000
    script = (
        "for d in /tmp /dev/shm $HOME; do for i in 1 2 3; do head -c 900000 /dev/zero >$d/$i || echo full; done; done"
    )
    assert confined(script, bounds=bounds).head.count(b"full\n") == 6


def test_protected_paths_stay_as_they_are_and_absent_ones_absent(confined: Run, workspace: Path) -> None:
    (workspace / "checks").mkdir()
    (workspace / "checks" / "test.py").write_text("kept")
    (workspace / "GOAL.md").write_text("kept")
    script = """
echo x >GOAL.md; rm -f GOAL.md; mv GOAL.md y; echo x >checks/test.py; mv checks other; rm -rf checks
mkdir -p .claude; echo x >.claude/settings.json; echo x >absent; ln -s /tmp absent; echo fine >free
""".replace("\n", "\n ")
    protected = ("GOAL.md", "checks/test.py", "absent", ".claude/settings.json")
    confined(script, protected=protected)
    assert (workspace / "GOAL.md").read_text() == (workspace / "checks" / "test.py").read_text() == "kept"
    assert sorted(path.name for path in workspace.iterdir()) == ["GOAL.md", "checks", "free"]


def test_commands_side_by_side_hold_the_same_absent_path(sandbox: Bubblewrap, workspace: Path) -> None:
    async def main() -> None:
        short = Command(("sh", "-c", "sleep 0.1; echo x >absent"), workspace, protected=("absent",))
        long = Command(("sh", "-c", "sleep 0.5; rm -f absent; echo x >absent"), workspace, protected=("absent",))
        results = await asyncio.gather(sandbox.run(long), sandbox.run(short))
        assert all(result.exit_code != 0 for result in results)

    asyncio.run(main())
    assert list(workspace.iterdir()) == []


def test_a_protected_path_behind_a_symbolic_link_is_refused_not_followed(
    confined: Run, workspace: Path, tmp_path: Path
) -> None:
    from outlay.errors import InputError

    (workspace / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="symbolic link"):
        confined("true", protected=("link/x",))
