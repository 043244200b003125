"""When a session's context is handed to a fresh one, as goal files say it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

When = Literal["economic", "threshold", "never"]
"""economic: when going on with it costs more than a fresh one, and when it is nearly full. threshold: when it is nearly
full. never: the session ends when it is full."""


class Handoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a session gets a fresh context."""

    when: Annotated[When, Meta(description="economic, threshold or never.")] = "economic"
    at: Annotated[float, Meta(ge=0.2, le=0.95, description="Share of the window that counts as nearly full.")] = 0.8


Written = Annotated[
    When | Handoff,
    Meta(
        description="When a session's context is cleaned up or handed to a fresh one: `economic` (default; where "
        "that is cheaper, and when it is nearly full), `threshold` (nearly full), `never`."
    ),
]


def settled(written: When | Handoff) -> Handoff:
    """What is written, with its defaults."""
    return written if isinstance(written, Handoff) else Handoff(when=written)
