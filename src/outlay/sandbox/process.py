"""One confined process tree under asyncio: start it, read its output, end it whole.

Children are awaited by pidfd and their output by the loop's selector: no thread per command.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from outlay.errors import EnvironmentProblem
from outlay.sandbox.capture import Capture
from outlay.sandbox.memory import children as children_of

_READ_BYTES = 1 << 16
_READS_AT_ONCE = 16
_DRAIN_S = 2.0
_LOOK_EVERY_S = 0.02
_BLOCK_BYTES = 512
"""Unit of ru_oublock: linux/task_io_accounting_ops.h, task_io_get_oublock."""


def _has_pidfd() -> bool:
    """Linux has descriptors of processes; macOS has none."""
    return hasattr(os, "pidfd_open")


def pipe() -> tuple[int, int]:
    """A pipe that is read without waiting and written with it."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    return read_end, write_end


class Confined:
    """A running sandbox. Its child is process 1 of a namespace: when that one ends, the kernel ends all others."""

    def __init__(
        self, argv: Sequence[str], descriptors: Sequence[int], capture: Capture, ready: tuple[int, int], stdin: int
    ) -> None:
        """ready: ends of the pipe, from `pipe`, by which process 1 tells that the sandbox stands; they are closed
        here. descriptors: what else the processes get. stdin: their input, which may be the writing end of `ready`."""
        loop = asyncio.get_running_loop()
        self._capture = capture
        self._loop = loop
        self.exited: asyncio.Future[int] = loop.create_future()
        self.stopped: asyncio.Future[BaseException | None] = loop.create_future()
        """Done when the output limit is passed (None) or output cannot be kept (the error)."""
        self._closed: asyncio.Future[None] = loop.create_future()
        self.cpu_ms = 0
        self.written_bytes = 0
        self._output, write_end = pipe()
        self._ready, ready_end = ready
        try:
            self._process = subprocess.Popen(
                argv, stdin=stdin, stdout=write_end, stderr=write_end, env={}, pass_fds=descriptors, cwd="/",
                start_new_session=not _has_pidfd(),
            )  # fmt: skip
        except OSError as error:
            os.close(self._output)
            os.close(self._ready)
            raise EnvironmentProblem(f"cannot start {argv[0]}: {error.strerror}") from None
        finally:
            os.close(write_end)
            os.close(ready_end)
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid) if _has_pidfd() else None
        loop.add_reader(self._output, self._read)
        if self._pidfd is not None:
            loop.add_reader(self._pidfd, self._reap)
        else:
            self._look()

    def _look(self) -> None:
        """Without a pidfd: see now and then whether the starter has ended."""
        self._reap()
        if not self.exited.done():
            self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _read(self) -> None:
        for _ in range(_READS_AT_ONCE):
            try:
                chunk = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                self._loop.remove_reader(self._output)
                if not self._closed.done():
                    self._closed.set_result(None)
                return
            try:
                self._capture.take(chunk)
            except Exception as error:  # noqa: BLE001 - a listener's or the disk's; handed to whoever waits
                self._stop(error)
            if self._capture.full:
                self._stop(None)
                return

    def _stop(self, error: BaseException | None) -> None:
        if not self.stopped.done():
            self.stopped.set_result(error)

    def _reap(self) -> None:
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            return
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        self.cpu_ms = int((usage.ru_utime + usage.ru_stime) * 1000)
        self.written_bytes = usage.ru_oublock * _BLOCK_BYTES
        if not self.exited.done():
            self.exited.set_result(code if code >= 0 else 128 - code)

    def kill(self) -> None:
        """End process 1 of the namespace; without one, the starter itself."""
        if self.exited.done():
            return
        children = children_of(self.pid)
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        if not children:
            self._kill_starter()

    def _kill_starter(self) -> None:
        """The starter itself; where there are no pidfds, with its process group (a command may leave that)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.killpg(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill until everything is gone. Safe to call twice; the starter dies last, so that nobody is orphaned."""
        for attempt in range(200):
            if self.exited.done():
                return
            self.kill()
            if attempt > 50:
                self._kill_starter()
            await asyncio.wait((self.exited,), timeout=0.02)

    async def drain(self) -> None:
        """Read what is left in the pipe; nobody holds its other end any more."""
        await asyncio.wait((self._closed,), timeout=_DRAIN_S)

    def started(self) -> bool:
        """Whether the sandbox was set up and handed over to the command."""
        try:
            return bool(os.read(self._ready, 1))
        except BlockingIOError:
            return False

    def close(self) -> None:
        self._loop.remove_reader(self._output)
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        for descriptor in (self._output, self._ready):
            os.close(descriptor)
        for future in (self.exited, self.stopped, self._closed):
            if not future.done():
                future.cancel()
