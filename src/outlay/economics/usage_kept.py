"""Answers that were given before, kept until a call or a price changes.

The name of an answer is a hash of the whole query, prices and days included, and of the state of the calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from outlay.ledger import Ledger

MOST = 64
"""Answers kept; the oldest go first."""

Rows = list[tuple[Any, ...]]


def state(ledger: Ledger) -> str:
    """Changes whenever a call is added or changed."""
    row = ledger.reader.execute(
        "SELECT (SELECT max(id) FROM call_facts), (SELECT changes FROM calls_state), (SELECT max(id) FROM callers)"
    ).fetchone()
    return ":".join(map(str, row))


def kept(ledger: Ledger, run: Callable[[str, list[Any]], Rows]) -> Callable[[str, list[Any]], Rows]:
    """`run`, which answers at once what it was asked before. Without a folder to write to it always runs."""
    folder = ledger.path.with_name(ledger.path.name + ".answers")
    now = state(ledger)

    def asked(query: str, parameters: list[Any]) -> Rows:
        name = hashlib.sha256(msgspec.json.encode([now, query, parameters])).hexdigest()[:32]
        path = folder / name
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=list[tuple[Any, ...]])
        except (OSError, msgspec.DecodeError):
            rows = run(query, parameters)
            _keep(folder, path, rows)
            return rows

    return asked


def _keep(folder: Path, path: Path, rows: Rows) -> None:
    part = path.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        part.write_bytes(msgspec.msgpack.encode(rows))
        part.replace(path)
        old = sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)
        for other in old[:-MOST]:
            other.unlink(missing_ok=True)
    except (OSError, OverflowError):  # a number beyond 64 bits, a read-only folder: the answer is computed again
        part.unlink(missing_ok=True)
