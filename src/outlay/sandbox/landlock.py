"""The basic sandbox, for machines without user namespaces: Landlock, a system call filter, limits, control groups.

Nothing is mounted, so commands see the workspace at its own path and the system's files as they are; what is not
listed here they can neither read nor write. See docs/reference/sandbox.md for what it does not stop.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox import etc, landlock_launch, profile, seccomp
from outlay.sandbox.capture import Capture
from outlay.sandbox.cgroup import Groups, find_groups
from outlay.sandbox.confine import check, confine
from outlay.sandbox.profile import JOIN_GROUPS
from outlay.sandbox.types import Command, Finished, Mount, Tier

_LAUNCHER = Path(landlock_launch.__file__)
_READABLE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/proc")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
_NAMES = ("passwd", "group", "nsswitch.conf")
"""Of /etc, besides what the strict sandbox copies: who a process is must be known to git and Python."""


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    return landlock_launch.version() if sys.platform.startswith("linux") else 0


class Landlock:
    """Runs commands in the basic sandbox. Make one with `open_landlock`."""

    tier: Tier = "basic"

    def __init__(self, filter_program: bytes, groups: Groups) -> None:
        self._filter = base64.b64encode(filter_program).decode()
        self.groups = groups

    def close(self) -> None:
        """Release control groups."""
        self.groups.close()

    async def run(self, command: Command, listener: Callable[[bytes], None] | None = None) -> Finished:
        """Run to the end, to a bound or to cancellation. `listener` is called with output as it comes. Raises
        InputError on a command that cannot be run here: with ways to hosts, or with folders at other places."""
        check(command)
        if command.hosts or command.forwards or command.served:
            raise InputError("the basic sandbox has no network; it cannot let a command reach hosts")
        if any(str(mount.source) != mount.target for mount in command.mounts):
            raise InputError("the basic sandbox cannot show a folder at another place; only the strict one can")
        with contextlib.ExitStack() as stack:
            capture = Capture(command.bounds.output_bytes, command.output, listener)
            stack.callback(capture.close)
            room = Path(tempfile.mkdtemp(prefix="outlay-basic-"))
            stack.callback(shutil.rmtree, room, ignore_errors=True)
            group = self.groups.create(command.bounds.memory_bytes, command.bounds.processes)
            if group is not None:
                stack.callback(self.groups.release, group)

            def argv(ready: int) -> list[str]:
                config = self._config(command, room, 0 if command.stdin is None else ready)
                words = [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(config), "--", *command.argv]
                if group is not None:
                    words = ["/bin/sh", "-c", JOIN_GROUPS, "sh", *map(str, group.paths), "--", *words]
                return words

            watched = msgspec.structs.replace(command, mounts=(*command.mounts, Mount(room, str(room), True)))
            return await confine(argv, watched, capture, group)

    def _config(self, command: Command, room: Path, ready: int) -> dict[str, object]:
        bounds = command.bounds
        writable = [str(room), *_DEVICES, *(m.target for m in command.mounts if m.writable)]
        readable = [*_READABLE, *map(str, etc.sources()), *(f"/etc/{name}" for name in _NAMES)]
        readable += [m.target for m in command.mounts if not m.writable]
        if command.writable:
            writable += _unprotected(command.workspace, [Path(path).parts for path in command.protected])
        readable.append(str(command.workspace))
        home = {"HOME": str(room), "TMPDIR": str(room), "GIT_CONFIG_NOSYSTEM": "1"}
        return {
            "workspace": str(command.workspace),
            "readable": readable,
            "writable": writable,
            "environment": profile.ENVIRONMENT | home | dict(command.environment),
            "ready": ready,
            "filter": self._filter,
            "limits": {
                "RLIMIT_CORE": 0,
                "RLIMIT_FSIZE": bounds.file_bytes,
                "RLIMIT_DATA": bounds.memory_bytes,
                "RLIMIT_CPU": max(1, int(bounds.wall_s if bounds.cpu_s is None else bounds.cpu_s) + 1),
                "RLIMIT_NOFILE": 4096,
            },
        }


def _unprotected(folder: Path, protected: list[tuple[str, ...]]) -> list[str]:
    """What may be written so that the protected paths below `folder` stay: all of it, or its entries but those above
    a protected path. Landlock only ever allows, so that nothing new can be made in a folder above one."""
    if not protected:
        return [str(folder)]
    if any(not parts for parts in protected) or folder.is_symlink() or not folder.is_dir():
        return []
    found: list[str] = []
    for entry in sorted(folder.iterdir()):
        below = [parts[1:] for parts in protected if parts[0] == entry.name]
        if not entry.is_symlink():
            found += _unprotected(entry, below)
    return found


def open_landlock() -> Landlock:
    """The basic sandbox of this machine. Raises EnvironmentProblem with what is missing."""
    if not landlock_version():
        raise EnvironmentProblem(
            "no Landlock here; it needs Linux 5.13 or later, with `landlock` among its LSMs (lsm=)"
        )
    program = seccomp.program(sockets=False)
    if program is None:
        raise EnvironmentProblem(f"no system call filter for {os.uname().machine}; use x86_64 or aarch64")
    return Landlock(program, find_groups())
