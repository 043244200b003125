"""The basic sandbox of macOS: a seatbelt profile for sandbox-exec(1). Written from its documentation; untested.

The profile language is that of sandbox-exec(1) and of the profiles in /System/Library/Sandbox/Profiles.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox import profile
from outlay.sandbox.capture import Capture
from outlay.sandbox.confine import check, confine
from outlay.sandbox.types import Command, Finished, Mount, Tier

_PROGRAM = "/usr/bin/sandbox-exec"
_READABLE = ("/usr", "/bin", "/sbin", "/System", "/Library", "/opt/homebrew", "/private/var/db/timezone", "/dev")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/dtracehelper")


def _quoted(path: str | Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def profile_text(command: Command, room: Path) -> str:
    """The profile of one command: what is not named here is denied. `room`: its home and temporary folder."""
    readable: list[str | Path] = [*_READABLE, *(mount.source for mount in command.mounts), command.workspace, room]
    writable: list[Path] = [room, *(mount.source for mount in command.mounts if mount.writable)]
    writable += [command.workspace] if command.writable else []
    lines = [
        "(version 1)", "(deny default)", "(allow process-fork)", "(allow process-exec)", "(allow sysctl-read)",
        "(allow signal (target same-sandbox))", "(allow process-info* (target same-sandbox))",
        '(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',
        '(allow file-read* (literal "/"))', "(allow file-read-metadata)",
    ]  # fmt: skip
    lines += [f"(allow file-read* (subpath {_quoted(path)}))" for path in readable]
    lines += [f"(allow file-write* (subpath {_quoted(path)}))" for path in writable]
    lines += [f"(allow file-write-data (literal {_quoted(path)}))" for path in _DEVICES]
    # The last rule that fits decides.
    lines += [f"(deny file-write* (subpath {_quoted(command.workspace / path)}))" for path in command.protected]
    return "\n".join(lines) + "\n"


class Seatbelt:
    """Runs commands under a seatbelt profile. Make one with `open_seatbelt`."""

    tier: Tier = "basic"

    def close(self) -> None:
        """Nothing is held."""

    async def run(self, command: Command, listener: Callable[[bytes], None] | None = None) -> Finished:
        """Run to the end, to a bound or to cancellation. Raises InputError on a command that cannot be run here."""
        check(command)
        if command.hosts or command.forwards or command.served:
            raise InputError("the basic sandbox has no network; it cannot let a command reach hosts")
        if any(str(mount.source) != mount.target for mount in command.mounts):
            raise InputError("the basic sandbox cannot show a folder at another place; only the strict one can")
        with contextlib.ExitStack() as stack:
            capture = Capture(command.bounds.output_bytes, command.output, listener)
            stack.callback(capture.close)
            room = Path(tempfile.mkdtemp(prefix="outlay-basic-")).resolve()
            stack.callback(shutil.rmtree, room, ignore_errors=True)
            home = {"HOME": str(room), "TMPDIR": str(room)}
            environment = profile.ENVIRONMENT | home | dict(command.environment)
            words = [f"{name}={value}" for name, value in environment.items()]
            script = f'cd "$1" && shift && {profile.first_process(command.bounds)}'
            argv = ["/usr/bin/env", "-i", *words, _PROGRAM, "-p", profile_text(command, room), "/bin/sh", "-c", script]
            argv += ["sh", str(command.workspace), *command.argv]
            watched = msgspec.structs.replace(command, mounts=(*command.mounts, Mount(room, str(room), True)))
            return await confine(lambda ready: argv, watched, capture, None)


def open_seatbelt() -> Seatbelt:
    """The basic sandbox of macOS. Raises EnvironmentProblem elsewhere."""
    if sys.platform != "darwin" or not Path(_PROGRAM).exists():
        raise EnvironmentProblem(f"seatbelt is macOS's; this is {sys.platform}")
    return Seatbelt()
