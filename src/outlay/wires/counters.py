"""Reading counters out of usage objects: a null, negative or missing counter is 0, and the call stays."""

from __future__ import annotations

import msgspec

NOTHING = msgspec.Raw()
"""The default of raw fields."""


def present(raw: msgspec.Raw) -> bool:
    """Whether a raw field was there and is not null."""
    return raw is not NOTHING and len(memoryview(raw)) > 0 and bytes(raw) != b"null"


def counters(raw: bytes | msgspec.Raw | None) -> dict[str, object] | None:
    """The usage object, or None when there is none."""
    if raw is None:
        return None
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def number(source: object, *path: str) -> int:
    """The counter at `path` of nested objects."""
    for name in path:
        if not isinstance(source, dict):
            return 0
        source = source.get(name)
    if isinstance(source, bool) or not isinstance(source, int | float) or not 0 < source < 1e18:
        return 0
    return int(source)


def text_of(raw: bytes | msgspec.Raw | None) -> str | None:
    """A JSON value as text, for keeping."""
    return None if raw is None else bytes(raw).decode("utf-8", "replace")
