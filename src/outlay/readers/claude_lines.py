"""Lines of Claude Code's transcripts, as far as they say what a call cost and whose it was (1.0 to 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from outlay.readers import bounds, salvage

Count = int | float | None


class CacheCreation(msgspec.Struct, gc=False):
    """Cache writes by how long they live."""

    ephemeral_5m_input_tokens: Count = 0
    ephemeral_1h_input_tokens: Count = 0


class ServerTools(msgspec.Struct, gc=False):
    """What the provider ran itself and bills per request."""

    web_search_requests: Count = 0


class Details(msgspec.Struct, gc=False):
    """A part of the output."""

    thinking_tokens: Count = 0


class Iteration(msgspec.Struct, gc=False):
    """A call inside a call. Those of type `advisor_message` are billed for themselves, under their own model."""

    type: str | None = None
    model: str | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_creation_input_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_creation: CacheCreation | None = None


class UsageObject(msgspec.Struct, gc=False):
    """Anthropic's usage. `input_tokens` is what was neither read from nor written to a cache."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_creation_input_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_creation: CacheCreation | None = None
    output_tokens_details: Details | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None
    iterations: list[Iteration] | None = None


class Block(msgspec.Struct, gc=False):
    """A piece of an answer; tool calls have a name."""

    type: str | None = None
    name: str | None = None
    id: str | None = None


class Message(msgspec.Struct, gc=False):
    """The provider's message, repeated whole on every line of the call but for its content."""

    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: UsageObject | None = None
    content: list[Block] | str | None = None


class Echo(msgspec.Struct, gc=False):
    """A subagent's line, shown again in its parent's file as `agent_progress`."""

    type: str | None = None
    message: Message | None = None
    requestId: str | None = None
    uuid: str | None = None
    timestamp: str | None = None


class Progress(msgspec.Struct, gc=False):
    """What a `progress` line carries."""

    type: str | None = None
    message: Echo | None = None
    agentId: str | None = None


class Line(msgspec.Struct, gc=False):
    """One line. Only `assistant` (and `progress` that echoes one) is a call."""

    type: str | None = None
    message: Message | None = None
    timestamp: str | None = None
    requestId: str | None = None
    uuid: str | None = None
    sessionId: str | None = None
    agentId: str | None = None
    isSidechain: bool | None = None
    cwd: str | None = None
    attributionAgent: str | None = None
    data: Progress | None = None


class ModelCost(msgspec.Struct, gc=False):
    """A model's cumulative counters in `cost-state`, all agents and side calls included."""

    inputTokens: Count = 0
    outputTokens: Count = 0
    thinkingTokens: Count = 0
    cacheReadInputTokens: Count = 0
    cacheCreationInputTokens: Count = 0
    cacheCreationEphemeral5mInputTokens: Count = 0
    cacheCreationEphemeral1hInputTokens: Count = 0
    webSearchRequests: Count = 0
    costUSD: Count = None

    def beyond(self) -> bool:
        """Whether a counter is larger than any session's can be."""
        counts = (getattr(self, name) for name in self.__struct_fields__ if name != "costUSD")
        return any(bounds.counter(count) > bounds.MOST_TOKENS for count in counts)


class CostState(msgspec.Struct, gc=False):
    """What Claude Code itself counted for a session, written when it ends in order."""

    sessionId: str | None = None
    modelUsage: dict[str, ModelCost] = {}


_decoder = msgspec.json.Decoder(Line)
decode, decode_lines = _decoder.decode, _decoder.decode_lines
cost_state = msgspec.json.Decoder(CostState).decode


def lines(raw: bytes) -> Iterator[Line]:
    """The line that `raw` is; of a damaged one, the intact lines that were glued to it.

    Raises msgspec.DecodeError or UnicodeDecodeError when nothing of it can be read.
    """
    return salvage.lines(raw, decode, loose)


def loose(value: Any) -> Line:
    """A line whose fields are not all of the type that Claude Code writes: those that are, are taken."""
    return _take(Line, value) or Line()


def _take(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    taken: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in value:
            continue
        given = value[field.name]
        nested = _NESTED.get((kind.__name__, field.name))
        if nested is not None:
            taken[field.name] = _take(nested, given)
        elif isinstance(given, list) and field.name in ("content", "iterations"):
            inner = Block if field.name == "content" else Iteration
            taken[field.name] = [item for item in (_take(inner, item) for item in given) if item is not None]
        else:
            try:
                taken[field.name] = msgspec.convert(given, field.type, strict=False)
            except msgspec.ValidationError:
                continue
    return kind(**taken)


_NESTED: dict[tuple[str, str], Any] = {
    ("Line", "message"): Message,
    ("Line", "data"): Progress,
    ("Progress", "message"): Echo,
    ("Echo", "message"): Message,
    ("Message", "usage"): UsageObject,
    ("UsageObject", "cache_creation"): CacheCreation,
    ("UsageObject", "output_tokens_details"): Details,
    ("UsageObject", "server_tool_use"): ServerTools,
    ("Iteration", "cache_creation"): CacheCreation,
}
