"""Reads YAML into msgspec Structs and names the line of everything that is wrong, all of it at once.

The wanted type decides what a scalar means, not YAML 1.1's guesses: `no` is a text where a text is wanted, `1e3` a
number where a number is, and `1:30` never ninety.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from outlay.errors import InputError, OutlayError
from outlay.money import pico

T = TypeVar("T")
Place = tuple[str | int, ...]
"""Where in the document: keys and list positions from the top."""


class Problems:
    """What is wrong in a set of files, by line."""

    def __init__(self) -> None:
        self._found: list[tuple[str, int, str]] = []

    def add(self, file: str, line: int, text: str) -> None:
        if (file, line, text) not in self._found:
            self._found.append((file, line, text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self, place: Callable[[str, int], str] = "{}:{}".format) -> None:
        """Raises InputError with one line for each problem, in the order of the files' lines. place: how a line of a
        file is named."""
        if self._found:
            raise InputError("\n".join(f"{place(file, line)}: {text}" for file, line, text in sorted(self._found)))


class Parts(msgspec.Struct, frozen=True):
    """A Markdown file with front matter, taken apart."""

    front: str
    """The YAML between the fences."""
    front_line: int
    """Line of the file on which it begins."""
    body: str
    body_line: int


def decode(data: bytes, file: str) -> str:
    """The text of a file, line ends as `\\n`. Raises InputError that names the line if it is not UTF-8."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{file}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split(text: str, file: str) -> Parts:
    """Front matter and body. Raises InputError when there is no front matter or it has no end."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        raise InputError(
            f"{file}:1: no front matter: the first line must be `---`; `outlay goal new` writes a template"
        )
    end = next((n for n, line in enumerate(lines) if n and line.rstrip() == "---"), None)
    if end is None:
        raise InputError(f"{file}:1: the front matter has no end: a line `---` is missing after it")
    return Parts("\n".join(lines[1:end]), 2, "\n".join(lines[end + 1 :]).strip(), end + 2)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or the list of what is known."""
    known = sorted(known)
    if close := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


class Document:
    """One YAML document and the lines of its parts."""

    def __init__(self, text: str, file: str, first_line: int, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self._first_line = first_line
        self._lines: dict[Place, int] = {(): first_line}
        self.keys: dict[Place, list[str]] = {}
        """Keys of every mapping, those with faulty values too."""
        self._kept: dict[Place, list[int]] = {}
        self.root = self._compose(text)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def problem(self, place: Place, text: str) -> None:
        """Note what is wrong at a place."""
        self.problems.add(self.file, self.line(place), text)

    def items(self, place: Place, values: Iterable[T]) -> Iterator[tuple[Place, T]]:
        """The places of a list's values, faulty ones left out."""
        for n, value in zip(self._kept.get(place, ()), values, strict=False):
            yield (*place, n), value

    def read(self, wanted: type, place: Place = ()) -> Any:
        """The document as `wanted`; faulty parts take their defaults (and None if that is impossible)."""
        if self.root is None or _is_null(self.root):
            return self._struct_defaults(inspect.type_info(wanted), place)
        value = self._read(self.root, inspect.type_info(wanted), place)
        return None if value is _FAILED else value

    def _struct_defaults(self, info: inspect.Type, place: Place) -> Any:
        if not isinstance(info, inspect.StructType) or any(f.required for f in info.fields):
            self.problem(place, "nothing is written here")
            return None
        return info.cls()

    def _compose(self, text: str) -> yaml.Node | None:
        for number, line in enumerate(text.split("\n")):
            if re.match(r"[ ]*\t[ \t]*[^ \t#]", line):
                self.problems.add(self.file, self._first_line + number, "indented with a tab; YAML wants spaces")
                return None
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = (error.problem or error.context or "cannot be read").replace("'<stream end>'", "the end")
            place = self._first_line + (mark.line if mark else 0)
            self.problems.add(self.file, place, f"not YAML: {what}{_quote_hint(what)}")
        except yaml.reader.ReaderError as error:
            place = self._first_line + text[: error.position].count("\n")
            self.problems.add(self.file, place, f"a character that YAML forbids: {error.character!r}")
        except RecursionError:
            self.problems.add(self.file, self._first_line, "not YAML: nested too deeply")
        return None

    # ---- one value

    def _read(self, node: yaml.Node, wanted: inspect.Type, place: Place) -> Any:
        self._lines.setdefault(place, self._first_line + node.start_mark.line)
        unit = ""
        while isinstance(wanted, inspect.Metadata):
            unit = unit or (wanted.extra or {}).get("unit", "")
            wanted = wanted.type
        if isinstance(wanted, inspect.UnionType):
            return self._union(node, wanted, place)
        if isinstance(wanted, inspect.StructType):
            return self._struct(node, wanted, place)
        if isinstance(wanted, inspect.DictType):
            return self._dict(node, wanted, place)
        if isinstance(wanted, inspect.ListType | inspect.VarTupleType):
            return self._list(node, wanted, place)
        return self._scalar(node, wanted, unit, place)

    def _union(self, node: yaml.Node, union: inspect.UnionType, place: Place) -> Any:
        kinds: dict[str, inspect.Type] = {}
        for option in union.types:
            bare: inspect.Type = option
            while isinstance(bare, inspect.Metadata):
                bare = bare.type
            if not isinstance(bare, inspect.NoneType):
                kinds.setdefault(_kind(bare), option)
        kind = {"ScalarNode": "text", "SequenceNode": "list", "MappingNode": "keys"}[type(node).__name__]
        if kind not in kinds:
            if len(kinds) == 1:
                return self._read(node, next(iter(kinds.values())), place)
            return self._fail(place, f"wants a {' or '.join(kinds)}, has {_describe(node)}")
        return self._read(node, kinds[kind], place)

    def _pairs(self, node: yaml.Node, place: Place, wanted: str) -> dict[str, yaml.Node] | None:
        """Keys and values of a mapping; duplicates and keys that are no text are noted."""
        if not isinstance(node, yaml.MappingNode):
            self._fail(place, f"wants keys{wanted}, has {_describe(node)}")
            return None
        pairs: dict[str, yaml.Node] = {}
        for key, value in node.value:
            line = self._first_line + key.start_mark.line
            if not isinstance(key, yaml.ScalarNode):
                self.problems.add(self.file, line, f"a key of {_name(place)} is {_describe(key)}")
            elif key.value in pairs:
                self.problems.add(self.file, line, f"{key.value!r} stands twice in {_name(place)}")
            else:
                self._lines[(*place, key.value)] = line
                pairs[key.value] = value
        self.keys[place] = list(pairs)
        return pairs

    def _struct(self, node: yaml.Node, wanted: inspect.StructType, place: Place) -> Any:
        fields = {f.encode_name: f for f in wanted.fields}
        pairs = self._pairs(node, place, f" ({', '.join(fields)})")
        if pairs is None:
            return _FAILED
        values: dict[str, Any] = {}
        failed = False
        for key, value in pairs.items():
            if key not in fields:
                self.problem((*place, key), f"unknown key {key!r} in {_name(place)}{nearest(key, fields)}")
            elif not (_is_null(value) and not fields[key].required):
                read = self._read(value, fields[key].type, (*place, key))
                if read is not _FAILED:
                    values[fields[key].name] = read
                failed = failed or (read is _FAILED and fields[key].required)
        for key, field in fields.items():
            if field.required and key not in pairs:
                self.problem(place, f"{key!r} is missing in {_name(place)}")
                failed = True
        return _FAILED if failed else wanted.cls(**values)

    def _dict(self, node: yaml.Node, wanted: inspect.DictType, place: Place) -> Any:
        pairs = self._pairs(node, place, "")
        if pairs is None:
            return _FAILED
        read = {key: self._read(value, wanted.value_type, (*place, key)) for key, value in pairs.items()}
        return {key: value for key, value in read.items() if value is not _FAILED}

    def _list(self, node: yaml.Node, wanted: inspect.ListType | inspect.VarTupleType, place: Place) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            hint = f"; write [{node.value}]" if isinstance(node, yaml.ScalarNode) and len(node.value) < 60 else ""
            return self._fail(place, f"wants a list, has {_describe(node)}{hint}")
        read = [self._read(item, wanted.item_type, (*place, n)) for n, item in enumerate(node.value)]
        self._kept[place] = [n for n, value in enumerate(read) if value is not _FAILED]
        kept = [value for value in read if value is not _FAILED]
        return tuple(kept) if isinstance(wanted, inspect.VarTupleType) else kept

    def _scalar(self, node: yaml.Node, wanted: inspect.Type, unit: str, place: Place) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._fail(place, f"wants {_WANTED[unit or _type_name(wanted)]}, has {_describe(node)}")
        if _is_null(node):
            return self._fail(place, "is empty")
        text, quoted = node.value, node.style is not None
        if isinstance(wanted, inspect.StrType):
            bad = next((c for c in text if c < " " and c not in "\n\t"), None)
            return text if bad is None else self._fail(place, f"holds the character {bad!r}, which has no place in it")
        if isinstance(wanted, inspect.LiteralType):
            if text in wanted.values:
                return text
            return self._fail(place, f"is {text!r}{nearest(text, [str(v) for v in wanted.values if v])}")
        value = _UNITS[unit](text) if unit else None if quoted else _number(text)
        if isinstance(wanted, inspect.IntType) and not unit and value is not None:
            value = int(value) if value == int(value) else None
        if value is None:
            hint = " (write it without quotes)" if quoted and not unit and _number(text) is not None else ""
            return self._fail(place, f"wants {_WANTED[unit or _type_name(wanted)]}, has {text!r}{hint}")
        if unit in ("duration", "tokens") and value == 0:
            return self._fail(place, "must be more than 0")
        least = getattr(wanted, "ge", None)
        if value < (least if least is not None else 0) and (unit or least is not None):
            return self._fail(place, f"must be at least {least or 0}, is {text}")
        most = getattr(wanted, "le", None)
        if most is not None and value > most:
            return self._fail(place, f"must be at most {most}, is {text}")
        return value

    def _fail(self, place: Place, text: str) -> Any:
        self.problem(place, f"{_name(place)} {text}")
        return _FAILED


_FAILED = object()
_WANTED = {
    "duration": "a duration such as 90, 60s, 5m or 2h",
    "tokens": "a number of tokens such as 200000 or 200k",
    "usd": "an amount in USD such as 2 or 0.50",
    "IntType": "a whole number",
    "FloatType": "a number",
    "StrType": "a text",
    "LiteralType": "a word",
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DECIMAL = r"\d+(?:\.\d+)?"


def seconds(text: str) -> float | None:
    """Seconds of `90`, `1.5h`, `1h30m`; None when it is no duration."""
    text = text.strip().lower()
    if re.fullmatch(_DECIMAL, text):
        return float(text)
    if not re.fullmatch(rf"(?:{_DECIMAL}[smhd])+", text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(rf"({_DECIMAL})([smhd])", text))


def tokens(text: str) -> int | None:
    """Tokens of `200000`, `200_000`, `200k`, `1.5M`; None when it is no such number."""
    match = re.fullmatch(rf"({_DECIMAL})([kKmM]?)", text.strip().replace("_", ""))
    if not match:
        value = _number(text)
    else:
        value = float(match[1]) * {"": 1, "k": 1000, "m": 1_000_000}[match[2].lower()]
    return int(value) if value is not None and value == int(value) else None


def _usd(text: str) -> int | None:
    if _number(text) is None:
        return None
    try:
        return pico(text.replace("_", ""))
    except OutlayError:
        return None


_UNITS = {"duration": seconds, "tokens": tokens, "usd": _usd}


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", text):
        return None
    value = float(text.replace("_", ""))
    return value if abs(value) < 1e18 else None


def _kind(wanted: inspect.Type) -> str:
    if isinstance(wanted, inspect.StructType | inspect.DictType):
        return "keys"
    return "list" if isinstance(wanted, inspect.ListType | inspect.VarTupleType) else "text"


def _type_name(wanted: inspect.Type) -> str:
    return type(wanted).__name__


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null", "Null", "NULL")


def _describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _is_null(node) else repr(node.value if len(node.value) < 60 else node.value[:57] + "...")
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys"


def _name(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.lstrip(".") or "the front matter"


def _quote_hint(text: str) -> str:
    return "; put a text that holds `: ` in quotes" if "mapping values are not allowed" in text else ""
