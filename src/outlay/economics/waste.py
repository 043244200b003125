"""Work that brought nothing new: failed tool calls, files read again, polling, and work after the last change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from outlay.economics.tool_cost import Cost
from outlay.ledger.calls import Call
from outlay.prices.book import PriceBook

READS = frozenset({"Read", "read", "read_file", "read_many_files", "view"})
CHANGES = frozenset(
    {"Edit", "MultiEdit", "Write", "NotebookEdit", "edit", "write", "patch", "apply_patch", "write_file", "replace"}
)
POLLS = 3
"""So often in a row the same command is polling; the first two are not counted."""


class Used(Protocol):
    """A tool call with its result: `outlay.readers.trace.Use` is one."""

    @property
    def session(self) -> str: ...
    @property
    def call(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def failed(self) -> bool: ...


class Waste(msgspec.Struct):
    """One kind of waste."""

    kind: str
    """failed | retried | read_again | polling | after_last_change"""
    count: int = 0
    pico: int | None = 0
    """What it cost: the asking, and reading the results until compaction. None when a price is missing."""
    examples: list[str] = []

    def add(self, cost: int | None, what: str) -> None:
        """One more case."""
        self.count += 1
        self.pico = None if self.pico is None or cost is None else self.pico + cost
        if len(self.examples) < 3 and what not in self.examples:
            self.examples = [*self.examples, what]


def wastes(calls: Iterable[Call], uses: Sequence[Used], costs: Sequence[Cost], book: PriceBook) -> list[Waste]:
    """The kinds of waste that there are, the dearest first. A use counts as one kind: the first that fits."""
    answered = {(call.session, call.key): call for call in calls if call.status == "ok"}
    kinds = {kind: Waste(kind) for kind in ("failed", "retried", "read_again", "polling", "after_last_change")}
    asked = _asking(answered, uses, book)
    for number, kind in _kinds(uses):
        use = uses[number]
        kinds[kind].add(_sum(asked[number], costs[number].pico), f"{use.tool} {use.target}".strip()[:100])
    last = _after_last_change(answered, uses)
    for call in last:
        kinds["after_last_change"].add(book.price(call).cost_pico, f"call {call.key}")
    return sorted((w for w in kinds.values() if w.count), key=lambda w: -(w.pico or 0))


def _kinds(uses: Sequence[Used]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    failed: dict[tuple[str, str, str], bool] = {}
    read: set[tuple[str, str]] = set()
    streak: dict[str, tuple[tuple[str, str], int]] = {}
    for number, use in enumerate(uses):
        same = (use.session, use.tool, use.target)
        before, times = streak.get(use.session, (("", ""), 0))
        times = times + 1 if before == (use.tool, use.target) else 1
        streak[use.session] = ((use.tool, use.target), times)
        if use.failed:
            found.append((number, "failed"))
        elif failed.pop(same, False):
            found.append((number, "retried"))
        elif use.tool in READS and use.target and (use.session, use.target) in read:
            found.append((number, "read_again"))
        elif times >= POLLS:
            found.append((number, "polling"))
        if use.failed:
            failed[same] = True
        elif use.tool in READS:
            read.add((use.session, use.target))
        elif use.tool in CHANGES:
            read = {seen for seen in read if not _about(use.target, seen[1])}
    return found


def _about(changed: str, read: str) -> bool:
    first = read.split(" offset=")[0].split(" limit=")[0]
    return bool(first) and first in changed


def _asking(answered: dict[tuple[str, str], Call], uses: Sequence[Used], book: PriceBook) -> list[int | None]:
    """Every use's share of the output of the call that asked for it, in money."""
    shares: dict[tuple[str, str], int] = {}
    for use in uses:
        shares[(use.session, use.call)] = shares.get((use.session, use.call), 0) + 1
    found: list[int | None] = []
    for use in uses:
        call = answered.get((use.session, use.call))
        if call is None:
            found.append(0)
            continue
        usage = msgspec.structs.replace(
            call.usage, fresh=0, cache_read=0, cache_write_5m=0, cache_write_1h=0, web_searches=0
        )
        whole = book.price(msgspec.structs.replace(call, usage=usage)).cost_pico
        found.append(None if whole is None else whole // shares[(use.session, use.call)])
    return found


def _after_last_change(answered: dict[tuple[str, str], Call], uses: Sequence[Used]) -> list[Call]:
    """Calls after the one that asked for the last change, but for the last call, which says so."""
    changed = [answered.get((use.session, use.call)) for use in uses if use.tool in CHANGES and not use.failed]
    times = [call.ended_ms for call in changed if call is not None]
    if not times:
        return []
    later = sorted((c for c in answered.values() if c.ended_ms > max(times)), key=lambda c: c.ended_ms)
    return later[:-1]


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
