"""What a command can expect: honest work, exact ends, bounds."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox import profile
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.etc import make_etc
from outlay.sandbox.types import Bounds, Command, Finished, Mount

Run = Callable[..., Finished]


def marked(tag: str) -> list[int]:
    """Processes of this machine that carry `tag` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if tag.encode() in text:
                found.append(int(entry.name))
    return found


def test_output_is_stdout_and_stderr_in_the_order_in_which_they_came(confined: Run) -> None:
    finished = confined("echo one; echo two >&2; echo three")
    assert (finished.exit_code, finished.ended, finished.head) == (0, "exited", b"one\ntwo\nthree\n")
    assert finished.output_bytes == 14 and finished.tail == b""
    assert finished.cpu_ms >= 0 and finished.wall_ms > 0


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_exit_codes_are_those_of_a_shell(confined: Run, script: str, code: int) -> None:
    assert confined(script).exit_code == code


@pytest.mark.parametrize(
    ("argv", "code"), [(("no-such-program",), 127), (("/usr",), 126), (("exit", "3"), 127), (("cd", "/"), 127)]
)
def test_a_missing_program_is_127_and_shell_words_are_no_programs(
    sandbox: Bubblewrap, workspace: Path, argv: tuple[str, ...], code: int
) -> None:
    assert asyncio.run(sandbox.run(Command(argv, workspace))).exit_code == code


def test_arguments_arrive_as_they_are(sandbox: Bubblewrap, workspace: Path) -> None:
    words = ("a b", "", "ü\n", "$HOME", "-n", "--", "*")
    finished = asyncio.run(sandbox.run(Command(("printf", "[%s]", *words), workspace)))
    assert finished.head.decode() == "".join(f"[{word}]" for word in words)


def test_the_workspace_is_the_working_directory_and_keeps_what_is_written(confined: Run, workspace: Path) -> None:
    finished = confined("pwd; mkdir -p 'ü x' && echo hello >'ü x/datei ✓.txt'; ls -la >/dev/null")
    assert finished.head == b"/workspace\n"
    assert (workspace / "ü x" / "datei ✓.txt").read_text() == "hello\n"


def test_a_read_only_workspace_cannot_be_changed(confined: Run, workspace: Path) -> None:
    (workspace / "kept").write_text("kept")
    assert confined("cat kept; echo x >kept || echo no; touch new || echo no", writable=False).head.count(b"no\n") == 2
    assert (workspace / "kept").read_text() == "kept" and not (workspace / "new").exists()


def test_python_and_its_processes_work(confined: Run) -> None:
    script = """python3 - <<'EOF'
import json, multiprocessing, sqlite3, ssl, subprocess, tempfile, threading
with multiprocessing.Pool(3) as pool:
    print(sum(pool.map(abs, range(-5, 5))))
print(subprocess.check_output(["tr", "a-z", "A-Z"], input=b"piped").decode())
database = sqlite3.connect("state.db"); database.execute("create table t (a)"); database.commit()
print(tempfile.TemporaryDirectory().name.startswith("/tmp/"), ssl.create_default_context().check_hostname)
EOF"""
    assert confined(script).head == b"25\nPIPED\nTrue True\n"


def test_git_works_in_a_workspace(confined: Run) -> None:
    script = """export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q . && echo x >file && git add . && git commit -qm first && git log --format=%s && git status --short"""
    assert confined(script).head == b"first\n"


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("gcc")), reason="needs make and gcc")
def test_a_program_is_built_and_run(confined: Run, workspace: Path) -> None:
    (workspace / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n')
    (workspace / "Makefile").write_text("hello: hello.c\n\tgcc -O0 -o $@ $<\n")
    assert confined("make -s -j2 hello && ./hello").head == b"built\n"


def test_background_jobs_pipes_signals_and_shared_memory_work(confined: Run) -> None:
    assert confined("(sleep 0.05; echo late) & wait; seq 1000 | tail -1").head == b"late\n1000\n"
    assert confined("sleep 10 & kill $!; wait $!; echo $?").head.endswith(b"143\n")
    assert (
        confined("echo x >/dev/shm/y && cat /dev/shm/y && cat /dev/null && head -c1 /dev/urandom | wc -c").exit_code
        == 0
    )
    assert confined("trap 'echo caught' USR1; kill -USR1 $$; umask 077; touch f; chmod +x f").head == b"caught\n"


def test_a_server_on_loopback_serves_its_own_command(confined: Run) -> None:
    script = """python3 -c 'import socket
a = socket.create_server(("127.0.0.1", 0)); b = socket.create_connection(a.getsockname()); c, _ = a.accept()
b.sendall(b"served"); print(c.recv(9).decode())'"""
    assert confined(script).head == b"served\n"


def test_the_whole_output_goes_to_a_file_and_its_ends_stay_in_memory(confined: Run, tmp_path: Path) -> None:
    finished = confined("seq 100000", output=tmp_path / "output")
    whole = (tmp_path / "output").read_bytes()
    assert whole.splitlines()[-1] == b"100000" and finished.output_bytes == len(whole)
    assert len(finished.head) == len(finished.tail) == 64 * 1024
    assert whole.startswith(finished.head) and whole.endswith(finished.tail)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072, 131_073])
def test_head_and_tail_never_overlap_and_lose_nothing_they_can_hold(confined: Run, size: int) -> None:
    finished = confined(f"head -c {size} /dev/zero | tr '\\0' x")
    assert finished.output_bytes == size
    assert len(finished.head) + len(finished.tail) == min(size, 131_072)


def test_output_comes_as_it_is_printed(sandbox: Bubblewrap, workspace: Path) -> None:
    seen: list[tuple[float, bytes]] = []
    command = Command(("sh", "-c", "echo first; sleep 0.3; echo second"), workspace)
    asyncio.run(sandbox.run(command, lambda chunk: seen.append((time.monotonic(), chunk))))
    assert [chunk for _, chunk in seen] == [b"first\n", b"second\n"]
    assert seen[1][0] - seen[0][0] > 0.2


def test_a_flood_of_output_is_ended_at_its_bound(confined: Run, tmp_path: Path) -> None:
    finished = confined("yes", bounds=Bounds(output_bytes=1_000_000), output=tmp_path / "output")
    assert finished.ended == "output_limit" and (tmp_path / "output").stat().st_size == 1_000_000


def test_a_timeout_leaves_no_process(confined: Run) -> None:
    script = "sleep 9171 & setsid sleep 9171 & (trap '' TERM INT HUP; sleep 9171) & wait"
    finished = confined(script, bounds=Bounds(wall_s=0.3))
    assert finished.ended == "timed_out"
    assert marked("9171") == []


def test_what_a_command_leaves_running_ends_with_it(confined: Run, workspace: Path) -> None:
    finished = confined("nohup setsid sh -c 'sleep 1; echo alive >late; sleep 9172' >/dev/null 2>&1 & exit 3")
    assert finished.exit_code == 3
    assert marked("9172") == []
    time.sleep(1.1)
    assert not (workspace / "late").exists()


def test_a_cancelled_command_leaves_no_process(sandbox: Bubblewrap, workspace: Path) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(sandbox.run(Command(("sh", "-c", "sleep 9173 & sleep 9173"), workspace)))
        while not marked("9173"):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert marked("9173") == []


def test_commands_cancelled_at_any_moment_of_their_start_leave_no_process(sandbox: Bubblewrap, workspace: Path) -> None:
    async def one(delay_s: float) -> None:
        command = Command(("sleep", "9174"), workspace, bounds=Bounds(wall_s=delay_s))
        assert (await sandbox.run(command)).ended == "timed_out"

    async def main() -> None:
        for delay_ms in range(0, 15):
            await one(delay_ms / 1000)

    asyncio.run(main())
    assert marked("9174") == []


def test_a_listener_that_fails_ends_the_command(sandbox: Bubblewrap, workspace: Path) -> None:
    def fail(_: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        asyncio.run(sandbox.run(Command(("sh", "-c", "echo x; sleep 9175"), workspace), fail))
    assert marked("9175") == []


def test_fifty_commands_run_side_by_side_and_leave_no_descriptor(sandbox: Bubblewrap, workspace: Path) -> None:
    async def main() -> list[Finished]:
        commands = [Command(("sh", "-c", f"echo {number}; exit {number}"), workspace) for number in range(50)]
        return list(await asyncio.gather(*map(sandbox.run, commands)))

    before = len(list(Path("/proc/self/fd").iterdir()))
    results = asyncio.run(main())
    assert [(result.exit_code, result.head) for result in results] == [(n, b"%d\n" % n) for n in range(50)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_control_groups_are_gone_after_their_commands(sandbox: Bubblewrap, confined: Run) -> None:
    confined("true")
    sandbox.groups.close()
    for parent in sandbox.groups.parents.values():
        assert list(parent.glob(f"outlay-{os.getpid()}-*")) == []


def test_use_of_the_machine_is_measured(sandbox: Bubblewrap, confined: Run) -> None:
    finished = confined("python3 -c 'x = bytearray(60_000_000); [i * i for i in range(1_500_000)]'")
    assert 30 < finished.cpu_ms < 5000
    if "memory" in sandbox.groups.controllers:
        assert finished.memory_peak_bytes is not None and finished.memory_peak_bytes > 55_000_000


def test_extra_mounts_appear_where_they_were_asked_for(confined: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("content")
    mounts = (Mount(tmp_path / "data", "/data"), Mount(tmp_path / "data", "/rw", writable=True))
    assert confined("cat /data/x; echo y >/data/y || echo no; echo z >/rw/z", mounts=mounts).head.endswith(b"no\n")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["x", "z"]


def test_tasks_installed_with_the_system_are_not_seen(confined: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert confined("ls -A /usr/share").head
    monkeypatch.setattr(profile, "_SHIPPED_TASKS", Path("/usr/share"))
    done = confined("ls -A /usr/share; touch /usr/share/mine && echo written")
    assert b"Read-only file system" in done.head and len(done.head.splitlines()) == 1, done.head


def test_what_cannot_be_run_is_said_in_one_line(sandbox: Bubblewrap, workspace: Path, tmp_path: Path) -> None:
    for command, error in [
        (Command((), workspace), InputError),
        (Command(("a\0b",), workspace), InputError),
        (Command(("true",), tmp_path / "absent"), InputError),
        (Command(("true",), workspace, mounts=(Mount(tmp_path / "absent", "/x"),)), EnvironmentProblem),
        (Command(("true",), workspace, output=tmp_path / "absent" / "x"), EnvironmentProblem),
        (Command(("true",), workspace, protected=("../x",)), InputError),
        (Command(("true",), workspace, hosts=("10.0.0.1",)), InputError),
    ]:
        with pytest.raises(error) as caught:
            asyncio.run(sandbox.run(command))
        assert "\n" not in str(caught.value)


def test_the_synthetic_etc_names_nobody_and_is_built_once(tmp_path: Path) -> None:
    first = make_etc(tmp_path)
    assert make_etc(tmp_path) == first
    assert "root" not in (first / "passwd").read_text()
    for secret in ("shadow", "ssh", "ssl/private", "sudoers", "machine-id"):
        assert not (first / secret).exists()


def test_bytes_written_to_disk_are_counted_with_those_of_all_processes(confined: Run, workspace: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", workspace], capture_output=True, text=True, check=True).stdout
    if kind.strip() in ("tmpfs", "ramfs"):
        pytest.skip("the workspace is in memory, where nothing is written to disk")
    finished = confined("head -c 3000000 /dev/zero >one; (head -c 2000000 /dev/zero >two) & wait")
    assert finished.written_bytes is not None and 5_000_000 <= finished.written_bytes < 6_000_000
    assert confined("true").written_bytes == 0
