"""What every way to pay gives for a trace at a scale."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from outlay.prices.trace import Trace

Mask = NDArray[np.bool_]


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """One way to pay under one trace. Money in exact picodollars (a fraction where a rate divides)."""

    listed: Fraction
    """ListCost: the served calls at list price."""
    contracted: Fraction
    """ContractedCost: the served calls at the negotiated unit price; without one, what was billed."""
    billed: Fraction
    """BilledCost: cash that leaves for the periods the trace touches."""
    effective: Fraction
    """EffectiveCost: the share of it that belongs to the time between the first and the last call."""
    marginal: Fraction | None
    """What one more call like the last one, at its time, would add to BilledCost. None: it is not served."""
    served: Mask
    """Which calls were served."""
    blocked: int = 0
    """Calls that this way refused (dropped, or left to the next part of a mix)."""
    overage: int = 0
    """Calls beyond what the fee includes, paid for one by one."""
    delayed: int = 0
    delay_ms: int = 0
    """Calls that waited, and how long together."""
    next_delay_ms: int = 0
    """How long one more call would wait."""
    lines: tuple[tuple[str, str], ...] = ()
    """The arithmetic, line by line: what, and how much."""


class Way(Protocol):
    """A way to pay, ready to be asked about traces."""

    @property
    def id(self) -> str:
        """Its name in tables."""

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        """The bill for the offered calls with every counter multiplied by `scale`."""

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        """Scales at which the cost is known to jump or bend, for finding every crossing (may be incomplete)."""


def last_index(mask: Mask) -> int | None:
    """Where the last True stands; None when there is none."""
    if len(mask) and mask[-1]:
        return len(mask) - 1
    found = len(mask) - 1 - int(mask[::-1].argmax()) if len(mask) else -1
    return found if found >= 0 and mask[found] else None


def count(mask: Mask) -> int:
    """How many are True."""
    return int(np.count_nonzero(mask))


def masked_sum(column: NDArray[np.int64], mask: Mask) -> int:
    """Exact sum of the masked part of a column whose whole sum fits 64 bits (a Trace sees to that)."""
    return int(np.sum(column, where=mask, dtype=np.int64))
