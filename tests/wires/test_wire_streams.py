"""Streams in pieces of any size, with any quirk, and garbage."""

import gzip
import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_lab import WIRES

from modelserver import Answer, Tool, writing
from outlay.tokens import Usage
from outlay.wires import codec
from outlay.wires.sse import EventData
from outlay.wires.types import Fault, Text, ToolCall

PROMPT = {"fresh": 7, "cache_read": 40, "cache_write_5m": 3, "cache_write_1h": 0}
ANSWER = Answer(
    "Größe: 10 µm — ok\n\ndata: not an event",
    (Tool("shell", {"command": "echo 'naïve' | wc"}), Tool("read", {"path": "a\\b"})),
    reasoning="hm, 考える",
    chunks=7,
)


def stream(wire: str, answer: Answer = ANSWER) -> bytes:
    sent = writing.ready(1, wire, "m", answer, PROMPT)
    return b"".join(piece for piece, _ in writing.stream(wire, sent, True))


def read(wire, chunks):
    reader = codec(wire).reader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


@pytest.mark.parametrize("wire", WIRES)
@given(cuts=st.lists(st.integers(0, 1 << 16), max_size=30), ends=st.sampled_from([b"\n", b"\r\n", b"\r"]))
@settings(max_examples=60)
def test_a_reply_is_the_same_however_its_stream_was_split(wire, cuts, ends):
    body = stream(wire)
    expected = read(wire, [body])
    assert expected.message.parts[0] == Text(ANSWER.text)
    body = body.replace(b"\n", ends)
    places = sorted({cut % len(body) for cut in cuts} | {0, len(body)})
    assert read(wire, [body[a:b] for a, b in itertools.pairwise(places)]) == expected


@pytest.mark.parametrize("wire", WIRES)
def test_a_reply_is_the_same_byte_by_byte_with_comments_and_without_a_last_empty_line(wire):
    body = stream(wire)
    commented = b"\xef\xbb\xbf: hello\n\n" + body.replace(b"\n\n", b"\n: ping\n\nretry: 3\n\n", 5).rstrip(b"\n")
    assert read(wire, [bytes([byte]) for byte in commented]) == read(wire, [body])


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_cut_anywhere_is_a_reply_or_a_fault_with_what_was_used(wire):
    body = stream(wire)
    whole = read(wire, [body])
    for end in range(0, len(body), 3):
        try:
            reply = read(wire, [body[:end]])
        except Fault as fault:
            assert fault.kind == "cut"
            assert fault.usage is None or fault.usage.input <= whole.usage.input
        else:
            assert reply.message == whole.message


@pytest.mark.parametrize("wire", WIRES)
@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_garbage_raises_nothing_but_faults(wire, garbage):
    for body in (garbage, b"data: " + garbage + b"\n\n", b'data: {"type":' + garbage):
        with pytest.raises(Fault):
            read(wire, [body])
    own = codec(wire)
    with pytest.raises(Fault):
        own.read(garbage)
    assert isinstance(own.fault(500, {}, garbage), Fault)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("wire", WIRES)
@given(data=st.data())
@settings(max_examples=150)
def test_answers_with_strange_values_in_any_place_raise_nothing_but_faults(wire, data):
    body = stream(wire)
    events = [event for event in body.split(b"\n\n") if event]
    n = data.draw(st.integers(0, len(events) - 1))
    event = events[n]
    start = event.find(b"{")
    if start < 0:
        return
    document = msgspec.json.decode(event[start:])
    place = document
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    events[n] = event[:start] + msgspec.json.encode(document)
    try:
        reply = read(wire, [b"\n\n".join(events) + b"\n\n"])
    except Fault:
        return
    if reply.usage is not None:
        assert min(msgspec.structs.astuple(reply.usage)) >= 0
    msgspec.json.decode(reply.message.native)
    own = codec(wire)
    msgspec.json.decode(own.body(_asked(reply)))
    whole = msgspec.json.encode(document)
    try:
        own.read(whole)
    except Fault:
        pass
    assert isinstance(own.fault(400, {}, whole), Fault)


def _asked(reply):
    from wire_lab import request, user

    return request(user("go"), reply.message)


@given(st.text(), st.lists(st.integers(1, 9), max_size=20))
def test_data_of_several_lines_is_joined(text, sizes):
    lines = text.encode("utf-8", "replace").splitlines() or [b""]
    body = b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    events = EventData()
    found, place = [], 0
    for size in [*sizes, len(body)]:
        found += events.feed(body[place : place + size])
        place += size
    assert [*found, *events.flush()] == [b"\n".join(lines)]


def test_a_line_without_an_end_does_not_fill_the_memory():
    reader = codec("openai-chat").reader()
    with pytest.raises(Fault, match="longer than"):
        for _ in range(70):
            reader.feed(b"x" * (1 << 20))


# --- quirks of servers that speak chat completions


def chat(*chunks, done=True):
    body = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)
    return read("openai-chat", [body + (b"data: [DONE]\n\n" if done else b"")])


def delta(finish=None, **fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def test_tool_calls_without_index_or_id_are_told_apart():
    reply = chat(
        delta(tool_calls=[{"function": {"name": "shell", "arguments": '{"command":'}}]),
        delta(tool_calls=[{"function": {"arguments": '"ls"}'}}]),
        delta(tool_calls=[{"function": {"name": "shell", "arguments": '{"command":"pwd"}'}}]),
        delta("stop"),
    )
    assert [part.arguments for part in reply.message.parts] == ['{"command":"ls"}', '{"command":"pwd"}']
    assert len({part.id for part in reply.message.parts}) == 2
    assert reply.stop == "tools"


def test_several_whole_tool_calls_under_index_0_are_told_apart():
    reply = chat(
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "shell", "arguments": {"command": "ls"}}}]),
        delta(tool_calls=[{"index": 0, "id": "b", "function": {"name": "read", "arguments": ""}}]),
        delta("tool_calls"),
    )
    assert reply.message.parts == (ToolCall("a", "shell", '{"command":"ls"}'), ToolCall("b", "read", "{}"))


def test_usage_is_read_from_a_chunk_without_choices_and_the_newest_holds():
    usage = {"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 60}}
    reply = chat(
        delta(content="a") | {"usage": {"prompt_tokens": 100, "completion_tokens": 1}},
        delta("stop"),
        {"choices": [], "usage": usage},
    )
    assert reply.usage == Usage(fresh=40, cache_read=60, output=9)
    assert chat(delta(content="a"), delta("stop") | {"usage": None}).usage is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": None}, Usage(fresh=10)),
        ({"prompt_tokens": -1, "completion_tokens": 3}, Usage(output=3)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 4}},
            Usage(fresh=10, output=5, reasoning=4),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 19,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(fresh=10, output=9, reasoning=4),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 6},
            Usage(fresh=4, cache_read=6, output=5),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 5},
            },
            Usage(fresh=2, cache_read=3, cache_write_5m=5, output=5),
        ),
        ({}, None),
        ({"queue_time": 1}, None),
    ],
)
def test_chat_usage_is_disjoint(usage, expected):
    assert chat(delta(content="a"), delta("stop"), {"choices": [], "usage": usage}).usage == expected


def test_reasoning_comes_back_under_the_name_it_came_with():
    reply = chat(delta(reasoning="a"), delta(reasoning="b"), delta(content="c"), delta("stop"), done=False)
    assert msgspec.json.decode(reply.message.native) == {"role": "assistant", "content": "c", "reasoning": "ab"}


def test_errors_inside_a_chat_stream_are_faults():
    for event, kind in (
        (b'data: {"error":{"message":"slow down","code":429}}\n\n', "rate_limit"),
        (b'data: {"error":"model runner has unexpectedly stopped"}\n\n', "server"),
        (b'error: {"code":400,"message":"the request exceeds the available context size"}\n\n', "context_overflow"),
        (b'data: {"object":"error","message":"no memory","type":"InternalServerError","code":500}\n\n', "server"),
    ):
        with pytest.raises(Fault) as caught:
            read("openai-chat", [event])
        assert caught.value.kind == kind


# --- Anthropic's and Google's own


def anthropic(usage, **extra):
    message = {"type": "message", "id": "m", "model": "c", "content": [], "stop_reason": "end_turn", "usage": usage}
    return codec("anthropic").read(msgspec.json.encode(message | extra))


def test_anthropic_cache_writes_without_a_split_are_of_five_minutes():
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 30, "output_tokens": 2}
    assert anthropic(usage).usage == Usage(fresh=5, cache_write_5m=30, output=2)
    split = usage | {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20}}
    assert anthropic(split).usage == Usage(fresh=5, cache_write_5m=10, cache_write_1h=20, output=2)


def test_anthropic_searches_and_tier_are_read():
    usage = {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 3}}
    assert anthropic(usage).usage.web_searches == 3
    assert anthropic(usage | {"service_tier": "batch"}).tier == "batch"
    assert anthropic(usage | {"service_tier": "standard"}).tier == ""
    assert anthropic(usage | {"service_tier": "standard", "speed": "fast"}).tier == "fast"


def test_anthropic_blocks_of_unknown_kinds_are_sent_back_as_they_came():
    content = [
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "a"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u", "encrypted_content": "e"}]},
        {"type": "text", "text": ""},
        {"type": "text", "text": "b", "citations": [{"type": "web_search_result_location", "url": "u"}]},
    ]
    reply = anthropic({"input_tokens": 1, "output_tokens": 1}, content=content)
    assert msgspec.json.decode(reply.message.native)["content"] == [*content[:3], content[4]]
    assert reply.message.parts == (Text("b"),)


def google(usage, *parts, finish="STOP"):
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish}
    body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g"}
    return codec("google").read(msgspec.json.encode(body))


def test_google_counts_thoughts_as_output_and_tool_prompts_as_input():
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 30,
        "toolUsePromptTokenCount": 5,
        "totalTokenCount": 145,
    }
    assert google(usage).usage == Usage(fresh=45, cache_read=60, output=40, reasoning=30)


def test_google_calls_without_ids_get_one_and_signatures_stay_with_their_part():
    call = {"functionCall": {"name": "shell", "args": {"command": "ls"}}, "thoughtSignature": "c2ln"}
    reply = google(
        {"promptTokenCount": 1}, {"text": "a"}, {"text": "b"}, call, {"text": "", "thoughtSignature": "eA=="}
    )
    parts = msgspec.json.decode(reply.message.native)["parts"]
    assert parts[0] == {"text": "ab"}
    assert parts[1]["thoughtSignature"] == "c2ln"
    assert parts[1]["functionCall"]["id"] == reply.message.parts[1].id
    assert parts[2] == {"text": "", "thoughtSignature": "eA=="}
    assert reply.stop == "tools"


def test_google_reads_an_array_of_chunks_and_blocked_prompts():
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": t}]}, "finishReason": f}]}
        for t, f in (("a", None), ("b", "STOP"))
    ]
    assert codec("google").read(msgspec.json.encode(chunks)).message.parts == (Text("ab"),)
    blocked = codec("google").read(
        b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}'
    )
    assert blocked.stop == "refusal"
    assert blocked.usage == Usage(fresh=4)


def test_a_response_that_failed_is_a_fault_with_its_usage():
    response = {
        "object": "response",
        "status": "failed",
        "output": [],
        "error": {"code": "rate_limit_exceeded", "message": "slow"},
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    event = {"type": "response.failed", "response": response}
    with pytest.raises(Fault) as caught:
        read("openai-responses", [b"data: " + msgspec.json.encode(event) + b"\n\n"])
    assert caught.value.kind == "rate_limit"
    assert caught.value.usage == Usage(fresh=9, output=1)


def test_reasoning_that_the_provider_did_not_keep_is_not_sent_back():
    items = [
        {"type": "reasoning", "id": "r1", "summary": []},
        {"type": "reasoning", "id": "r2", "summary": [], "encrypted_content": "e"},
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "web_search_call", "id": "x", "status": "completed", "action": {"type": "open_page", "url": "u"}},
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "t"}]},
    ]
    body = {"object": "response", "status": "completed", "output": items, "usage": {"input_tokens": 1}}
    reply = codec("openai-responses").read(msgspec.json.encode(body))
    assert [item["id"] for item in msgspec.json.decode(reply.message.native)] == ["r2", "w", "x", "m"]
    assert reply.usage.web_searches == 1


def test_random_bytes_of_many_kinds_are_faults():
    rng = random.Random(5)
    for wire in WIRES:
        for size in (1, 10, 1000, 20000):
            with pytest.raises(Fault):
                codec(wire).read(rng.randbytes(size))
        with pytest.raises(Fault):
            codec(wire).read(b"[" * 100_000)
        with pytest.raises(Fault):
            codec(wire).read(gzip.compress(stream(wire)))
