"""No file, whatever is in it, keeps the others from being read; what is left out of it is reported."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transcript_makers import Reads, assistant, counted, database, meta, thread, write

from outlay.economics.usage import Question, ask
from outlay.prices.book import load


@pytest.fixture
def reads(tmp_path: Path) -> Iterator[Reads]:
    made = Reads(tmp_path)
    write(made.claude / "sound.jsonl", assistant("sound"))
    yield made
    made.ledger.close()


def raw(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))


def keys(reads: Reads) -> list[str]:
    return sorted(call.key for call in reads.calls())


HUGE = ["1e30", "99999999999999999999", "1e999", "9223372036854775807", "9e15"]


@pytest.mark.parametrize("count", HUGE)
def test_counters_that_no_call_can_have_leave_out_their_call_and_are_reported(reads: Reads, count: str) -> None:
    line = json.dumps(assistant("huge"), separators=(",", ":")).replace('"output_tokens":5', f'"output_tokens":{count}')
    raw(reads.claude / "s1.jsonl", line, json.dumps(assistant("after")))
    total = json.dumps(counted(10, 0, 1)).replace('"input_tokens": 10', f'"input_tokens": {count}')
    raw(reads.rollout(1), json.dumps(meta(thread(1))), total)
    problems = reads.update().problems
    found = keys(reads)
    assert "huge" not in found and found == ["after", "sound"]
    assert any("no call can have" in problem.what for path, problem in problems if path.endswith("s1.jsonl"))
    assert ask(reads.ledger, load(), Question()).total.calls == 2


def test_a_cost_state_that_cannot_be_is_left_out_and_reported(reads: Reads) -> None:
    used = {"claude-opus-4-5-20251101": {"inputTokens": 103}, "other": {"inputTokens": 1 << 41}}
    state = {"type": "cost-state", "sessionId": "s1", "modelUsage": used}
    write(reads.claude / "s1.jsonl", assistant("m"), state)
    [(_, problem)] = reads.update().problems
    assert "other" in problem.what
    assert [c.usage.fresh for c in reads.calls() if c.quality == "residual"] == [97]  # two calls of 3 are known


def test_counters_of_a_thread_that_cannot_be_are_reported(reads: Reads) -> None:
    event = counted(1 << 41, 0, 3)
    event["payload"]["info"]["last_token_usage"] = {"input_tokens": 20, "output_tokens": 2}
    write(reads.rollout(1), meta(thread(1)), counted(10, 0, 1), event)
    [(path, problem)] = reads.update().problems
    assert Path(path) == reads.rollout(1) and "cannot be" in problem.what
    assert [c.usage.fresh for c in reads.calls() if c.source == "codex"] == [10, 20]


def test_deep_nesting_is_a_problem_of_its_line(reads: Reads) -> None:
    deep = json.dumps(assistant("deep"), separators=(",", ":"))[:-1] + ',"x":' + "[" * 5000 + "]" * 5000 + "}"
    raw(reads.claude / "s1.jsonl", deep, json.dumps(assistant("after")))
    event = json.dumps(counted(10, 0, 1))[:-1] + ',"x":' + "[" * 5000 + "]" * 5000 + "}"
    raw(reads.rollout(1), json.dumps(meta(thread(1))), event, json.dumps(counted(30, 0, 3)))
    problems = reads.update().problems
    assert {"after", "sound", f"{thread(1)}:1"} <= set(keys(reads))
    assert {Path(path).name for path, _ in problems} == {"s1.jsonl", reads.rollout(1).name}


@pytest.mark.parametrize(
    "changes",
    [{"cwd": "a\ud800"}, {"sessionId": "a\ud800"}, {"message": {"model": "a\ud800"}}, {"requestId": "a\ud800"},
     {"message": {"id": "a\ud800"}}, {"message": {"content": [{"type": "tool_use", "id": "t", "name": "a\ud800"}]}}],
)  # fmt: skip
def test_half_a_surrogate_pair_is_a_question_mark(reads: Reads, changes: dict[str, Any]) -> None:
    raw(reads.claude / "s1.jsonl", json.dumps(assistant("m", **changes)), json.dumps(assistant("after")))
    raw(reads.rollout(1), json.dumps(meta(thread(1), cwd="a\ud800")), json.dumps(counted(10, 0, 1)))
    assert len(keys(reads)) == 4
    assert len(keys(reads)) == 4


def test_names_that_are_not_utf_8_and_pipes_are_passed_over(reads: Reads) -> None:
    odd = reads.claude.parent / os.fsdecode(b"\xff\xfe")
    odd.mkdir()
    (odd / "s9.jsonl").write_text(json.dumps(assistant("odd")) + "\n")
    os.mkfifo(reads.claude / "pipe.jsonl")
    problems = reads.update().problems
    assert keys(reads) == ["sound"]
    assert [problem.what for _, problem in problems] == ["not read: its name is not UTF-8"]


@pytest.mark.parametrize("cost", ['"dear"', "[1]", "true", "1e300"])
def test_a_cost_that_is_none_is_unknown(reads: Reads, cost: str) -> None:
    database(reads.opencode / "opencode.db", [("ses_b", None, "T")], [("m1", "ses_b", 1_795_177_163_152)], cost=cost)
    [call] = [call for call in reads.calls() if call.source == "opencode"]
    assert call.recorded_cost_pico is None and call.usage.output == 10


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-05T08:00:60Z", None])
def test_a_time_that_is_none_is_replaced_and_reported(reads: Reads, stamp: str | None) -> None:
    write(reads.claude / "s1.jsonl", assistant("m", timestamp=stamp))
    write(reads.rollout(1), meta(thread(1)), {**counted(10, 0, 1), "timestamp": stamp})
    message = {"type": "gemini", "id": "g", "timestamp": stamp, "tokens": {"input": 5, "output": 1, "total": 6}}
    chat = write(reads.gemini / "tmp" / "app" / "chats" / "session-1.jsonl", {"sessionId": "g1"}, message)
    problems = reads.update().problems
    assert {Path(path).name for path, problem in problems if "time" in problem.what} == {
        "s1.jsonl", reads.rollout(1).name, chat.name,
    }  # fmt: skip
    assert sum(group.tally.calls for group in ask(reads.ledger, load(), Question(by="day")).groups) == 4
