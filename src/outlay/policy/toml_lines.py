"""TOML with the line of every key and list item, and readers of its tables that note what is wrong by line.

tomllib reads the values, and refuses what is not TOML; a scanner walks over the same text once more for the lines
alone, so it may take for granted that the text is well formed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from outlay.errors import InputError

Place = tuple[str | int, ...]
"""Where in the file: keys and list positions from the top."""


class Fault(msgspec.Struct, frozen=True, order=True):
    """Something about a file: its line (from 1) and one sentence."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Faults:
    """What is wrong in a file, gathered so that all of it is told at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: set[Fault] = set()

    def add(self, line: int, text: str) -> None:
        self.found.add(Fault(self.file, line, printable(text)))

    def raise_if_any(self) -> None:
        """Raises PolicyError with one line for each fault, in the order of the file."""
        if self.found:
            raise PolicyError(sorted(self.found))


class PolicyError(InputError):
    """A policy file that cannot be used. `faults` are in the order of the file's lines."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def printable(text: str) -> str:
    """The text with escapes for what would move a terminal's cursor or colour it."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the list of what is known."""
    known = sorted(set(known))
    if close := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def parse(text: str, file: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """The values of a TOML text and the line of every place in it. Raises PolicyError naming the line."""
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        told = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        line = int(told[2]) if told and told[2] else text.rstrip("\n").count("\n") + 1
        what = told[1] if told else str(error)
        raise PolicyError([Fault(file, line, f"not TOML: {printable(what[:1].lower() + what[1:])}")]) from None
    except RecursionError:
        raise PolicyError([Fault(file, 1, "not TOML: nested too deeply")]) from None
    return values, _Scanner(text).lines


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_OTHER = re.compile(r"[^,\]}#\n]+")


class _Scanner:
    """Walks over a well-formed text. A table's line is that of its first header or key."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = (0, 1)
        self.lines: dict[Place, int] = {(): 1}
        self._lists: dict[Place, int] = {}
        """Tables so far of every `[[list]]`."""
        self._document()

    def _line(self) -> int:
        at, line = self._counted
        line += self._text.count("\n", at, self._at)
        self._counted = (self._at, line)
        return line

    def _skip(self) -> str:
        """Go to what comes next, over blanks, line ends and comments; its first character."""
        match = _BLANK.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _document(self) -> None:
        table: Place = ()
        while char := self._skip():
            if char == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line = self._line()
        double = self._text.startswith("[[", self._at)
        self._at += 2 if double else 1
        place = self._keys((), line, mark_last=not double)
        if double:
            self.lines.setdefault(place, line)
            number = self._lists.get(place, -1) + 1
            self._lists[place] = number
            place = (*place, number)
            self.lines[place] = line
        self._skip()
        self._at += 2 if double else 1
        return place

    def _keys(self, table: Place, line: int, *, mark_last: bool = True) -> Place:
        """A dotted key; tables on the way get this line unless they have one."""
        place = table
        while True:
            char = self._skip()
            match = (_STRING if char in "\"'" else _BARE).match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            name = tomllib.loads(f"k = {match[0]}")["k"] if char in "\"'" else match[0]
            place = (*place, name)
            more = self._skip() == "."
            if more or mark_last:
                self.lines.setdefault(place, line)
            if not more:
                return place
            self._at += 1
            if place in self._lists:
                place = (*place, self._lists[place])

    def _pair(self, table: Place) -> None:
        self._skip()
        place = self._keys(table, self._line())
        self._skip()
        self._at += 1  # the equals sign
        self._value(place)

    def _value(self, place: Place) -> None:
        char = self._skip()
        if char == "{":
            self._at += 1
            while self._skip() != "}":
                self._pair(place)
                if self._skip() == ",":
                    self._at += 1
            self._at += 1
        elif char == "[":
            self._at += 1
            number = 0
            while self._skip() != "]":
                self.lines[(*place, number)] = self._line()
                self._value((*place, number))
                number += 1
                if self._skip() == ",":
                    self._at += 1
            self._at += 1
        else:
            match = (_STRING if char in "\"'" else _OTHER).match(self._text, self._at)
            assert match is not None
            self._at = match.end()


class Table:
    """One table of the file, read key by key. What does not fit is noted and takes its default."""

    def __init__(self, value: object, place: Place, lines: Mapping[Place, int], faults: Faults) -> None:
        self.place = place
        self._lines = lines
        self._faults = faults
        self._asked: set[str] = set()
        self.values: dict[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.fault(f"wants keys, has {describe(value)}")

    def line(self, *more: str | int) -> int:
        """The line of a key of this table, or of what is around it."""
        place = (*self.place, *more)
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def fault(self, text: str, *more: str | int) -> None:
        """Note what is wrong with this table or one of its keys."""
        self._faults.add(self.line(*more), f"{name_of((*self.place, *more))} {text}".strip())

    def fault_at(self, line: int, text: str) -> None:
        """Note what is wrong in this table, at a line of its own."""
        self._faults.add(line, f"{name_of(self.place)}: {text}" if self.place else text)

    def ask(self, key: str) -> None:
        """Say that a key may be there; whoever asks reads it himself."""
        self._asked.add(key)

    def tables(self, key: str) -> dict[str, Table]:
        """The tables inside a table, by name."""
        inner = self.table(key)
        for name in inner.values:
            if not name or not name.isprintable():
                inner.fault(f"has a name that cannot be printed: {name!r}", name)
        return {name: inner.table(name) for name in inner.values}

    def table(self, key: str) -> Table:
        """A table inside; an empty one when it is missing."""
        self._asked.add(key)
        return Table(self.values.get(key, {}), (*self.place, key), self._lines, self._faults)

    def text(self, key: str, default: str | None = "") -> str:
        """A text; without a default the key must be there."""
        value: str = self._get(key, str, "a text", default)
        if not value.isprintable():
            self.fault(f"holds a character that cannot be printed: {value!r}", key)
            return default or ""
        if key in self.values and default is None and not value:
            self.fault("is empty", key)
        return value

    def word(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        """One of the known words."""
        known = list(known)
        value = self.text(key, default)
        if key in self.values and isinstance(self.values[key], str) and value not in known:
            self.fault(f"is {value!r}{nearest(value, known)}", key)
            return known[0] if default is None else default
        return value

    def flag(self, key: str) -> bool:
        value = self._get(key, bool, "true or false", False)
        return bool(value)

    def whole(self, key: str, default: int | None) -> int | None:
        """A whole number above 0."""
        if key not in self.values:
            self._asked.add(key)
            return default
        value = self._get(key, int, "a whole number", default)
        if not isinstance(value, bool) and isinstance(value, int) and value < 1:
            self.fault(f"must be at least 1, is {value}", key)
            return default
        return value  # type: ignore[no-any-return]

    def texts(self, key: str, *, required: bool = False) -> list[tuple[str, int]]:
        """A list of texts, each with its line. The same text twice is noted."""
        self._asked.add(key)
        if key not in self.values:
            if required:
                self._missing(key)
            return []
        value = self.values[key]
        if not isinstance(value, list):
            hint = f'; write ["{value}"]' if isinstance(value, str) else ""
            self.fault(f"wants a list, has {describe(value)}{hint}", key)
            return []
        found: dict[str, int] = {}
        for number, item in enumerate(value):
            if not isinstance(item, str) or not item.strip():
                self.fault(f"wants a text, has {describe(item)}", key, number)
            elif not item.isprintable():
                self.fault(f"holds a character that cannot be printed: {item!r}", key, number)
            elif item in found:
                self.fault(f"{item!r} stands twice in the list", key, number)
            else:
                found[item] = self.line(key, number)
        return list(found.items())

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self.values:
            if key not in self._asked:
                where = f" in {name_of(self.place)}" if self.place else ""
                self._faults.add(self.line(key), f"unknown key {key!r}{where}{nearest(key, self._asked)}")

    def _get(self, key: str, kind: type, wanted: str, default: Any) -> Any:
        self._asked.add(key)
        if key not in self.values:
            if default is None:
                self._missing(key)
                return ""
            return default
        value = self.values[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fault(f"wants {wanted}, has {describe(value)}", key)
            return kind() if default is None else default
        return value

    def _missing(self, key: str) -> None:
        self._faults.add(self.line(), f"{key!r} is missing in {name_of(self.place)}")


def describe(value: object) -> str:
    """A value in an error message."""
    if isinstance(value, dict):
        return "keys"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def name_of(place: Place) -> str:
    """`data.xyz.from[0]`; names that are no bare keys are quoted."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." + (part if _BARE.fullmatch(part) else f'"{part}"')
    return text.removeprefix(".") or "the file"
