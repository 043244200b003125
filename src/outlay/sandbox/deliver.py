"""Bringing a change into the user's folder, by the host's own hands: checked whole before anything is touched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from outlay.errors import OutlayError
from outlay.sandbox.files import Folder

_LARGEST_BYTES = 8 * 2**30
_STATE_FOLDER = ".outlay"
_LINK = "120000"
_EXECUTABLE = "100755"


class DeliveryConflict(OutlayError):
    """Files of the user's folder were changed while the run went on; nothing was touched."""

    exit_code = 1

    def __init__(self, paths: Sequence[str], reason: str = "changed meanwhile") -> None:
        shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        super().__init__(f"{reason}: {shown}; nothing was delivered")
        self.paths = tuple(paths)


class _Change(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def old(self) -> str: ...
    @property
    def new(self) -> str: ...


def blob_id(content: bytes, like: str) -> str:
    """git's id of a file's content, by SHA-1 or SHA-256 as `like` is."""
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


def _content(folder: Folder, path: str) -> tuple[str, bytes] | None:
    """(`file` or `link`, content) of what is at `path`; None when there is nothing there."""
    found = folder.status(path)
    if found is None:
        return None
    if found.kind == "link":
        return "link", folder.read_link(path)
    if found.kind == "file":
        return "file", folder.read(path, _LARGEST_BYTES)
    return found.kind, b""


def _id_of(found: tuple[str, bytes] | None, like: str) -> str:
    if found is None:
        return "0" * len(like)
    kind, content = found
    return blob_id(content, like) if kind in ("file", "link") else kind


def _stays_inside(path: str, target: str) -> bool:
    """Whether a relative link at `path` leads to something inside of the folder and not into git's own."""
    if target.startswith("/"):
        return False
    depth = len(path.split("/")) - 1
    for part in target.split("/"):
        if part.lower() == ".git":
            return False
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return True


def apply_change(changes: Sequence[_Change], staged: Path, destination: Path) -> None:
    """Apply `changes`, whose new files stand in `staged`, to `destination`. Raises DeliveryConflict before touching
    anything when a file is neither as before nor as after the change, or a link would lead outside."""
    own = [change.path for change in changes if change.path.split("/")[0].lower() == _STATE_FOLDER]
    if own:
        raise DeliveryConflict(own, "paths where Outlay keeps its own state")
    with Folder(destination) as target, Folder(staged) as source:
        pending: list[_Change] = []
        conflicts: list[str] = []
        leading_out: list[str] = []
        removed = {change.path for change in changes if not change.new.strip("0")}
        for change in changes:
            if change.mode == _LINK and not _stays_inside(change.path, os.fsdecode(source.read_link(change.path))):
                leading_out.append(change.path)
                continue
            state = _state(target, change, removed)
            if state == "before":
                pending.append(change)
            elif state == "conflict":
                conflicts.append(change.path)
        if leading_out:
            raise DeliveryConflict(leading_out, "symbolic links that lead out of the folder")
        if conflicts:
            raise DeliveryConflict(conflicts)
        for change in pending:
            if change.path in removed:
                target.remove(change.path)
        for change in pending:
            if change.path not in removed:
                _put(source, target, change)


def _state(target: Folder, change: _Change, removed: set[str]) -> str:
    obstacle = _obstacle(target, change.path)
    if obstacle is not None:
        # A file or link stands where a folder should be: this change's own, about to go, or the user's.
        return "before" if obstacle in removed and not change.old.strip("0") else "conflict"
    found = _content(target, change.path)
    if found is not None and found[0] == "folder" and not change.old.strip("0"):
        prefix = f"{change.path}/"
        inside = {entry.path for entry in target.walk(change.path)}
        return "before" if all(path in removed and path.startswith(prefix) for path in inside) else "conflict"
    present = _id_of(found, change.new)
    executable = target.status(change.path)
    if present == change.new and (not change.new.strip("0") or _same_kind(found, executable, change)):
        return "after"
    return "before" if present in (change.old, change.new) else "conflict"


def _obstacle(target: Folder, path: str) -> str | None:
    """The first thing above `path` that is there and no folder."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        above = "/".join(parts[:end])
        entry = target.status(above)
        if entry is None:
            return None
        if entry.kind != "folder":
            return above
    return None


def _same_kind(found: tuple[str, bytes] | None, entry: object, change: _Change) -> bool:
    if found is None:
        return False
    if (found[0] == "link") != (change.mode == _LINK):
        return False
    return change.mode == _LINK or bool(getattr(entry, "executable", False)) == (change.mode == _EXECUTABLE)


def _put(source: Folder, target: Folder, change: _Change) -> None:
    if change.mode == _LINK:
        target.link(change.path, source.read_link(change.path))
        return
    content = source.read(change.path, _LARGEST_BYTES)
    found = target.status(change.path)
    if found is not None and found.kind == "link":
        target.remove(change.path)
    target.write(change.path, content, executable=change.mode == _EXECUTABLE)
