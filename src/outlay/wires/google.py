"""Google generateContent.

Source: the types of the `google-genai` package 3.4 and ai.google.dev/api. Roles must alternate, so neighbours of one
role become one content; parts come back as they were sent (thought signatures belong to the part they came with).
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Any, Literal

import msgspec

from outlay.tokens import Usage
from outlay.wires import faults
from outlay.wires.counters import NOTHING, counters, number, present, text_of
from outlay.wires.rendering import RenderedMessages, as_object, encode, merged, tool_objects
from outlay.wires.sse import EventData
from outlay.wires.types import Fault, Message, Part, Reply, Request, Stop, StreamReader, Text, ToolCall, ToolResult

_OPEN = {"user": b'{"role":"user","parts":[', "assistant": b'{"role":"model","parts":['}
_TAIL = b']}],"generationConfig":{"maxOutputTokens":'
_NO_MESSAGES_TAIL = _TAIL[2:]
_STOPS: dict[str, Stop] = {"STOP": "end", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_REFUSALS = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"})
_SKIP = b',"thoughtSignature":"skip_thought_signature_validator"}'
"""Gemini 3 refuses a first tool call without a signature; this one is documented for calls of other models
(ai.google.dev/gemini-api/docs/thought-signatures)."""
_BUDGETS = {"low": 1024, "medium": 8192, "high": 24576}
"""Thinking budgets of Gemini 2.5, which knows no levels: those to which Google's OpenAI-compatible API maps efforts."""


class _Content(msgspec.Struct):
    parts: list[msgspec.Raw] | None = None


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finishReason: str | None = None
    finishMessage: str | None = None
    index: int | None = 0
    groundingMetadata: dict[str, Any] | None = None


class _Chunk(msgspec.Struct):
    """A chunk of a stream, or a whole answer."""

    candidates: list[_Candidate] | None = None
    usageMetadata: msgspec.Raw = NOTHING
    modelVersion: str | None = None
    responseId: str | None = None
    promptFeedback: dict[str, Any] | None = None
    error: msgspec.Raw = NOTHING


class _FunctionCall(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = NOTHING


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None
    functionCall: _FunctionCall | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_part = msgspec.json.Decoder(_Part).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Google:
    """The codec of generateContent."""

    name = "google"

    def __init__(self) -> None:
        self._rendered = RenderedMessages(_render)

    def url(self, base_url: str, model: str) -> str:
        name = model if "/" in model else f"models/{model}"
        return f"{base_url.rstrip('/')}/{name}:streamGenerateContent?alt=sse"

    def headers(self, key: str | None) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if key:
            headers["x-goog-api-key"] = key
        return headers

    def body(self, request: Request) -> bytes:
        head: dict[str, object] = {}
        if request.system.strip():
            head["systemInstruction"] = {"parts": [{"text": request.system}]}
        if request.tools:
            head["tools"] = [{"functionDeclarations": tool_objects(request.tools, "parametersJsonSchema")}]
        opening = encode(head)[:-1] + (b"," if head else b"")
        contents = merged((_OPEN[message.role], self._rendered(message)) for message in request.messages)
        tail: dict[str, object] = {"maxOutputTokens": request.max_output_tokens}
        if request.reasoning and "gemini-2" in request.model:
            tail["thinkingConfig"] = {"thinkingBudget": _BUDGETS[request.reasoning]}
        elif request.reasoning:
            tail["thinkingConfig"] = {"thinkingLevel": request.reasoning.upper()}
        return b"".join((opening, b'"contents":[', *contents, b'],"generationConfig":', encode(tail), b"}"))

    def prefix_length(self, body: bytes) -> int:
        # The last content may grow by a part (neighbours of one role are merged): its end is not in the prefix.
        found = body.rfind(_TAIL)
        return found if found >= 0 else body.rindex(_NO_MESSAGES_TAIL)

    def reader(self) -> StreamReader:
        return _Reader()

    def read(self, body: bytes) -> Reply:
        reader = _Reader()
        if body.lstrip().startswith(b"["):
            # Streams without `alt=sse` are a JSON array of chunks.
            try:
                chunks = msgspec.json.decode(body, type=list[msgspec.Raw])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise Fault("bad_answer", f"not a generateContent answer: {_excerpt(body)}") from None
            for chunk in chunks:
                reader.take(bytes(chunk))
        else:
            reader.take(body)
        return reader.finish()

    def fault(self, status: int, headers: dict[str, str], body: bytes) -> Fault:
        return faults.error_status(status, headers, body)


def _render(message: Message) -> bytes:
    """The parts of one message, comma-separated."""
    opening = _OPEN["assistant"]
    if message.wire == Google.name and bytes(message.native).startswith(opening):
        return bytes(message.native)[len(opening) : -2]
    parts: list[bytes] = []
    signed = False
    for part in message.parts:
        if isinstance(part, Text):
            if part.text:
                parts.append(encode({"text": part.text}))
        elif isinstance(part, ToolCall):
            call = encode({"id": part.id, "name": part.name})
            end = b"}" if signed else _SKIP
            signed = True
            parts.append(b"".join((b'{"functionCall":', call[:-1], b',"args":', as_object(part.arguments), b"}", end)))
        else:
            parts.append(encode({"functionResponse": _response(part)}))
    return b",".join(parts)


def _response(part: ToolResult) -> dict[str, object]:
    return {
        "id": part.call_id,
        "name": part.name,
        "response": {"error" if part.is_error else "output": part.content},
    }


class _Reader:
    def __init__(self) -> None:
        self._events = EventData()
        self._parts: list[tuple[_Part, bytes]] = []
        self._finish: str | None = None
        self._finish_message = ""
        self._searches = 0
        self._model = ""
        self._id: str | None = None
        self._usage: msgspec.Raw = NOTHING

    @property
    def usage_so_far(self) -> Usage | None:
        return _usage(self._usage, self._searches) if present(self._usage) else None

    @property
    def raw_usage_so_far(self) -> str | None:
        return text_of(self._usage) if present(self._usage) else None

    def feed(self, chunk: bytes) -> None:
        try:
            events = self._events.feed(chunk)
        except ValueError as error:
            raise self._fault("bad_answer", str(error)) from None
        for data in events:
            self.take(data)

    def take(self, data: bytes) -> None:
        """One chunk of the stream, or a whole answer, as JSON."""
        if data.strip() == b"[DONE]":
            return
        try:
            chunk = _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._raise_if_error(data)
            raise self._fault("bad_answer", f"not a generateContent answer: {_excerpt(data)}") from None
        if present(chunk.error):
            self._raise_if_error(data)
        self._model = chunk.modelVersion or self._model
        self._id = chunk.responseId or self._id
        if present(chunk.usageMetadata):
            # The newest one holds: it is cumulative.
            self._usage = msgspec.Raw(bytes(chunk.usageMetadata))
        for candidate in chunk.candidates or ():
            if not candidate.index:
                self._take_candidate(candidate)
        blocked = (chunk.promptFeedback or {}).get("blockReason")
        if blocked and not chunk.candidates:
            self._finish, self._finish_message = "SAFETY", f"the prompt was blocked: {blocked}"

    def _raise_if_error(self, data: bytes) -> None:
        try:
            document = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if isinstance(document, dict) and document.get("error"):
            raise faults.error_fault(document, usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)

    def _take_candidate(self, candidate: _Candidate) -> None:
        if candidate.finishReason and candidate.finishReason != "FINISH_REASON_UNSPECIFIED":
            self._finish = candidate.finishReason
            self._finish_message = candidate.finishMessage or ""
        queries = (candidate.groundingMetadata or {}).get("webSearchQueries")
        if isinstance(queries, list):
            self._searches = max(self._searches, len(queries))
        for raw in (candidate.content.parts if candidate.content else None) or ():
            try:
                self._parts.append((_decode_part(raw), bytes(raw)))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise self._fault("bad_answer", f"not a part: {_excerpt(bytes(raw))}") from None

    def finish(self) -> Reply:
        for data in self._events.flush():
            try:
                self.take(data)
            except Fault as fault:
                if fault.kind != "bad_answer":
                    raise
        if self._finish is None:
            raise self._fault("cut", "the answer ended before it was whole")
        message = self._message()
        tier = _tier(self._usage)
        return Reply(
            message=message,
            stop=self._stop(message),
            model=self._model,
            usage=self.usage_so_far,
            raw_usage=self.raw_usage_so_far,
            request_id=self._id,
            tier=tier,
        )

    def _stop(self, message: Message) -> Stop:
        finish = self._finish or ""
        if finish in _REFUSALS or finish.startswith("IMAGE_"):
            return "refusal"
        if finish == "STOP" and any(isinstance(part, ToolCall) for part in message.parts):
            return "tools"
        return _STOPS.get(finish, "other")

    def _message(self) -> Message:
        """Texts that follow one another without a signature are one part, as the whole answer would have them."""
        native: list[bytes] = []
        parts: list[Part] = []
        said: list[str] = []
        for (kind, _), group in itertools.groupby(enumerate(self._parts), key=_kind_of):
            members = [part for _, part in group]
            if kind == "special":
                part, raw = members[0]
                if part.functionCall is not None:
                    _close(said, parts)
                    native.append(self._native_call(part.functionCall, raw, parts))
                else:
                    native.append(raw)
                    said += [part.text] if part.text and not part.thought else []
                continue
            text = "".join(part.text or "" for part, _ in members)
            if text:
                native.append(encode({"text": text} | ({"thought": True} if kind == "thought" else {})))
                said += [text] if kind == "text" else []
        _close(said, parts)
        if not parts and self._finish_message:
            # Says what is wrong (a malformed function call, a blocked prompt) where there is no answer.
            parts.append(Text(self._finish_message))
        body = b"".join((_OPEN["assistant"], b",".join(native), b"]}"))
        return Message("assistant", tuple(parts), Google.name, msgspec.Raw(body))

    def _native_call(self, call: _FunctionCall, raw: bytes, parts: list[Part]) -> bytes:
        """Add the tool call to `parts`; give back its part as it is sent back, byte for byte when it has an id."""
        arguments = bytes(call.args).decode("utf-8", "replace") if present(call.args) else "{}"
        if call.id:
            parts.append(ToolCall(call.id, call.name or "", arguments))
            return raw
        # Gemini 2 names no ids; results must find their call, so both get one.
        seed = f"{self._id} {len(parts)} {call.name} {arguments}".encode()
        call_id = f"call_{hashlib.blake2s(seed, digest_size=8).hexdigest()}"
        parts.append(ToolCall(call_id, call.name or "", arguments))
        fields = _decode_fields(raw)
        inner = _decode_fields(fields["functionCall"])
        fields["functionCall"] = msgspec.Raw(encode({"id": call_id} | {k: v for k, v in inner.items() if k != "id"}))
        return encode(fields)

    def _fault(self, kind: Literal["bad_answer", "cut"], message: str) -> Fault:
        return Fault(kind, faults.short(message), usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)


def _kind_of(numbered: tuple[int, tuple[_Part, bytes]]) -> tuple[str, int]:
    """By which parts are grouped: plain texts and plain thoughts with their neighbours, all others alone."""
    index, (part, _) = numbered
    if part.text is None or part.functionCall is not None or part.thoughtSignature:
        return "special", index
    return ("thought" if part.thought else "text"), -1


def _close(said: list[str], parts: list[Part]) -> None:
    """Make what was said one text."""
    text = "".join(said)
    said.clear()
    if text:
        parts.append(Text(text))


def _excerpt(data: bytes) -> str:
    return data[:120].decode("utf-8", "replace")


def _tier(raw: msgspec.Raw) -> str:
    """The tier that the usage names: `serviceTier` (Gemini API), `trafficType` (Vertex); empty for the standard one."""
    usage = counters(raw) if present(raw) else None
    value = str((usage or {}).get("serviceTier") or (usage or {}).get("trafficType") or "").lower()
    return "" if value in ("standard", "on_demand", "traffic_type_unspecified", "unspecified") else value


def _usage(raw: msgspec.Raw, searches: int) -> Usage | None:
    """Counters: cached tokens are inside `promptTokenCount`, thoughts beside `candidatesTokenCount`; the results of
    the provider's own tools are input."""
    usage = counters(raw)
    if usage is None or not any(name.endswith("TokenCount") for name in usage):
        return None
    prompt = number(usage, "promptTokenCount")
    cached = min(prompt, number(usage, "cachedContentTokenCount"))
    thoughts = number(usage, "thoughtsTokenCount")
    return Usage(
        fresh=prompt - cached + number(usage, "toolUsePromptTokenCount"),
        cache_read=cached,
        output=number(usage, "candidatesTokenCount") + thoughts,
        reasoning=thoughts,
        web_searches=searches,
    )
