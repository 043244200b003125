"""Where the samples with their truth lie, and short ways to read a home into a ledger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlay.ledger import Call, Ledger
from outlay.readers import places
from outlay.readers.update import Outcome, update

SHARED = Path(os.environ.get("OUTLAY_SHARED") or Path(__file__).parents[3] / "shared")
needs_samples = pytest.mark.skipif(not (SHARED / "samples").is_dir(), reason="no samples: set OUTLAY_SHARED")


def sample(name: str) -> Path:
    """The folder of one sample."""
    return SHARED / "samples" / name


def read_home(ledger: Ledger, *homes: Path) -> Outcome:
    """Bring the ledger up to date with the tools in some home folders."""
    return update(ledger, [place for folder in homes for place in places.of_home(folder)])


def calls_of(ledger: Ledger) -> list[Call]:
    """All calls but what sources say of their own cost."""
    return [call for call in ledger.calls() if call.quality != "reported"]


def counters(call: Call) -> tuple[int, int, int, int]:
    """Fresh, cache reads, cache writes, output."""
    u = call.usage
    return u.fresh, u.cache_read, u.cache_write_5m + u.cache_write_1h, u.output
