"""Answers in the formats of the four APIs, streamed and whole."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import msgspec

from modelserver.script import Answer, Tool

Usage = dict[str, int]
Events = list[tuple[bytes, Usage | None]]
"""Pieces of a stream, each with the usage that the client knows once it has read it."""

CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")
encode = msgspec.json.encode


@dataclass(frozen=True)
class Sent:
    """An answer made ready: named, counted."""

    n: int
    model: str
    answer: Answer
    usage: Usage
    tools: tuple[tuple[str, str, str], ...]
    """id, name, arguments as text"""

    @property
    def stop(self) -> str:
        return self.answer.stop or ("tools" if self.tools else "end")


def ready(n: int, wire: str, model: str, answer: Answer, prompt: Usage) -> Sent:
    """Count what the answer costs: a token is four bytes."""
    prefix = {"anthropic": "toolu", "google": "fc"}.get(wire, "call")
    tools = tuple((tool.id or f"{prefix}_{n}_{i}", tool.name, _arguments(tool)) for i, tool in enumerate(answer.tools))
    reasoning = math.ceil(len(answer.reasoning.encode()) / 4)
    said = sum(len(arguments.encode()) + len(name) for _, name, arguments in tools) + len(answer.text.encode())
    output = answer.output_tokens if answer.output_tokens is not None else math.ceil(said / 4) + reasoning
    usage = prompt | {"output": output, "reasoning": min(reasoning, output), "web_searches": answer.web_searches}
    return Sent(n, answer.model or model, answer, usage, tools)


def _arguments(tool: Tool) -> str:
    if isinstance(tool.arguments, str):
        return tool.arguments
    return json.dumps(tool.arguments, ensure_ascii=False)


def pieces(text: str, count: int) -> list[str]:
    """`text` in at most `count` pieces of about the same size."""
    size = max(1, math.ceil(len(text) / max(1, count)))
    return [text[i : i + size] for i in range(0, len(text), size)]


def event(data: object) -> bytes:
    return b"data: " + encode(data) + b"\n\n"


def _named(data: dict[str, Any]) -> bytes:
    return b"".join((b"event: ", data["type"].encode(), b"\ndata: ", encode(data), b"\n\n"))


# --- Anthropic


def anthropic_usage(usage: Usage) -> dict[str, Any]:
    written = usage["cache_write_5m"] + usage["cache_write_1h"]
    counted: dict[str, Any] = {
        "input_tokens": usage["fresh"],
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage["cache_read"],
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage["cache_write_5m"],
            "ephemeral_1h_input_tokens": usage["cache_write_1h"],
        },
        "output_tokens": usage["output"],
        "output_tokens_details": {"thinking_tokens": usage["reasoning"]},
        "service_tier": "standard",
    }
    if usage["web_searches"]:
        counted["server_tool_use"] = {"web_search_requests": usage["web_searches"], "web_fetch_requests": 0}
    return counted


_ANTHROPIC_STOPS = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "refusal"}


def _anthropic_message(sent: Sent, content: list[Any], usage: dict[str, Any] | None, stop: str | None) -> Any:
    message: dict[str, Any] = {
        "id": f"msg_{sent.n}",
        "type": "message",
        "role": "assistant",
        "model": sent.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }
    if usage is not None:
        message["usage"] = usage | ({"service_tier": sent.answer.tier} if sent.answer.tier else {})
    return message


def anthropic_stream(sent: Sent) -> Events:
    answer = sent.answer
    events: Events = []
    start = sent.usage | {"output": 1, "reasoning": 0, "web_searches": 0}
    first = anthropic_usage(start) if answer.usage else None
    events.append(
        (
            _named({"type": "message_start", "message": _anthropic_message(sent, [], first, None)}),
            start if answer.usage else None,
        )
    )
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.reasoning:
        deltas: list[dict[str, Any]] = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(answer.reasoning, answer.chunks)
        ]
        deltas.append({"type": "signature_delta", "signature": f"sig{sent.n}=="})
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if answer.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(answer.text, answer.chunks)]
        blocks.append(({"type": "text", "text": ""}, deltas))
    for call_id, name, arguments in sent.tools:
        deltas = [
            {"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(arguments, answer.chunks)]
        ]
        blocks.append(({"type": "tool_use", "id": call_id, "name": name, "input": {}}, deltas))
    for index, (block, deltas) in enumerate(blocks):
        events.append((_named({"type": "content_block_start", "index": index, "content_block": block}), None))
        if index == 0:
            events.append((_named({"type": "ping"}), None))
        for delta in deltas:
            events.append((_named({"type": "content_block_delta", "index": index, "delta": delta}), None))
        events.append((_named({"type": "content_block_stop", "index": index}), None))
    last = {"type": "message_delta", "delta": {"stop_reason": _ANTHROPIC_STOPS[sent.stop], "stop_sequence": None}}
    counted = anthropic_usage(sent.usage)
    del counted["service_tier"], counted["cache_creation"]
    events.append((_named(last | {"usage": counted if answer.usage else {"output_tokens": None}}), sent.usage))
    events.append((_named({"type": "message_stop"}), None))
    return events


def anthropic_whole(sent: Sent) -> bytes:
    content: list[Any] = []
    if sent.answer.reasoning:
        content.append({"type": "thinking", "thinking": sent.answer.reasoning, "signature": f"sig{sent.n}=="})
    if sent.answer.text:
        content.append({"type": "text", "text": sent.answer.text})
    for call_id, name, arguments in sent.tools:
        # The input of a whole answer is an object: the API could not send anything else.
        content.append({"type": "tool_use", "id": call_id, "name": name, "input": _object(arguments)})
    usage = anthropic_usage(sent.usage) if sent.answer.usage else None
    return encode(_anthropic_message(sent, content, usage, _ANTHROPIC_STOPS[sent.stop]))


def _object(arguments: str) -> Any:
    try:
        msgspec.json.decode(arguments, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {"text": arguments}
    return msgspec.Raw(arguments.encode())


# --- OpenAI chat completions


def chat_usage(usage: Usage) -> dict[str, Any]:
    prompt = usage["fresh"] + usage["cache_read"] + usage["cache_write_5m"] + usage["cache_write_1h"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage["output"],
        "total_tokens": prompt + usage["output"],
        "prompt_tokens_details": {"cached_tokens": usage["cache_read"]},
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning"]},
    }


_CHAT_STOPS = {"end": "stop", "tools": "tool_calls", "length": "length", "refusal": "content_filter"}


def chat_stream(sent: Sent, include_usage: bool) -> Events:
    answer = sent.answer
    head: dict[str, Any] = {
        "id": f"chatcmpl-{sent.n}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": sent.model,
    }
    if answer.tier:
        head["service_tier"] = answer.tier

    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[bytes, Usage | None]:
        return event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}), None

    events: Events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"reasoning_content": piece}) for piece in pieces(answer.reasoning, answer.chunks)]
    events += [chunk({"content": piece}) for piece in pieces(answer.text, answer.chunks)]
    for index, (call_id, name, arguments) in enumerate(sent.tools):
        call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        events.append(chunk({"tool_calls": [call]}))
        for piece in pieces(arguments, answer.chunks):
            events.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    events.append(chunk({}, _CHAT_STOPS[sent.stop]))
    if include_usage and answer.usage:
        events.append((event(head | {"choices": [], "usage": chat_usage(sent.usage)}), sent.usage))
    events.append((b"data: [DONE]\n\n", None))
    return events


def chat_whole(sent: Sent) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": sent.answer.text or None, "refusal": None}
    if sent.answer.reasoning:
        message["reasoning_content"] = sent.answer.reasoning
    if sent.tools:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in sent.tools
        ]
    whole: dict[str, Any] = {
        "id": f"chatcmpl-{sent.n}",
        "object": "chat.completion",
        "created": 1,
        "model": sent.model,
        "choices": [{"index": 0, "message": message, "finish_reason": _CHAT_STOPS[sent.stop], "logprobs": None}],
    }
    if sent.answer.tier:
        whole["service_tier"] = sent.answer.tier
    if sent.answer.usage:
        whole["usage"] = chat_usage(sent.usage)
    return encode(whole)


# --- OpenAI Responses


def responses_usage(usage: Usage) -> dict[str, Any]:
    prompt = usage["fresh"] + usage["cache_read"] + usage["cache_write_5m"] + usage["cache_write_1h"]
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage["cache_read"], "cache_write_tokens": 0},
        "output_tokens": usage["output"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
        "total_tokens": prompt + usage["output"],
    }


def _response(sent: Sent, status: str, output: list[Any]) -> dict[str, Any]:
    cut = sent.stop == "length" and status == "completed"
    response: dict[str, Any] = {
        "id": f"resp_{sent.n}",
        "object": "response",
        "created_at": 1,
        "status": "incomplete" if cut else status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": sent.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
        "service_tier": sent.answer.tier or "default",
    }
    if status == "completed" and sent.answer.usage:
        response["usage"] = responses_usage(sent.usage)
    return response


def _items(sent: Sent) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if sent.answer.reasoning:
        items.append(
            {
                "type": "reasoning",
                "id": f"rs_{sent.n}",
                "summary": [],
                "encrypted_content": f"enc{sent.n}:{len(sent.answer.reasoning)}",
            }
        )
    if sent.answer.text:
        if sent.stop == "refusal":
            content: dict[str, Any] = {"type": "refusal", "refusal": sent.answer.text}
        else:
            content = {"type": "output_text", "text": sent.answer.text, "annotations": [], "logprobs": []}
        items.append(
            {
                "type": "message",
                "id": f"msg_{sent.n}",
                "role": "assistant",
                "status": "completed",
                "content": [content],
            }
        )
    for i, (call_id, name, arguments) in enumerate(sent.tools):
        item = {
            "type": "function_call",
            "id": f"fc_{sent.n}_{i}",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        group = sent.answer.tools[i].namespace
        items.append(item | {"namespace": group} if group else item)
    return items


def responses_stream(sent: Sent) -> Events:
    events: Events = []

    def add(kind: str, usage: Usage | None = None, **data: Any) -> None:
        events.append((_named({"type": kind, "sequence_number": len(events)} | data), usage))

    add("response.created", response=_response(sent, "in_progress", []))
    add("response.in_progress", response=_response(sent, "in_progress", []))
    items = _items(sent)
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            empty = item | {"status": "in_progress", "content": []}
            add("response.output_item.added", output_index=index, item=empty)
            part = item["content"][0]
            refusal = part["type"] == "refusal"
            blank = part | ({"refusal": ""} if refusal else {"text": ""})
            add("response.content_part.added", **place, content_index=0, part=blank)
            kind = "response.refusal" if refusal else "response.output_text"
            extra: dict[str, Any] = {} if refusal else {"logprobs": []}
            for piece in pieces(sent.answer.text, sent.answer.chunks):
                add(f"{kind}.delta", **place, content_index=0, delta=piece, **extra)
            done = {"refusal": part["refusal"]} if refusal else {"text": part["text"], "logprobs": []}
            add(f"{kind}.done", **place, content_index=0, **done)
            add("response.content_part.done", **place, content_index=0, part=part)
        elif item["type"] == "function_call":
            add(
                "response.output_item.added", output_index=index, item=item | {"arguments": "", "status": "in_progress"}
            )
            for piece in pieces(item["arguments"], sent.answer.chunks):
                add("response.function_call_arguments.delta", **place, delta=piece)
            add(
                "response.function_call_arguments.done",
                **place,
                name=item["name"],
                arguments=item["arguments"],
            )
        else:
            add("response.output_item.added", output_index=index, item=item | {"encrypted_content": "begun"})
        add("response.output_item.done", output_index=index, item=item)
    response = _response(sent, "completed", items)
    add(f"response.{response['status']}", sent.usage if sent.answer.usage else None, response=response)
    return events


def responses_whole(sent: Sent) -> bytes:
    return encode(_response(sent, "completed", _items(sent)))


# --- Google


def google_usage(usage: Usage) -> dict[str, Any]:
    prompt = usage["fresh"] + usage["cache_read"] + usage["cache_write_5m"] + usage["cache_write_1h"]
    visible = usage["output"] - usage["reasoning"]
    counted = {"promptTokenCount": prompt, "candidatesTokenCount": visible, "totalTokenCount": prompt + usage["output"]}
    if usage["cache_read"]:
        counted["cachedContentTokenCount"] = usage["cache_read"]
    if usage["reasoning"]:
        counted["thoughtsTokenCount"] = usage["reasoning"]
    return counted


_GOOGLE_STOPS = {"end": "STOP", "tools": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}


def _google_parts(sent: Sent) -> list[list[dict[str, Any]]]:
    """Parts by chunk of the stream."""
    answer = sent.answer
    chunks: list[list[dict[str, Any]]] = []
    chunks += [[{"text": piece, "thought": True}] for piece in pieces(answer.reasoning, answer.chunks)]
    chunks += [[{"text": piece}] for piece in pieces(answer.text, answer.chunks)]
    for i, (call_id, name, arguments) in enumerate(sent.tools):
        part: dict[str, Any] = {"functionCall": {"id": call_id, "name": name, "args": _object(arguments)}}
        if answer.reasoning and i == 0:
            part["thoughtSignature"] = "c2lnbmF0dXJl"
        chunks.append([part])
    return chunks


def _google_chunk(sent: Sent, parts: list[Any], usage: Usage, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = _GOOGLE_STOPS[sent.stop]
    chunk: dict[str, Any] = {
        "candidates": [candidate],
        "modelVersion": sent.model,
        "responseId": f"g{sent.n}",
    }
    if sent.answer.usage:
        chunk["usageMetadata"] = google_usage(usage) | ({"serviceTier": sent.answer.tier} if sent.answer.tier else {})
    return chunk


def google_stream(sent: Sent) -> Events:
    events: Events = []
    chunks = _google_parts(sent)
    before = sent.usage | {"output": 0, "reasoning": 0, "web_searches": 0}
    for parts in chunks:
        events.append((event(_google_chunk(sent, parts, before, False)), before if sent.answer.usage else None))
    last = _google_chunk(sent, [{"text": ""}], sent.usage, True)
    events.append((event(last), sent.usage if sent.answer.usage else None))
    return events


def google_whole(sent: Sent) -> bytes:
    parts: list[dict[str, Any]] = []
    if sent.answer.reasoning:
        parts.append({"text": sent.answer.reasoning, "thought": True})
    if sent.answer.text:
        parts.append({"text": sent.answer.text})
    parts += [part for chunk in _google_parts(sent) for part in chunk if "functionCall" in part]
    return encode(_google_chunk(sent, parts, sent.usage, True))


# --- all


def stream(wire: str, sent: Sent, include_usage: bool) -> Events:
    if wire == "anthropic":
        return anthropic_stream(sent)
    if wire == "openai-chat":
        return chat_stream(sent, include_usage)
    return responses_stream(sent) if wire == "openai-responses" else google_stream(sent)


def whole(wire: str, sent: Sent) -> bytes:
    if wire == "anthropic":
        return anthropic_whole(sent)
    if wire == "openai-chat":
        return chat_whole(sent)
    return responses_whole(sent) if wire == "openai-responses" else google_whole(sent)


_ERRORS: dict[str, tuple[int, str, str, str, str]] = {
    # kind: status, Anthropic's type, OpenAI's type, OpenAI's code, Google's status
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_exceeded", "RESOURCE_EXHAUSTED"),
    "server": (500, "api_error", "server_error", "", "INTERNAL"),
    "overloaded": (529, "overloaded_error", "server_error", "", "UNAVAILABLE"),
    "payment": (402, "billing_error", "insufficient_quota", "insufficient_quota", "FAILED_PRECONDITION"),
    "auth": (401, "authentication_error", "invalid_request_error", "invalid_api_key", "UNAUTHENTICATED"),
    "bad_request": (400, "invalid_request_error", "invalid_request_error", "", "INVALID_ARGUMENT"),
    "overflow": (
        400,
        "invalid_request_error",
        "invalid_request_error",
        "context_length_exceeded",
        "INVALID_ARGUMENT",
    ),
    "not_found": (404, "not_found_error", "invalid_request_error", "model_not_found", "NOT_FOUND"),
}
_MESSAGES = {
    "overflow": {
        "anthropic": "prompt is too long: 213462 tokens > 200000 maximum",
        "google": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    }
}


def error(wire: str, kind: str, message: str, status: int | None = None) -> tuple[int, dict[str, Any]]:
    """Status and body of an error in the provider's own format."""
    known, anthropic_type, openai_type, openai_code, google_status = _ERRORS.get(kind, _ERRORS["server"])
    code = status or known
    message = message or _MESSAGES.get(kind, {}).get(wire, f"a scripted fault: {kind}")
    if wire == "anthropic":
        return code, {"type": "error", "error": {"type": anthropic_type, "message": message}, "request_id": "req_1"}
    if wire == "google":
        return code, {"error": {"code": code, "message": message, "status": google_status}}
    return code, {"error": {"message": message, "type": openai_type, "code": openai_code or None, "param": None}}


def error_event(wire: str, kind: str, message: str) -> bytes:
    """The error as an event inside a stream."""
    body = error(wire, kind, message)[1]
    if wire == "anthropic":
        return _named(body)
    if wire == "openai-responses":
        inner = body["error"]
        return _named(
            {"type": "error", "sequence_number": 9, "code": inner["code"], "message": inner["message"], "param": None}
        )
    return event(body)
