"""The memory and processes of a whole command where no control group counts them: the sum of its processes' own pages,
looked at several times a second. Shared pages count once for each process, so that the sum errs on the strict side."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from outlay.sandbox.types import Ended

LOOK_EVERY_S = 0.2
_OUR_PROCESSES = 3
"""Starter, process 1, forwarder."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Direct children, of any of its threads (proc(5): `/proc/PID/task/TID/children`)."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        pass
    return found


def tree_use(root: int) -> tuple[int, int]:
    """Resident memory in bytes, without shared file pages, of `root` and everything below it, and how many processes
    these are; zeros when it has ended."""
    total, count, pending = 0, 0, [root]
    while pending:
        pid = pending.pop()
        try:
            resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        except OSError:
            continue
        total += max(0, int(resident) - int(shared)) * _PAGE_BYTES
        count += 1
        pending += children(pid)
    return total, count


class MemoryWatch:
    """Looks at a command's memory and processes while it runs. `peak_bytes` is the largest sum seen.

    The kernel's bound on processes does not hold root's (setrlimit(2), RLIMIT_NPROC), so that they are counted here.
    """

    def __init__(self, root: int, bound_bytes: int, bound_processes: int) -> None:
        self._root = root
        self._bound_bytes = bound_bytes
        self._bound_processes = bound_processes + _OUR_PROCESSES
        self.peak_bytes = 0

    async def until_exceeded(self) -> Ended:
        """Returns when a bound was passed, which one; else runs until it is cancelled."""
        while True:
            used, processes = tree_use(self._root)
            self.peak_bytes = max(self.peak_bytes, used)
            if used > self._bound_bytes:
                return "out_of_memory"
            if processes > self._bound_processes:
                return "process_limit"
            await asyncio.sleep(LOOK_EVERY_S)
