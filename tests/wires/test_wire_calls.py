"""Whole calls against the scripted server: what comes back is what the server says it sent."""

import asyncio
import gc
import itertools

import aiohttp
import msgspec
import pytest
from wire_lab import WIRES, converse, request, results, user, with_server

from modelserver import Answer, FaultPlan, Tool, Worker, in_turn
from outlay.tokens import ZERO, Usage
from outlay.wires import codec
from outlay.wires.http import send
from outlay.wires.types import Fault, Message, Text, ToolCall


def usage_of(record) -> Usage:
    return Usage(**record["usage"])


@pytest.mark.parametrize("wire", WIRES)
def test_usage_of_a_conversation_adds_up_to_the_servers_truth(wire):
    async def work(server, own, post):
        plan = '[[turns=6 tool=shell calls=2 command="echo {turn} {i}" say="Trying." reasoning="What next?"]]'
        replies = await converse(post, request(user(plan)))
        assert len(replies) == 7
        assert [reply.usage for reply in replies] == [usage_of(record) for record in server.records]
        assert all(record["outcome"] == "whole" for record in server.records)
        total = sum((reply.usage for reply in replies), ZERO)
        assert total.reasoning > 0
        assert total.cache_read > 0
        assert replies[0].message.parts[0] == Text("Trying.")
        assert [msgspec.json.decode(part.arguments) for part in replies[2].message.parts[1:]] == [
            {"command": "echo 2 0"},
            {"command": "echo 2 1"},
        ]
        assert replies[-1].stop == "end"
        assert replies[-1].model == "scripted-large"

    asyncio.run(with_server(Worker(), wire, work))


@pytest.mark.parametrize("wire", WIRES)
def test_every_request_begins_with_the_bytes_of_the_one_before(wire):
    bodies = []

    def script(call):
        bodies.append(call.body)
        return worker(call)

    worker = Worker()

    async def work(server, own, post):
        plan = '[[turns=4 tool=shell calls=2 command="echo {turn}" reasoning="Hm."]]'
        await converse(post, request(user(plan)))
        for one, other in itertools.pairwise(bodies):
            length = own.prefix_length(one)
            assert length > len(one) - 200
            assert other[:length] == one[:length]

    asyncio.run(with_server(script, wire, work))


@pytest.mark.parametrize("wire", WIRES)
def test_malformed_arguments_reach_the_caller_and_the_conversation_goes_on(wire):
    bad = '{"command": "echo'
    script = in_turn([Answer("", (Tool("shell", bad),)), Answer("Sorry.")])

    async def work(server, own, post):
        first = request(user("go"))
        reply = await post(first)
        call = reply.message.parts[0]
        assert isinstance(call, ToolCall)
        if wire == "google":
            assert msgspec.json.decode(call.arguments) == {"text": bad}
        else:
            assert call.arguments == bad
        assert reply.stop == "tools"
        then = await post(request(*first.messages, reply.message, results(reply, "no JSON")))
        assert then.message.parts == (Text("Sorry."),)

    asyncio.run(with_server(script, wire, work))


def test_tool_calls_of_other_models_are_signed_for_google_by_its_documented_dummy():
    calls = Message("assistant", (ToolCall("a", "shell", "{}"), ToolCall("b", "shell", "{")))
    parts = msgspec.json.decode(codec("google").body(request(user("go"), calls)))["contents"][1]["parts"]
    assert parts[0]["thoughtSignature"] == "skip_thought_signature_validator"
    assert parts[1] == {"functionCall": {"id": "b", "name": "shell", "args": {"_malformed": "{"}}}


def test_openai_itself_gets_malformed_arguments_back_verbatim_and_other_servers_wrapped():
    bad = '{"command": "echo'
    native = {}
    for base in ("https://api.openai.com/v1", "http://127.0.0.1:8080/v1"):
        reader = codec("openai-chat", base_url=base).reader()
        chunk = {
            "choices": [
                {
                    "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "shell", "arguments": bad}}]},
                    "finish_reason": "tool_calls",
                }
            ]
        }
        reader.feed(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
        message = msgspec.json.decode(reader.finish().message.native)
        native[base] = message["tool_calls"][0]["function"]["arguments"]
    assert native["https://api.openai.com/v1"] == bad
    assert msgspec.json.decode(native["http://127.0.0.1:8080/v1"]) == {"_malformed": bad}


@pytest.mark.parametrize("wire", WIRES)
def test_reasoning_is_sent_back_as_it_came(wire):
    seen = []

    def script(call):
        seen.append(call.body)
        answer = Answer("Let me look.", (Tool("shell", {"command": "ls"}),), reasoning="deep thought")
        return answer if call.turn == 0 else Answer("Done.")

    async def work(server, own, post):
        await converse(post, request(user("go")))
        marks = {
            "anthropic": b'"signature":"sig1=="',
            "openai-chat": b'"reasoning_content":"deep thought"',
            "openai-responses": b'"encrypted_content":"enc1:12"',
            "google": b'"thoughtSignature":"c2lnbmF0dXJl"',
        }
        assert marks[wire] in seen[1]

    asyncio.run(with_server(script, wire, work))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("other", WIRES)
def test_a_conversation_can_move_to_another_api(wire, other):
    script = in_turn([Answer("Look.", (Tool("shell", {"command": "ls"}),), reasoning="hm"), Answer("Done.")])

    async def begin(server, own, post):
        return await post(request(user("go")))

    async def go_on(server, own, post):
        reply = await post(request(user("go"), begun.message, results(begun, "file.txt")))
        assert reply.message.parts == (Text("Done."),)

    def second(call):
        assert call.turn == 1
        assert ("Look.",) in [entry.texts for entry in call.messages]
        assert call.messages[-1].results[0].content == "file.txt"
        return script(call)

    begun = asyncio.run(with_server(script, wire, begin))
    asyncio.run(with_server(second, other, go_on))


@pytest.mark.parametrize("wire", WIRES)
def test_two_messages_of_a_user_in_a_row_keep_the_prefix(wire):
    own = codec(wire)
    one = own.body(request(user("first")))
    two = own.body(request(user("first"), user("second")))
    length = own.prefix_length(one)
    assert two[:length] == one[:length]
    if wire in ("anthropic", "google"):
        body = msgspec.json.decode(two)
        assert len(body.get("messages", body.get("contents"))) == 1


@pytest.mark.parametrize("wire", WIRES)
def test_an_empty_answer_is_a_reply_and_does_not_spoil_the_next_request(wire):
    script = in_turn([FaultPlan("empty"), Answer("Here.")])

    async def work(server, own, post):
        reply = await post(request(user("go")))
        assert reply.message.parts == ()
        assert reply.stop == "end"
        assert reply.usage is not None
        own.body(request(user("go"), reply.message, user("again")))

    asyncio.run(with_server(script, wire, work))


@pytest.mark.parametrize("wire", WIRES)
def test_answers_that_are_not_streamed_read_the_same(wire):
    answer = Answer("Look.", (Tool("shell", {"command": "ls -l"}),), reasoning="hm")

    async def work(server, own, post):
        streamed = await post(request(user("go")))
        async with aiohttp.ClientSession() as client:
            body = own.body(request(user("go"))).replace(b'"stream":true', b'"stream":false')
            url = own.url(server.base_url(wire), "scripted-large").replace(
                "streamGenerateContent?alt=sse", "generateContent"
            )
            async with client.post(url, data=body, headers=own.headers(None)) as response:
                assert response.content_type == "application/json"
                whole = own.read(await response.read())
        assert whole.stop == streamed.stop
        assert [type(part) for part in whole.message.parts] == [type(part) for part in streamed.message.parts]
        assert whole.message.parts[0] == streamed.message.parts[0]
        assert whole.message.parts[1].arguments == streamed.message.parts[1].arguments
        assert whole.usage.output == streamed.usage.output
        assert whole.usage.input == pytest.approx(streamed.usage.input, abs=1)

    asyncio.run(with_server(lambda call: answer, wire, work))


@pytest.mark.parametrize("wire", WIRES)
def test_a_cancelled_call_tells_what_it_has_used(wire):
    async def work(server, own, post):
        async with aiohttp.ClientSession() as client:
            reader = own.reader()
            asked = request(user("go"))
            task = asyncio.ensure_future(
                send(
                    client,
                    own,
                    base_url=server.base_url(wire),
                    key=None,
                    request_body=own.body(asked),
                    model=asked.model,
                    stall_s=5,
                    total_s=5,
                    reader=reader,
                )
            )
            while not server.records or not server.records[0]["usage"]:
                await asyncio.sleep(0.01)
                if wire.startswith("openai") and server.records:
                    break
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if wire.startswith("openai"):
                assert reader.usage_so_far is None
            else:
                assert reader.usage_so_far.input == usage_of(server.records[0]).input

    asyncio.run(with_server(lambda call: FaultPlan("stall_midway", Answer("text " * 20)), wire, work))


@pytest.mark.parametrize("wire", WIRES)
def test_rendered_bytes_are_forgotten_with_their_messages(wire):
    own = codec(wire)
    message = user("a long text " * 100)
    own.body(request(message))
    assert len(own._rendered) == 1
    del message
    gc.collect()
    assert len(own._rendered) == 0


@pytest.mark.parametrize("wire", WIRES)
def test_lone_surrogates_and_odd_characters_are_sent(wire):
    own = codec(wire)
    text = "caf\udce9 \u2028 \x00 😀"
    body = own.body(request(user(text), Message("assistant", (ToolCall("a b", "shell", "{"),)), system=text))
    msgspec.json.decode(body)


def test_the_output_limit_has_the_name_that_the_server_knows():
    asked = request(user("go"))
    own = msgspec.json.decode(codec("openai-chat").body(asked))
    local = msgspec.json.decode(codec("openai-chat", base_url="http://127.0.0.1:11434/v1").body(asked))
    assert own["max_completion_tokens"] == 1000
    assert "max_tokens" not in own
    assert local["max_tokens"] == 1000
    assert "max_completion_tokens" not in local


def test_an_unknown_api_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match="openai-responses"):
        codec("openai")


def test_a_key_never_stands_in_a_fault():
    async def work(server, own, post):
        with pytest.raises(Fault) as caught:
            await post(request(user("go")))
        assert "0123456789" not in str(caught.value)
        assert len(str(caught.value)) <= 300

    message = "Incorrect API key provided: sk-test-0123456789. " + "x" * 1000
    asyncio.run(with_server(lambda call: FaultPlan("auth", message=message), "openai-chat", work))
