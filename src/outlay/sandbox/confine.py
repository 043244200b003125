"""One command from start to end, whatever confines it: its bounds are watched, its use is measured, nothing is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox.capture import Capture
from outlay.sandbox.cgroup import Group
from outlay.sandbox.disk import DiskWatch
from outlay.sandbox.memory import MemoryWatch
from outlay.sandbox.process import Confined, pipe
from outlay.sandbox.types import Command, Ended, Finished


async def confine(
    argv: Callable[[int], Sequence[str]],
    command: Command,
    capture: Capture,
    group: Group | None,
    descriptors: Sequence[int] = (),
) -> Finished:
    """Start what `argv` says and see it to its end. `argv` is given the descriptor on which process 1 tells that the
    sandbox stands, which is also its standard input when the command has none. descriptors: what else it gets."""
    began = time.monotonic()
    ready = pipe()
    handed = [*descriptors, *([] if command.stdin is None else [ready[1]])]
    stdin = ready[1] if command.stdin is None else command.stdin
    confined = Confined(argv(ready[1]), handed, capture, ready, stdin)
    try:
        watch = None
        if group is None or not group.folders.keys() >= {"memory", "pids"}:
            watch = MemoryWatch(confined.pid, command.bounds.memory_bytes, command.bounds.processes)
        ended = await _until_end(confined, command.bounds.wall_s, group, _watches(command, watch))
        await confined.drain()
        if capture.full:
            ended = "output_limit"
        return _finished(confined, ended, capture, group, began, watch)
    finally:
        if not confined.exited.done():
            await _uninterrupted(confined.end())
        confined.close()


def check(command: Command) -> None:
    """Raises InputError on a command that cannot be run."""
    if not command.argv:
        raise InputError("no command to run; give at least a program")
    if any("\0" in word for word in command.argv):
        raise InputError("a command's arguments cannot contain NUL characters")
    if not command.workspace.is_dir():
        raise InputError(f"no such folder: {command.workspace}; the workspace must exist")


def _watches(command: Command, memory: MemoryWatch | None) -> set[asyncio.Future[Ended]]:
    """What looks at a running command; done, with how the command has ended, when a bound was passed."""
    found: set[asyncio.Future[Ended]] = set()
    writable = [command.workspace] if command.writable else []
    writable += [mount.source for mount in command.mounts if mount.writable and mount.source.is_dir()]
    if writable:
        disk = DiskWatch(writable, command.bounds.workspace_bytes, command.bounds.workspace_files)
        found.add(asyncio.ensure_future(disk.until_exceeded()))
    if memory is not None:
        found.add(asyncio.ensure_future(memory.until_exceeded()))
    return found


async def _until_end(
    confined: Confined, wall_s: float, group: Group | None, watches: set[asyncio.Future[Ended]]
) -> Ended:
    """Wait for the end or bring it about. Raises what kept output from being taken."""
    watched: set[asyncio.Future[Any]] = {confined.exited, confined.stopped, *watches}
    try:
        done, _ = await asyncio.wait(watched, timeout=wall_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for watch in watches:
            watch.cancel()
    if confined.exited in done:
        out_of_memory = group is not None and confined.exited.result() != 0 and group.out_of_memory()
        return "out_of_memory" if out_of_memory else "exited"
    await _uninterrupted(confined.end())
    if confined.stopped in done:
        error = confined.stopped.result()
        if error is not None:
            raise error
        return "output_limit"
    return next((watch.result() for watch in watches & done), "timed_out")


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Finish cleaning up even when cancelled meanwhile; the cancellation follows."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _finished(
    confined: Confined, ended: Ended, capture: Capture, group: Group | None, began: float, watch: MemoryWatch | None
) -> Finished:
    code = confined.exited.result()
    if ended == "exited" and not confined.started():
        message = bytes(capture.head).decode(errors="replace").strip().rpartition("\n")[2]
        raise EnvironmentProblem(f"the sandbox could not be set up: {message or f'exit code {code}'}")
    peak_bytes = group.memory_peak_bytes() if group is not None else None
    if watch is not None and peak_bytes is None:
        peak_bytes = watch.peak_bytes
    cpu_ms = group.cpu_ms() if group is not None else None
    return Finished(
        exit_code=code,
        ended=ended,
        head=bytes(capture.head),
        tail=capture.tail,
        output_bytes=capture.total,
        wall_ms=int((time.monotonic() - began) * 1000),
        cpu_ms=confined.cpu_ms if cpu_ms is None else cpu_ms,
        memory_peak_bytes=peak_bytes,
        written_bytes=confined.written_bytes,
    )
