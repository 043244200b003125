"""Lines of Codex's rollouts, as far as they say what a call cost and whose it was (0.57 to 0.169)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from outlay.readers import bounds, salvage

Count = int | float | None


class Tokens(msgspec.Struct, gc=False):
    """OpenAI's counters: `input_tokens` holds the cached ones, `output_tokens` the reasoning."""

    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_output_tokens: Count = 0
    cache_write_input_tokens: Count = 0
    total_tokens: Count = 0

    def counts(self) -> tuple[int, int, int, int, int]:
        """Input, cached, output, reasoning, written; null and negative ones are 0."""
        counts = (
            self.input_tokens or 0,
            self.cached_input_tokens or 0,
            self.output_tokens or 0,
            self.reasoning_output_tokens or 0,
            self.cache_write_input_tokens or 0,
        )
        if min(counts) < 0 or sum(counts).__class__ is float:
            a, b, c, d, e = map(bounds.counter, counts)
            return a, b, c, d, e
        return counts  # type: ignore[return-value]

    def plain(self) -> tuple[int, int, int, int, int] | None:
        """The same, where all of them are whole numbers that a thread can have; nearly always."""
        a, b, c, d, e = counts = (
            self.input_tokens, self.cached_input_tokens, self.output_tokens, self.reasoning_output_tokens,
            self.cache_write_input_tokens,
        )  # fmt: skip
        try:  # the bits of all: negative as soon as one is, and no smaller than the largest
            bits = a | b | c | d | e  # type: ignore[operator]
        except TypeError:
            return None
        return counts if 0 <= bits < bounds.MOST_TOKENS else None  # type: ignore[return-value]

    def beyond(self) -> bool:
        """Whether a counter is larger than any thread's can be."""
        return max(self.counts()) > bounds.MOST_TOKENS

    def after(self, before: tuple[int, ...], last: Tokens | None) -> tuple[int, int, int, int, int]:
        """Cumulative counters that follow `before`; one that is null, negative or beyond belief has grown by what
        `last` says, unless the others say that nothing happened."""
        counts = self.counts()
        told = (
            self.input_tokens, self.cached_input_tokens, self.output_tokens, self.reasoning_output_tokens,
            self.cache_write_input_tokens,
        )  # fmt: skip
        holds = [count is not None and 0 <= count <= bounds.MOST_TOKENS for count in told]
        if all(holds):
            return counts
        news = any(count != old for count, old, ok in zip(counts, before, holds, strict=True) if ok)
        grown = last.counts() if last is not None and news else (0,) * 5
        a, b, c, d, e = (
            count if ok else old + more for count, old, more, ok in zip(counts, before, grown, holds, strict=True)
        )
        return a, b, c, d, e


class Info(msgspec.Struct, gc=False):
    """What a `token_count` event tells: counters since the thread began, and of the last call."""

    total_token_usage: Tokens | None = None
    last_token_usage: Tokens | None = None


class Payload(msgspec.Struct, gc=False):
    """The payloads of `token_count`, `token_usage_record`, `turn_context` and `session_meta`, all in one."""

    type: str | None = None
    info: Info | None = None
    usage: Tokens | None = None
    thread_token_usage: Tokens | None = None
    response_id: str | None = None
    thread_id: str | None = None
    model: str | None = None
    cwd: str | None = None
    id: str | None = None
    session_id: str | None = None
    parent_thread_id: str | None = None
    forked_from_id: str | None = None
    source: Any = None
    agent_nickname: str | None = None
    agent_role: str | None = None
    model_provider: str | None = None
    name: str | None = None
    history_mode: str | None = None


class CountPayload(msgspec.Struct, gc=False):
    """The payload of `token_count` alone."""

    info: Info | None = None


class CountLine(msgspec.Struct, gc=False):
    """A line with counters."""

    timestamp: str | None = None
    payload: CountPayload | None = None


class Line(msgspec.Struct, gc=False):
    """One line of a rollout."""

    timestamp: str | None = None
    type: str | None = None
    payload: Payload | None = None


decode = msgspec.json.Decoder(Line).decode
decode_count = msgspec.json.Decoder(CountLine).decode


def lines(raw: bytes) -> Iterator[Line]:
    """The line that `raw` is; of a damaged one, the intact lines that were glued to it.

    Raises msgspec.DecodeError or UnicodeDecodeError when nothing of it can be read.
    """
    return salvage.lines(raw, decode, loose)


def loose(value: Any) -> Line:
    """A line of which the fields that are of the right type are taken."""
    if not isinstance(value, dict):
        return Line()
    inner = value.get("payload")
    stamp, kind = value.get("timestamp"), value.get("type")
    line = Line(stamp if isinstance(stamp, str) else None, kind if isinstance(kind, str) else None)
    if isinstance(inner, dict):
        taken: dict[str, Any] = {}
        for field in msgspec.structs.fields(Payload):
            try:
                taken[field.name] = msgspec.convert(inner[field.name], field.type, strict=False)
            except (KeyError, msgspec.ValidationError):
                continue
        line.payload = Payload(**taken)
    return line
