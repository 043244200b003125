"""The strict profile as arguments of bubblewrap. Pure: what is mounted, hidden and bounded, and nothing else."""

from __future__ import annotations

import resource
from collections.abc import Iterable
from pathlib import Path

import msgspec

from outlay.sandbox.types import Bounds, Command, Mount

WORKSPACE = "/workspace"
AGENT_ID = "1000"
HOME = "/home/agent"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": HOME,
    "USER": "agent",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TMPDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_ROOT_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_STORE = "/nix/store"
_SHIPPED_TASKS = Path(__file__).parents[1] / "tasks"
"""Hidden cases and solutions: where Outlay is installed below `/usr`, the work under test must not find them."""


class Cover(msgspec.Struct, frozen=True):
    """Something of the workspace that is bound over itself: read-only when protected, a plain mountpoint when it only
    must not be renamed away from above something protected."""

    source: str
    target: str
    writable: bool


def _system() -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in _ROOT_FOLDERS:
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    if Path(_STORE).is_dir():
        arguments += ["--ro-bind", _STORE, _STORE]
    place = _SHIPPED_TASKS.resolve()
    if any(place.is_relative_to(top) for top in ("/usr", _STORE)):
        arguments += ["--tmpfs", str(place), "--remount-ro", str(place)]
    return arguments


def _namespaces(disable_userns: bool) -> list[str]:
    arguments = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    arguments += ["--unshare-cgroup-try", "--uid", AGENT_ID, "--gid", AGENT_ID, "--hostname", "sandbox"]
    if disable_userns:
        arguments.append("--disable-userns")
    return [*arguments, "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--as-pid-1"]


def _bind(mount: Mount) -> list[str]:
    return ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]


def arguments(
    command: Command,
    etc: Path,
    covers: Iterable[Cover],
    seccomp: int | None,
    disable_userns: bool,
    extra: Iterable[Mount] = (),
) -> list[str]:
    """Everything between `bwrap` and `--`. `seccomp` is the descriptor of the filter, `extra` are mounts of ours."""
    size = str(command.bounds.tmp_bytes)
    result = [*_namespaces(disable_userns), "--clearenv", *_system(), "--ro-bind", str(etc), "/etc"]
    result += ["--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp"]
    for folder in ("/tmp", "/dev/shm"):
        result += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    result += ["--size", size, "--tmpfs", "/home", "--dir", HOME]
    result += _bind(Mount(command.workspace, WORKSPACE, command.writable))
    for mount in (*command.mounts, *extra):
        result += _bind(mount)
    for cover in covers:
        result += ["--bind" if cover.writable else "--ro-bind", cover.source, cover.target]
    for folder in ("/proc", "/dev", "/"):
        result += ["--remount-ro", folder]
    if seccomp is not None:
        result += ["--seccomp", str(seccomp)]
    for name, value in (ENVIRONMENT | dict(command.environment)).items():
        result += ["--setenv", name, value]
    return [*result, "--chdir", WORKSPACE]


def _at_most(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def first_process(bounds: Bounds, prelude: str = "", ready: int | None = None) -> str:
    """Script of process 1: tell that the sandbox stands (on `ready`, else on stdin), bound each process, run the
    command as a child and end with its exit code. As a child, so that a plain command is not process 1 itself,
    which ignores signals without a handler; in a subshell with `exec`, so that no shell built-in is taken for it."""
    data_kb = _at_most(resource.RLIMIT_DATA, bounds.memory_bytes) // 1024
    file_blocks = _at_most(resource.RLIMIT_FSIZE, bounds.file_bytes) // 512
    cpu_s = max(1, int(bounds.wall_s if bounds.cpu_s is None else bounds.cpu_s) + 1)
    processes = _at_most(resource.RLIMIT_NPROC, bounds.processes)
    files = _at_most(resource.RLIMIT_NOFILE, 4096)
    lines = [
        # By its name in /proc, because dash knows descriptors of one digit only.
        "echo >&0; exec </dev/null" if ready is None else f"echo >/proc/self/fd/{ready}",
        f"ulimit -c 0; ulimit -f {file_blocks}; ulimit -d {data_kb}; ulimit -t {cpu_s}; ulimit -n {files}",
        # dash and busybox say -p, others -u; a wrong letter prints an error.
        f"{{ ulimit -p {processes} || ulimit -u {processes}; }} 2>/dev/null",
        prelude,
        '(exec "$@")',
        "exit $?",
    ]
    return "\n".join(line for line in lines if line)


JOIN_GROUPS = 'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'
"""Script that enters control groups and becomes its command: `sh -c JOIN_GROUPS sh FOLDER... -- ARGV...`."""
