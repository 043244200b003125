"""Conversations of any shape only grow: every request begins with the bytes of the one before."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_lab import WIRES, request

from modelserver import Answer, Tool, writing
from outlay.wires import codec
from outlay.wires.types import Message, Text, ToolCall, ToolResult

TEXTS = st.sampled_from(["", " ", "a", 'b"],"x":[{', "]}],\n", "é\udc80", "\\", "}" * 5])
ARGUMENTS = st.sampled_from(["", "{}", '{"a": [1, {"cache_control": {"type": "ephemeral"}}]}', '{"max_tokens":', "[]"])


def own_answer(wire: str, text: str, arguments: str, reasoning: str) -> Message:
    """An answer as the API itself would give it."""
    tools = (Tool("shell", arguments),) if arguments else ()
    answer = Answer(text.encode("utf-8", "replace").decode(), tools, reasoning)
    usage = dict.fromkeys(writing.CLASSES, 1)
    reader = codec(wire).reader()
    for piece, _ in writing.stream(wire, writing.ready(1, wire, "m", answer, usage), True):
        reader.feed(piece)
    return reader.finish().message


MESSAGES = st.one_of(
    st.builds(lambda texts: ("user", tuple(Text(text) for text in texts)), st.lists(TEXTS, max_size=3)),
    st.builds(lambda text, error: ("user", (ToolResult("c 1", "shell", text, error),)), TEXTS, st.booleans()),
    st.builds(lambda text, given: ("foreign", (Text(text), ToolCall("c 1", "shell", given))), TEXTS, ARGUMENTS),
    st.builds(lambda *answer: ("own", answer), TEXTS, ARGUMENTS, st.sampled_from(["", "hm"])),
)


@pytest.mark.parametrize("wire", WIRES)
@given(shapes=st.lists(MESSAGES, max_size=8), tools=st.booleans(), system=TEXTS)
@settings(max_examples=80)
def test_every_request_extends_the_one_before(wire, shapes, tools, system):
    own = codec(wire)
    messages: list[Message] = []
    before = None
    for kind, content in shapes:
        if kind == "own":
            messages.append(own_answer(wire, *content))
        else:
            messages.append(Message("assistant" if kind == "foreign" else "user", content))
        asked = request(*messages, system=system)
        body = own.body(asked if tools else msgspec.structs.replace(asked, tools=()))
        msgspec.json.decode(body)
        if before is not None:
            length = own.prefix_length(before)
            assert body[:length] == before[:length]
            # What is left out of the prefix is the end of the body and nothing of the conversation.
            assert b"shell" not in before[length:]
        before = body
        assert codec(wire).body(asked if tools else msgspec.structs.replace(asked, tools=())) == body


@pytest.mark.parametrize("wire", WIRES)
@given(shapes=st.lists(MESSAGES, min_size=1, max_size=8))
@settings(max_examples=40)
def test_limits_and_effort_may_change_from_call_to_call(wire, shapes):
    own = codec(wire)
    messages = [
        own_answer(wire, *content) if kind == "own" else Message("assistant" if kind == "foreign" else "user", content)
        for kind, content in shapes
    ]
    one = own.body(request(*messages, max_output_tokens=5))
    other = own.body(request(*messages, max_output_tokens=70000, reasoning="low"))
    length = own.prefix_length(one)
    assert length == own.prefix_length(other)
    assert one[:length] == other[:length]
