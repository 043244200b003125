"""Reading lines that may be damaged: as they should be, else field by field, else the intact JSON objects that were
glued to broken ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

Line = TypeVar("Line")

_BEGIN = re.compile(r'\{\s*"(?:parentUuid|type|timestamp|uuid|sessionId|id)"\s*:')


def lines(raw: bytes, decode: Callable[[bytes], Line], loose: Callable[[Any], Line]) -> Iterator[Line]:
    """The line that `raw` is; of a damaged one, the intact lines that were glued to it.

    `decode` reads a line as its program writes it, `loose` takes from a decoded one the fields of the right type.
    Raises msgspec.DecodeError or UnicodeDecodeError when nothing of it can be read.
    """
    try:
        yield decode(raw)
        return
    except (msgspec.DecodeError, UnicodeDecodeError):  # also a field of a wrong type
        pass
    try:
        yield loose(msgspec.json.decode(raw))
        return
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = error
    found = False
    for value in objects(raw):
        found = True
        yield loose(value)
    if not found:
        raise problem


def objects(line: bytes) -> Iterator[dict[str, Any]]:
    """Whole JSON objects that begin somewhere in `line` the way that a transcript's lines begin.

    Nested objects of an object that was found are not looked into: usage-like text in strings stays text.
    """
    text = line.decode("utf-8", "replace")
    decoder = json.JSONDecoder(strict=False)
    position = 0
    while found := _BEGIN.search(text, position):
        try:
            value, position = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            position = found.start() + 1
            continue
        if isinstance(value, dict):
            yield value
