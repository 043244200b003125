"""Anchors: the place and hash of an event, written down outside the ledger."""

from __future__ import annotations

import re
from pathlib import Path

from outlay.errors import InputError
from outlay.ledger import Ledger


def read_anchors(path: Path) -> dict[int, str]:
    """Lines `SEQ HASH`; empty lines and those that begin with # are skipped. Raises InputError with the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"cannot read the anchors {path}: {reason}") from None
    anchors: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"\s*(\d+)\s+([0-9a-f]{64})\s*", line)
        if match is None:
            raise InputError(f"{path}:{number}: not `SEQ HASH` as `outlay ledger anchor` prints it")
        if anchors.setdefault(int(match[1]), match[2]) != match[2]:
            raise InputError(f"{path}:{number}: a second, different hash for event {match[1]}")
    return anchors


def last_anchor(ledger: Ledger) -> str:
    """`SEQ HASH` of the last event. Raises InputError when the ledger has no events."""
    row = ledger.reader.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        raise InputError("the ledger has no events yet")
    return f"{row[0]} {row[1].hex()}"
