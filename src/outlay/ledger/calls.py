"""One model call as a provider bills it: counters and facts, never a price."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from outlay.tokens import Usage

QUALITIES = ("exact", "lower_bound", "residual", "reported", "estimated", "unmeasured")
"""How far a call's counters are to be trusted; `call_facts.quality` is the place in this list."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `calls`; field meanings and units are in `ledger/schema.py`."""

    source: str
    key: str
    session: str
    model: str
    ended_ms: int
    usage: Usage
    quality: str
    machine: str = ""
    run: str | None = None
    root: str = ""
    """The main agent's session; empty: the run, or the session itself."""
    parent: str | None = None
    agent: str = ""
    role: str = ""
    project: str = ""
    answered_model: str | None = None
    provider: str = ""
    tier: str = ""
    speed: str = ""
    started_ms: int | None = None
    tools: str = ""
    status: str = "ok"
    attempt: int = 1
    recorded_cost_pico: int | None = None
    possible_cost_pico: int | None = None
    origin: str = ""
    raw_usage: str | None = None


class Caller(msgspec.Struct, frozen=True):
    """Who made calls: a row of `callers`."""

    source: str
    machine: str
    run: str | None
    root: str
    session: str
    parent: str | None
    agent: str
    role: str
    project: str
    file: str


class Service(msgspec.Struct, frozen=True):
    """What answered: a row of `services`."""

    model: str
    answered_model: str = ""
    provider: str = ""
    tier: str = ""
    speed: str = ""


_USAGE = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")
_FACTS = tuple(name for name in Call.__struct_fields__ if name != "usage")
COLUMNS = _FACTS + _USAGE

_OWN = (
    "source", "key", "caller", "service", "toolset", "ended_ms", *_USAGE, "quality", "started_ms", "status",
    "attempt", "recorded_cost_pico", "possible_cost_pico", "origin", "raw_usage",
)  # fmt: skip
_RECORD = (
    f"INSERT INTO call_facts ({', '.join(_OWN)}) VALUES ({', '.join('?' * len(_OWN))}) "
    f"ON CONFLICT (key, source) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _OWN[2:])}"
)

COPY = ("source", "key", "caller", "service", "toolset", "ended_ms", *_USAGE, "quality", "offset", "rank",
        "recorded_cost_pico")  # fmt: skip
"""Columns of a row for `merge`, in order; caller, service and toolset are ids from `Ids`."""

_OWNER = ("caller", "service", "offset", "rank")
_MERGE = (
    f"INSERT INTO call_facts ({', '.join(COPY)}) VALUES ({', '.join('?' * len(COPY))}) "
    "ON CONFLICT (key, source) DO UPDATE SET "
    + ", ".join(f"{c} = max({c}, excluded.{c})" for c in _USAGE if c != "cache_write_5m")
    + """, cache_write_5m = max(cache_write_5m + cache_write_1h, excluded.cache_write_5m + excluded.cache_write_1h)
        - max(cache_write_1h, excluded.cache_write_1h)"""
    + ", "
    + ", ".join(f"{c} = iif(excluded.rank < rank, excluded.{c}, {c})" for c in _OWNER)
    + """,
    ended_ms = CASE WHEN excluded.rank < rank THEN excluded.ended_ms WHEN excluded.rank = rank
        THEN max(ended_ms, excluded.ended_ms) ELSE ended_ms END,
    toolset = CASE WHEN excluded.toolset = toolset THEN toolset WHEN (SELECT length(names) FROM toolsets
        WHERE id = excluded.toolset) > (SELECT length(names) FROM toolsets WHERE id = call_facts.toolset)
        THEN excluded.toolset ELSE toolset END,
    quality = min(excluded.quality, quality),
    recorded_cost_pico = coalesce(max(recorded_cost_pico, excluded.recorded_cost_pico), recorded_cost_pico,
        excluded.recorded_cost_pico)
    WHERE excluded.rank < rank OR (excluded.rank = rank AND (excluded.ended_ms > ended_ms))
        OR excluded.toolset <> toolset OR excluded.quality < quality
        OR excluded.recorded_cost_pico IS NOT recorded_cost_pico OR """
    + " OR ".join(f"excluded.{c} > {c}" for c in _USAGE)
)


class Ids:
    """Ids of callers, services and toolsets, written down when they are new. Lives as long as one transaction,
    or as long as nothing else removes such rows (nothing does)."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}

    def caller(self, conn: sqlite3.Connection, caller: Caller) -> int:
        """The id of a row of `callers`."""
        found = self._known.get(caller)
        if found is None:
            found = self._known[caller] = _id_of(conn, "callers", msgspec.structs.asdict(caller))
        return found

    def service(self, conn: sqlite3.Connection, service: Service) -> int:
        """The id of a row of `services`."""
        found = self._known.get(service)
        if found is None:
            found = self._known[service] = _id_of(conn, "services", msgspec.structs.asdict(service))
        return found

    def toolset(self, conn: sqlite3.Connection, names: str) -> int:
        """The id of a row of `toolsets`."""
        found = self._known.get(names)
        if found is None:
            found = self._known[names] = _id_of(conn, "toolsets", {"names": names})
        return found


def _id_of(conn: sqlite3.Connection, table: str, facts: dict[str, Any]) -> int:
    names, values = list(facts), tuple(facts.values())
    test = " AND ".join(f"coalesce({n}, '') = coalesce(?, '')" if n in ("run", "parent") else f"{n} = ?" for n in names)
    query = f"SELECT id FROM {table} WHERE {test}"
    row = conn.execute(query, values).fetchone()
    if row is None:
        marks = ", ".join("?" * len(names))
        conn.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
        row = conn.execute(query, values).fetchone()
    return int(row[0])


def record(conn: sqlite3.Connection, calls: Iterable[Call], ids: Ids | None = None) -> None:
    """Write calls; one with the same (source, key) is replaced. `ids`: those known in this transaction."""
    ids = ids or Ids()
    for call in calls:
        root = call.root or call.run or call.session
        caller = Caller(
            call.source,
            call.machine,
            call.run,
            root,
            call.session,
            call.parent,
            call.agent,
            call.role,
            call.project,
            "",
        )
        service = Service(call.model, call.answered_model or "", call.provider, call.tier, call.speed)
        usage = call.usage
        conn.execute(
            _RECORD,
            (
                call.source, call.key, ids.caller(conn, caller), ids.service(conn, service),
                ids.toolset(conn, call.tools), call.ended_ms, usage.fresh, usage.cache_read, usage.cache_write_5m,
                usage.cache_write_1h, usage.output, usage.reasoning, usage.web_searches,
                QUALITIES.index(call.quality), call.started_ms, call.status,
                call.attempt, call.recorded_cost_pico, call.possible_cost_pico, call.origin, call.raw_usage,
            ),
        )  # fmt: skip


_COPIED = f"INSERT INTO call_facts ({', '.join(COPY)}) VALUES ({', '.join('?' * len(COPY))})"
_MANY = 1000


def merge(conn: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows (see `COPY`) that may be copies of calls already known: counters become the larger ones, and the
    copy of lowest rank says when the call was and whose it is. The result is the same in any order."""
    if len(rows) >= _MANY and not conn.execute("SELECT 1 FROM call_facts LIMIT 1").fetchall():
        rows = _fill(conn, rows)
    conn.executemany(_MERGE, rows)


def _fill(conn: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Write the first copy of every call into the empty table, its indexes made afterwards, which is half the work;
    returns the copies that are left to merge."""
    first: dict[str, tuple[Any, ...]] = {}
    known = first.setdefault
    again = [row for row in rows if known(row[1], row) is not row]
    indexes = conn.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'call_facts' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    conn.executemany(_COPIED, first.values())
    for _, text in indexes:
        conn.execute(text)
    return again


def select(conn: sqlite3.Connection, where: str = "1", parameters: tuple[object, ...] = ()) -> Iterator[Call]:
    """Calls that match an SQL condition over the columns of `calls`, in order of completion."""
    rows = conn.execute(f"SELECT {', '.join(COLUMNS)} FROM calls WHERE {where} ORDER BY ended_ms, key", parameters)
    split = len(_FACTS)
    for row in rows:
        usage = Usage(**dict(zip(_USAGE, row[split:], strict=True)))
        yield Call(usage=usage, **dict(zip(_FACTS, row[:split], strict=True)))
