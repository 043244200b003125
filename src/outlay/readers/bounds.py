"""What a file may say, so that no file can break the reading of the others: counters, costs, texts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from outlay.money import pico

MOST_TOKENS = 1 << 40
"""More than that is no counter of a call (nor of a thread): the call is left out and reported."""
NO_TIME = "a call without a time counts at that of the call before it, or of its file; others in the file may too"
BEYOND = "counters that no call can have; the call is left out"
_MOST_USD = 1_000_000


def counter(value: Any) -> int:
    """A counter as an agent writes it: 0 where it is null, negative or no number; just above MOST_TOKENS where it is
    larger than that, infinity included."""
    if value.__class__ is bool or not isinstance(value, int | float) or not value > 0:
        return 0
    return int(min(value, MOST_TOKENS + 1))


def cost_pico(value: Any) -> int | None:
    """A cost in USD as an agent writes it, in picodollars; None where it is none, 0 or beyond belief."""
    if value.__class__ is bool or not isinstance(value, int | float) or not 0 < value <= _MOST_USD:
        return None
    return pico(Decimal(str(value)).quantize(Decimal("1e-12")))


def text(value: str) -> str:
    """A text that can be stored: halves of surrogate pairs become question marks."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def encoded(value: Any) -> bytes:
    """What is kept of a file, as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_cleaned(msgspec.to_builtins(value)))


def _cleaned(value: Any) -> Any:
    """Builtin values with every text in them as it can be stored."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(inner) for key, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, list | tuple) else value


def storable(struct: Any) -> Any:
    """A struct with every text in it as it can be stored: itself, nearly always."""
    odd = {name: value for name, value in msgspec.structs.asdict(struct).items() if _is_odd(value)}
    return msgspec.structs.replace(struct, **_cleaned(odd)) if odd else struct


def _is_odd(value: Any) -> bool:
    return isinstance(value, str) and not value.isascii()
