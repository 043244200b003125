"""Sources: which label data has by where it comes from. Paths, MCP tools, SQL columns, secrets in a text."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from outlay.policy import secrets
from outlay.policy.toml_lines import nearest
from outlay.policy.types import Label, Policy, Source

KINDS = ("path", "mcp", "sql", "scan")


def parse_source(text: str, line: int = 0) -> Source:
    """A source from its text. Raises ValueError with what is wrong."""
    kind, colon, pattern = text.partition(":")
    if not colon or kind not in KINDS:
        hint = nearest(kind, KINDS) if colon else f"; write kind:pattern with one of {', '.join(KINDS)}"
        raise ValueError(f"{text!r}: no source {kind!r}{hint}")
    _CHECKS[kind](text, pattern)
    return Source(kind, pattern, line)


def _check_path(text: str, pattern: str) -> None:
    if pattern.startswith("~"):
        raise ValueError(f"{text!r}: `~` is not known here; write /home/*/... or /Users/*/...")
    if not pattern.startswith(("/", "**/")):
        raise ValueError(f"{text!r}: a path begins with `/` or `**/`")
    if pattern.endswith("/"):
        raise ValueError(f"{text!r}: leave out the last `/`; a folder's pattern holds for what is in it")
    if any(part in (".", "..") for part in pattern.split("/")):
        raise ValueError(f"{text!r}: a path has no `.` or `..`")


def _check_mcp(text: str, pattern: str) -> None:
    server, slash, tool = pattern.partition("/")
    if not (server and slash and tool):
        raise ValueError(f"{text!r}: write mcp:server/tool, or mcp:{server or 'server'}/* for all its tools")


def _check_sql(text: str, pattern: str) -> None:
    parts = pattern.split(".")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"{text!r}: write sql:schema.table or sql:schema.table.column; `*` stands for any")


def _check_scan(text: str, pattern: str) -> None:
    if pattern != "secret" and pattern not in secrets.NAMES:
        raise ValueError(f"{text!r}: no pattern {pattern!r}{nearest(pattern, ['secret', *secrets.NAMES])}")


_CHECKS: dict[str, Callable[[str, str], None]] = {
    "path": _check_path, "mcp": _check_mcp, "sql": _check_sql, "scan": _check_scan,
}  # fmt: skip


def label_path(policy: Policy, *paths: str) -> Label:
    """The label of a file. Give every absolute path it has: as named, and resolved when links are in the way.

    A pattern holds for what it names and, when that is a folder, for everything in it.
    """
    cleaned = {posixpath.normpath("/" + path.lstrip("/")) for path in paths}
    return _label(policy, "path", lambda pattern: any(path_fits(pattern, path) for path in cleaned))


def label_tool(policy: Policy, server: str, tool: str) -> Label:
    """The label of what a tool of an MCP server returns."""
    return _label(policy, "mcp", lambda pattern: fnmatchcase(f"{server}/{tool}", pattern))


def label_sql(policy: Policy, schema: str, table: str, column: str = "") -> Label:
    """The label of a column; without one, of a row of the table. An empty schema is any schema."""
    return _label(policy, "sql", lambda pattern: sql_fits(pattern, schema, table, column))


def label_text(policy: Policy, text: str) -> Label:
    """The label that a text has by the secrets that are in it; empty when there are none."""
    wanted = {s.pattern for data in policy.data.values() for s in data.sources if s.kind == "scan"}
    if not wanted:
        return frozenset()
    found = {hit.pattern for hit in secrets.scan(text)}
    return _names(policy, "scan", lambda pattern: bool(found) if pattern == "secret" else pattern in found)


def join(labels: Iterable[Label]) -> Label:
    """The label of what was made out of several things: their union."""
    return frozenset().union(*labels)


def or_unlabelled(policy: Policy, label: Label) -> Label:
    """The label itself, or that of unlabelled data when it is empty."""
    return label or frozenset((policy.defaults.unlabelled,))


def _label(policy: Policy, kind: str, test: Callable[[str], bool]) -> Label:
    return or_unlabelled(policy, _names(policy, kind, test))


def _names(policy: Policy, kind: str, test: Callable[[str], bool]) -> Label:
    return frozenset(
        data.name for data in policy.data.values() if any(s.kind == kind and test(s.pattern) for s in data.sources)
    )


def path_fits(pattern: str, path: str) -> bool:
    """Whether an absolute path, without `.` and `..`, is what the pattern names or lies in it."""
    return _path_expression(pattern).match(path) is not None


@functools.lru_cache(maxsize=4096)
def _path_expression(pattern: str) -> re.Pattern[str]:
    parts = pattern.split("/")
    if parts[-1] == "**":
        parts.pop()  # what is in a folder is meant with the folder
    whole = ""
    for number, part in enumerate(parts):
        if part == "**":
            whole += r"(?:/[^/]+)*"
        elif part or number:
            whole += "/" + _segment(part)
    return re.compile(f"{whole}(?:/.*)?\\Z", re.DOTALL)


def _segment(part: str) -> str:
    """One name of a path: `*`, `?` and `[...]` as the shell has them, hidden files included."""
    out = ""
    for piece in re.split(r"(\*|\?|\[[!^]?\]?[^\]/]*\])", part):
        if piece in ("*", "?"):
            out += "[^/]" + ("*" if piece == "*" else "")
        elif piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            out += "(?!/)[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]"
        else:
            out += re.escape(piece)
    return out


def sql_fits(pattern: str, schema: str, table: str, column: str = "") -> bool:
    """Whether a column (or, without one, any column of the table) is what the pattern names; case does not count."""
    wanted = pattern.lower().split(".")
    named = (schema.lower(), table.lower(), column.lower())
    return all(not name or fnmatchcase(name, want) for want, name in zip(wanted, named, strict=False))
