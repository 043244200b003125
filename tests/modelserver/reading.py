"""Requests of the four APIs, as the scripts see them."""

from __future__ import annotations

from typing import Any

import msgspec

from modelserver.script import Entry, Result, Tool

NOTHING = msgspec.Raw()


class Body(msgspec.Struct):
    """The fields of all four requests that matter here. What is long stays raw."""

    model: str = ""
    stream: bool = False
    messages: list[msgspec.Raw] | None = None
    contents: list[msgspec.Raw] | None = None
    input: msgspec.Raw = NOTHING
    system: msgspec.Raw = NOTHING
    instructions: msgspec.Raw = NOTHING
    systemInstruction: msgspec.Raw = NOTHING
    tools: msgspec.Raw = NOTHING
    stream_options: dict[str, Any] | None = None
    generationConfig: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None


class Who(msgspec.Struct):
    role: str = ""
    type: str = ""


decode_body = msgspec.json.Decoder(Body).decode
decode_who = msgspec.json.Decoder(Who).decode


def raw_messages(body: Body) -> list[msgspec.Raw]:
    """The messages; a text as the input of Responses is one message."""
    if body.messages is not None:
        return body.messages
    if body.contents is not None:
        return body.contents
    if not body.input:
        return []
    if bytes(body.input).startswith(b'"'):
        text = msgspec.json.decode(body.input)
        return [msgspec.Raw(msgspec.json.encode({"role": "user", "content": text}))]
    return msgspec.json.decode(body.input, type=list[msgspec.Raw])


def is_models(raw: msgspec.Raw) -> bool:
    """Whether a message is the model's."""
    who = decode_who(raw)
    return who.role in ("assistant", "model") or who.type in ("function_call", "reasoning", "web_search_call")


def _texts(content: Any) -> list[str]:
    """Texts of a content: a string, or a list of parts in any of the formats."""
    if isinstance(content, str):
        return [content]
    texts = []
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str) and not part.get("thought"):
            texts.append(text)
    return texts


def entry(raw: msgspec.Raw) -> Entry:
    """One message of any of the APIs."""
    item = msgspec.json.decode(raw)
    kind = item.get("type", "")
    if kind == "function_call":
        return Entry("assistant", tools=(Tool(item["name"], item["arguments"], item["call_id"]),))
    if kind == "function_call_output":
        return Entry("user", results=(Result(item["call_id"], "", "\n".join(_texts(item["output"]))),))
    role = {"model": "assistant", "tool": "user"}.get(item.get("role", ""), item.get("role", "user"))
    if item.get("role") == "tool":
        return Entry(role, results=(Result(item["tool_call_id"], "", "\n".join(_texts(item["content"]))),))
    content = item.get("parts", item.get("content"))
    tools = [
        Tool(call["function"]["name"], call["function"]["arguments"], call.get("id", ""))
        for call in item.get("tool_calls") or ()
    ]
    results = []
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "tool_use":
            tools.append(Tool(part["name"], part["input"], part["id"]))
        elif part.get("type") == "tool_result":
            text = "\n".join(_texts(part.get("content", "")))
            results.append(Result(part["tool_use_id"], "", text, bool(part.get("is_error"))))
        elif "functionCall" in part:
            call = part["functionCall"]
            tools.append(Tool(call["name"], call.get("args", {}), call.get("id", "")))
        elif "functionResponse" in part:
            answer = part["functionResponse"]
            said = answer.get("response", {})
            text = said.get("output", said.get("error", ""))
            results.append(Result(answer.get("id", ""), answer["name"], str(text), "error" in said))
    return Entry(role, tuple(_texts(content)), tuple(tools), tuple(results))


def system_text(body: Body, messages: list[msgspec.Raw]) -> str:
    """The system prompt, wherever the API keeps it."""
    raw = body.system or body.instructions or body.systemInstruction
    if raw:
        value = msgspec.json.decode(raw)
        return "\n\n".join(_texts(value.get("parts") if isinstance(value, dict) else value))
    if messages and decode_who(messages[0]).role in ("system", "developer"):
        return "\n\n".join(entry(messages[0]).texts)
    return ""


def tool_list(body: Body) -> list[dict[str, Any]]:
    """Tools on offer, as name, description and schema."""
    tools = []
    for item in msgspec.json.decode(body.tools) if body.tools else ():
        for tool in item.get("functionDeclarations", [item.get("function", item)]):
            schema: Any = next(
                (tool[key] for key in ("input_schema", "parameters", "parametersJsonSchema") if key in tool), {}
            )
            tools.append({"name": tool.get("name", ""), "description": tool.get("description", ""), "schema": schema})
    return tools
