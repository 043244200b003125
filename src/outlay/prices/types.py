"""What pricing a call gives: an exact cost with its source, or the reason why there is none."""

from __future__ import annotations

import msgspec


class Priced(msgspec.Struct, frozen=True):
    """The price of one call."""

    cost_pico: int | None
    """Picodollars; None when it is unknown. Never 0 for want of a price."""
    book: str
    """Hash of the price book that was asked."""
    row: str | None
    """Id of the price row that matched; None when none did."""
    why_unknown: str = ""
