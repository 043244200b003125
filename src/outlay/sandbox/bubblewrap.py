"""The strict sandbox: bubblewrap, a system call filter, control groups. See docs/reference/sandbox.md."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from outlay.sandbox import profile, seccomp
from outlay.sandbox.capture import Capture
from outlay.sandbox.cgroup import Group, Groups
from outlay.sandbox.confine import check, confine
from outlay.sandbox.forward import forwarding
from outlay.sandbox.protect import Protection
from outlay.sandbox.types import Command, Finished, Mount, Tier


class Bubblewrap:
    """Runs commands under the strict profile. Make one with `outlay.sandbox.probe.open_sandbox`; use it from one
    thread, the one that runs the event loop: commands die with the thread that started them."""

    tier: Tier = "strict"

    def __init__(self, program: Path, etc: Path, groups: Groups, disable_userns: bool, version: str = "") -> None:
        self._program = str(program)
        self._etc = etc
        self.groups = groups
        self.disable_userns = disable_userns
        self.version = version
        self._reservations: dict[Path, int] = {}
        self._filter = self._memory_file(seccomp.program())

    @staticmethod
    def _memory_file(content: bytes | None) -> int | None:
        if content is None:
            return None
        descriptor = os.memfd_create("outlay-seccomp", os.MFD_CLOEXEC)
        os.write(descriptor, content)
        return descriptor

    def close(self) -> None:
        """Release descriptors and control groups."""
        if self._filter is not None:
            os.close(self._filter)
            self._filter = None
        self.groups.close()

    async def run(self, command: Command, listener: Callable[[bytes], None] | None = None) -> Finished:
        """Run to the end, to a bound or to cancellation; no process is left behind in any case. `listener` is called
        with output as it comes. Raises InputError on a command that cannot be run, EnvironmentProblem when the
        sandbox cannot be set up."""
        check(command)
        capture = Capture(command.bounds.output_bytes, command.output, listener)
        with contextlib.ExitStack() as stack:
            stack.callback(capture.close)
            protection = stack.enter_context(Protection(command, self._reservations))
            mounts: tuple[Mount, ...] = ()
            prelude = ""
            forwards = command.forwards
            if command.hosts:
                from outlay.sandbox.egress import Egress

                egress = Egress(command.hosts)
                await egress.start()
                stack.callback(egress.close)
                forwards = (*forwards, egress.forward)
                command = egress.with_environment(command)
            if forwards or command.served:
                mounts, prelude = forwarding(forwards, command.served)
            group = self.groups.create(command.bounds.memory_bytes, command.bounds.processes)
            if group is not None:
                stack.callback(self.groups.release, group)
            return await self._run(command, capture, protection, group, mounts, prelude)

    def _argv(self, command: Command, protection: Protection, group: Group | None, filter_fd: int | None,
              mounts: tuple[Mount, ...], prelude: str, ready: int) -> list[str]:  # fmt: skip
        argv = [self._program]
        argv += profile.arguments(command, self._etc, protection.covers, filter_fd, self.disable_userns, mounts)
        first = profile.first_process(command.bounds, prelude, None if command.stdin is None else ready)
        argv += ["--", "/bin/sh", "-c", first, "sh", *command.argv]
        if group is not None:
            argv = ["/bin/sh", "-c", profile.JOIN_GROUPS, "sh", *map(str, group.paths), "--", *argv]
        return argv

    async def _run(self, command: Command, capture: Capture, protection: Protection, group: Group | None,
                   mounts: tuple[Mount, ...], prelude: str) -> Finished:  # fmt: skip
        filter_fd = None
        if self._filter is not None:
            # A descriptor of its own, because bubblewrap reads it to its end.
            filter_fd = os.open(f"/proc/self/fd/{self._filter}", os.O_RDONLY | os.O_CLOEXEC)
        handed = [each.descriptor for each in command.served] + ([] if filter_fd is None else [filter_fd])
        try:
            return await confine(
                lambda ready: self._argv(command, protection, group, filter_fd, mounts, prelude, ready),
                command, capture, group, handed,
            )  # fmt: skip
        finally:
            if filter_fd is not None:
                os.close(filter_fd)
