"""OpenAI chat completions, and the servers that speak it too: Ollama, vLLM, llama.cpp, LM Studio, OpenRouter, ...

Source: the types of the `openai` package 3.52, and what those servers were seen to send. Their deviations that are
read here: usage in a chunk without choices or missing, tool call deltas without `index` or `id`, arguments as an
object, several calls under index 0, `reasoning_content` or `reasoning`, errors inside the stream, no `[DONE]`.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from outlay.tokens import Usage
from outlay.wires import faults
from outlay.wires.counters import NOTHING, counters, number, present, text_of
from outlay.wires.rendering import RenderedMessages, as_object, encode, is_object
from outlay.wires.sse import EventData
from outlay.wires.types import Fault, Message, Part, Reply, Request, Stop, StreamReader, Text, ToolCall, ToolResult

_STOPS: dict[str, Stop] = {
    "stop": "end",
    "tool_calls": "tools",
    "function_call": "tools",
    "length": "length",
    "content_filter": "refusal",
}
_TAIL = b'],"stream":true,"stream_options":{"include_usage":true},"'


class _FunctionDelta(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"null")


class _CallDelta(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _FunctionDelta | None = None
    extra_content: msgspec.Raw = NOTHING


class _Delta(msgspec.Struct, gc=False):
    """A `delta` of a stream, or the `message` of a whole answer."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """A chunk of a stream, or a whole answer."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = NOTHING
    service_tier: str | None = None
    error: msgspec.Raw = NOTHING
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_many = msgspec.json.Decoder(list[_Chunk]).decode


class OpenAIChat:
    """The codec of chat completions. `limit_field` is the name under which the server takes the output limit: OpenAI's
    reasoning models take only `max_completion_tokens`, Ollama and LM Studio only `max_tokens`."""

    name = "openai-chat"

    def __init__(self, limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens") -> None:
        self._limit_field = limit_field
        self._rendered = RenderedMessages(_render)

    def url(self, base_url: str, model: str) -> str:
        return f"{base_url.rstrip('/')}/chat/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        return headers

    def body(self, request: Request) -> bytes:
        head: dict[str, object] = {"model": request.model}
        if request.tools:
            head["tools"] = [
                {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
                for t in request.tools
            ]
        messages = [encode({"role": "system", "content": request.system})] if request.system else []
        messages += [rendered for message in request.messages if (rendered := self._rendered(message))]
        tail = f'{self._limit_field}":{request.max_output_tokens}'
        if request.reasoning:
            tail += f',"reasoning_effort":"{request.reasoning}"'
        return b"".join((encode(head)[:-1], b',"messages":[', b",".join(messages), _TAIL, tail.encode(), b"}"))

    def prefix_length(self, body: bytes) -> int:
        return body.rindex(_TAIL)

    def reader(self) -> StreamReader:
        return _Reader(self._limit_field == "max_completion_tokens")

    def read(self, body: bytes) -> Reply:
        reader = _Reader(self._limit_field == "max_completion_tokens")
        reader.take(body)
        return reader.finish()

    def fault(self, status: int, headers: dict[str, str], body: bytes) -> Fault:
        return faults.error_status(status, headers, body)


def _render(message: Message) -> bytes:
    """One message as the comma-separated messages of chat completions; a tool result is a message of its own."""
    if message.role == "assistant":
        if message.wire == OpenAIChat.name:
            return bytes(message.native)
        text = "\n\n".join(part.text for part in message.parts if isinstance(part, Text) and part.text)
        calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
        rendered: dict[str, object] = {"role": "assistant", "content": text if text or not calls else None}
        if calls:
            rendered["tool_calls"] = calls
        return encode(rendered)
    messages: list[dict[str, object]] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            messages.append({"role": "tool", "tool_call_id": part.call_id, "content": part.content})
        elif isinstance(part, Text):
            if messages and messages[-1]["role"] == "user":
                messages[-1]["content"] = f"{messages[-1]['content']}\n\n{part.text}"
            else:
                messages.append({"role": "user", "content": part.text})
    return b",".join(encode(item) for item in messages)


def _call(call: ToolCall) -> dict[str, object]:
    arguments = call.arguments if is_object(call.arguments) else as_object(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


class _PendingCall:
    """A tool call while its deltas arrive."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.extra: msgspec.Raw | None = None

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class _Reader:
    """Reads a stream of chunks. `verbatim`: malformed arguments are replayed as they came; most local servers parse
    the arguments of earlier calls and refuse the request, so they get them under `_malformed`."""

    def __init__(self, verbatim: bool) -> None:
        self._verbatim = verbatim
        self._events = EventData()
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._reasoning: dict[str, list[str]] = {}
        self._details: list[Any] = []
        self._calls: list[_PendingCall] = []
        self._finish: str | None = None
        self._done = False
        self._id: str | None = None
        self._model = ""
        self._tier = ""
        self._usage: msgspec.Raw | None = None

    @property
    def usage_so_far(self) -> Usage | None:
        return _usage(self._usage)

    @property
    def raw_usage_so_far(self) -> str | None:
        return text_of(self._usage)

    def feed(self, chunk: bytes) -> None:
        try:
            events = self._events.feed(chunk)
        except ValueError as error:
            raise self._fault("bad_answer", str(error)) from None
        if len(events) > 1 and self._take_together(events):
            return
        for data in events:
            self.take(data)

    def _take_together(self, events: list[bytes]) -> bool:
        """Read many chunks as one list, which costs a fifth; False when one of them is no chunk."""
        done = events[-1] == b"[DONE]"
        events = events[:-1] if done else events
        try:
            chunks = _decode_many(b"[" + b",".join(events) + b"]")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        if len(chunks) != len(events):
            return False
        for chunk, data in zip(chunks, events, strict=True):
            self._take_chunk(chunk, data)
        self._done = self._done or done
        return True

    def take(self, data: bytes) -> None:
        """One chunk of the stream, or a whole answer, as JSON."""
        if data.strip() == b"[DONE]":
            self._done = True
            return
        try:
            chunk = _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._raise_if_error(data)
            raise self._fault("bad_answer", f"not a chat completion: {_excerpt(data)}") from None
        self._take_chunk(chunk, data)

    def _take_chunk(self, chunk: _Chunk, data: bytes) -> None:
        if present(chunk.error) or chunk.object == "error":
            self._raise_if_error(data)
        self._id = self._id or chunk.id
        self._model = chunk.model or self._model
        self._tier = chunk.service_tier or self._tier
        if present(chunk.usage):
            self._usage = msgspec.Raw(bytes(chunk.usage))
        for choice in chunk.choices or ():
            if not choice.index:
                self._take_choice(choice)

    def _raise_if_error(self, data: bytes) -> None:
        try:
            document = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if isinstance(document, dict) and (document.get("error") or document.get("object") == "error"):
            raise faults.error_fault(document, usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)

    def _take_choice(self, choice: _Choice) -> None:
        self._finish = choice.finish_reason or self._finish
        delta = choice.delta or choice.message
        if delta is None:
            return
        if isinstance(delta.content, str):
            self._text.append(delta.content)
        elif delta.content:
            for item in delta.content:
                if isinstance(item, dict) and isinstance(item.get("text"), str):
                    self._text.append(item["text"])
        if isinstance(delta.reasoning_content, str):
            self._reasoning.setdefault("reasoning_content", []).append(delta.reasoning_content)
        if isinstance(delta.reasoning, str):
            self._reasoning.setdefault("reasoning", []).append(delta.reasoning)
        if delta.reasoning_details:
            self._details += delta.reasoning_details
        if delta.refusal:
            self._refusal.append(delta.refusal)
        for call in delta.tool_calls or ():
            self._take_call(call)

    def _take_call(self, delta: _CallDelta) -> None:
        name = (delta.function.name if delta.function else None) or ""
        call = self._find_call(delta, name)
        if delta.id and not call.id:
            call.id = delta.id
        if name and not call.name:
            call.name = name
        if delta.function is not None:
            call.pieces.append(_arguments(delta.function.arguments))
        if present(delta.extra_content):
            call.extra = msgspec.Raw(bytes(delta.extra_content))

    def _find_call(self, delta: _CallDelta, name: str) -> _PendingCall:
        """The call that a delta continues, or a new one."""
        last = self._calls[-1] if self._calls else None
        if delta.index is None:
            found = last
            if found is not None and name and not delta.id and is_object(found.arguments):
                found = None
        else:
            found = next((call for call in reversed(self._calls) if call.index == delta.index), None)
        if found is not None and delta.id and found.id and delta.id != found.id and name:
            found = None
        if found is None:
            found = _PendingCall(len(self._calls) if delta.index is None else delta.index)
            self._calls.append(found)
        return found

    def finish(self) -> Reply:
        for data in self._events.flush():
            try:
                self.take(data)
            except Fault as fault:
                if fault.kind != "bad_answer":
                    raise
        if self._finish is None and not (self._done and (self._text or self._calls)):
            raise self._fault("cut", "the answer ended before it was whole")
        return Reply(
            message=self._message(),
            stop=self._stop(),
            model=self._model,
            usage=_usage(self._usage),
            raw_usage=self.raw_usage_so_far,
            request_id=self._id,
            tier="" if self._tier in ("default", "auto", "standard") else self._tier,
        )

    def _stop(self) -> Stop:
        stop = _STOPS.get(self._finish or "stop", "other")
        if self._calls and stop in ("end", "other"):
            return "tools"
        return "refusal" if self._refusal and stop == "end" else stop

    def _message(self) -> Message:
        text = "".join(self._text)
        refusal = "".join(self._refusal)
        calls: list[ToolCall] = []
        native_calls: list[dict[str, object]] = []
        for number_, pending in enumerate(self._calls):
            # A server that names no id gets one that is the same for the same answer, however it was split.
            seed = f"{self._id} {number_} {pending.name} {pending.arguments}".encode()
            call_id = pending.id or f"call_{hashlib.blake2s(seed, digest_size=8).hexdigest()}"
            arguments = pending.arguments if pending.arguments.strip() else "{}"
            calls.append(ToolCall(call_id, pending.name, arguments))
            replayed = arguments if self._verbatim or is_object(arguments) else as_object(arguments).decode()
            native: dict[str, object] = {
                "id": call_id,
                "type": "function",
                "function": {"name": pending.name, "arguments": replayed},
            }
            if pending.extra is not None:
                native["extra_content"] = pending.extra
            native_calls.append(native)
        message: dict[str, object] = {"role": "assistant", "content": text if text or not native_calls else None}
        if refusal:
            message["refusal"] = refusal
        for name, pieces in self._reasoning.items():
            if any(pieces):
                message[name] = "".join(pieces)
        if self._details:
            message["reasoning_details"] = self._details
        if native_calls:
            message["tool_calls"] = native_calls
        parts: list[Part] = [Text(piece) for piece in (text, refusal) if piece]
        return Message("assistant", (*parts, *calls), OpenAIChat.name, msgspec.Raw(encode(message)))

    def _fault(self, kind: Literal["bad_answer", "cut"], message: str) -> Fault:
        return Fault(kind, faults.short(message), usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)


def _arguments(raw: msgspec.Raw) -> str:
    """A piece of arguments: a string as the API says, or an object, or null."""
    value = bytes(raw)
    if value == b"null":
        return ""
    if value.startswith(b'"'):
        return msgspec.json.decode(value, type=str)
    return value.decode("utf-8", "replace")


def _excerpt(data: bytes) -> str:
    return data[:120].decode("utf-8", "replace")


def _usage(raw: msgspec.Raw | None) -> Usage | None:
    """Counters: cached and written tokens are inside `prompt_tokens`, reasoning inside `completion_tokens` (xAI counts
    it beside; then the total says so). OpenAI keeps written tokens for at least 30 minutes: the short class."""
    usage = counters(raw)
    if usage is None or ("prompt_tokens" not in usage and "completion_tokens" not in usage):
        return None
    prompt, output = number(usage, "prompt_tokens"), number(usage, "completion_tokens")
    cached = number(usage, "prompt_tokens_details", "cached_tokens") or number(usage, "prompt_cache_hit_tokens")
    written = number(usage, "prompt_tokens_details", "cache_write_tokens")
    reasoning = number(usage, "completion_tokens_details", "reasoning_tokens")
    if reasoning and number(usage, "total_tokens") == prompt + output + reasoning:
        output += reasoning
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    return Usage(
        fresh=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(reasoning, output),
    )
