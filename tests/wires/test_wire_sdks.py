"""The providers' own packages as oracles: our requests are of their types, and they read the same answers as we do."""

import asyncio

import anthropic
import msgspec
import openai
import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming as AnthropicParams
from google import genai
from google.genai import types as genai_types
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as ChatParams
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming as ResponsesParams
from pydantic import TypeAdapter
from wire_lab import WIRES, converse, request, results, user, with_server

from modelserver import Answer, Tool, in_turn, serving
from outlay.tokens import Usage
from outlay.wires import codec
from outlay.wires.types import Message, Text, ToolCall, ToolResult

TOOLS = (Tool("shell", {"command": "ls"}), Tool("read", {"path": "a.txt"}))
SCRIPT = in_turn([Answer("Let me look.", TOOLS, reasoning="where is it"), Answer("It is here.")])


def requests_of_a_conversation(wire, **options):
    """All requests that we make, from the first to one with reasoning, tool results and other APIs' messages."""

    async def work(server, own, post):
        first = request(user("go", "and hurry"), reasoning="high")
        replies = await converse(post, first)
        foreign = Message(
            "assistant", (Text("Look."), ToolCall("c1", "shell", '{"command": "ls'), ToolCall("c2", "read", "{}"))
        )
        answers = Message("user", (ToolResult("c1", "shell", "no JSON", True), ToolResult("c2", "read", "text")))
        messages = (*first.messages, replies[0].message, results(replies[0]), foreign, answers, user("go on"))
        return [own.body(first), own.body(request(*messages)), own.body(request(*messages, reasoning="low"))]

    return [msgspec.json.decode(body) for body in asyncio.run(with_server(SCRIPT, wire, work, **options))]


def walk(value):
    """Force the lazy iterators of a validated value: errors in them are raised now."""
    if isinstance(value, dict):
        return {key: walk(item) for key, item in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [walk(item) for item in value]


@pytest.mark.parametrize(
    ("wire", "kind"),
    [("anthropic", AnthropicParams), ("openai-chat", ChatParams), ("openai-responses", ResponsesParams)],
)
def test_requests_are_of_the_official_types(wire, kind):
    validator = TypeAdapter(kind)
    for body in requests_of_a_conversation(wire):
        read = walk(validator.validate_python(body))
        assert set(body) <= kind.__required_keys__ | kind.__optional_keys__
        assert read["model"] == "scripted-large"


def test_google_requests_are_of_the_official_types():
    for body in requests_of_a_conversation("google"):
        for content in body["contents"]:
            assert genai_types.Content.model_validate(content).parts
        for tool in body["tools"]:
            assert genai_types.Tool.model_validate(tool).function_declarations
        genai_types.Content.model_validate(body["systemInstruction"])
        genai_types.GenerateContentConfig.model_validate(body["generationConfig"])
        assert [content["role"] for content in body["contents"]] == ["user", "model"] * (len(body["contents"]) // 2) + [
            "user"
        ] * (len(body["contents"]) % 2)


def ours(wire, truth_script=SCRIPT):
    """Our request and our reading of the first answer."""

    async def work(server, own, post):
        first = request(user("go"))
        reply = await post(first)
        return own.body(first), reply, Usage(**server.records[0]["usage"])

    return asyncio.run(with_server(truth_script, wire, work))


def calls_of(reply):
    return [(c.id, c.name, msgspec.json.decode(c.arguments)) for c in reply.message.parts if isinstance(c, ToolCall)]


def text_of(reply):
    return "".join(part.text for part in reply.message.parts if isinstance(part, Text))


def expected_calls(prefix):
    return [(f"{prefix}_1_0", "shell", {"command": "ls"}), (f"{prefix}_1_1", "read", {"path": "a.txt"})]


def test_the_anthropic_package_reads_the_same_answer():
    body, reply, truth = ours("anthropic")
    params = msgspec.json.decode(body)
    del params["stream"]
    with serving(SCRIPT) as server:
        client = anthropic.Anthropic(api_key="k", base_url=server.base_url("anthropic"), max_retries=0)
        with client.messages.stream(**params) as stream:
            message = stream.get_final_message()
        record = server.records[0]
    usage = message.usage
    assert reply.usage == truth
    assert record["usage"]["output"] == usage.output_tokens == truth.output
    assert truth.fresh + truth.cache_write_5m == pytest.approx(
        usage.input_tokens + usage.cache_creation_input_tokens, abs=3
    )
    assert usage.cache_creation_input_tokens == record["usage"]["cache_write_5m"]
    assert usage.output_tokens_details.thinking_tokens == truth.reasoning
    assert "".join(block.text for block in message.content if block.type == "text") == text_of(reply)
    theirs = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
    assert theirs == calls_of(reply) == expected_calls("toolu")
    native = msgspec.json.decode(reply.message.native)["content"]
    assert native[0] == {"type": "thinking", "thinking": message.content[0].thinking, "signature": "sig1=="}


def test_the_openai_package_reads_the_same_chat_completion():
    body, reply, truth = ours("openai-chat")
    params = msgspec.json.decode(body)
    content, calls, usage, reasoning = "", {}, None, ""
    with serving(SCRIPT) as server:
        client = openai.OpenAI(api_key="k", base_url=server.base_url("openai-chat"), max_retries=0)
        for chunk in client.chat.completions.create(**params):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                content += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                for call in choice.delta.tool_calls or ():
                    known = calls.setdefault(call.index, ["", "", ""])
                    known[0] += call.id or ""
                    known[1] += call.function.name or ""
                    known[2] += call.function.arguments or ""
    assert reply.usage == truth
    assert usage.completion_tokens == truth.output
    assert usage.completion_tokens_details.reasoning_tokens == truth.reasoning
    assert usage.prompt_tokens == pytest.approx(truth.input, abs=3)
    assert content == text_of(reply)
    theirs = [(call_id, name, msgspec.json.decode(arguments)) for call_id, name, arguments in calls.values()]
    assert theirs == calls_of(reply) == expected_calls("call")
    assert msgspec.json.decode(reply.message.native)["reasoning_content"] == reasoning


def test_the_openai_package_reads_the_same_response():
    body, reply, truth = ours("openai-responses")
    params = msgspec.json.decode(body)
    response = None
    with serving(SCRIPT) as server:
        client = openai.OpenAI(api_key="k", base_url=server.base_url("openai-responses"), max_retries=0)
        for event in client.responses.create(**params):
            if event.type == "response.completed":
                response = event.response
    assert reply.usage == truth
    assert response.usage.output_tokens == truth.output
    assert response.usage.output_tokens_details.reasoning_tokens == truth.reasoning
    assert response.usage.input_tokens == pytest.approx(truth.input, abs=3)
    assert response.output_text == text_of(reply)
    theirs = [
        (item.call_id, item.name, msgspec.json.decode(item.arguments))
        for item in response.output
        if item.type == "function_call"
    ]
    assert theirs == calls_of(reply) == expected_calls("call")
    native = msgspec.json.decode(reply.message.native)
    assert [item["type"] for item in native] == [item.type for item in response.output]
    assert native[0]["encrypted_content"] == response.output[0].encrypted_content


def test_the_google_package_reads_the_same_answer():
    body, reply, truth = ours("google")
    params = msgspec.json.decode(body)
    text, calls, usage, signature = "", [], None, None
    with serving(SCRIPT) as server:
        client = genai.Client(
            api_key="k", http_options=genai_types.HttpOptions(base_url=server.url, api_version="v1beta")
        )
        config = genai_types.GenerateContentConfig(
            system_instruction=params["systemInstruction"],
            tools=params["tools"],
            max_output_tokens=params["generationConfig"]["maxOutputTokens"],
        )
        chunks = client.models.generate_content_stream(
            model="scripted-large", contents=params["contents"], config=config
        )
        for chunk in chunks:
            usage = chunk.usage_metadata
            for part in chunk.candidates[0].content.parts:
                if part.text and not part.thought:
                    text += part.text
                if part.function_call:
                    calls.append((part.function_call.id, part.function_call.name, part.function_call.args))
                    signature = signature or part.thought_signature
    assert reply.usage == truth
    assert usage.candidates_token_count + usage.thoughts_token_count == truth.output
    assert usage.thoughts_token_count == truth.reasoning
    assert text == text_of(reply)
    assert calls == calls_of(reply) == expected_calls("fc")
    native = msgspec.json.decode(reply.message.native)["parts"]
    assert [part["thoughtSignature"] for part in native if "thoughtSignature" in part] == ["c2lnbmF0dXJl"]
    assert signature == b"signature"


@pytest.mark.parametrize("wire", WIRES)
def test_the_official_clients_get_past_a_second_turn_with_our_history(wire):
    async def work(server, own, post):
        first = request(user("go"))
        reply = await post(first)
        return own.body(request(*first.messages, reply.message, results(reply)))

    params = msgspec.json.decode(asyncio.run(with_server(SCRIPT, wire, work)))
    with serving(SCRIPT) as server:
        if wire == "anthropic":
            client = anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)
            answer = client.messages.create(**(params | {"stream": False})).content[0].text
        elif wire == "openai-chat":
            client = openai.OpenAI(api_key="k", base_url=server.base_url(wire), max_retries=0)
            params = {k: v for k, v in params.items() if k not in ("stream", "stream_options")}
            answer = client.chat.completions.create(**params).choices[0].message.content
        elif wire == "openai-responses":
            client = openai.OpenAI(api_key="k", base_url=server.base_url(wire), max_retries=0)
            answer = client.responses.create(**(params | {"stream": False})).output_text
        else:
            options = genai_types.HttpOptions(base_url=server.url, api_version="v1beta")
            client = genai.Client(api_key="k", http_options=options)
            answer = client.models.generate_content(model="scripted-large", contents=params["contents"]).text
    assert answer == "It is here."


@pytest.mark.parametrize(("kind", "error"), [("rate_limit", 429), ("payment", 402), ("overloaded", 529)])
def test_the_official_clients_see_the_servers_faults(kind, error):
    from modelserver import FaultPlan

    with serving(lambda call: FaultPlan(kind)) as server:
        with pytest.raises(anthropic.APIStatusError) as one:
            anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0).messages.create(
                model="m", max_tokens=1, messages=[{"role": "user", "content": "go"}]
            )
        with pytest.raises(openai.APIStatusError) as two:
            openai.OpenAI(api_key="k", base_url=server.base_url("openai"), max_retries=0).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "go"}]
            )
    assert one.value.status_code == two.value.status_code == error


def test_official_prompt_caching_marks_are_three_at_most():
    body = codec("anthropic", cache_ttl="1h").body(request(user("go")))
    assert body.count(b'"cache_control"') == 3
    assert body.count(b'"ttl":"1h"') == 3
