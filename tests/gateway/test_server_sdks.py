"""The official SDKs run their ordinary flows through the gateway: an answer, a stream, a tool, an error."""

import asyncio

import anthropic
import openai
import pytest
from gateway_lab import lab
from google import genai
from google.genai import types

from modelserver import Answer, Tool, in_turn

TURNS = in_turn([Answer("", (Tool("add", {"a": 1, "b": 2}),)), Answer("It is three.", output_tokens=9)])
MODELS = {"m-*": ("anthropic:*", "anthropic"), "o-*": ("openai:*", "openai"), "g-*": ("google:*", "google")}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}


def within(flow, tmp_path, monkeypatch, **options):
    """Run `flow(lab)`; afterwards ledger and server agree on every call."""

    async def go():
        async with lab(TURNS, tmp_path, monkeypatch, models=MODELS, price=False, **options) as it:
            await flow(it)
            billed = [record["billed"] for record in it.server.records]
            calls = it.calls()
            assert [{name: getattr(call.usage, name) for name in billed[0]} for call in calls] == billed
            assert {call.agent for call in calls} == {"sdk"}

    asyncio.run(go())


@pytest.mark.parametrize("stream", [False, True])
def test_the_anthropic_sdk_calls_a_tool_and_streams(stream, tmp_path, monkeypatch):
    async def flow(it):
        async with anthropic.AsyncAnthropic(base_url=it.gateway.url, api_key="outlay-sdk", max_retries=0) as client:
            messages = [{"role": "user", "content": "add"}]
            tools = [{"name": "add", "description": "Add.", "input_schema": SCHEMA}]
            common = {"model": "m-x", "max_tokens": 100, "tools": tools}

            async def ask():
                if not stream:
                    return await client.messages.create(messages=messages, **common)
                async with client.messages.stream(messages=messages, **common) as events:
                    return await events.get_final_message()

            first = await ask()
            use = first.content[0]
            assert (use.name, use.input, first.stop_reason) == ("add", {"a": 1, "b": 2}, "tool_use")
            messages += [
                {"role": "assistant", "content": [use.model_dump()]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "3"}]},
            ]
            second = await ask()
            assert second.content[0].text == "It is three." and second.usage.output_tokens == 9
            counted = await client.messages.count_tokens(model="m-x", messages=messages)
            assert counted.input_tokens > 0
            assert [model.id async for model in client.models.list()]
            with pytest.raises(anthropic.PermissionDeniedError, match="not allowed here"):
                await client.messages.create(model="other", messages=messages, max_tokens=10)

    within(flow, tmp_path, monkeypatch)


@pytest.mark.parametrize("stream", [False, True])
def test_the_openai_sdk_runs_chat_completions(stream, tmp_path, monkeypatch):
    async def flow(it):
        url = f"{it.gateway.url}/s/sdk/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            messages = [{"role": "user", "content": "add"}]
            tools = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
            common = {"model": "o-x", "tools": tools}

            async def ask():
                if not stream:
                    return (await client.chat.completions.create(messages=messages, **common)).choices[0].message
                async with client.chat.completions.stream(messages=messages, **common) as events:
                    async for _ in events:
                        pass
                    return (await events.get_final_completion()).choices[0].message

            message = await ask()
            assert message.tool_calls[0].function.name == "add"
            call = message.tool_calls[0]
            asked = {"id": call.id, "type": "function"}
            asked["function"] = {"name": "add", "arguments": call.function.arguments}
            messages += [
                {"role": "assistant", "tool_calls": [asked]},
                {"role": "tool", "tool_call_id": call.id, "content": "3"},
            ]
            assert (await ask()).content == "It is three."
            assert (await client.models.list()).data
            with pytest.raises(openai.PermissionDeniedError, match="not allowed here"):
                await client.chat.completions.create(model="other", messages=messages)

    within(flow, tmp_path, monkeypatch)


@pytest.mark.parametrize("stream", [False, True])
def test_the_openai_sdk_runs_responses(stream, tmp_path, monkeypatch):
    async def flow(it):
        url = f"{it.gateway.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="outlay-sdk", max_retries=0) as client:
            items = [{"role": "user", "content": "add"}]
            tools = [{"type": "function", "name": "add", "parameters": SCHEMA, "strict": False}]
            common = {"model": "o-x", "tools": tools, "store": False}

            async def ask():
                if not stream:
                    return await client.responses.create(input=items, **common)
                async with client.responses.stream(input=items, **common) as events:
                    async for _ in events:
                        pass
                    return await events.get_final_response()

            first = await ask()
            call = next(item for item in first.output if item.type == "function_call")
            named = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
            items += [named, {"type": "function_call_output", "call_id": call.call_id, "output": "3"}]
            second = await ask()
            assert second.output_text == "It is three." and second.usage.output_tokens == 9

    within(flow, tmp_path, monkeypatch)


@pytest.mark.parametrize("stream", [False, True])
def test_the_google_sdk_generates_content(stream, tmp_path, monkeypatch):
    async def flow(it):
        options = types.HttpOptions(base_url=it.gateway.url)
        client = genai.Client(api_key="outlay-sdk", http_options=options, vertexai=False)
        declared = types.FunctionDeclaration(name="add", parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declared])],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        contents = [types.Content(role="user", parts=[types.Part(text="add")])]

        async def ask():
            if not stream:
                answer = await client.aio.models.generate_content(model="g-x", contents=contents, config=config)
                return answer.candidates[0].content.parts
            parts = []
            async for chunk in await client.aio.models.generate_content_stream(
                model="g-x", contents=contents, config=config
            ):
                parts += chunk.candidates[0].content.parts or [] if chunk.candidates[0].content else []
            return parts

        parts = await ask()
        call = next(part for part in parts if part.function_call)
        assert call.function_call.name == "add"
        answered = types.FunctionResponse(id=call.function_call.id, name="add", response={"output": "3"})
        contents += [
            types.Content(role="model", parts=[call]),
            types.Content(role="user", parts=[types.Part(function_response=answered)]),
        ]
        assert "".join(part.text or "" for part in await ask()) == "It is three."
        counted = await client.aio.models.count_tokens(model="g-x", contents=contents)
        assert counted.total_tokens > 0
        with pytest.raises(genai.errors.ClientError, match="not allowed here"):
            await client.aio.models.generate_content(model="other", contents=contents)

    within(flow, tmp_path, monkeypatch)


def test_the_sdks_see_402_over_the_limit_as_their_own_kind_of_error(tmp_path, monkeypatch):
    async def flow(it):
        async with anthropic.AsyncAnthropic(base_url=it.gateway.url, api_key="x", max_retries=3) as client:
            with pytest.raises(anthropic.APIStatusError, match="limit turns of the gateway reached") as seen:
                await client.messages.create(model="m-1", messages=[{"role": "user", "content": "x"}], max_tokens=9)
            assert seen.value.status_code == 402
        assert it.gateway.server.metrics.refused("limit") == 1

    async def go():
        async with lab(TURNS, tmp_path, monkeypatch, limits=["turns=1"]) as it:
            async with anthropic.AsyncAnthropic(base_url=it.gateway.url, api_key="x") as client:
                await client.messages.create(model="m-1", messages=[{"role": "user", "content": "x"}], max_tokens=9)
            await flow(it)

    asyncio.run(go())
