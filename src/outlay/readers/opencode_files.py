"""OpenCode's JSON layouts: gen0 (a folder per project) and gen1 (one storage for all)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from outlay.readers import opencode
from outlay.readers.opencode import Message, Part, Session
from outlay.readers.reading import Mark, Problem, Result, Source


class Storage(msgspec.Struct, frozen=True):
    """Where the pieces of a conversation lie."""

    sessions: Path
    messages: Path
    parts: Path
    by_session: bool
    """gen0: parts lie under session and message, not under the message alone."""


def storages(root: Path) -> Iterator[Storage]:
    """The JSON storages in OpenCode's data folder."""
    if (root / "storage" / "message").is_dir():
        at = root / "storage"
        yield Storage(at / "session", at / "message", at / "part", False)
    for project in sorted(root.glob("project/*/storage/session")):
        yield Storage(project / "info", project / "message", project / "part", True)


def sources(storage: Storage, machine: str) -> Iterator[Source]:
    """One source per conversation: its folder of messages. Size and time are those of all its messages together."""
    for entry in sorted(_scan(storage.messages), key=lambda e: e.name):
        if entry.is_dir():
            stats = [message.stat() for message in _scan(Path(entry.path))]
            size, newest = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
            yield Source("opencode", Path(entry.path), size, newest, machine)


def sessions(storage: Storage) -> tuple[dict[str, Session], list[Problem]]:
    """Every conversation of the storage by its id."""
    found: dict[str, Session] = {}
    problems: list[Problem] = []
    for path in sorted(storage.sessions.rglob("*.json")):
        data = _json(path, problems)
        if data is not None and isinstance(data.get("id"), str):
            texts = [str(data.get(name) or "") for name in ("title", "version", "directory")]
            found[data["id"]] = Session(data["id"], data.get("parentID"), *texts)
    opencode.roots(found)
    return found, problems


def read(source: Source, storage: Storage, known: dict[str, Session], names: dict[str, str]) -> Result:
    """The calls of one conversation."""
    problems: list[Problem] = []
    id = source.path.name
    session = known.get(id) or Session(id, None, "", "", "", id)
    messages = []
    for path in sorted(source.path.glob("*.json")):
        data = _json(path, problems)
        if data is not None:
            where = storage.parts / id / path.stem if storage.by_session else storage.parts / path.stem
            messages.append(Message(path.stem, data, _parts(where, problems)))
    drafts, found = opencode.calls(session, messages, source.machine, str(source.path), names)
    return Result(drafts, Mark(source.size, source.mtime_ns, 0, 0, None), problems, found)


def _parts(folder: Path, problems: list[Problem]) -> list[Part]:
    found = []
    for entry in sorted(_scan(folder), key=lambda e: e.name):
        data = _json(Path(entry.path), problems)
        if data is None:
            continue
        kind = data.get("type")
        if kind == "step-finish" and isinstance(data.get("tokens"), dict):
            found.append(Part(Path(entry.name).stem, kind, data["tokens"], data.get("cost")))
        elif kind == "tool":
            found.append(Part(Path(entry.name).stem, kind, tool=str(data.get("tool") or "tool")))
    return found


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def _json(path: Path, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(path.read_bytes())
    except OSError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem(str(path), f"the file is damaged ({error}); the rest was read"))
        return None
    return value if isinstance(value, dict) else None
