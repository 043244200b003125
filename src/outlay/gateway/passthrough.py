"""Requests of other agents as they pass: what a rule needs to know of them, and the few bytes that a rule changes.

A body that no rule changes goes on as the same bytes. Where one does, only the top level is written anew: every value
that is not the rule's keeps its bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from outlay.errors import InputError

CHAT, RESPONSES, ANTHROPIC, GOOGLE = "openai-chat", "openai-responses", "anthropic", "google"
_OUTPUT_FIELDS = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    RESPONSES: ("max_output_tokens",),
    ANTHROPIC: ("max_tokens",),
}
_NONE = msgspec.Raw(b"")


class _Body(msgspec.Struct):
    """The fields of all four requests that matter here. What is long stays raw; what is strange is the provider's to
    refuse, so nothing is typed more narrowly than needed."""

    model: Any = None
    stream: Any = None
    stream_options: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    service_tier: Any = None
    speed: Any = None
    metadata: Any = None
    client_metadata: Any = None
    thinking: Any = None
    generationConfig: Any = None
    system: msgspec.Raw = _NONE
    messages: msgspec.Raw = _NONE
    systemInstruction: msgspec.Raw = _NONE
    instructions: Any = None
    input: msgspec.Raw = _NONE


class Asked(msgspec.Struct, frozen=True):
    """A request as the gateway sees it."""

    wire: str
    """The API it is written for: `anthropic`, `openai-chat`, `openai-responses`, `google`."""
    model: str
    stream: bool
    max_output_tokens: int | None
    """Most tokens of one answer that the client asks for; None: the provider's default."""
    answers: int
    """How many answers to one prompt (`n`, `candidateCount`)."""
    thinking_tokens: int
    """Part of the output that is set aside for thinking: the limit must stay above it."""
    shows_usage: bool
    """The stream tells its usage without being asked again."""
    tier: str
    metadata: dict[str, Any]
    """`metadata` and `client_metadata` of the body."""
    opening: bytes
    """The first bytes of the system prompt, for the most part as JSON."""
    ending: bytes
    """The last bytes of Anthropic's messages, as JSON; nothing of the other APIs is told by them."""
    body: bytes


_decode = msgspec.json.Decoder(_Body).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


def read(wire: str, body: bytes, model: str = "", stream: bool = False) -> Asked:
    """What a request asks for. `model` and `stream` stand in the address for Google.

    Raises InputError when the body is no JSON object or names no model.
    """
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"the request's body is no JSON object: {error}") from None
    if wire == GOOGLE:
        settings = found.generationConfig if isinstance(found.generationConfig, dict) else {}
        limit, answers = _count(settings.get("maxOutputTokens")), _count(settings.get("candidateCount"))
    else:
        limits = [_count(getattr(found, name)) for name in _OUTPUT_FIELDS[wire]]
        limit = min((each for each in limits if each is not None), default=None)
        answers = _count(found.n)
        model, stream = found.model if isinstance(found.model, str) else "", found.stream is True
    if not model:
        raise InputError("the request names no model")
    thinking = found.thinking.get("budget_tokens") if isinstance(found.thinking, dict) else None
    options = found.stream_options if isinstance(found.stream_options, dict) else {}
    merged: dict[str, Any] = {}
    for source in (found.metadata, found.client_metadata):
        merged |= source if isinstance(source, dict) else {}
    ending = memoryview(found.messages)[-12_000:] if wire == ANTHROPIC else b""
    return Asked(
        wire=wire,
        model=model,
        stream=stream,
        max_output_tokens=limit,
        answers=answers or 1,
        thinking_tokens=_count(thinking) or 0,
        shows_usage=wire != CHAT or not stream or options.get("include_usage") is True,
        tier=_tier(found),
        metadata=merged,
        opening=bytes(memoryview(_system(wire, found))[:600]),
        ending=bytes(ending),
        body=body,
    )


def _system(wire: str, found: _Body) -> msgspec.Raw | bytes:
    """Where the system prompt begins. OpenAI takes it as the first message too."""
    if wire == CHAT:
        return found.messages
    if wire == RESPONSES:
        told = found.instructions
        return told[:600].encode("utf-8", "replace") if told and isinstance(told, str) else found.input
    return found.system or found.systemInstruction


def _tier(found: _Body) -> str:
    """The service tier asked for, where it has a price of its own."""
    named = found.speed if found.speed == "fast" else found.service_tier
    return named if named in ("fast", "flex", "priority", "batch") else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def changed(asked: Asked, *, model: str, max_output_tokens: int | None, limit_field: str = "") -> bytes:
    """The body to send: another model, a lower limit of output, usage at the end of a chat stream.

    max_output_tokens: None leaves what the client asked for. limit_field: how the server names the limit where the
    client named none.
    """
    lower = max_output_tokens is not None and max_output_tokens != asked.max_output_tokens
    rename = asked.wire != GOOGLE and model != asked.model
    if not lower and not rename and asked.shows_usage:
        return asked.body
    fields = _decode_fields(asked.body)
    if rename:
        fields["model"] = msgspec.Raw(_encode(model))
    if lower and asked.wire == GOOGLE:
        settings = _fields_of(fields.get("generationConfig"))
        settings["maxOutputTokens"] = msgspec.Raw(_encode(max_output_tokens))
        fields["generationConfig"] = msgspec.Raw(_encode(settings))
    elif lower:
        names = _OUTPUT_FIELDS[asked.wire]
        present = [name for name in names if name in fields and bytes(fields[name]).strip() != b"null"]
        for name in present or [limit_field or names[0]]:
            fields[name] = msgspec.Raw(_encode(max_output_tokens))
    if not asked.shows_usage:
        options = _fields_of(fields.get("stream_options"))
        options["include_usage"] = msgspec.Raw(b"true")
        fields["stream_options"] = msgspec.Raw(_encode(options))
    return _encode(fields)


def _fields_of(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    try:
        return _decode_fields(raw) if raw else {}
    except (msgspec.MsgspecError, ValueError):
        return {}


class UsageFilter:
    """Takes the chunk with usage out of a chat stream whose client did not ask for it."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to show so far: whole events without the one that only holds usage."""
        text = self._pending + chunk
        end = max(text.rfind(b"\n\n") + 2, text.rfind(b"\r\n\r\n") + 4)
        if end < 4:
            self._pending = text
            return b""
        self._pending = text[end:]
        whole = text[:end]
        if b'"usage"' not in whole:
            return whole
        gap = b"\r\n\r\n" if b"\r\n\r\n" in whole else b"\n\n"
        return b"".join(event + gap for event in whole.split(gap)[:-1] if not _only_usage(event))

    def flush(self) -> bytes:
        """What was left without an end."""
        rest, self._pending = self._pending, b""
        return b"" if _only_usage(rest) else rest


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, Any] | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def _only_usage(event: bytes) -> bool:
    if b'"usage"' not in event or not event.lstrip().startswith(b"data:"):
        return False
    try:
        chunk = _decode_chunk(event.lstrip()[5:])
    except (msgspec.MsgspecError, ValueError):
        return False
    return chunk.choices == [] and chunk.usage is not None
