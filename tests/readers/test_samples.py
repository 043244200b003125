"""Real transcripts: what is read equals what the model server answered, but for what the source cannot know."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from shared_samples import SHARED, calls_of, counters, needs_samples, read_home, sample

from outlay.ledger import Ledger

pytestmark = needs_samples

SAMPLES = sorted(p.name for p in (SHARED / "samples").glob("*") if (p / "home").is_dir())
WITH_EXPECTED = [name for name in SAMPLES if (sample(name) / "expected.json").exists()]


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def truth(name: str) -> list[dict[str, Any]]:
    path = sample(name) / "truth.jsonl"
    if path.exists():
        return [json.loads(line) for line in path.read_text().splitlines()]
    path = sample(name if name != "opencode-mixed-json-and-db-1.2.1" else "opencode-gen1-1.1.65") / "truth.json"
    return [entry for entry in json.loads(path.read_text()) if entry.get("dir") == "req"]


def served(entry: dict[str, Any]) -> tuple[int, int, int, int]:
    u = entry["usage"]
    if "prompt_tokens" in u:  # chat completions
        cached = u["prompt_tokens_details"]["cached_tokens"]
        return u["prompt_tokens"] - cached, cached, 0, u["completion_tokens"]
    if "promptTokenCount" in u:
        cached = u["cachedContentTokenCount"]
        return u["promptTokenCount"] - cached, cached, 0, u["candidatesTokenCount"] + u.get("thoughtsTokenCount", 0)
    if "input_tokens_details" in u:
        cached = u["input_tokens_details"]["cached_tokens"]
        return u["input_tokens"] - cached, cached, 0, u["output_tokens"]
    return u["input_tokens"], u["cache_read_input_tokens"], u["cache_creation_input_tokens"], u["output_tokens"]


COMPACTION_BYTES = 5000
"""OpenCode's titles and compactions are asked for alike, but a compaction is long; only the compaction is written."""
HIDDEN = {
    # role or kind of calls that leave no trace in the transcripts of that version
    "claude-2.0.72-legacy": {"aux"},
    "gemini-0.33.2-legacy": {"aux"},
    "gemini-0.61.0-main": {"aux"},
}


@pytest.mark.parametrize("name", [n for n in SAMPLES if not n.startswith(("claude-2.0.72", "claude-2.1.329-c"))])
def test_every_call_that_the_source_can_show_equals_what_the_server_answered(name: str, ledger: Ledger) -> None:
    read_home(ledger, sample(name) / "home")
    shown = [
        entry for entry in truth(name)
        if entry.get("role") not in HIDDEN.get(name, ()) and not entry.get("aborted")
        and ("title" not in entry.get("kind", "") or entry["bytes"] > COMPACTION_BYTES)
    ]  # fmt: skip
    assert Counter(counters(c) for c in calls_of(ledger)) == Counter(served(e) for e in shown)
    assert all(c.quality == "exact" for c in calls_of(ledger))


@pytest.mark.parametrize("name", WITH_EXPECTED)
def test_rows_and_totals_are_those_expected(name: str, ledger: Ledger) -> None:
    read_home(ledger, sample(name) / "home")
    expected = json.loads((sample(name) / "expected.json").read_text())
    calls = calls_of(ledger)
    assert len(calls) == expected["import_rows"]
    assert [sum(column) for column in zip(*map(counters, calls), strict=True)] == expected["import_totals"]


@pytest.mark.parametrize("name", [n for n in WITH_EXPECTED if n.startswith("claude-2.1.329")])
def test_cache_writes_are_split_as_the_server_split_them(name: str, ledger: Ledger) -> None:
    read_home(ledger, sample(name) / "home")
    by_key = {entry["message_id"]: entry["usage"]["cache_creation"] for entry in truth(name)}
    for call in calls_of(ledger):
        if call.quality == "exact":
            split = by_key[call.key]
            assert call.usage.cache_write_5m == split["ephemeral_5m_input_tokens"]
            assert call.usage.cache_write_1h == split["ephemeral_1h_input_tokens"]


def test_answers_that_claude_code_noted_too_early_are_lower_bounds(ledger: Ledger) -> None:
    read_home(ledger, sample("claude-2.0.72-legacy") / "home")
    served_output = {e["message_id"]: e["usage"]["output_tokens"] for e in truth("claude-2.0.72-legacy")}
    for call in calls_of(ledger):
        low, high = call.usage.output, served_output[call.key]
        assert low == high if call.quality == "exact" else low <= high
    assert {c.quality for c in calls_of(ledger)} == {"exact", "lower_bound"}


def test_a_compaction_that_only_cost_state_counted_is_one_residual_row(ledger: Ledger) -> None:
    read_home(ledger, sample("claude-2.1.329-compact") / "home")
    [hidden] = [e for e in truth("claude-2.1.329-compact") if e["role"] == "compact"]
    [row] = [c for c in calls_of(ledger) if c.quality == "residual"]
    assert counters(row) == served(hidden)


def test_a_cancelled_answer_counts_as_a_lower_bound(ledger: Ledger) -> None:
    read_home(ledger, sample("claude-2.1.329-cancel") / "home")
    [call] = calls_of(ledger)
    assert (call.quality, call.usage.output) == ("lower_bound", 1)


def test_fast_answers_are_marked_fast(ledger: Ledger) -> None:
    read_home(ledger, sample("claude-2.1.329-fast") / "home")
    assert [c.speed for c in calls_of(ledger)] == ["fast"]


@pytest.mark.parametrize("name", ["claude-2.1.329-resume-fork", "claude-2.1.329-compact", "claude-2.1.329-fgsub"])
def test_what_claude_code_says_it_cost_is_kept_once_beside_ours(name: str, ledger: Ledger) -> None:
    read_home(ledger, sample(name) / "home")
    said = {"resume-fork": "0.191683", "compact": "0.3216666", "fgsub": "0.1514144"}[
        name.removeprefix("claude-2.1.329-")
    ]
    reported = sum(c.recorded_cost_pico or 0 for c in ledger.calls())
    assert abs(reported - float(said) * 1e12) < 10


def test_a_fork_owns_only_what_it_did_itself(ledger: Ledger) -> None:
    read_home(ledger, sample("claude-2.1.329-resume-fork") / "home")
    assert Counter(c.root[:8] for c in calls_of(ledger)) == {"e4a9c9ef": 16, "be8a59ac": 1}


def test_subagents_have_their_parent_their_role_and_their_name(ledger: Ledger) -> None:
    read_home(ledger, sample("claude-2.1.329-main-bgsub") / "home")
    sub = [c for c in calls_of(ledger) if c.parent]
    assert {(c.parent, c.root, c.agent, c.role) for c in sub} == {
        ("4847c3e6-6387-4111-a3aa-b870154b03df", "4847c3e6-6387-4111-a3aa-b870154b03df", "a8ce2fb2832a569d7",
         "general-purpose")
    }  # fmt: skip
    assert ledger.rows("SELECT name, status FROM names") == [{"name": "sub job", "status": "done"}]
    assert [c.tools for c in calls_of(ledger) if not c.parent][2] == "Bash,Bash"


def test_a_codex_child_is_a_subagent_with_its_nickname(ledger: Ledger) -> None:
    read_home(ledger, sample("codex-0.118.0-fork-copies-history") / "home")
    assert Counter((c.agent, c.role, c.parent is None) for c in calls_of(ledger)) == {
        ("main", "main", True): 6, ("Cicero", "subagent", False): 2,
    }  # fmt: skip


def test_opencode_json_and_its_import_into_the_database_are_the_same_calls(ledger: Ledger) -> None:
    read_home(ledger, sample("opencode-mixed-json-and-db-1.2.1") / "home")
    assert len(calls_of(ledger)) == 8
    assert ledger.rows("SELECT count(*) n FROM readings")[0]["n"] == 3


def test_opencode_keeps_its_own_cost_beside_ours(ledger: Ledger) -> None:
    read_home(ledger, sample("opencode-gen2-1.18.33") / "home")
    said = 0.036747 + 0.00176415 + 0.0189282 + 0.0004108
    assert abs(sum(c.recorded_cost_pico or 0 for c in calls_of(ledger)) - said * 1e12) < 1e4


FACTS = ("key", "usage", "session", "root", "agent", "role", "model", "quality", "tools", "ended_ms",
         "recorded_cost_pico")  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_reading_again_changes_nothing(name: str, ledger: Ledger) -> None:
    home = sample(name) / "home"
    read_home(ledger, home)
    before = list(ledger.calls())
    assert read_home(ledger, home).read == 0
    ledger.write(lambda tx: tx.conn.execute("UPDATE readings SET size = -1, offset = 0"))
    assert read_home(ledger, home).read > 0
    assert list(ledger.calls()) == before


@pytest.mark.parametrize("name", [n for n in SAMPLES if not n.startswith("opencode")])
def test_files_that_turn_up_one_by_one_in_reverse_order_give_the_same_numbers(name: str, tmp_path: Path) -> None:
    home = sample(name) / "home"
    with Ledger(tmp_path / "a.db") as ledger:
        read_home(ledger, home)
        before = [[getattr(call, fact) for fact in FACTS] for call in ledger.calls()]
    with Ledger(tmp_path / "b.db") as ledger:
        copied = tmp_path / "home"
        for path in sorted((p for p in home.rglob("*") if p.is_file()), reverse=True):
            target = copied / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            read_home(ledger, copied)
        assert [[getattr(call, fact) for fact in FACTS] for call in ledger.calls()] == before


@pytest.mark.parametrize("name", [n for n in SAMPLES if n.startswith(("claude", "codex"))])
def test_a_file_that_grows_line_by_line_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    home = sample(name) / "home"
    with Ledger(tmp_path / "a.db") as ledger:
        read_home(ledger, home)
        before = [[getattr(call, fact) for fact in FACTS] for call in ledger.calls()]
    copied = tmp_path / "home"
    files = sorted(p for p in home.rglob("*") if p.is_file())
    with Ledger(tmp_path / "b.db") as ledger:
        for path in files:
            target = copied / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            raw = path.read_bytes()
            if path.suffix != ".jsonl":
                target.write_bytes(raw)
        for path in files:
            if path.suffix == ".jsonl":
                raw = path.read_bytes()
                cuts = range(0, len(raw), max(1, len(raw) // 9))
                for cut in [*list(cuts)[1:], len(raw)]:
                    (copied / path.relative_to(home)).write_bytes(raw[:cut])
                    read_home(ledger, copied)
        assert [[getattr(call, fact) for fact in FACTS] for call in ledger.calls()] == before
