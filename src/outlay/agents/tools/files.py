"""`read`, `write`, `edit`, `glob`: files of the workspace, reached without following links out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from outlay.agents.tool import Outcome, Refused, Tool, tool
from outlay.agents.tools.commands import OUTPUT
from outlay.sandbox.files import Folder, split
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session

LINES = 2_000
LINE_CHARS = 2_000
READ_CHARS = 40_000
FOUND = 200
LARGEST_BYTES = 2 << 20


class Read(msgspec.Struct, frozen=True):
    path: str
    offset: Annotated[int, Meta(ge=1, description="first line")] = 1
    limit: Annotated[int, Meta(ge=1, description="number of lines")] = LINES


class Write(msgspec.Struct, frozen=True):
    path: str
    content: str


class Edit(msgspec.Struct, frozen=True):
    path: str
    old: Annotated[str, Meta(description="exact text, unique in the file")]
    new: str
    all: Annotated[bool, Meta(description="replace every occurrence")] = False


class Glob(msgspec.Struct, frozen=True):
    pattern: Annotated[str, Meta(description="such as src/**/*.py")]


def read_text(root: Path, path: str) -> str:
    """A text file below `root`. Raises FileProblem or Refused with what is wrong, for the model."""
    with Folder(root) as folder:
        content = folder.read(path, LARGEST_BYTES)
    if b"\0" in content:
        raise Refused(f"{path} is a binary file")
    return content.decode("utf-8", "replace")


def _write_text(root: Path, path: str, text: str) -> None:
    with Folder(root) as folder:
        folder.write(path, text.encode("utf-8", "replace"))


async def _read(session: Session, asked: tuple[ToolCall, Read]) -> Outcome:
    arguments = asked[1]
    root, path = _place(session, arguments.path)
    lines = read_text(root, path).splitlines()
    shown, room = [], READ_CHARS
    for line in lines[arguments.offset - 1 : arguments.offset - 1 + arguments.limit]:
        line = line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]} ... (line cut, {len(line)} characters)"
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    last = arguments.offset - 1 + len(shown)
    text = "\n".join(shown)
    if last < len(lines):
        text += f"\n(lines {arguments.offset} to {last} of {len(lines)}; go on with offset {last + 1})"
    if not lines:
        text = "(the file is empty)"
    elif not shown and arguments.offset > len(lines):
        raise Refused(f"{arguments.path} has only {len(lines)} lines")
    return Outcome(text=text)


async def _write(session: Session, asked: tuple[ToolCall, Write]) -> Outcome:
    arguments = asked[1]
    path = _writable(session, arguments.path)
    _write_text(session.workspace, path, arguments.content)
    return Outcome(text=f"wrote {len(arguments.content)} characters")


async def _edit(session: Session, asked: tuple[ToolCall, Edit]) -> Outcome:
    arguments = asked[1]
    path = _writable(session, arguments.path)
    before = read_text(session.workspace, path)
    count = before.count(arguments.old) if arguments.old else 0
    if count == 0:
        raise Refused(f"the old text does not stand in {arguments.path}; read the file again")
    if count > 1 and not arguments.all:
        raise Refused(f"the old text stands {count} times in {arguments.path}; give more of it, or set all")
    _write_text(session.workspace, path, before.replace(arguments.old, arguments.new))
    return Outcome(text=f"replaced {count}" if count > 1 else "replaced")


async def _glob(session: Session, asked: tuple[ToolCall, Glob]) -> Outcome:
    with Folder(session.workspace) as folder:
        found = [entry.path for entry in folder.glob(asked[1].pattern, limit=FOUND + 1)]
    text = "\n".join(found[:FOUND]) or "no file matches"
    return Outcome(text=text + ("\n(more match; narrow the pattern)" if len(found) > FOUND else ""))


def _place(session: Session, path: str) -> tuple[Path, str]:
    """The folder that a path is relative to: the workspace, or the session's kept outputs."""
    if path.startswith(f"{OUTPUT}/"):
        return session.crew.output_folder(session), path.removeprefix(f"{OUTPUT}/")
    return session.workspace, path


def _writable(session: Session, path: str) -> str:
    parts = split(path)
    for protected in session.crew.rules.protected:
        fixed = split(protected)
        if parts[: len(fixed)] == fixed:
            raise Refused(f"{path} is protected and cannot be changed")
    return path


def read_tool() -> Tool:
    return tool("read", "Read a text file.", Read, _read)


def write_tool() -> Tool:
    return tool("write", "Write a whole file.", Write, _write, "workspace", replayed=True)


def edit_tool() -> Tool:
    return tool("edit", "Replace a text in a file.", Edit, _edit, "workspace", replayed=True)


def glob_tool() -> Tool:
    return tool("glob", "Find files by name.", Glob, _glob)
