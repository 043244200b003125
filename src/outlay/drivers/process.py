"""A driven agent's process: confined like any command, but it lives on, is written to and read from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from outlay.drivers.types import Spawn
from outlay.errors import EnvironmentProblem
from outlay.sandbox.types import Bounds, Command, Finished, Forward, Mount, Sandbox, Served

HOME = "/home/agent"
LINE_BYTES = 64 << 20
"""Longest line of an agent's output: a file's content may stand in one."""
OUTPUT_BYTES = 1 << 40
"""An agent's output is read as it comes and not kept, so its sum has no bound of its own."""
_STDERR = ".outlay-stderr"
_STDERR_BYTES = 4_000


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session's processes run and what they see."""

    sandbox: Sandbox
    workspace: Path
    writable: bool
    home: Path
    """Folder of the host that is HOME inside."""
    protected: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hosts: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    """The gateway's and Outlay's own MCP server's ports inside."""
    bounds: Bounds = Bounds()
    path: tuple[str, ...] = ()
    """Folders inside that come first on the PATH."""


class Process:
    """A running agent, in its own process group and namespaces; whatever it starts ends with it."""

    def __init__(self, finished: asyncio.Task[Finished], input_end: asyncio.StreamWriter, output: asyncio.StreamReader,
                 sockets: Mapping[int, Path], stderr: Path) -> None:  # fmt: skip
        self.finished = finished
        self.stdin = input_end
        self.stdout = output
        self.sockets = sockets
        """Port inside -> unix socket of the host that leads to it."""
        self._stderr = stderr

    async def write(self, line: bytes) -> None:
        """Write a line. Raises EnvironmentProblem when the agent is gone."""
        try:
            self.stdin.write(line + b"\n")
            await self.stdin.drain()
        except (OSError, RuntimeError):
            raise EnvironmentProblem(f"the agent is gone: {self.complaint() or 'it said nothing'}") from None

    async def line(self) -> bytes:
        """The next line of its output; empty at the end."""
        try:
            return await self.stdout.readline()
        except ValueError:
            raise EnvironmentProblem(f"the agent wrote a line of more than {LINE_BYTES >> 20} MB") from None

    def complaint(self) -> str:
        """The last of what it wrote to stderr."""
        try:
            with self._stderr.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _STDERR_BYTES))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    async def ended(self) -> str:
        """How it ended, in words; waits for that."""
        try:
            finished = await asyncio.shield(self.finished)
        except EnvironmentProblem as problem:
            return str(problem)
        if finished.ended == "exited":
            return f"it exited with {finished.exit_code}"
        return f"it was ended ({finished.ended.replace('_', ' ')})"

    async def end(self) -> None:
        """Kill everything and wait until it is gone. Safe to call twice."""
        self.finished.cancel()
        with contextlib.suppress(asyncio.CancelledError, EnvironmentProblem):
            await asyncio.shield(asyncio.gather(self.finished, return_exceptions=True))
        self.stdin.close()


def spawner(place: Place) -> Spawn:
    """How processes of one session are started.

    `await spawn(argv, environment, ports=())` gives a `Process`; environment: variables on top of HOME and the XDG
    folders in it; ports: loopback ports inside that are to be reached from outside, by `Process.sockets`.
    """

    async def spawn(argv: tuple[str, ...], environment: Mapping[str, str], ports: tuple[int, ...] = ()) -> Process:
        loop = asyncio.get_running_loop()
        stderr = place.home / _STDERR
        stderr.unlink(missing_ok=True)
        with ExitStack() as opened:
            folder = Path(tempfile.mkdtemp(prefix="outlay-agent-"))
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            listening = {port: _listen(folder / f"{port}.sock", opened) for port in ports}
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, read_end)
            output = asyncio.StreamReader(limit=LINE_BYTES)
            command = _command(place, argv, environment, read_end, listening)
            closing = opened.pop_all()
        finished = asyncio.ensure_future(_live(place.sandbox, command, output, closing))
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), os.fdopen(write_end, "wb", buffering=0)
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        sockets = {port: folder / f"{port}.sock" for port in ports}
        return Process(finished, writer, output, sockets, stderr)

    return spawn


def _listen(path: Path, opened: ExitStack) -> int:
    listener = opened.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    listener.listen(128)
    return listener.fileno()


def _command(
    place: Place, argv: tuple[str, ...], environment: Mapping[str, str], stdin: int, listening: Mapping[int, int]
) -> Command:
    given = {
        "HOME": HOME,
        "XDG_CONFIG_HOME": f"{HOME}/.config",
        "XDG_DATA_HOME": f"{HOME}/.local/share",
        "XDG_CACHE_HOME": f"{HOME}/.cache",
        "XDG_STATE_HOME": f"{HOME}/.local/state",
        "NO_PROXY": "localhost,127.0.0.1",
        "PATH": ":".join((*place.path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
    }
    return Command(
        argv=("/bin/sh", "-c", f'exec "$@" 2>>{HOME}/{_STDERR}', "sh", *argv),
        workspace=place.workspace,
        writable=place.writable,
        protected=place.protected,
        mounts=(Mount(place.home, HOME, writable=True), *place.mounts),
        hosts=place.hosts,
        environment=tuple((given | dict(environment)).items()),
        forwards=place.forwards,
        served=tuple(Served(descriptor, port) for port, descriptor in listening.items()),
        stdin=stdin,
        bounds=place.bounds,
    )


async def _live(sandbox: Sandbox, command: Command, output: asyncio.StreamReader, closing: ExitStack) -> Finished:
    """Run to the end, with the output handed on as it comes."""
    try:
        return await sandbox.run(command, output.feed_data)
    finally:
        output.feed_eof()
        closing.close()
