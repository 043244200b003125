"""What is told of an agent: its state, what it uses, what it costs, and its answer."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["queued", "running", "waiting", "done", "failed", "cancelled", "timed_out", "stopped", "lost"]
LIVE: frozenset[str] = frozenset({"queued", "running", "waiting"})
EXIT_CODES: dict[str, int] = {"done": 0, "failed": 1, "lost": 1, "timed_out": 3, "stopped": 3, "cancelled": 4}
"""What a command exits with that tells of an agent which has ended; 5 when it has not."""
NOT_ENDED = 5


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, or a subagent that it started itself. Times are milliseconds since the epoch, money picodollars."""

    name: str
    status: State
    role: str
    model: str
    """As it was asked for: `provider:model[@base_url]`; of a child the name of its model in the team."""
    run: str
    folder: str
    pid: int | None = None
    """The process that works on it now."""
    started_ms: int
    ended_ms: int | None = None
    runtime_ms: int = 0
    """Time in which it was worked on: queues, pauses between its ends and resumptions, and crashes left out."""
    resumed: int = 0
    """How often it was set to work again by `resume`."""
    turns: int = 0
    dialog_tokens: int = 0
    """Size of its conversation at its last answer."""
    window_tokens: int | None = None
    full_percent: float | None = None
    """How full its context window is."""
    net_tokens: int = 0
    """Fresh input, cache writes and output, its children's included."""
    gross_tokens: int = 0
    """Net and cache reads, its children's included."""
    cost_pico: int | None = None
    """Cost with its children's; None when some of it is not known (a model without a price)."""
    cost_usd: float | None = None
    """The same in USD."""
    known_cost_pico: int = 0
    """What is known of it: the same, or a lower bound."""
    own_cost_pico: int | None = None
    """Cost without its children's."""
    question: str | None = None
    """What it asks, while it waits for `send`."""
    doing: str = ""
    reason: str = ""
    """Why it ended as it did."""
    changed_files: int | None = None
    """Files that it changed in its clone; None: it has not ended, or only reads."""
    delivered: bool = False
    """Whether these changes were brought into its folder."""
    children: tuple[Agent, ...] = ()

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.status, NOT_ENDED)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an agent. Silence has a reason: `ended` false, or a status other than `done`."""

    name: str
    status: State
    ended: bool
    answer: str | None
    """What it found or did; None when it gave no answer."""
    reason: str
    """Why there is no answer, or why it is not whole."""
    cost_pico: int | None
    cost_usd: float | None
    turns: int
    changed_files: int | None = None
    take_with: str | None = None
    """The command that brings its changes into the folder; None when there are none to bring."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a dialog that fits a pattern."""

    name: str
    at_ms: int
    index: int
    """Place in the dialog."""
    kind: str
    """`task`, `instructions`, `answer` and the like: said to it; `model`, `tool_call`, `tool_result`."""
    snippet: str


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """What a wait ended with."""

    wait: Literal["all", "any", "question", "timeout"]
    """`all` or `any` have ended, one has a `question`, or none of that before the `timeout`."""
    agents: tuple[Agent, ...]
    pending: tuple[str, ...]
    """Names of those that have not ended."""
