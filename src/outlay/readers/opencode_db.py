"""OpenCode's SQLite layout (gen2, from 1.2): the database together with its write-ahead log."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from outlay.readers import opencode
from outlay.readers.opencode import Message, Part, Session
from outlay.readers.reading import Mark, Problem, Result, Source

_TOOL = re.compile(r'"tool"\s*:\s*"([^"]*)"')
_PARTS = """SELECT rowid, id, message_id, session_id, substr(data, 1, 400),
    CASE WHEN substr(data, 1, 400) LIKE '%step-finish%' THEN data END FROM part
    WHERE (substr(data, 1, 400) LIKE '%step-finish%' OR substr(data, 1, 400) LIKE '%tool%') AND"""


_AT_ONCE = 500
_PATIENCE_S = 1
"""How long a locked database is waited for; it is tried again the next time."""


class Carry(msgspec.Struct):
    """How far the parts were read; they are added at the end and steps never change afterwards."""

    rowid: int
    part: str
    """Id of the part at `rowid`: tells a grown table from a rebuilt one."""


def sources(root: Path, machine: str) -> Iterator[Source]:
    """The databases in OpenCode's data folder, each with its log."""
    for path in sorted(root.glob("opencode*.db")):
        stats = [p.stat() for p in (path, path.with_name(path.name + "-wal")) if p.exists()]
        yield Source("opencode", path, sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats), machine)


def read(source: Source, mark: Mark | None, names: dict[str, str]) -> Result:
    """The calls of one database, from the mark on."""
    try:
        with opened(source.path) as conn:
            return _read(conn, source, mark, names)
    except sqlite3.Error as error:
        problem = Problem(str(source.path), f"the database cannot be read ({error}); it is tried again the next time")
        return Result([], Mark(-1, 0, 0, 0, mark.carry if mark else None), [problem], whole=False)


def directories(path: Path) -> set[str]:
    """The folders that its sessions worked in."""
    try:
        with opened(path) as conn:
            return {row[0] for row in conn.execute("SELECT DISTINCT directory FROM session") if row[0]}
    except sqlite3.Error:
        return set()


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A read connection that leaves nothing in the folder: SQLite would make the log's index there, where OpenCode has
    none open, so then a copy is read; or, where there is no log, the file as it stands.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    with tempfile.TemporaryDirectory() as folder:
        if log.exists() and not (index.exists() and os.access(path.parent, os.W_OK)):
            for file in (path, log):
                shutil.copyfile(file, Path(folder) / file.name)
            target = f"{(Path(folder) / path.name).as_uri()}?mode=rw"
        else:
            target = f"{path.resolve().as_uri()}?{'mode=ro' if log.exists() else 'immutable=1'}"
        conn = sqlite3.connect(target, uri=True, timeout=_PATIENCE_S)
        try:
            yield conn
        finally:
            conn.close()


def _read(conn: sqlite3.Connection, source: Source, mark: Mark | None, names: dict[str, str]) -> Result:
    conn.execute("BEGIN")
    problems: list[Problem] = []
    sessions = {
        row[0]: Session(row[0], row[1], row[2] or "", row[3] or "", row[4] or "")
        for row in conn.execute("SELECT id, parent_id, title, version, directory FROM session")
    }
    opencode.roots(sessions)
    after = _after(conn, mark)
    grouped: dict[str, dict[str, list[Part]]] = {}
    carry = Carry(after, "")
    for rowid, id, message, session, head, body in conn.execute(f"{_PARTS} rowid > ? ORDER BY rowid", (after,)):
        part = _part(id, head, body, problems)
        if part is not None:
            grouped.setdefault(session, {}).setdefault(message, []).append(part)
            if part.kind == "step-finish":
                carry = Carry(rowid, id)
    if after:  # a step's place counts from its message's first one, a message's from the first of its moment
        for session, messages in grouped.items():
            for message in _and_twins(conn, session, list(messages)):
                rows = conn.execute(f"{_PARTS} message_id = ? ORDER BY rowid", (message,))
                parts = [_part(row[1], row[4], row[5], []) for row in rows]
                messages[message] = [part for part in parts if part is not None]
    drafts, found = [], []
    for id, messages in grouped.items():
        session = sessions.get(id) or Session(id, None, "", "", "", id)
        whole = [m for m in (_message(conn, i, parts, problems) for i, parts in messages.items()) if m is not None]
        calls, labels = opencode.calls(session, whole, source.machine, str(source.path), names)
        drafts += calls
        found += labels
    kept = mark.carry if mark and not carry.part and after else msgspec.json.encode(carry)
    return Result(drafts, Mark(source.size, source.mtime_ns, 0, 0, kept), problems, found, whole=after == 0)


def _and_twins(conn: sqlite3.Connection, session: str, messages: list[str]) -> list[str]:
    """These messages and those of the same session that were begun at the same moment as one of them."""
    created = "CASE WHEN json_valid(data) THEN json_extract(data, '$.time.created') END"
    found = set(messages)
    for begin in range(0, len(messages), _AT_ONCE):
        part = messages[begin : begin + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        rows = conn.execute(
            f"SELECT id FROM message WHERE session_id = ? AND {created} IN "
            f"(SELECT {created} FROM message WHERE id IN ({marks}))",
            (session, *part),
        )
        found.update(row[0] for row in rows)
    return sorted(found)


def _after(conn: sqlite3.Connection, mark: Mark | None) -> int:
    if mark is None or not mark.carry:
        return 0
    carry = msgspec.json.decode(mark.carry, type=Carry)
    row = conn.execute("SELECT id FROM part WHERE rowid = ?", (carry.rowid,)).fetchone()
    return carry.rowid if row and row[0] == carry.part else 0


def _part(id: str, head: str, body: str | None, problems: list[Problem]) -> Part | None:
    if body is not None:
        try:
            data: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(Problem(id, f"a part is damaged ({error}); the rest was read"))
            return None
        if isinstance(data, dict) and data.get("type") == "step-finish" and isinstance(data.get("tokens"), dict):
            return Part(id, "step-finish", data["tokens"], data.get("cost"))
    if re.search(r'"type"\s*:\s*"tool"', head):
        name = _TOOL.search(head)
        return Part(id, "tool", tool=name[1] if name else "tool")
    return None


def _message(conn: sqlite3.Connection, id: str, parts: list[Part], problems: list[Problem]) -> Message | None:
    row = conn.execute("SELECT data FROM message WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    try:
        data = msgspec.json.decode(row[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem(id, f"a message is damaged ({error}); the rest was read"))
        return None
    return Message(id, data, sorted(parts, key=lambda p: p.id)) if isinstance(data, dict) else None
