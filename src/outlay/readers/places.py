"""Where other agents keep what they did: default places, their environment variables, homes of other machines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from outlay.errors import InputError

Found = tuple[str, str, int, int, str]
"""Tool, path, size in bytes, time of the last change in nanoseconds, machine."""
TOOLS = ("claude", "codex", "gemini", "opencode")


class Place(msgspec.Struct, frozen=True):
    """One agent's folder on one machine."""

    tool: str
    root: Path
    machine: str = ""
    """Empty for this one."""


def defaults(environ: Mapping[str, str] = os.environ) -> list[Place]:
    """The places of this machine, as each tool finds its own."""
    home = Path(environ.get("HOME") or Path.home())
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    claude = [Path(p).expanduser() for p in environ.get("CLAUDE_CONFIG_DIR", "").split(",") if p]
    gemini = Path(environ["GEMINI_CLI_HOME"]) if environ.get("GEMINI_CLI_HOME") else home
    places = [Place("claude", root) for root in claude or [home / ".claude", config / "claude"]]
    places.append(Place("codex", Path(environ.get("CODEX_HOME") or home / ".codex").expanduser()))
    places.append(Place("gemini", gemini / ".gemini"))
    places.append(Place("opencode", data / "opencode"))
    return _there(places)


def of_home(folder: Path, machine: str = "") -> list[Place]:
    """The places in somebody's home folder; `folder` may also be one tool's own folder.

    Raises InputError when there is nothing of any tool in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a home folder with .claude, .codex, .gemini or opencode in it")
    found = [
        Place("claude", folder / ".claude", machine),
        Place("claude", folder / ".config" / "claude", machine),
        Place("codex", folder / ".codex", machine),
        Place("gemini", folder / ".gemini", machine),
        Place("opencode", folder / ".local" / "share" / "opencode", machine),
    ]
    found = _there(found)
    if (folder / "projects").is_dir():
        found.append(Place("claude", folder, machine))
    if (folder / "sessions").is_dir() or (folder / "archived_sessions").is_dir():
        found.append(Place("codex", folder, machine))
    if (folder / "tmp").is_dir() and not found:
        found.append(Place("gemini", folder, machine))
    if (folder / "storage").is_dir() or (folder / "project").is_dir() or (folder / "opencode.db").is_file():
        found.append(Place("opencode", folder, machine))
    if not found:
        raise InputError(f"nothing of Claude Code, Codex, Gemini CLI or OpenCode in {folder}")
    return _there(found)


def _there(places: list[Place]) -> list[Place]:
    """Those whose folder exists, by its real path, so that a file that can be reached in two ways is one file."""
    real = [msgspec.structs.replace(place, root=place.root.resolve()) for place in places if place.root.is_dir()]
    return list(dict.fromkeys(real))


def named(text: str) -> list[Place]:
    """The places of `NAME=DIR`: another machine's home, copied or mounted here."""
    name, mark, folder = text.partition("=")
    if not mark or not name or not folder:
        raise InputError(f"--from {text!r}: write NAME=DIR, as in --from laptop=/mnt/laptop/home")
    return of_home(Path(folder).expanduser(), name)


def files(places: Iterable[Place]) -> Iterator[Found]:
    """Every transcript of Claude Code, Codex and Gemini CLI in the places, each file once, in order of path."""
    seen: set[str] = set()
    for place in places:
        for folder in _FOLDERS.get(place.tool, ()):
            for path, size, mtime_ns in sorted(_walk(str(place.root / folder), _ENDS[place.tool])):
                if path in seen or (place.tool == "gemini" and f"{os.sep}chats{os.sep}" not in path):
                    continue
                seen.add(path)
                yield place.tool, path, size, mtime_ns, place.machine


_FOLDERS = {"claude": ("projects",), "codex": ("sessions", "archived_sessions"), "gemini": ("tmp",)}
_ENDS = {"claude": (".jsonl",), "codex": (".jsonl",), "gemini": (".json", ".jsonl")}


def _walk(folder: str, ends: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=True):
                yield from _walk(entry.path, ends)
            elif entry.name.endswith(ends) and entry.is_file():  # a pipe would keep us waiting
                stat = entry.stat()
                yield entry.path, stat.st_size, stat.st_mtime_ns
        except OSError:
            continue
