"""Filling an empty ledger gives what merging call by call gives, and leaves its indexes as they were."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.ledger import Ledger
from outlay.ledger import calls as table


def copies(seed: int, calls: int) -> list[tuple[Any, ...]]:
    """Rows of which many are copies of one call: other counters, ranks, qualities and tools; two tools' keys alike."""
    r = random.Random(seed)
    return [
        (
            r.choice(["claude", "codex"]), f"call {r.randrange(calls)}", r.randint(1, 3), r.randint(1, 2),
            r.randint(1, 3), r.randrange(50), *(r.randrange(5) for _ in range(7)), r.randrange(2), r.randrange(99),
            r.randrange(4), r.choice([None, 7, 9]),
        )
        for _ in range(1500)
    ]  # fmt: skip


def written(path: Path, batches: list[list[tuple[Any, ...]]]) -> tuple[list[Any], list[Any], list[Any]]:
    """Calls, indexes and faults of a ledger that took the batches one after another."""
    with Ledger(path) as ledger:

        def work(conn: sqlite3.Connection) -> None:
            for names in ("", "Bash", "Bash,Read"):
                conn.execute("INSERT INTO toolsets (names) VALUES (?)", (names,))

        ledger.write(lambda tx: work(tx.conn))
        for batch in batches:
            ledger.write(lambda tx, batch=batch: table.merge(tx.conn, batch))  # type: ignore[misc]
        columns = ", ".join(table.COPY)
        return (
            ledger.reader.execute(f"SELECT {columns} FROM call_facts ORDER BY source, key").fetchall(),
            ledger.reader.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
            ).fetchall(),
            ledger.reader.execute("PRAGMA integrity_check").fetchall(),
        )  # fmt: skip


@settings(max_examples=10)
@given(seed=st.integers(0, 1 << 30), calls=st.sampled_from([1, 40, 700, 100_000]))
def test_filling_an_empty_ledger_gives_what_merging_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, calls: int
) -> None:
    folder = tmp_path_factory.mktemp("fill")
    rows = copies(seed, calls)
    rows = [(*row[:3], 1 + row[15] % 2, *row[4:14], row[15], row[15], row[16]) for row in rows]
    rows = [(*row[:2], row[15] + 1, *row[3:]) for row in rows]  # a rank is one copy's: its caller, service, place
    at_once = written(folder / "at-once.db", [rows])
    one_by_one = written(folder / "one-by-one.db", [rows[n : n + 100] for n in range(0, len(rows), 100)])
    assert at_once == one_by_one
    assert at_once[2] == [("ok",)]


def test_a_fill_that_fails_leaves_the_empty_ledger_as_it_was(tmp_path: Path) -> None:
    rows = copies(1, 1000)
    rows[700] = (*rows[700][:5], None, *rows[700][6:])  # no time
    with Ledger(tmp_path / "ledger.db") as ledger:
        before = ledger.reader.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        with pytest.raises(Exception, match="NOT NULL"):
            ledger.write(lambda tx: table.merge(tx.conn, rows))
        assert ledger.reader.execute("SELECT count(*) FROM call_facts").fetchone() == (0,)
        assert ledger.reader.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
