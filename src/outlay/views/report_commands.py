"""The part of a report that says what commands used of the machine: tools' and checks', as their events say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from outlay.ledger import Event
from outlay.views.tables import Table, left, right
from outlay.views.wording import DASH, duration, size


class CommandLine(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands of one tool or one check used together."""

    name: str
    is_check: bool
    commands: int
    cpu_ms: int
    memory_peak_bytes: int | None
    """The most that any one of them had at a time; None when it was not measured."""
    written_bytes: int | None
    """Written to files on disk; None when it was not measured."""


def command_lines(events: Iterable[Event]) -> list[CommandLine]:
    """A line for each tool and each check that ran commands, those with the most CPU time first."""
    found: dict[tuple[bool, str], list[dict[str, int | None]]] = {}
    for event in events:
        if event.type in ("tool.result", "check.finished") and event.head.get("cpu_ms") is not None:
            found.setdefault((event.type == "check.finished", event.head["name"]), []).append(event.head)
    lines = [
        CommandLine(
            name=name,
            is_check=is_check,
            commands=len(heads),
            cpu_ms=sum(head["cpu_ms"] or 0 for head in heads),
            memory_peak_bytes=max(_known(heads, "memory_peak_bytes"), default=None),
            written_bytes=sum(known) if (known := _known(heads, "written_bytes")) else None,
        )
        for (is_check, name), heads in found.items()
    ]
    return sorted(lines, key=lambda line: (line.is_check, -line.cpu_ms, line.name))


def _known(heads: Sequence[dict[str, int | None]], name: str) -> list[int]:
    return [value for head in heads if (value := head.get(name)) is not None]


def commands(lines: Sequence[CommandLine]) -> Table:
    """As a table; its sum is what the run used, without Outlay itself."""
    rows = [
        (
            f"check {line.name}" if line.is_check else line.name, f"{line.commands:,}", duration(line.cpu_ms),
            DASH if line.memory_peak_bytes is None else size(line.memory_peak_bytes),
            DASH if line.written_bytes is None else size(line.written_bytes),
        )
        for line in lines
    ]  # fmt: skip
    columns = (left("COMMANDS OF", flexible=True), right("RUNS"), right("CPU"), right("MEMORY PEAK"), right("WRITTEN"))
    return Table("What commands used", columns, tuple(rows))
