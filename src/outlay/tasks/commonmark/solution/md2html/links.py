"""The parts of links: labels, destinations, titles, and link reference definitions."""

import re
from typing import NamedTuple

from md2html.text import unescape

LABEL_LENGTH = 999
NESTED_PARENTHESES = 32
_LABEL = re.compile(r"\[((?:[^\\\[\]]|\\.)*)\]", re.DOTALL)
_BRACKETED = re.compile(r"<((?:[^<>\n\\]|\\.)*)>")
_TITLE = re.compile(r'"((?:[^"\\]|\\.)*)"' r"|'((?:[^'\\]|\\.)*)'" r"|\(((?:[^()\\]|\\.)*)\)", re.DOTALL)
_GAP = re.compile(r"[ \t]*\n?[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")


class Target(NamedTuple):
    """Where a link leads."""

    url: str
    title: str | None = None


References = dict[str, Target]


def normalize(label: str) -> str:
    """Labels that count as the same become equal."""
    return " ".join(label.split()).casefold()


def scan_label(text: str, at: int) -> tuple[str, int] | None:
    """The label in brackets that starts at `at`, and where it ends."""
    match = _LABEL.match(text, at)
    if match is None or len(match[1]) > LABEL_LENGTH:
        return None
    return match[1], match.end()


def scan_destination(text: str, at: int) -> tuple[str, int] | None:
    """The destination of a link that starts at `at`, with its escapes resolved, and where it ends.

    Parentheses nest to a limit, so that a text full of `[a](` is not read to its end again for each of them.
    """
    if text.startswith("<", at):
        match = _BRACKETED.match(text, at)
        return (unescape(match[1]), match.end()) if match else None
    depth, end = 0, at
    while end < len(text) and text[end] > " " and text[end] != "\x7f":
        if text[end] == "\\" and end + 1 < len(text) and text[end + 1] > " ":
            end += 1
        elif text[end] == "(":
            depth += 1
            if depth > NESTED_PARENTHESES:
                return None
        elif text[end] == ")":
            if depth == 0:
                break
            depth -= 1
        end += 1
    return None if depth else (unescape(text[at:end]), end)


def scan_title(text: str, at: int) -> tuple[str, int] | None:
    """The quoted title that starts at `at`, and where it ends."""
    match = _TITLE.match(text, at)
    if match is None:
        return None
    return unescape(next(group for group in match.groups() if group is not None)), match.end()


def skip_gap(text: str, at: int) -> int:
    """Past spaces, tabs and at most one line ending."""
    return _GAP.match(text, at).end()


def take_definition(text: str, references: References) -> str | None:
    """Take the link reference definition off the beginning of a paragraph.

    Adds it to `references` unless its label is there already. Returns the text after it, or None when the text does
    not start with a definition.
    """
    label = scan_label(text, 0)
    if label is None or not label[0].strip() or not text.startswith(":", label[1]):
        return None
    at = skip_gap(text, label[1] + 1)
    destination = scan_destination(text, at)
    if destination is None or destination[1] == at:
        return None
    url, at = destination
    end, title = _LINE_END.match(text, at), None
    after = skip_gap(text, at)
    found = scan_title(text, after) if after > at else None
    if found and (titled := _LINE_END.match(text, found[1])):
        end, title = titled, found[0]
    if end is None:
        return None
    references.setdefault(normalize(label[0]), Target(url, title))
    return text[end.end() :]
