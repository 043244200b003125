"""Recordings play back what was recorded, and notice when the run takes another course. Answers by hand."""

import asyncio
import json

import pytest

from outlay.errors import InputError
from outlay.gateway.manual import Manual
from outlay.gateway.recording import Recorded, Recorder
from outlay.wires.types import Message, Request, Text, ToolCall, ToolResult


def request(*messages):
    return Request("m", "system", (), messages, 100)


ASK = Message("user", (Text("what is in a?"),))


async def by_hand(folder, answers):
    """Answers each request file with the next of `answers`, like a person would."""
    for n, answer in enumerate(answers):
        path = folder / f"main-{n:03}.request.json"
        while not path.exists():
            await asyncio.sleep(0.01)
        name = json.loads(path.read_text())["answer_file"]
        (folder / name).write_text(answer if isinstance(answer, str) else json.dumps(answer))


async def conversation(upstream):
    first = await upstream.send("main", request(ASK))
    result = Message("user", (ToolResult(first.reply.message.parts[0].id, "read", "a line"),))
    second = await upstream.send("main", request(ASK, first.reply.message, result))
    return first, second


def record(tmp_path):
    answers = [{"tool_calls": [{"name": "read", "arguments": {"path": "a"}}]}, {"text": "A line."}]

    async def run():
        upstream = Recorder(Manual(tmp_path / "by-hand"), tmp_path / "r.jsonl", "by hand")
        answering = asyncio.create_task(by_hand(tmp_path / "by-hand", answers))
        replies = await conversation(upstream)
        await answering
        return replies

    return asyncio.run(run())


def test_what_was_answered_by_hand_is_played_back_the_same(tmp_path):
    first, second = record(tmp_path)
    assert first.reply.message.parts == (ToolCall("call_0_0", "read", '{"path":"a"}'),)
    assert first.quality == "estimated"
    # What the first request held is read again; the answer and the tool's result are new to the cache.
    assert second.reply.usage.cache_read == first.reply.usage.cache_write_5m
    assert second.reply.usage.cache_write_5m >= first.reply.usage.output
    played = Recorded(tmp_path / "r.jsonl")
    assert played.header.made == "by hand"
    assert asyncio.run(conversation(played)) == (first, second)


def test_another_request_than_the_recorded_one_is_an_error_with_the_difference(tmp_path):
    first, _ = record(tmp_path)
    played = Recorded(tmp_path / "r.jsonl")
    other = Message("user", (ToolResult("call_0_0", "read", "another line"),))
    with pytest.raises(InputError, match=r"(?s)call 1 of session main differs.*-a line\n\+another line"):
        asyncio.run(played.send("main", request(ASK, first.reply.message, other)))
    with pytest.raises(InputError, match="no call 0 of session main/scout"):
        asyncio.run(played.send("main/scout", request(ASK)))


@pytest.mark.parametrize("content", ["", "not json\n", '{"made": 1}\n', '{"outlay_recording":1,"made":"x"}\n{"n":1}\n'])
def test_a_file_that_is_no_recording_is_an_input_error(tmp_path, content):
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(InputError, match="no recording"):
        Recorded(tmp_path / "r.jsonl")


def test_an_answer_that_cannot_be_read_is_put_aside_and_waited_for_again(tmp_path):
    async def run():
        upstream = Manual(tmp_path)
        sending = asyncio.create_task(upstream.send("main", request(ASK)))
        await by_hand(tmp_path, ['{"txt": "oops"}'])
        while not (tmp_path / "main-000.answer.problem").exists():
            await asyncio.sleep(0.01)
        assert "txt" in (tmp_path / "main-000.answer.problem").read_text()
        (tmp_path / "main-000.answer.json").write_text('{"text": "ok"}')
        return await sending

    assert asyncio.run(run()).reply.message.parts == (Text("ok"),)
