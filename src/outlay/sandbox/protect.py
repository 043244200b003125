"""Protected paths of a workspace: read-only while a command runs, and not to be created where absent."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from types import TracebackType

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox.profile import WORKSPACE, Cover
from outlay.sandbox.types import Command


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise InputError(f"protected path {path!r} must be relative to the workspace and stay inside it")
    return parts


class Protection:
    """Covers for the protected paths of one command. An absent one is reserved: an empty file stands in its place,
    read-only, while the command runs. A path's folders become mountpoints, because a folder above a mountpoint could
    be renamed away and another put in its place."""

    def __init__(self, command: Command, reservations: dict[Path, int]) -> None:
        """`reservations` counts, for all commands of a sandbox, who holds an absent path; two may at once."""
        self.covers: list[Cover] = []
        self._reservations = reservations
        self._reserved: list[Path] = []
        self._workspace = command.workspace
        self._paths = sorted(set(map(_parts, command.protected))) if command.writable else []

    def __enter__(self) -> Protection:
        try:
            for parts in self._paths:
                self._protect(parts)
        except BaseException:
            self._release()
            raise
        folders = {cover.target: cover for cover in self.covers if cover.writable}
        leaves = {cover.target: cover for cover in self.covers if not cover.writable}
        self.covers = [cover for _, cover in sorted((folders | leaves).items())]
        return self

    def _protect(self, parts: tuple[str, ...]) -> None:
        path, target = self._workspace, WORKSPACE
        for index, part in enumerate(parts):
            path, target = path / part, f"{target}/{part}"
            last = index == len(parts) - 1
            if path.is_symlink():
                raise InputError(f"protected path {'/'.join(parts)!r} leads through a symbolic link, {path}")
            if path in self._reservations or not path.exists():
                self._reserve(path)
                last = True
            elif not last and not path.is_dir():
                raise InputError(f"protected path {'/'.join(parts)!r} leads through a file, {path}")
            self.covers.append(Cover(str(path), target, writable=not last))
            if last:
                return

    def _reserve(self, path: Path) -> None:
        if path not in self._reservations:
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            except OSError as error:
                raise EnvironmentProblem(f"cannot protect {path}, which is absent: {error.strerror}") from None
        self._reservations[path] = self._reservations.get(path, 0) + 1
        self._reserved.append(path)

    def _release(self) -> None:
        for path in self._reserved:
            self._reservations[path] -= 1
            if self._reservations[path]:
                continue
            del self._reservations[path]
            with contextlib.suppress(OSError):
                if not path.is_symlink() and path.stat().st_size == 0:
                    path.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
