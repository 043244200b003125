"""Damaged files never crash a reader, never count twice, and never lose an intact call."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.readers import claude, codex, gemini
from outlay.readers.reading import CHUNK_BYTES, Result, Source

FUZZ = settings(max_examples=60)
STAMP = "2026-01-05T08:00:{:02d}.{:03d}Z"


def claude_lines(calls: list[tuple[int, int]]) -> list[tuple[str, bytes]]:
    """(key, line) of calls of (blocks, output); every block repeats the usage, the last one has the whole output."""
    lines = []
    for number, (blocks, output) in enumerate(calls):
        for block in range(blocks):
            usage = {
                "input_tokens": number + 1, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 100 + number,
                "output_tokens": output if block == blocks - 1 else 1,
            }  # fmt: skip
            line = {
                "parentUuid": None, "isSidechain": False, "sessionId": "s1", "cwd": "/p",
                "message": {
                    "id": f"msg_{number}", "model": "m", "role": "assistant", "usage": usage, "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": f'say {{"usage":{{"input_tokens":9}}}} {"é" * (number % 5)}'}],
                },
                "requestId": f"req_{number}", "type": "assistant", "timestamp": STAMP.format(number % 60, block),
            }  # fmt: skip
            lines.append((f"msg_{number}", json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()))
    return lines


def codex_lines(calls: list[tuple[int, int]]) -> list[tuple[str, bytes]]:
    """(key, line) of calls of (times told again, output), as records with a response id."""
    meta = {"id": "t1", "cwd": "/p", "history_mode": "paginated"}
    lines = [("", json.dumps({"timestamp": STAMP.format(0, 0), "type": "session_meta", "payload": meta}).encode())]
    for number, (again, output) in enumerate(calls):
        usage = {"input_tokens": 100 + number, "cached_input_tokens": 10, "output_tokens": output}
        payload = {"thread_id": "t1", "response_id": f"resp_{number}", "usage": usage}
        line = {"timestamp": STAMP.format(number % 60, 0), "type": "token_usage_record", "payload": payload}
        lines += [(f"resp_{number}", json.dumps(line, separators=(",", ":")).encode())] * again
    return lines


def gemini_lines(calls: list[tuple[int, int]]) -> list[tuple[str, bytes]]:
    """(key, line) of messages, each written several times."""
    lines = []
    for number, (times, output) in enumerate(calls):
        tokens = {"input": 50 + number, "output": output, "cached": 5, "thoughts": 0, "tool": 0,
                  "total": 50 + number + output}  # fmt: skip
        line = {"id": f"g{number}", "timestamp": STAMP.format(number % 60, 0), "type": "gemini", "tokens": tokens,
                "model": "m"}  # fmt: skip
        lines += [(f"g{number}", json.dumps(line, separators=(",", ":")).encode())] * times
    return lines


CALLS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5000)), min_size=1, max_size=12)
FORMATS: dict[str, tuple[Callable[[Any], list[tuple[str, bytes]]], Callable[[Source], Result]]] = {
    "claude": (claude_lines, claude.read),
    "codex": (codex_lines, codex.read),
    "gemini": (gemini_lines, gemini.read),
}


def read(tool: str, raw: bytes) -> dict[str, int]:
    """Key -> output of the calls that are found in a file with these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chats" / f"rollout-{'x' * 36}.jsonl"
        path.parent.mkdir()
        path.write_bytes(raw)
        stat = path.stat()
        result = FORMATS[tool][1](Source(tool, path, stat.st_size, stat.st_mtime_ns))
    keys = [draft.key for draft in result.calls]
    assert len(keys) == len(set(keys)), "a call was counted twice"
    return {draft.key: draft.output for draft in result.calls}


TOOLS = st.sampled_from(sorted(FORMATS))


@FUZZ
@given(TOOLS, CALLS, st.data())
def test_lines_in_any_order_and_any_number_give_the_same_calls(tool: str, calls: Any, data: st.DataObject) -> None:
    lines = FORMATS[tool][0](calls)
    head, rest = (lines[:1], lines[1:]) if tool == "codex" else ([], lines)
    again = data.draw(st.lists(st.sampled_from(rest), max_size=8))
    mixed = data.draw(st.permutations(rest + again))
    expected = read(tool, b"\n".join(raw for _, raw in lines) + b"\n")
    assert read(tool, b"\n".join(raw for _, raw in [*head, *mixed]) + b"\n") == expected
    assert expected == {k: calls[int(k.rpartition("_" if "_" in k else "g")[2])][1] for k in expected}


@FUZZ
@given(TOOLS, CALLS, st.data())
def test_a_truncated_file_keeps_every_whole_line(tool: str, calls: Any, data: st.DataObject) -> None:
    lines = FORMATS[tool][0](calls)
    raw = b"\n".join(line for _, line in lines) + b"\n"
    cut = data.draw(st.integers(0, len(raw)))
    whole = raw[:cut].count(b"\n")
    kept = {key for key, _ in lines[:whole] if key}
    assert kept <= set(read(tool, raw[:cut]))


@FUZZ
@given(TOOLS, CALLS, st.data())
def test_binary_damage_in_some_lines_loses_none_of_the_others(tool: str, calls: Any, data: st.DataObject) -> None:
    lines = FORMATS[tool][0](calls)
    hurt = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=3))
    damaged = []
    for number, (_, line) in enumerate(lines):
        if number in hurt:
            at = data.draw(st.integers(0, len(line) - 1))
            junk = data.draw(st.binary(min_size=1, max_size=40))
            line = line[:at] + junk + line[at + data.draw(st.integers(0, 20)) :]
        damaged.append(line)
    found = read(tool, b"\n".join(damaged) + b"\n")
    for key in {key for key, _ in lines if key}:
        if not any(lines[n][0] == key for n in hurt):
            intact = calls[int(key.rpartition("_" if "_" in key else "g")[2])][1]
            assert found.get(key, 0) >= intact if hurt else found[key] == intact


@FUZZ
@given(CALLS, st.data())
def test_a_line_that_lost_its_end_does_not_take_the_next_one_with_it(calls: Any, data: st.DataObject) -> None:
    lines = claude_lines(calls)
    number = data.draw(st.integers(0, len(lines) - 1))
    cut = data.draw(st.integers(1, len(lines[number][1]) - 1))
    raw = b"".join(
        line[:cut] if n == number else line + b"\n" for n, (_, line) in enumerate(lines)
    )  # fmt: skip
    found = read("claude", raw)
    for n, (key, _) in enumerate(lines):
        if n != number:
            assert key in found


@FUZZ
@given(st.binary(max_size=2000), TOOLS)
def test_noise_is_no_call_and_no_crash(raw: bytes, tool: str) -> None:
    assert read(tool, raw) == {}


@FUZZ
@given(TOOLS, CALLS, st.sampled_from(["crlf", "bom", "spaced", "long", "nulls"]))
def test_odd_but_whole_json_counts_like_any_other(tool: str, calls: Any, how: str) -> None:
    lines = [line for _, line in FORMATS[tool][0](calls)]
    plain = read(tool, b"\n".join(lines) + b"\n")
    if how == "crlf":
        raw = b"\r\n".join(lines) + b"\r\n"
    elif how == "bom":
        raw = b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n"
    elif how == "spaced":
        raw = b"\n".join(json.dumps(json.loads(line), indent=None, separators=(", ", ": ")).encode() for line in lines)
    elif how == "long":
        filler = json.dumps({"type": "user", "message": {"role": "user", "content": "x" * (3 * CHUNK_BYTES)}}).encode()
        raw = b"\n".join([filler, *lines, filler]) if tool != "codex" else b"\n".join([*lines[:1], filler, *lines[1:]])
    else:
        raw = b"\n".join(
            json.dumps({**json.loads(line), "extra": None, "gitBranch": None}, separators=(",", ":")).encode()
            for line in lines
        )
    assert read(tool, raw) == plain
