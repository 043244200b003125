"""What Claude Code counted and its transcripts do not show: compaction, titles, cancelled answers.

A session's `cost-state` counts every call of the session, its subagents and what it was forked from. What the rows
do not account for is one more row a model, of quality `residual`; it is settled anew whenever the session changes.
What Claude Code itself says that the session cost is kept beside it, in rows of quality `reported` without tokens.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from outlay.ledger import Ledger, Transaction
from outlay.ledger import calls as table
from outlay.ledger.calls import QUALITIES, Caller, Service
from outlay.readers import bounds, claude
from outlay.readers.claude_lines import ModelCost

_EVER_MS = 1 << 62
_PARTS = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")


class State(msgspec.Struct):
    """A session's file with its `cost-state`."""

    path: str
    machine: str
    carry: claude.Carry


def settle(ledger: Ledger, roots: Iterable[str]) -> None:
    """Compute the residual rows of the sessions again."""
    touched = set(roots)
    states = [state for root in sorted(touched) for state in _states(ledger, root)]
    states += _forks_of(ledger, touched)
    states.sort(key=lambda s: (s.carry.born_ms or 0, s.path))  # a fork after what it was forked from

    def work(tx: Transaction) -> None:
        for state in states:
            _settle(tx, state)

    if states:
        ledger.write(work)


def _states(ledger: Ledger, root: str) -> list[State]:
    paths = {
        _main_file(row[0], root)
        for row in ledger.reader.execute(
            "SELECT DISTINCT file FROM callers WHERE root = ? AND source = 'claude'", (root,)
        )
    }  # fmt: skip
    found = []
    for path in sorted(paths):
        row = ledger.reader.execute("SELECT machine, carry FROM readings WHERE path = ?", (path,)).fetchone()
        carry = claude.carry_of(row[1]) if row else None
        if carry is not None and carry.cost is not None and carry.cost.modelUsage:
            found.append(State(path, row[0], carry))
    return found


def _forks_of(ledger: Ledger, touched: set[str]) -> list[State]:
    """Sessions that were forked from one of those that changed."""
    found = []
    rows = ledger.reader.execute(
        "SELECT path, machine, carry FROM readings WHERE source = 'claude' AND CAST(carry AS TEXT) LIKE ?",
        ('%"copied":["%',),
    ).fetchall()
    for path, machine, raw in rows:
        carry = claude.carry_of(raw)
        counted = carry.cost is not None and carry.cost.modelUsage
        if counted and Path(path).stem not in touched:
            owners = _owners(ledger.reader, Path(path).stem, carry)
            if touched.intersection(owners):
                found.append(State(path, machine, carry))
    return found


def _owners(conn: sqlite3.Connection, root: str, carry: claude.Carry) -> list[str]:
    """The session and those that it copied calls from."""
    if not carry.copied:
        return [root]
    marks = ", ".join("?" * len(carry.copied))
    rows = conn.execute(
        "SELECT DISTINCT c.root FROM call_facts f JOIN callers c ON c.id = f.caller "
        f"WHERE f.source = 'claude' AND f.key IN ({marks}) AND c.root <> ?",
        (*carry.copied, root),
    )
    return [root, *(row[0] for row in rows)]


def _main_file(file: str, root: str) -> str:
    path = Path(file)
    if path.parent.name == "subagents":
        return str(path.parent.parent.with_suffix(".jsonl"))
    return str(path.with_name(f"{root}.jsonl"))


def _settle(tx: Transaction, state: State) -> None:
    conn, carry = tx.conn, state.carry
    assert carry.cost is not None
    root = Path(state.path).stem
    owners = _owners(conn, root, carry)
    known = _known(tx, owners, carry, root)
    whose = conn.execute(
        "SELECT project FROM callers WHERE root = ? AND parent IS NULL ORDER BY id LIMIT 1", (root,)
    ).fetchone()
    caller = Caller(
        "claude", state.machine, None, root, root, None, "main", "main", whose[0] if whose else "", state.path
    )  # fmt: skip
    ids = table.Ids()
    conn.execute(
        "DELETE FROM call_facts WHERE source = 'claude' AND (key GLOB ? OR key GLOB ?)",
        (f"residual:{root}:*", f"reported:{root}:*"),
    )
    rows = []
    for model, cost in carry.cost.modelUsage.items():
        counts, recorded = known.get(model, ((0,) * 7, 0))
        rest = tuple(max(c - k, 0) for c, k in zip(_counts(cost), counts, strict=True))
        service = ids.service(conn, Service(model, "", "anthropic"))
        facts = (ids.caller(conn, caller), service, ids.toolset(conn, ""), carry.cost_ms or carry.last_ms)
        if any(rest):
            rows.append(
                ("claude", f"residual:{root}:{model}", *facts, *rest, QUALITIES.index("residual"), None, 0, None)
            )
        if (told := bounds.cost_pico(cost.costUSD)) is not None:
            own = told - recorded
            if own > 0:
                rows.append(
                    ("claude", f"reported:{root}:{model}", *facts, *(0,) * 7, QUALITIES.index("reported"), None, 0, own)
                )
    table.merge(conn, rows)


def _known(
    tx: Transaction, owners: list[str], carry: claude.Carry, root: str
) -> dict[str, tuple[tuple[int, ...], int]]:
    """Per model what the rows already account for: the session's own up to its `cost-state`, and those before it was
    forked."""
    marks = ", ".join("?" * len(owners))
    sums = ", ".join(f"sum({part})" for part in _PARTS)
    rows = tx.conn.execute(
        f"SELECT s.model, {sums}, sum(iif(f.quality = 3, f.recorded_cost_pico, 0)) FROM callers c "
        "JOIN call_facts f ON f.caller = c.id JOIN services s ON s.id = f.service "
        f"WHERE c.source = 'claude' AND c.root IN ({marks}) AND (c.root = ? OR f.ended_ms < ?) "
        "AND f.ended_ms < ? AND NOT (c.root = ? AND f.quality IN (2, 3)) GROUP BY s.model",
        (*owners, root, carry.born_ms or 0, _EVER_MS if carry.resumed_ms is None else carry.resumed_ms, root),
    )
    return {row[0]: (tuple(row[1:8]), row[8] or 0) for row in rows}


def _counts(cost: ModelCost) -> tuple[int, ...]:
    n = bounds.counter
    five, hour = n(cost.cacheCreationEphemeral5mInputTokens), n(cost.cacheCreationEphemeral1hInputTokens)
    five = max(five, n(cost.cacheCreationInputTokens) - hour)
    return (
        n(cost.inputTokens), n(cost.cacheReadInputTokens), five, hour, n(cost.outputTokens), n(cost.thinkingTokens),
        n(cost.webSearchRequests),
    )  # fmt: skip
