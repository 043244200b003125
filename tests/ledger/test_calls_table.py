"""Calls in the ledger: our own are replaced, copies of others' are merged in any order to the same result."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from outlay.ledger import Call, Ledger, Transaction
from outlay.ledger import calls as table
from outlay.tokens import Usage


def call(**changes: Any) -> Call:
    facts: dict[str, Any] = {
        "source": "outlay", "key": "s1:1", "session": "s1", "model": "m", "ended_ms": 5, "quality": "exact",
        "usage": Usage(fresh=1, output=2), "run": "r1", "agent": "plan", "role": "lead", "origin": "here",
        "answered_model": "m-2", "tools": "read,read", "raw_usage": "{}",
    }  # fmt: skip
    return Call(**{**facts, **changes})


def test_a_call_reads_back_as_it_was_recorded(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.write(lambda tx: tx.record_calls([call()]))
        assert list(ledger.calls("run = ?", ("r1",))) == [call(root="r1")]


def test_recording_a_call_again_replaces_it_and_notes_the_change(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.write(lambda tx: tx.record_calls([call(), call(key="s1:2")]))
        ledger.write(lambda tx: tx.record_calls([call(usage=Usage(fresh=1), quality="lower_bound")]))
        assert [c.usage.output for c in ledger.calls()] == [0, 2]
        assert len(ledger.rows("SELECT * FROM calls_changed")) == 1


def merge(ledger: Ledger, rows: Sequence[tuple[str, int, int, int, str]]) -> None:
    """Rows of (session, rank, output, ended_ms, tools) for one and the same call."""

    def work(tx: Transaction) -> None:
        ids = table.Ids()
        for session, rank, output, ended, tools in rows:
            caller = table.Caller("claude", "", None, session, session, None, "main", "main", "/p", f"/{session}")
            table.merge(
                tx.conn,
                [(
                    "claude", "msg_1", ids.caller(tx.conn, caller), ids.service(tx.conn, table.Service("m")),
                    ids.toolset(tx.conn, tools), ended, 1, 0, 0, 0, output, 0, 0, 0 if output > 5 else 1, 0, rank, None,
                )],
            )  # fmt: skip

    ledger.write(work)


def test_copies_of_a_call_merge_to_the_same_row_in_any_order(tmp_path: Path) -> None:
    copies = [("a", 1, 3, 10, "read"), ("a", 1, 9, 12, "read,edit"), ("b", 2, 9, 99, ""), ("c", 4, 1, 1, "")]
    seen = set()
    for number, order in enumerate(permutations(copies)):
        with Ledger(tmp_path / f"{number}.db") as ledger:
            merge(ledger, order)
            [row] = ledger.calls()
            seen.add((row.session, row.usage.output, row.ended_ms, row.tools, row.quality, row.origin))
    assert seen == {("a", 9, 12, "read,edit", "exact", "/a:0")}


def test_a_query_by_run_does_not_walk_all_calls(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        plan = ledger.rows("EXPLAIN QUERY PLAN SELECT * FROM calls WHERE run = 'r1'")
        assert not any("SCAN f" in row["detail"] for row in plan)


def test_a_step_that_fails_alone_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    def fails(tx: Transaction) -> None:
        tx.record_calls([call()])
        raise ValueError("no")

    with Ledger(tmp_path / "l.db") as ledger:
        try:
            ledger.write(fails)
        except ValueError as error:
            assert str(error) == "no"
        ledger.write(lambda tx: tx.record_calls([call(key="s1:2")]))
        assert [c.key for c in ledger.calls()] == ["s1:2"]
