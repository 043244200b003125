"""Which agents are installed here, and how their programs come into a sandbox."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from outlay.drivers.registry import AGENTS
from outlay.drivers.types import Agent
from outlay.errors import InputError
from outlay.sandbox.types import Mount

_VISIBLE = ("/usr/", "/bin/", "/nix/store/")
"""What every sandbox sees."""
_VERSION = re.compile(r"\d+\.\d+\.\d+[\w.-]*")
_VERSION_S = 20.0


class Program(msgspec.Struct, frozen=True):
    """A program and what the sandbox must see of the host for it to start."""

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    path: tuple[str, ...] = ()
    """Folders that come first on the PATH inside."""


class Installed(msgspec.Struct, frozen=True):
    """An agent as it is found on this machine."""

    agent: Agent
    program: str
    """Its path; empty: not installed."""
    version: str
    drivable: bool
    remark: str
    """What to type to install it, or what else there is to know."""


def install_line(agent: Agent) -> str:
    """What to type to install an agent."""
    return f"npm install -g {agent.package}"


def program_of(agent: Agent, path: str | None = None, command: str = "") -> Program:
    """How an agent is called in a sandbox. path: folders to look in; None: the PATH. command: what the goal file gives
    for an agent that has no program of its own.

    Raises InputError with what to type when it is not installed.
    """
    if agent.program:
        found = shutil.which(agent.program, path=path)
        if found is None:
            raise InputError(f"{agent.title} is not installed; install it with: {install_line(agent)}")
        return program_at(Path(found))
    try:
        name, *arguments = shlex.split(command)
    except ValueError as problem:
        raise InputError(f"{command!r} is no command: {problem}") from None
    found = shutil.which(name, path=path)
    if found is None:
        raise InputError(f"there is no program {name!r} here; install it, or write the whole path")
    program = program_at(Path(found))
    return msgspec.structs.replace(program, argv=(*program.argv, *arguments))


def program_at(found: Path) -> Program:
    """How a program of the host is called in a sandbox: itself, its package, and the interpreter that its first
    line names."""
    real = found.resolve()
    shown = _shown(real)
    interpreter = _interpreter(real)
    if interpreter is None:
        return Program((str(real),), shown)
    node = Path(interpreter).resolve()
    mounts = tuple(dict.fromkeys((*shown, *_shown(node))))
    return Program((str(node), str(real)), mounts, () if _is_visible(node) else (str(node.parent),))


def _is_visible(path: Path) -> bool:
    return str(path).startswith(_VISIBLE)


def _shown(path: Path) -> tuple[Mount, ...]:
    """The mounts that make a program visible under its own name: all packages beside it where it is one of several."""
    if _is_visible(path):
        return ()
    parts = path.parts
    whole = Path(*parts[: parts.index("node_modules") + 1]) if "node_modules" in parts else path
    return (Mount(whole, str(whole)),)


def _interpreter(program: Path) -> str | None:
    """The program that runs a script, by its first line; None for a program that runs by itself."""
    try:
        with program.open("rb") as file:
            first = file.readline(200)
    except OSError as error:
        raise InputError(f"cannot read {program}: {error.strerror}") from None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode(errors="replace").split()
    name = words[-1] if words and words[0].endswith("/env") else words[0] if words else ""
    found = shutil.which(name)
    if found is None:
        raise InputError(f"{program} needs {name}, which is not installed")
    return found


def version_of(program: Program) -> str:
    """What a program says its version is; empty when it does not."""
    try:
        done = subprocess.run(
            [*program.argv, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else ""


def installed(agents: Mapping[str, Agent] = AGENTS, path: str | None = None) -> list[Installed]:
    """Every agent that can be driven, whether it is here, and what to type if not."""
    return [_look(agent, path) for agent in agents.values() if agent.program]


def _look(agent: Agent, path: str | None) -> Installed:
    found = shutil.which(agent.program, path=path)
    if found is None:
        return Installed(agent, "", "", False, f"install it with: {install_line(agent)}")
    try:
        version = version_of(program_at(Path(found)))
    except InputError as problem:
        return Installed(agent, found, "", False, str(problem))
    if not version:
        return Installed(agent, found, "", False, f"{found} --version says no version; {install_line(agent)}")
    if _numbers(version) < _numbers(agent.tested):
        remark = f"older than {agent.tested}, which is tested; update it with: {install_line(agent)}@latest"
        return Installed(agent, found, version, True, remark)
    remark = "" if version == agent.tested else f"{agent.tested} is tested"
    return Installed(agent, found, version, True, remark)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
