"""What a script sees and says."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

FAULTS = (
    "rate_limit", "server", "overloaded", "payment", "auth", "bad_request", "overflow", "not_found",
    "stall", "stall_midway", "cut", "short", "reset", "half_json", "error_event", "error_body",
    "malformed_call", "no_usage", "wrong_model", "empty", "empty_body", "html",
)  # fmt: skip
"""Kinds of faults. The first line are error statuses; the second breaks the answer; the last sends a strange one."""


@dataclass(frozen=True)
class Tool:
    """A tool call in an answer. `arguments` as text is sent as it is, malformed or not."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""
    namespace: str = ""
    """Responses API: the group of tools that it belongs to."""


@dataclass(frozen=True)
class Answer:
    """What the model says."""

    text: str = ""
    tools: tuple[Tool, ...] = ()
    reasoning: str = ""
    stop: str = ""
    """`end`, `tools`, `length`, `refusal`; empty: what fits the answer."""
    model: str = ""
    """The model that the answer names; empty: the one asked for."""
    output_tokens: int | None = None
    """None: a quarter of the bytes of text, reasoning and arguments."""
    web_searches: int = 0
    tier: str = ""
    usage: bool = True
    chunks: int = 3
    """Pieces in which each text is streamed."""
    delay_s: float = 0.0
    """Before the first byte."""
    chunk_delay_s: float = 0.0
    """Between the events of the stream."""


@dataclass(frozen=True)
class FaultPlan:
    """How a call goes wrong. Kinds that need an answer (`cut`, `no_usage`, ...) spoil `answer`."""

    kind: str
    answer: Answer = Answer("a fault")
    status: int | None = None
    message: str = ""
    retry_after: str | None = None
    """The header's value: seconds or an HTTP date."""
    hold_s: float = 3600.0
    """How long a stall lasts."""
    after: float = 0.5
    """Part of the stream that is sent before it breaks."""

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(FAULTS)}")


@dataclass(frozen=True)
class Result:
    """A tool result that the model is given."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


@dataclass(frozen=True)
class Entry:
    """One message, whatever the API: its texts, tool calls and tool results."""

    role: str
    texts: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    results: tuple[Result, ...] = ()


@dataclass
class Call:
    """One model call as the script sees it. What is costly to parse is parsed when it is asked for."""

    n: int
    path: str
    wire: str
    model: str
    stream: bool
    turn: int
    """Answers of the model that the conversation already holds."""
    conversation: str
    """A key that stays the same from call to call: the session header, or the hash of system prompt and task."""
    body: bytes
    headers: Mapping[str, str]
    parse: Callable[[slice], list[Entry]]
    read_system: Callable[[], str]
    read_tools: Callable[[], list[dict[str, Any]]]
    since: int
    """Index of the first message after the model's last answer."""
    max_output_tokens: int | None = None

    @cached_property
    def system(self) -> str:
        return self.read_system()

    @cached_property
    def tools(self) -> list[dict[str, Any]]:
        """Tools on offer: name, description, schema."""
        return self.read_tools()

    @cached_property
    def messages(self) -> list[Entry]:
        return self.parse(slice(None))

    @cached_property
    def task(self) -> str:
        """The text of the first message."""
        return "\n\n".join(text for entry in self.parse(slice(0, 1)) for text in entry.texts)

    @cached_property
    def news(self) -> list[Entry]:
        """Messages since the model's last answer."""
        return self.parse(slice(self.since, None))

    @property
    def last(self) -> str:
        """Texts since the model's last answer."""
        return "\n\n".join(text for entry in self.news for text in entry.texts)

    @property
    def results(self) -> list[Result]:
        """Tool results since the model's last answer."""
        return [result for entry in self.news for result in entry.results]


Said = Answer | FaultPlan
Script = Callable[[Call], Said | Awaitable[Said]]


def in_turn(answers: Sequence[Said]) -> Callable[[Call], Said]:
    """A script that gives `answers[turn]`; a turn past their end is a failed test."""

    def script(call: Call) -> Said:
        if call.turn >= len(answers):
            return FaultPlan("bad_request", message=f"the script has no turn {call.turn}")
        return answers[call.turn]

    return script


def with_faults(script: Script, rate: float, kinds: Sequence[str], seed: int = 0, **plan: Any) -> Script:
    """`script` with a fault of `kinds` in about `rate` of the calls, the same ones for the same seed and order."""

    async def faulty(call: Call) -> Said:
        said = script(call)
        said = await said if isinstance(said, Awaitable) else said
        rng = random.Random(f"{seed}:{call.n}")
        if isinstance(said, FaultPlan) or rng.random() >= rate:
            return said
        return replace(FaultPlan(rng.choice(list(kinds)), answer=said), **plan)

    return faulty
