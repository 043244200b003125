"""Calls in pages, each with its price: what every figure of the window leads to."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

import msgspec

from outlay.economics.spend import CLASSES, Spend, spend_of
from outlay.ledger import Call, Ledger
from outlay.money import usd
from outlay.prices.book import PriceBook

FILTERS = {
    "run": "run = ?",
    "root": "root = ? AND source <> 'outlay'",
    "session": "session = ?",
    "model": "coalesce(answered_model, model) = ?",
    "role": "coalesce(nullif(role, ''), nullif(agent, ''), 'main') = ?",
    "tool": "instr(',' || tools || ',', ',' || ? || ',') > 0",
    "status": "status = ?",
}
"""Name of a filter -> its SQL condition over `calls`."""


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """One call with what it cost."""

    call: Call
    spend: Spend


class CallPage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of calls, in order of completion."""

    lines: list[CallLine]
    start: int
    """Place of the first of them."""
    total: int
    """Calls that fit the filter."""
    book: str
    """Id of the price book."""


def condition(asked: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The SQL condition and its values for the filters among what was asked."""
    chosen = {name: asked[name] for name in FILTERS if asked.get(name)}
    return " AND ".join(FILTERS[name] for name in chosen) or "1", tuple(chosen.values())


def call_page(ledger: Ledger, book: PriceBook, asked: Mapping[str, str], start: int, most: int) -> CallPage:
    """Calls that fit the filters, from place `start` on."""
    where, values = condition(asked)
    total = ledger.reader.execute(f"SELECT count(*) FROM calls WHERE {where}", values).fetchone()[0]
    keys = f"SELECT key FROM calls WHERE {where} ORDER BY ended_ms, key LIMIT ? OFFSET ?"
    found = ledger.calls(f"key IN ({keys}) AND {where}", (*values, most, start, *values))
    lines = [CallLine(call=call, spend=spend_of(call, book)) for call in found]
    return CallPage(lines=lines, start=start, total=total, book=book.id)


_COLUMNS = ("key", "source", "session", "role", "model", "provider", "status", "quality", "started_ms", "ended_ms",
            *CLASSES, "tools", "cost_usd")  # fmt: skip


def calls_csv(ledger: Ledger, book: PriceBook, asked: Mapping[str, str]) -> str:
    """All calls that fit the filters. An unknown cost is empty."""
    where, values = condition(asked)
    return _csv(_COLUMNS, (_row(call, book) for call in ledger.calls(where, values)))


def _row(call: Call, book: PriceBook) -> list[object]:
    cost = spend_of(call, book).cost_pico
    return [
        call.key, call.source, call.session, call.role, call.answered_model or call.model, call.provider, call.status,
        call.quality, call.started_ms, call.ended_ms, *(getattr(call.usage, name) for name in CLASSES), call.tools,
        "" if cost is None else f"{usd(cost):f}",
    ]  # fmt: skip


def _csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return out.getvalue()


def _plain(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: names of models and tools are somebody else's."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
