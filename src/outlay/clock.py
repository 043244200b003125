"""The one seam for time, ids and randomness, so that tests are exact."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Real time and random ids. Tests pass a `Clock` of their own with the same three methods."""

    rng: random.Random = field(default_factory=random.SystemRandom)

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that only grow; for durations and timeouts."""
        return time.monotonic()

    def new_id(self) -> str:
        """A fresh id: 8 characters of time (sortable), 8 random ones."""
        return f"{_base32(self.now_ms(), 9)[-8:]}{secrets.token_hex(4)}"

    def jitter(self) -> float:
        """A number in [0, 1) for back-off."""
        return self.rng.random()


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _base32(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
