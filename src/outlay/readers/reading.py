"""What reading one file gives, and where the next reading of it begins."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from outlay.ledger.calls import Caller, Service

CHUNK_BYTES = 192 << 10
_SEAL_BYTES = 256


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """Something that could not be read. The rest of the file was."""

    place: str
    """Byte of the file, or the id of what was broken."""
    what: str


class Draft(msgspec.Struct, gc=False):
    """A call as one file shows it. Counters are those of `outlay.tokens.Usage`, or floats where the file has such.
    (`update` counts on this order.)"""

    key: str
    caller: Caller
    service: Service
    ended_ms: int
    fresh: int | float
    cache_read: int | float
    cache_write_5m: int | float
    cache_write_1h: int | float
    output: int | float
    reasoning: int
    web_searches: int
    exact: bool
    offset: int
    rank: int
    tools: list[str]
    recorded_cost_pico: int | None = None


class Name(msgspec.Struct, frozen=True):
    """What a session is called, and how it ended where somebody noted it."""

    session: str
    name: str
    status: str = ""


class Mark(msgspec.Struct, frozen=True):
    """How far a file was read: a row of `readings` without its path."""

    size: int
    mtime_ns: int
    offset: int
    seal: int
    carry: bytes | None


class Result(msgspec.Struct):
    """What one file held from the mark on."""

    calls: list[Draft]
    mark: Mark
    problems: list[Problem] = []
    names: list[Name] = []
    whole: bool = True
    """The file was read from its beginning."""
    retracted: list[str] = []
    """Keys under which it may have been written down what another call of this result is."""


class Source(msgspec.Struct, frozen=True):
    """One file (or database, or folder that is read as one) of another agent."""

    tool: str
    """claude | codex | gemini | opencode"""
    path: Path
    size: int
    mtime_ns: int
    machine: str = ""


def seal(path: Path | str, offset: int) -> int:
    """CRC-32 of the last bytes before `offset`: tells a grown file from a rewritten one."""
    if offset == 0:
        return 0
    begin = max(0, offset - _SEAL_BYTES)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return zlib.crc32(os.pread(descriptor, offset - begin, begin))
    finally:
        os.close(descriptor)


def resumes(source: Source, mark: Mark | None) -> bool:
    """Whether reading may go on at the mark: the file only grew since."""
    if mark is None or mark.offset == 0 or source.size < mark.offset:
        return False
    return seal(source.path, mark.offset) == mark.seal


def chunks(path: Path | str, start: int, buffer: bytearray | None = None) -> Iterator[tuple[int, bytearray, int, bool]]:
    """Pieces of a file: (offset, buffer, length, True), where the first `length` bytes of the buffer are whole lines.
    What follows the last line feed comes last, with False. `buffer` is used for piece after piece and file after
    file, because new memory costs more than reading into it; it grows, and stays grown, where a line is longer.
    """
    if buffer is None:
        buffer = bytearray(CHUNK_BYTES)
    descriptor = os.open(path, os.O_RDONLY)
    view = memoryview(buffer)
    try:
        if start:
            os.lseek(descriptor, start, os.SEEK_SET)
        kept = 0
        while got := os.readv(descriptor, [view[kept : kept + CHUNK_BYTES]]):
            filled = kept + got
            cut = buffer.rfind(b"\n", kept, filled) + 1
            if cut == 0:
                kept = filled
                if filled == len(buffer):
                    view.release()
                    buffer.extend(bytes(len(buffer)))
                    view = memoryview(buffer)
                continue
            yield start, buffer, cut, True
            start += cut
            kept = filled - cut
            view[:kept] = view[cut:filled]
        if kept:
            yield start, buffer, kept, False
    finally:
        view.release()
        os.close(descriptor)
