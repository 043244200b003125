"""Output of a command: its first and last bytes in memory, the whole in a file when asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from outlay.errors import EnvironmentProblem

KEPT_BYTES = 64 * 1024


class Capture:
    """Takes output as it comes. Raises EnvironmentProblem when the file cannot be written."""

    def __init__(self, limit_bytes: int, path: Path | None, listener: Callable[[bytes], None] | None) -> None:
        self.limit_bytes = limit_bytes
        self.total = 0
        self.head = bytearray()
        self._tail = bytearray()
        self._listener = listener
        self._path = path
        self._file: int | None = None
        if path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._file = os.open(path, flags, 0o600)
            except OSError as error:
                raise self._problem(error) from None

    def _problem(self, error: OSError) -> EnvironmentProblem:
        return EnvironmentProblem(f"cannot write a command's output to {self._path}: {error.strerror}")

    @property
    def tail(self) -> bytes:
        return bytes(self._tail[-KEPT_BYTES:])

    @property
    def full(self) -> bool:
        return self.total > self.limit_bytes

    def take(self, chunk: bytes) -> None:
        """Keep what is within the limit; the rest is counted only."""
        room = max(0, self.limit_bytes - self.total)
        self.total += len(chunk)
        chunk = chunk[:room]
        if not chunk:
            return
        missing = KEPT_BYTES - len(self.head)
        self.head += chunk[:missing]
        self._tail += chunk[missing:] if missing > 0 else chunk
        if len(self._tail) > 4 * KEPT_BYTES:
            del self._tail[:-KEPT_BYTES]
        if self._file is not None:
            try:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(self._file, view) :]
            except OSError as error:
                raise self._problem(error) from None
        if self._listener is not None:
            self._listener(chunk)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
