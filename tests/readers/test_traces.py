"""Tool calls and their results, from the transcripts of every tool."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_samples import calls_of, needs_samples, read_home, sample

from outlay.ledger import Ledger
from outlay.readers.sessions import find, imported
from outlay.readers.trace import trace

pytestmark = needs_samples

USES = {
    "claude-2.1.329-fgsub": ["Agent", "Bash", "Bash", "Read", "Read", "Write"],
    "claude-2.0.72-legacy": ["Bash", "Bash", "Read", "Read", "Task", "Write"],
    "codex-0.169.0-spawn": ["exec_command"] * 4 + ["spawn_agent", "wait_agent"],
    "gemini-0.61.0-explicit-model": ["complete_task", "invoke_agent", "read_file", "read_file", "run_shell_command",
                                     "write_file"],
    "opencode-gen0-0.5.29": ["bash", "read", "read", "task", "write"],
    "opencode-gen1-1.1.65": ["bash", "read", "read", "task", "write"],
    "opencode-gen2-1.2.1": ["bash", "read", "read", "task", "write"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(USES))
def test_every_tool_call_has_its_target_its_result_and_its_call(name: str, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, sample(name) / "home")
        [root] = {call.root for call in calls_of(ledger)}
        found = trace(ledger, root)
        session = imported(ledger, root)
        assert find(ledger, root[:12]) == root
    assert found.problems == []
    assert sorted(use.tool for use in found.uses) == USES[name]
    keys = {(call.session, call.key): call.tools.split(",") for call in session.calls}
    assert all(use.tool in keys[(use.session, use.call)] for use in found.uses)
    assert all(use.chars > 0 or use.tool in ("write", "complete_task") for use in found.uses)
    assert all(use.target for use in found.uses if use.tool.lower() in ("read", "bash", "exec_command", "read_file"))
    assert session.sessions[0].parent is None and len(session.sessions) >= 2


def test_a_compaction_is_found_where_it_was(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, sample("codex-0.169.0-autocompact") / "home")
        [root] = {call.root for call in calls_of(ledger)}
        assert len(trace(ledger, root).compactions) == 6


def test_a_transcript_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, sample("claude-2.1.329-bare") / "home")
        [root] = {call.root for call in calls_of(ledger)}
        assert [use.failed for use in trace(ledger, root).uses].count(True) == 3
        ledger.write(lambda tx: tx.conn.execute("UPDATE callers SET file = '/nowhere' || file"))
        assert len(trace(ledger, root).problems) == 1
