"""Where a usage trace comes from: a run, the ledger since a time, or a file of calls."""

from __future__ import annotations

import re
from pathlib import Path

from outlay import home
from outlay.clock import Clock
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.prices.own import instant
from outlay.prices.trace import Trace, from_calls, read_jsonl
from outlay.runs.lookup import find_run

_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def when(text: str | None, now_ms: int, flag: str) -> int | None:
    """Milliseconds UTC of `2026-01-31`, `2026-01-31T12:00`, or `30d` (so long ago)."""
    if text is None:
        return None
    if found := re.fullmatch(r"(\d+)([mhdw])", text):
        return now_ms - int(found[1]) * _UNITS[found[2]]
    return instant(text, flag)


def load_trace(book: PriceBook, trace: str | None, since: str | None, until: str | None, source: str | None) -> Trace:
    """The trace that the flags name. Raises InputError when they name none or nothing is there."""
    if trace is not None and (trace.endswith(".jsonl") or Path(trace).is_file()):
        if since or until or source:
            raise InputError("--since, --until and --source choose calls of the ledger; a file is taken whole")
        return read_jsonl(Path(trace), book)
    path = home.home() / "ledger.db"
    if not path.exists():
        raise InputError(
            "the ledger is empty: name a file of calls with --trace FILE.jsonl, or run `outlay usage` first"
        )
    now = Clock().now_ms()
    where: list[str] = ["1"]
    values: list[object] = []
    for flag, text, comparison in (("--since", since, ">="), ("--until", until, "<")):
        if (at := when(text, now, flag)) is not None:
            where.append(f"ended_ms {comparison} ?")
            values.append(at)
    if source:
        where.append("source = ?")
        values.append(source)
    with Ledger(path) as ledger:
        if trace is not None:
            where.append("run = ?")
            values.append(find_run(ledger, trace))
        calls = list(ledger.calls(" AND ".join(where), tuple(values)))
        ended = ledger.rows("SELECT id, outcome FROM runs WHERE outcome IS NOT NULL")
    made = {call.run for call in calls}
    outcomes = {row["id"]: row["outcome"] == "succeeded" for row in ended if row["id"] in made}
    return from_calls(calls, book, outcomes)
