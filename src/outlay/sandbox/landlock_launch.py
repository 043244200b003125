"""The launcher of the basic sandbox: `python -I -S landlock_launch.py CONFIG -- ARGV...`. Standard library only.

It forks. The child gives up what it may do (limits, no new privileges, Landlock, system call filter) and becomes the
command. The parent stays, takes over every process that the command leaves behind (prctl(2), PR_SET_CHILD_SUBREAPER)
and ends them before it ends itself with the command's exit code.

Sources: landlock(7), linux/landlock.h, prctl(2), seccomp(2).
"""

import base64
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS = 1, 22, 24, 28
_PR_SET_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_NO_ROOT_LOCKED = 0b11
"""SECBIT_NOROOT and its lock: user 0 gets no capabilities by being user 0 (capabilities(7))."""
_CAPABILITIES_VERSION = 0x20080522
_SECCOMP_FILTER = 2
_ALL_BY_VERSION = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_ALL = 0xFFFF
"""Every right on files: 13 in version 1, REFER in 2, TRUNCATE in 3, IOCTL_DEV in 5."""
_READ = 0b1101
"""EXECUTE, READ_FILE, READ_DIR."""
_OF_FILES = 0xC007
"""The rights that a file, and no folder, can have: EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV."""
_TCP = 0b11
_SCOPES = 0b11
"""Abstract unix sockets and signals (version 6)."""

libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    return max(0, int(libc.syscall(_CREATE, None, 0, 1)))


def _fail(what: str) -> NoReturn:
    number = ctypes.get_errno()
    sys.stderr.write(f"{what}: {os.strerror(number)}\n")
    sys.stderr.flush()
    os._exit(125)


def restrict(readable: list[str], writable: list[str]) -> None:
    """Leave this process and its children those files, no TCP, and no signals or abstract sockets outside."""
    abi = version()
    handled = _ALL_BY_VERSION.get(abi, _ALL)
    attributes = struct.pack("<QQQ", handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(_CREATE, attributes, size, 0)
    if ruleset < 0:
        _fail("Landlock")
    for paths, rights in ((readable, _READ), (writable, _ALL)):
        for path in paths:
            try:
                opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            allowed = rights & handled
            if not Path(path).is_dir():
                allowed &= _OF_FILES
            if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", allowed, opened), 0):
                _fail(f"Landlock rule for {path}")
            os.close(opened)
    if libc.syscall(_RESTRICT, ruleset, 0):
        _fail("Landlock")
    os.close(ruleset)


def filter_calls(program: bytes) -> None:
    """Install a system call filter: an array of `struct sock_filter`."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

    steps = ctypes.create_string_buffer(program, len(program))
    wanted = Program(len(program) // 8, ctypes.addressof(steps))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(wanted), 0, 0):
        _fail("system call filter")


def drop_capabilities() -> None:
    """Give up all of root's powers for good; a user without them has nothing to give up."""
    for number in range(64):
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(_PR_SET_SECUREBITS, _NO_ROOT_LOCKED, 0, 0, 0)
    if libc.capset(struct.pack("<Ii", _CAPABILITIES_VERSION, 0), bytes(24)):
        _fail("capabilities")


def _become(config: dict[str, Any], argv: list[str]) -> NoReturn:
    os.setsid()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for name, most in config["limits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    drop_capabilities()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        _fail("no new privileges")
    os.chdir(config["workspace"])
    restrict(config["readable"], config["writable"])
    ready = config["ready"]
    os.write(ready, b"\n")
    if ready == 0:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    os.closerange(3, 4096)
    filter_calls(base64.b64decode(config["filter"]))
    try:
        os.execvpe(argv[0], argv, config["environment"])
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _end_the_rest() -> None:
    """Kill and take whatever the command left behind, until nothing is left."""
    while True:
        left = []
        for task in Path("/proc/self/task").iterdir():
            left += [int(pid) for pid in (task / "children").read_text().split()]
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.wait()
        except ChildProcessError:
            return


def main() -> NoReturn:
    """Run, and end with the command's exit code."""
    config, argv = json.loads(sys.argv[1]), sys.argv[3:]
    libc.prctl(_PR_SET_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    command = os.fork()
    if command == 0:
        _become(config, argv)
    while True:
        pid, status = os.wait()
        if pid == command:
            break
    _end_the_rest()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
