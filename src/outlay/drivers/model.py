"""A model of a goal that is another agent."""

from __future__ import annotations

import msgspec

from outlay.drivers.installed import Program
from outlay.drivers.types import Agent
from outlay.gateway.endpoint import Endpoint

SILENCE_S = 900.0
"""No sign of life for so long, no call and no tool of ours under way: an agent hangs. A command in it may run for ten
minutes."""


class DrivenModel(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent, with which model, and where its calls go."""

    agent: Agent
    model: str
    """What the agent is asked to use, as its provider names it."""
    endpoint: Endpoint
    """Where its calls go; its model is `*` where each is passed on as asked."""
    key: str | None
    program: Program
    silence_s: float = SILENCE_S
