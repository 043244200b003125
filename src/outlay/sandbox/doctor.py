"""What this machine has and lacks: every finding with what to type."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from outlay import home
from outlay.errors import EnvironmentProblem, OutlayError
from outlay.sandbox import probe, seccomp
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.container import CONTAINER_PROGRAMS, container_version
from outlay.sandbox.landlock import landlock_version
from outlay.sandbox.types import Bounds, Command, Tier

State = Literal["ok", "missing", "degraded"]

KEY_VARIABLES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
_LITTLE_SPACE_BYTES = 2 * 2**30
_CONFINED = """
{ [ "$(id -u)" = 1000 ] && ! ls /root /home/*/.ssh /etc/shadow && [ -z "$SECRET_BAIT" ]; } >/dev/null 2>&1 || echo open
grep -q '^Seccomp:.2' /proc/self/status || echo unfiltered
grep -q '^CapEff:.0*$' /proc/self/status || echo privileged
(echo x >/usr/outlay-probe || echo x >/etc/outlay-probe) 2>/dev/null && echo writable
[ "$(ls /sys/class/net 2>/dev/null; tail -n +3 /proc/net/dev | wc -l)" = 1 ] || echo networked
echo done
"""
_COMPLAINTS = {
    "open": "the host's files can be seen",
    "unfiltered": "system calls are not filtered",
    "privileged": "commands keep capabilities",
    "writable": "system folders can be written",
    "networked": "the network can be reached",
}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    """What to type or do; empty when nothing."""


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings, and the strongest sandbox that commands can have here."""

    tier: Tier
    findings: tuple[Finding, ...]

    @property
    def can_run(self) -> bool:
        return self.tier in ("vm", "strict") and all(
            finding.state != "missing" or finding.name not in ("git", "state folder") for finding in self.findings
        )


async def diagnose(environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """Look at the machine. Starts a few sandboxes; writes one small file to the state folder and removes it."""
    findings: list[Finding] = []
    sandbox = _sandbox(findings)
    tier: Tier = "basic" if landlock_version() and seccomp.program() else "none"
    if sandbox is not None:
        try:
            if await _try_out(sandbox, findings):
                tier = sandbox.tier
        finally:
            sandbox.close()
    findings += [*_others(), _limits(), _seccomp(), _state_folder(), *_disk(), _keyring(), *_keys(environ), _python()]
    return Diagnosis(tier, tuple(findings))


def _sandbox(findings: list[Finding]) -> Bubblewrap | None:
    try:
        program = probe.find_program()
    except EnvironmentProblem as problem:
        remedy = f"type `{probe.install_command()}`" if sys.platform.startswith("linux") else "use a Linux machine"
        findings.append(Finding("bubblewrap", "missing", str(problem).partition(";")[0], remedy))
        return None
    try:
        probe.try_namespaces(program)
    except EnvironmentProblem as problem:
        detail, _, remedy = str(problem).partition("; ")
        findings.append(Finding("bubblewrap", "ok", str(program)))
        findings.append(Finding("user namespaces", "missing", detail, remedy))
        return None
    try:
        sandbox = probe.open_sandbox()
    except EnvironmentProblem as problem:
        detail, _, remedy = str(problem).partition("; ")
        findings.append(Finding("sandbox", "missing", detail, remedy))
        return None
    findings.append(Finding("bubblewrap", "ok", f"{program}, {sandbox.version}"))
    nested = "nested ones switched off" if sandbox.disable_userns else "nested ones refused by the filter"
    findings.append(Finding("user namespaces", "ok", nested))
    findings.append(_groups(sandbox))
    return sandbox


def _groups(sandbox: Bubblewrap) -> Finding:
    groups = sandbox.groups
    if groups.kind == "none":
        return Finding(
            "control groups",
            "degraded",
            f"{groups.why}: memory is bounded per process, and of a command by looking 5 times a second",
            "start with `systemd-run --user --scope -p Delegate=yes outlay ...`",
        )
    lacking = {"memory", "pids"} - set(groups.controllers)
    detail = f"{groups.kind}: {', '.join(sorted(groups.controllers))}"
    return Finding("control groups", "degraded" if lacking else "ok", detail + (f", without {lacking}" * bool(lacking)))


async def _try_out(sandbox: Bubblewrap, findings: list[Finding]) -> bool:
    """Whether a confined command is confined, and git is where it can see it."""
    with tempfile.TemporaryDirectory(prefix="outlay-doctor-") as folder:
        try:
            finished = await sandbox.run(Command(("/bin/sh", "-c", _CONFINED), Path(folder), bounds=Bounds(wall_s=20)))
            words = finished.head.decode(errors="replace").split()
            complaints = [_COMPLAINTS[word] for word in words if word in _COMPLAINTS]
            if "done" not in words:
                complaints.append(f"the trial command was cut: {finished.head[-200:].decode(errors='replace').strip()}")
            version = await sandbox.run(Command(("git", "--version"), Path(folder)))
        except OutlayError as problem:
            findings.append(Finding("sandbox", "missing", str(problem)))
            return False
    if complaints:
        findings.append(Finding("sandbox", "missing", "; ".join(complaints)))
    else:
        findings.append(Finding("sandbox", "ok", f"strict; a trial command took {finished.wall_ms} ms"))
    if version.exit_code == 0:
        findings.append(Finding("git", "ok", version.head.decode(errors="replace").strip()))
    else:
        findings.append(Finding("git", "missing", "not in /usr, where the sandbox sees it", "type `apt install git`"))
    return not complaints


def _others() -> list[Finding]:
    """Weaker and other sandboxes: never taken by themselves, only when `outlay sandbox exec` is told to."""
    found = []
    if version := landlock_version():
        missing = "" if version >= 6 else "; abstract sockets and signals need version 6"
        found.append(Finding("landlock", "ok", f"version {version}: `outlay sandbox exec --with landlock`{missing}"))
    elif sys.platform.startswith("linux"):
        found.append(
            Finding("landlock", "degraded", "not here", "Linux 5.13 or later, with `landlock` in lsm= at boot")
        )
    for name in CONTAINER_PROGRAMS:
        try:
            found.append(Finding(name, "ok", container_version(name)))
        except EnvironmentProblem as problem:
            detail, _, remedy = str(problem).partition("; ")
            found.append(Finding(name, "degraded", detail, remedy))
    if sys.platform == "darwin":
        found.append(Finding("seatbelt", "degraded", "`outlay sandbox exec --with seatbelt`; its profile is untested"))
    return found


def _limits() -> Finding:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files[1] != resource.RLIM_INFINITY and files[1] < 4096:
        return Finding("open files", "degraded", f"at most {files[1]}", "raise it with `ulimit -Hn 65536`")
    return Finding("open files", "ok", f"{files[0]} (up to {'any' if files[1] < 0 else files[1]})")


def _seccomp() -> Finding:
    filter_program = seccomp.program()
    if filter_program is None:
        return Finding("system call filter", "missing", f"none for {platform.machine()}", "use x86_64 or aarch64")
    return Finding("system call filter", "ok", f"{platform.machine()}, {len(filter_program) // 8} instructions")


def _state_folder() -> Finding:
    folder = home.home()
    try:
        home.ensure(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
    except (EnvironmentProblem, OSError) as problem:
        detail = str(problem).partition("; ")[0]
        return Finding("state folder", "missing", detail, "set OUTLAY_HOME to a folder that you can write to")
    return Finding("state folder", "ok", str(folder))


def _disk() -> list[Finding]:
    folder = home.home()
    while not folder.exists():
        folder = folder.parent
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        gigabytes = f"{free / 2**30:.1f} GiB free for the state folder"
        if free < _LITTLE_SPACE_BYTES:
            return [Finding("disk space", "degraded", gigabytes, "make room, or set OUTLAY_HOME to another disk")]
        return [Finding("disk space", "ok", gigabytes)]
    return []


def _keyring() -> Finding:
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        return Finding("keyring", "degraded", "not installed; keys come from the environment", "pip install keyring")
    backend = keyring.get_keyring()
    if isinstance(backend, fail.Keyring):
        return Finding("keyring", "degraded", "no service to store keys in; keys come from the environment")
    return Finding("keyring", "ok", type(backend).__module__.rpartition(".")[2])


def _keys(environ: Mapping[str, str]) -> list[Finding]:
    """Names only: whether a key is there, never a part of it."""
    return [
        Finding(name, "ok", "set")
        if environ.get(name)
        else Finding(name, "degraded", "not set", "export it, to use this provider")
        for name in KEY_VARIABLES
    ]


def _python() -> Finding:
    version = platform.python_version()
    return Finding("python", "ok", f"{version}, {sys.executable}")


def diagnose_now() -> Diagnosis:
    """`diagnose` for callers without an event loop."""
    return asyncio.run(diagnose())
