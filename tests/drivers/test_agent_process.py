"""A process that lives on in the sandbox: written to, read from, reached through sockets, ended whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from outlay.drivers.process import Place, Process, spawner
from outlay.errors import EnvironmentProblem
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.types import Forward

SECONDS = 300


def in_sandbox(tmp_path: Path, work: Callable[[Any], Awaitable[Any]], forwards: tuple[Forward, ...] = ()) -> Any:
    for name in ("home", "workspace"):
        (tmp_path / name).mkdir()

    async def main() -> Any:
        sandbox = open_sandbox()
        place = Place(
            sandbox=sandbox, workspace=tmp_path / "workspace", writable=True, home=tmp_path / "home", forwards=forwards
        )
        async with asyncio.timeout(SECONDS):
            return await work(spawner(place))

    return asyncio.run(main())


def test_it_is_written_to_and_read_from_and_ends_whole(tmp_path: Path) -> None:
    async def work(spawn: Any) -> None:
        echo = 'while read -r line; do echo trouble >&2; echo "heard $line in $HOME"; done; echo closed'
        process: Process = await spawn(("/bin/sh", "-c", echo), {})
        await process.write(b"one")
        assert await process.line() == b"heard one in /home/agent\n"
        await process.write(b"two")
        assert await process.line() == b"heard two in /home/agent\n"
        assert process.complaint() == "trouble\ntrouble"
        process.stdin.close()
        assert await process.line() == b"closed\n"
        assert await process.line() == b""
        assert (await process.finished).exit_code == 0
        await process.end()

    in_sandbox(tmp_path, work)


def test_its_children_cannot_read_its_input(tmp_path: Path) -> None:
    async def work(spawn: Any) -> bytes:
        process = await spawn(("/bin/sh", "-c", "read -r line; ls -l /proc/self/fd </dev/null | grep -c pipe:"), {})
        await process.write(b"go")
        return await process.line()

    pipes = in_sandbox(tmp_path, work)
    assert int(pipes) <= 2  # its output, and the pipe that told that the sandbox stands


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    async def work(spawn: Any) -> None:
        process = await spawn(("/bin/sh", "-c", "trap '' TERM; sleep 1000 & echo up; wait; sleep 1000"), {})
        assert await process.line() == b"up\n"
        await process.end()
        await process.end()
        assert process.finished.done()
        with pytest.raises(EnvironmentProblem, match="gone"):
            for _ in range(100):
                await process.write(b"anybody?")

    in_sandbox(tmp_path, work)


def test_a_port_inside_leads_to_a_socket_outside_and_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    asked = "import socket; s = socket.create_connection(('127.0.0.1', 8480)); s.sendall(b'hello'); print(s.recv(9))"
    other = (
        "import socket\ntry: socket.create_connection(('127.0.0.1', 8481)); print('open')\nexcept OSError: print('no')"
    )

    async def work(spawn: Any) -> tuple[bytes, bytes]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read(9)).upper())
            writer.close()

        server = await asyncio.start_unix_server(answer, path)
        here = await (await spawn(("/usr/bin/python3", "-c", asked), {})).line()
        there = await (await spawn(("/usr/bin/python3", "-c", other), {})).line()
        server.close()
        return here, there

    assert in_sandbox(tmp_path, work, (Forward(8480, path),)) == (b"b'HELLO'\n", b"no\n")


def test_a_server_inside_is_reached_from_outside(tmp_path: Path) -> None:
    served = (
        "import socket; s = socket.create_server(('127.0.0.1', 4096)); print('up', flush=True)\n"
        "c, _ = s.accept(); c.sendall(c.recv(9).upper()); c.close(); input()"
    )

    async def work(spawn: Any) -> bytes:
        process: Process = await spawn(("/usr/bin/python3", "-c", served), {}, ports=(4096,))
        assert await process.line() == b"up\n"
        reader, writer = await asyncio.open_unix_connection(process.sockets[4096])
        writer.write(b"hello")
        answer = await reader.read(9)
        writer.close()
        await process.end()
        assert not process.sockets[4096].exists()
        return answer

    assert in_sandbox(tmp_path, work) == b"HELLO"
