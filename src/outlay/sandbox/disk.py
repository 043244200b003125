"""What a command may add to its workspace, where no quota counts it: the file system is asked several times a second
how much is left (statvfs(3), cheap), and when more is gone than the command may use, its own share is counted; now and
then also without, because others may have made room meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from outlay.sandbox.types import Ended

LOOK_EVERY_S = 0.25
COUNT_EVERY_S = 2.0
_REST = 20
"""Times the last counting took that pass before the next: it costs a twentieth of a core at most."""
_SINCE_SLACK_S = 1.0
"""File times are those of the last timer tick, a little in the past."""


def added(folder: Path, since_s: float) -> tuple[int, int]:
    """Bytes on disk, and number, of the entries below `folder` that were made or changed since then (seconds since
    1970). Links are not followed; what disappears meanwhile does not count."""
    size = count = 0
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_ctime >= since_s:
                        size += status.st_blocks * 512
                        count += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
        except OSError:
            continue
    return size, count


class DiskWatch:
    """Looks at what a command adds to the folders that it can write to."""

    def __init__(self, folders: Sequence[Path], bound_bytes: int, bound_files: int) -> None:
        self._folders = folders
        self._bounds = (bound_bytes, bound_files)
        self._since_s = time.time() - _SINCE_SLACK_S
        self._left = self._look()
        """What was left of the file system, bytes and files, when nothing was suspected."""

    def _look(self) -> tuple[int, int]:
        try:
            status = os.statvfs(self._folders[0])
        except OSError:  # the folder is gone, and what was in it
            return 2**62, 2**62
        return status.f_bavail * status.f_frsize, status.f_ffree

    def _suspicious(self) -> bool:
        return any(then - now > bound for then, now, bound in zip(self._left, self._look(), self._bounds, strict=True))

    async def until_exceeded(self) -> Ended:
        """Returns when a bound was passed, in words; else runs until it is cancelled."""
        due_s, rested_s = time.monotonic() + COUNT_EVERY_S, 0.0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            began_s = time.monotonic()
            if began_s < rested_s or (began_s < due_s and not self._suspicious()):
                continue
            now = self._look()
            found = [await asyncio.to_thread(added, folder, self._since_s) for folder in self._folders]
            used = (sum(size for size, _ in found), sum(count for _, count in found))
            if used[0] > self._bounds[0] or used[1] > self._bounds[1]:
                return "disk_limit"
            # Somebody else's: suspect again when what this command may still add is gone, too.
            self._left = (now[0] + used[0], now[1] + used[1])
            ended_s = time.monotonic()
            rested_s = ended_s + _REST * (ended_s - began_s)
            due_s = max(rested_s, ended_s + COUNT_EVERY_S)
