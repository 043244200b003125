"""The counting rules of docs/reference/readers.md, one test each."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transcript_makers import Reads, asked, assistant, counted, database, meta, thread, write

from outlay.readers.stamps import Stamps, millis


@pytest.fixture
def reads(tmp_path: Path) -> Iterator[Reads]:
    made = Reads(tmp_path)
    yield made
    made.ledger.close()


# ---- Claude Code


def test_lines_of_one_message_are_one_call_with_the_largest_counters(reads: Reads) -> None:
    write(reads.claude / "s1.jsonl", assistant("m", 1), assistant("m", 68), assistant("m", 30))
    [call] = reads.calls()
    assert call.usage.output == 68


def test_one_message_under_two_request_ids_or_none_is_one_call(reads: Reads) -> None:
    lines = [assistant("m"), assistant("m", requestId="r2"), assistant("m", requestId=None)]
    write(reads.claude / "s1.jsonl", *lines)
    assert len(reads.calls()) == 1


def test_synthetic_messages_are_no_calls(reads: Reads) -> None:
    write(reads.claude / "s1.jsonl", assistant("m", message={"model": "<synthetic>"}))
    assert reads.calls() == []


def test_a_message_whose_lines_never_say_why_it_stopped_is_a_lower_bound(reads: Reads) -> None:
    write(reads.claude / "s1.jsonl", assistant("m", message={"stop_reason": None}))
    assert [c.quality for c in reads.calls()] == ["lower_bound"]


def test_usage_in_texts_tool_inputs_and_tool_results_is_not_usage(reads: Reads) -> None:
    bait = {"usage": {"input_tokens": 999, "output_tokens": 999}}
    tool = {"type": "tool_use", "name": "Bash", "id": "t", "input": bait}
    user = {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": []}, "toolUseResult": bait}
    write(reads.claude / "s1.jsonl", assistant("m", message={"content": [tool]}), user)
    [call] = reads.calls()
    assert (call.usage.output, call.tools) == (5, "Bash")


def test_null_and_negative_counters_are_zero_and_the_call_stays(reads: Reads) -> None:
    usage = {"input_tokens": None, "cache_read_input_tokens": -4, "cache_creation": None, "server_tool_use": None}
    write(reads.claude / "s1.jsonl", assistant("m", usage=usage, gitBranch=None, toolUseResult=None))
    [call] = reads.calls()
    assert (call.usage.fresh, call.usage.cache_read, call.usage.output) == (0, 0, 5)


def test_fields_of_a_wrong_type_do_not_drop_the_call(reads: Reads) -> None:
    write(reads.claude / "s1.jsonl", assistant("m", cwd=17, usage={"service_tier": {"odd": 1}, "input_tokens": "3"}))
    [call] = reads.calls()
    assert (call.usage.fresh, call.usage.output, call.tier) == (3, 5, "")


def test_a_split_of_cache_writes_holds_on_whichever_line_it_stands(reads: Reads) -> None:
    split = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    whole = assistant("m", usage={"cache_creation_input_tokens": 10})
    parts = assistant("m", usage={"cache_creation_input_tokens": 10, "cache_creation": split})
    odd = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": -3}
    for number, lines in enumerate([(whole, parts), (parts, whole), (whole,), (parts,)]):
        id = f"m{min(number, 2)}"  # the last two are one call in two files
        lines = [{**line, "message": {**line["message"], "id": id}} for line in lines]
        write(reads.claude / f"s{number}.jsonl", *lines)
    write(
        reads.claude / "odd.jsonl", assistant("odd", usage={"cache_creation_input_tokens": 10, "cache_creation": odd})
    )
    found = {c.key: (c.usage.cache_write_5m, c.usage.cache_write_1h) for c in reads.calls()}
    assert found == {"m0": (4, 6), "m1": (4, 6), "m2": (4, 6), "odd": (10, 0)}


def test_what_claude_code_counted_stays_when_the_session_goes_on(reads: Reads) -> None:
    used = {"claude-opus-4-5-20251101": {"inputTokens": 103, "outputTokens": 15}}
    state = {"type": "cost-state", "sessionId": "s1", "modelUsage": used}
    path = write(reads.claude / "s1.jsonl", assistant("a"), state)
    assert [(c.quality, c.usage.fresh, c.usage.output) for c in reads.calls()] == [
        ("exact", 3, 5),
        ("residual", 100, 10),
    ]
    later = assistant("b", timestamp="2026-01-05T09:00:00.000Z", usage={"input_tokens": 60})
    write(path, assistant("a"), state, later)
    counts = [(c.quality, c.usage.fresh, c.usage.output) for c in reads.calls()]
    assert sorted(counts) == [("exact", 3, 5), ("exact", 60, 5), ("residual", 100, 10)]


def test_cache_writes_without_a_split_are_for_five_minutes(reads: Reads) -> None:
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    write(
        reads.claude / "s1.jsonl",
        assistant("a", usage={"cache_creation_input_tokens": 50, "cache_creation": split}),
        assistant("b", usage={"cache_creation_input_tokens": 50}),
        assistant("c", usage={"cache_creation_input_tokens": 50,
                              "cache_creation": {"ephemeral_1h_input_tokens": 20}}),
    )  # fmt: skip
    assert [(c.usage.cache_write_5m, c.usage.cache_write_1h) for c in reads.calls()] == [(50, 0), (50, 0), (30, 20)]


def test_advisor_messages_are_calls_of_their_own_under_their_own_model(reads: Reads) -> None:
    advice = {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 70, "output_tokens": 9}
    write(reads.claude / "s1.jsonl", assistant("m", usage={"iterations": [{"type": "message"}, advice]}))
    found = {(c.model, c.usage.fresh, c.usage.output) for c in reads.calls()}
    assert found == {("claude-opus-4-5-20251101", 3, 5), ("claude-opus-5-5", 70, 9)}


def test_web_searches_are_counted(reads: Reads) -> None:
    write(reads.claude / "s1.jsonl", assistant("m", usage={"server_tool_use": {"web_search_requests": 2}}))
    assert [c.usage.web_searches for c in reads.calls()] == [2]


def test_a_replay_in_a_sidechain_keeps_the_main_copy(reads: Reads) -> None:
    replay = assistant("m", 5, isSidechain=True, agentId="aside", requestId="other")
    write(reads.claude / "s1" / "subagents" / "agent-aside.jsonl", replay)
    assert [c.agent for c in reads.calls()] == ["aside"]
    write(reads.claude / "s1.jsonl", assistant("m", 5))
    assert [(c.agent, c.session) for c in reads.calls()] == [("main", "s1")]


def test_an_echo_is_the_same_call_and_counts_when_it_is_the_only_evidence(reads: Reads) -> None:
    inner = assistant("m", 7)
    shown = {"type": "assistant", "message": inner["message"]}
    echo = {
        "type": "progress", "sessionId": "s1", "cwd": "/home/me/app", "timestamp": "2026-01-05T08:00:00.000Z",
        "data": {"type": "agent_progress", "agentId": "a1", "message": shown},
    }  # fmt: skip
    write(reads.claude / "s1.jsonl", echo)
    assert [(c.agent, c.parent, c.usage.output) for c in reads.calls()] == [("a1", "s1", 7)]
    write(reads.claude / "s1" / "subagents" / "agent-a1.jsonl", assistant("m", 9, isSidechain=True, agentId="a1"))
    assert [(c.agent, c.usage.output) for c in reads.calls()] == [("a1", 9)]


def test_sidechains_inside_the_session_file_are_subagents(reads: Reads) -> None:
    write(reads.claude / "s1.jsonl", assistant("a"), assistant("b", isSidechain=True))
    assert [(c.key, c.parent) for c in reads.calls()] == [("a", None), ("b", "s1")]


def test_a_resumed_session_that_copies_its_past_owns_only_what_is_new(reads: Reads) -> None:
    def began(stamp: str) -> dict[str, object]:
        return {"type": "file-history-snapshot", "snapshot": {"timestamp": stamp}}

    new = assistant("n", sessionId="s2", timestamp="2026-01-06T08:00:00.000Z")
    write(reads.claude / "s2.jsonl", assistant("m", sessionId="s2"), began("2026-01-06T07:00:00Z"), new)
    assert {(c.key, c.session) for c in reads.calls()} == {("m", "s2"), ("n", "s2")}
    write(reads.claude / "s1.jsonl", began("2026-01-05T07:00:00Z"), assistant("m"))
    assert {(c.key, c.session) for c in reads.calls()} == {("m", "s1"), ("n", "s2")}


def test_a_torn_last_line_is_read_when_it_is_whole(reads: Reads) -> None:
    path = write(reads.claude / "s1.jsonl", assistant("a"), assistant("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert [c.key for c in reads.calls()] == ["a"]
    path.write_bytes(whole)
    assert [c.key for c in reads.calls()] == ["a", "b"]


def test_a_last_line_without_a_line_feed_counts_once(reads: Reads) -> None:
    path = write(reads.claude / "s1.jsonl", assistant("a"), assistant("b"))
    whole = path.read_bytes()
    path.write_bytes(whole.rstrip(b"\n"))
    assert [c.key for c in reads.calls()] == ["a", "b"]
    path.write_bytes(whole)
    assert [c.key for c in reads.calls()] == ["a", "b"]


def test_a_tool_that_the_second_half_of_a_call_asks_for_is_not_lost_or_doubled(reads: Reads) -> None:
    def asks(tool: str) -> dict[str, object]:
        return assistant("m", message={"content": [{"type": "tool_use", "name": tool, "id": tool}]})

    other = assistant("o")
    path = write(reads.claude / "s1.jsonl", asks("Read"), other)
    reads.update()
    write(path, asks("Read"), other, asks("Bash"))
    assert {c.key: c.tools for c in reads.calls()} == {"m": "Read,Bash", "o": ""}


def test_what_a_tool_deleted_or_shortened_stays_in_the_ledger(reads: Reads) -> None:
    path = write(reads.claude / "s1.jsonl", assistant("a"), assistant("b"))
    reads.update()
    write(path, assistant("b"))
    assert [c.key for c in reads.calls()] == ["a", "b"]
    path.unlink()
    assert reads.update().gone == 1
    assert [c.key for c in reads.calls()] == ["a", "b"]


def test_a_damaged_line_is_reported_with_its_place(reads: Reads) -> None:
    path = write(reads.claude / "s1.jsonl", assistant("a"), assistant("b"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"type":"assistant","message":{"usage":{{{\n' + lines[1])
    [(where, problem)] = reads.update().problems
    assert (where, problem.place) == (str(path), str(len(lines[0])))
    assert [c.key for c in reads.calls()] == ["a", "b"]
    with path.open("ab") as file:
        file.write(lines[0].replace(b'"a"', b'"c"'))
    reads.update()
    assert b"damaged" in reads.ledger.reader.execute("SELECT CAST(problems AS BLOB) FROM readings").fetchone()[0]


# ---- Codex


def test_equal_totals_are_nothing_and_equal_increases_are_calls(reads: Reads) -> None:
    lines = [counted(10, 2, 1), counted(10, 2, 1), counted(20, 4, 2), counted(20, 4, 2), counted(30, 6, 3)]
    write(reads.rollout(1), meta(thread(1)), *lines)
    assert [(c.usage.fresh, c.usage.cache_read, c.usage.output) for c in reads.calls()] == [(8, 2, 1)] * 3


def test_a_falling_counter_restarts(reads: Reads) -> None:
    write(reads.rollout(1), meta(thread(1)), counted(100, 0, 5), counted(30, 10, 2))
    assert [(c.usage.fresh, c.usage.cache_read) for c in reads.calls()] == [(100, 0), (20, 10)]


def forked(kind: str) -> dict[str, object]:
    if kind == "spawn":
        spawn = {"thread_spawn": {"parent_thread_id": thread(1), "agent_nickname": "Ada"}}
        return meta(thread(2), source={"subagent": spawn}, forked_from_id=thread(1))
    return meta(thread(2), forked_from_id=thread(1))


@pytest.mark.parametrize("kind", ["fork", "spawn"])
@pytest.mark.parametrize("restamped", ["2026-01-05T08:00:00.000Z", "2026-01-05T09:00:00.000Z"])
def test_a_fork_drops_what_it_copied_by_content(reads: Reads, kind: str, restamped: str) -> None:
    history = [asked("c1"), counted(10, 0, 1), asked("c2"), counted(20, 0, 2)]
    copied = [
        asked("c1", restamped),
        counted(10, 0, 1, restamped),
        asked("c2", restamped),
        counted(20, 0, 2, restamped),
    ]
    write(reads.rollout(1), meta(thread(1)), *history, asked("c3"), counted(30, 0, 3))
    write(reads.rollout(2), forked(kind), *copied, asked("d1", restamped), counted(30, 0, 3, restamped))
    calls = reads.calls()
    assert [(c.session[-1], c.usage.fresh) for c in sorted(calls, key=lambda c: c.key)] == [
        ("1", 10), ("1", 10), ("1", 10), ("2", 10),
    ]  # fmt: skip
    assert {c.agent for c in calls} == ({"main", "Ada"} if kind == "spawn" else {"main"})


def test_a_fork_whose_parent_turns_up_later_is_counted_anew(reads: Reads) -> None:
    write(reads.rollout(2), forked("fork"), asked("c1"), counted(10, 0, 1), asked("d1"), counted(20, 0, 2))
    assert len(reads.calls()) == 2
    write(reads.rollout(1), meta(thread(1)), asked("c1"), counted(10, 0, 1))
    assert sorted(c.key for c in reads.calls()) == [f"{thread(1)}:1", f"{thread(2)}:1"]


def test_records_count_and_counters_beside_them_do_not(reads: Reads) -> None:
    usage = {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3, "reasoning_output_tokens": 2}
    record = {"timestamp": "2026-01-05T08:00:01Z", "type": "token_usage_record",
              "payload": {"thread_id": thread(1), "response_id": "resp_1", "usage": usage}}  # fmt: skip
    write(reads.rollout(1), meta(thread(1)), counted(99, 0, 9), record, counted(109, 4, 12), record)
    assert [(c.usage.fresh, c.usage.output, c.usage.reasoning) for c in reads.calls()] == [(99, 9, 0), (6, 3, 2)]


def recorded(response: str, used: dict[str, Any], thread_used: dict[str, Any]) -> dict[str, Any]:
    """A `token_usage_record`, with counters as `counted` gives them."""
    usage, total = (event["payload"]["info"]["total_token_usage"] for event in (used, thread_used))
    payload = {"thread_id": thread(1), "response_id": response, "usage": usage, "thread_token_usage": total}
    return {"timestamp": "2026-01-05T08:00:01Z", "type": "token_usage_record", "payload": payload}


def test_a_call_whose_record_comes_after_its_counters_counts_once(reads: Reads) -> None:
    first, second = (
        recorded("r1", counted(10, 0, 1), counted(10, 0, 1)),
        recorded("r2", counted(20, 5, 2), counted(30, 5, 3)),
    )
    lines = [meta(thread(1)), counted(10, 0, 1), counted(30, 5, 3), first, second, counted(30, 5, 3)]
    write(reads.rollout(1), *lines)
    assert sorted((c.key, c.usage.fresh) for c in reads.calls()) == [("r1", 10), ("r2", 15)]


def test_a_call_that_was_read_before_its_record_was_there_counts_once(reads: Reads) -> None:
    old, record = counted(99, 0, 9), recorded("r1", counted(10, 0, 1), counted(109, 0, 10))
    write(reads.rollout(1), meta(thread(1)), old, counted(109, 0, 10))
    assert [c.key for c in reads.calls()] == [f"{thread(1)}:1", f"{thread(1)}:2"]
    write(reads.rollout(1), meta(thread(1)), old, counted(109, 0, 10), record)
    assert [c.key for c in reads.calls()] == [f"{thread(1)}:1", "r1"]
    write(reads.rollout(1), meta(thread(1)), old, counted(109, 0, 10), record, counted(109, 0, 10))
    assert [c.key for c in reads.calls()] == [f"{thread(1)}:1", "r1"]


def test_a_null_or_negative_counter_is_no_new_beginning(reads: Reads) -> None:
    def last(event: dict[str, Any], input: int) -> dict[str, Any]:
        event["payload"]["info"]["last_token_usage"] = {"input_tokens": input, "output_tokens": 1}
        return event

    broken = last(counted(200, 0, 2), 100)
    broken["payload"]["info"]["total_token_usage"]["input_tokens"] = None
    negative = last(counted(-5, 0, 3), 50)
    write(reads.rollout(1), meta(thread(1)), last(counted(100, 0, 1), 100), broken, broken, negative,
          last(counted(300, 0, 4), 50))  # fmt: skip
    assert [(c.usage.fresh, c.usage.output) for c in reads.calls()] == [(100, 1), (100, 1), (50, 1), (50, 1)]


def test_an_archived_copy_is_the_same_session(reads: Reads) -> None:
    path = write(reads.rollout(1), meta(thread(1)), counted(10, 0, 1))
    archived = reads.codex.parent / "archived_sessions" / path.name
    archived.parent.mkdir()
    shutil.copy(path, archived)
    assert len(reads.calls()) == 1


# ---- OpenCode


def test_a_fork_of_opencode_copies_calls_under_new_ids_and_they_count_once(reads: Reads) -> None:
    created = 1_795_177_163_152
    database(
        reads.opencode / "opencode.db", [("ses_b", None, "T"), ("ses_a", None, "T (fork #1)")],
        [("m1", "ses_b", created), ("m2", "ses_a", created), ("m3", "ses_a", created + 9)],
    )  # fmt: skip
    assert [(c.session, c.usage.output, c.recorded_cost_pico) for c in reads.calls()] == [
        ("ses_b", 10, 500_000_000_000), ("ses_a", 10, 500_000_000_000),
    ]  # fmt: skip


def test_calls_of_one_moment_and_size_are_as_many_as_there_are(reads: Reads) -> None:
    path, created = reads.opencode / "opencode.db", 1_795_177_163_152
    database(
        path, [("ses_b", None, "T"), ("ses_c", "ses_b", "a child"), ("ses_d", "ses_b", "another")],
        [("m1", "ses_b", created), ("m2", "ses_b", created), ("m3", "ses_c", created), ("m4", "ses_d", created)],
    )  # fmt: skip
    assert sorted(c.session for c in reads.calls()) == ["ses_b", "ses_b", "ses_c", "ses_d"]
    database(path, [], [("m5", "ses_b", created)])
    assert sorted(c.session for c in reads.calls()) == ["ses_b", "ses_b", "ses_b", "ses_c", "ses_d"]
    database(path, [("ses_a", None, "T (fork #1)")], [(f"n{n}", "ses_a", created) for n in range(3)])
    assert len(reads.calls()) == 5


def test_a_database_is_read_on_from_where_it_was(reads: Reads) -> None:
    path = reads.opencode / "opencode.db"
    database(path, [("ses_b", None, "T")], [("m1", "ses_b", 1_795_177_163_152)])
    assert len(reads.calls()) == 1
    database(path, [], [("m2", "ses_b", 1_795_177_263_152)])
    assert len(reads.calls()) == 2


@pytest.mark.parametrize("log", [True, False])
def test_nothing_is_left_beside_a_database(reads: Reads, log: bool) -> None:
    path = reads.opencode / "opencode.db"
    database(path, [("ses_b", None, "T")], [("m1", "ses_b", 1_795_177_163_152)])
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA journal_mode = wal")
    conn.execute("UPDATE session SET title = 'U'")
    conn.commit()
    kept = {name: (reads.opencode / name).read_bytes() for name in ("opencode.db", "opencode.db-wal")}
    conn.close()
    if log:  # as a program leaves it that was killed
        for name, content in kept.items():
            (reads.opencode / name).write_bytes(content)
    before = sorted(reads.opencode.iterdir())
    assert len(before) == 1 + log and len(reads.calls()) == 1
    assert sorted(reads.opencode.iterdir()) == before
    assert reads.ledger.reader.execute("SELECT name FROM names").fetchall() == [("U",)]


def test_a_registry_names_the_sessions_that_it_started(reads: Reads, tmp_path: Path) -> None:
    work = tmp_path / "work"
    path = reads.opencode / "opencode.db"
    database(path, [("ses_b", None, "persistent-subagent: scout")], [("m1", "ses_b", 1_795_177_163_152)])
    conn = sqlite3.connect(path)
    conn.execute("UPDATE session SET directory = ?", (str(work),))
    conn.commit()
    conn.close()
    registry = {"agents": {"scout": {"sessionId": "ses_b", "status": "done", "children": None}}}
    (work / ".opencode-subagent").mkdir(parents=True)
    (work / ".opencode-subagent" / "registry.json").write_text(json.dumps(registry))
    [call] = reads.calls()
    assert call.agent == "scout" and call.parent is not None
    assert reads.ledger.rows("SELECT name, status FROM names") == [{"name": "scout", "status": "done"}]


# ---- all of them


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-01-05T08:00:00Z", 1767600000000), ("2026-01-05T08:00:00.1Z", 1767600000100),
        ("2026-01-05T08:00:00.123456789Z", 1767600000123), ("2026-01-05T10:00:00.5+02:00", 1767600000500),
        ("2026-01-05T03:00:00-0500", 1767600000000), ("2026-01-05 08:00:00", 1767600000000),
        (1767600000000, 1767600000000), ("yesterday", None), (None, None), ("", None),
        ("2026-01-05T08:00:99.000Z", None),
    ],
)  # fmt: skip
def test_timestamps_have_any_digits_and_any_offset(stamp: object, expected: int | None) -> None:
    assert millis(stamp) == expected  # type: ignore[arg-type]
    if isinstance(stamp, str):
        assert Stamps().millis(stamp) == expected


def test_several_processes_at_once_give_the_same_numbers(reads: Reads, tmp_path: Path) -> None:
    for number in range(30):
        lines = [assistant(f"m{number}-{n}", n, sessionId=f"s{number}") for n in range(40)]
        write(reads.claude / f"s{number}.jsonl", *lines)
        write(reads.rollout(number), meta(thread(number)), *[counted(n * 10, n, n) for n in range(1, 20)])
    env = {**os.environ, "OUTLAY_HOME": str(tmp_path / "state")}
    command = [sys.executable, "-c", "from outlay.cli import main; main()", "usage", "--home", str(tmp_path), "--json"]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE) for _ in range(4)]
    answers = [json.loads(process.communicate()[0])["total"] for process in running]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["calls"] == len(reads.calls()) == 30 * 40 + 30 * 19
