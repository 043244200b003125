"""A columnar copy of the ledger's calls, for questions over millions of them: a DuckDB file beside the ledger.

It is made when it is first needed and brought up to date from then on: new rows by their ids, changed ones by the
ledger's `calls_changed`. It holds nothing that the ledger does not; delete it at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outlay.economics.usage_sql import OF_CALLER, Table
from outlay.ledger import Ledger

if TYPE_CHECKING:
    import duckdb

_LAYOUT = 5
_BATCH = 200_000
_MEMORY = "1GB"
_COLUMNS = {
    "id": "BIGINT", "caller": "INTEGER", "service": "INTEGER", "toolset": "INTEGER", "ended_ms": "BIGINT",
    "fresh": "BIGINT", "cache_read": "BIGINT", "cache_write_5m": "BIGINT", "cache_write_1h": "BIGINT",
    "output": "BIGINT", "reasoning": "BIGINT", "web_searches": "INTEGER", "recorded_cost_pico": "BIGINT",
    "quality": "TINYINT",
}  # fmt: skip
_LIKE = tuple(f"like_{by}" for by in OF_CALLER)
"""A caller that stands for those of the same kind (see `usage_sql.Table`)."""
_READ = (
    "SELECT id, caller, service, toolset, ended_ms, fresh, cache_read, cache_write_5m, cache_write_1h, output, "
    "reasoning, web_searches, coalesce(recorded_cost_pico, 0), quality FROM call_facts WHERE "
)
_SIDE = {
    "callers": ("id", "source", "machine", "root", "parent", "agent", "role", "project", "file"),
    "services": ("id", "model"),
    "toolsets": ("id", "names"),
}


def open_columns(ledger: Ledger) -> Table | None:
    """The copy, up to date; None where DuckDB is not installed or another process is bringing the copy up to date."""
    try:
        import duckdb
        import numpy  # noqa: F401 (moves the rows)
    except ImportError:
        return None
    path = ledger.path.with_name(ledger.path.name + ".columns")
    newest = _state(ledger)
    try:
        conn = _current(duckdb, path, newest) or _renewed(duckdb, path, ledger, newest)
    except (duckdb.IOException, duckdb.InvalidInputException):
        return None

    def run(query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return conn.execute(query, parameters).fetchall()

    return Table(run, False)


def _state(ledger: Ledger) -> tuple[int, int, int, int, int]:
    """What the copy must match: last ids of every table, and how many rows have changed."""
    row = ledger.reader.execute(
        "SELECT (SELECT max(id) FROM call_facts), (SELECT max(id) FROM callers), (SELECT max(id) FROM services), "
        "(SELECT max(id) FROM toolsets), (SELECT count(*) FROM calls_changed)"
    ).fetchone()
    return tuple(value or 0 for value in row)  # type: ignore[return-value]


def _current(duckdb: Any, path: Path, newest: Sequence[int]) -> duckdb.DuckDBPyConnection | None:
    if not path.exists():
        return None
    try:
        conn = duckdb.connect(str(path), read_only=True, config={"memory_limit": _MEMORY})
        row = conn.execute("SELECT layout, facts, callers, services, toolsets, changed FROM copied").fetchone()
    except duckdb.Error:
        return None
    if row is not None and row[0] == _LAYOUT and tuple(row[1:]) == tuple(newest):
        return conn  # type: ignore[no-any-return]
    conn.close()
    return None


def _renewed(duckdb: Any, path: Path, ledger: Ledger, newest: Sequence[int]) -> duckdb.DuckDBPyConnection:
    conn = duckdb.connect(str(path), config={"memory_limit": _MEMORY})
    facts, callers, services, toolsets, _ = newest
    old = _begin(conn)
    changed = [row[0] for row in ledger.reader.execute("SELECT id FROM calls_changed WHERE id <= ?", (old[1],))]
    conn.execute("BEGIN")
    if changed:
        conn.execute("DELETE FROM call_facts WHERE id IN (SELECT unnest(?))", [changed])
        for begin in range(0, len(changed), _BATCH):
            ids = ", ".join(map(str, changed[begin : begin + _BATCH]))
            _copy(conn, ledger, f"id IN ({ids})", ())
    _copy(conn, ledger, "id > ? AND id <= ? ORDER BY id", (old[1], facts))
    for name, last, new in (
        ("callers", old[2], callers),
        ("services", old[3], services),
        ("toolsets", old[4], toolsets),
    ):
        _copy_side(conn, ledger, name, last, new)
    conn.execute("UPDATE copied SET facts = ?, callers = ?, services = ?, toolsets = ?, changed = 0", list(newest[:4]))
    conn.execute("COMMIT")
    conn.close()

    def forget(tx: Any) -> None:
        tx.conn.execute("DELETE FROM calls_changed WHERE id <= ?", (facts,))

    if newest[4]:
        ledger.write(forget)
    return duckdb.connect(str(path), read_only=True, config={"memory_limit": _MEMORY})  # type: ignore[no-any-return]


def _begin(conn: duckdb.DuckDBPyConnection) -> tuple[int, ...]:
    """The ids up to which the copy goes; its tables are made when there are none of this layout."""
    try:
        row = conn.execute("SELECT layout, facts, callers, services, toolsets FROM copied").fetchone()
        if row is not None and row[0] == _LAYOUT:
            return row
    except Exception as error:
        if type(error).__name__ != "CatalogException":
            raise
    for name in ("call_facts", *_SIDE, "copied"):
        conn.execute(f"DROP TABLE IF EXISTS {name}")
    kinds = [f"{name} {kind}" for name, kind in _COLUMNS.items()] + [f"{name} INTEGER" for name in _LIKE]
    conn.execute(f"CREATE TABLE call_facts ({', '.join(kinds)})")
    for name, columns in _SIDE.items():
        texts = ", ".join(f"{c} {'INTEGER' if c == 'id' else 'VARCHAR'}" for c in columns)
        conn.execute(f"CREATE TABLE {name} ({texts})")
    conn.execute(
        "CREATE TABLE copied (layout INTEGER, facts BIGINT, callers BIGINT, services BIGINT, toolsets BIGINT, "
        "changed BIGINT)"
    )
    conn.execute("INSERT INTO copied VALUES (?, 0, 0, 0, 0, 0)", [_LAYOUT])
    return _LAYOUT, 0, 0, 0, 0


def _copy(conn: duckdb.DuckDBPyConnection, ledger: Ledger, where: str, parameters: Sequence[Any]) -> None:
    import numpy as np

    likes = _likes(ledger)
    for rows in _batches(ledger, _READ + where, parameters):
        matrix = np.array(rows, dtype=np.int64)
        batch = {name: np.ascontiguousarray(matrix[:, n]) for n, name in enumerate(_COLUMNS)}
        batch |= {name: stands[batch["caller"]] for name, stands in likes.items()}
        conn.register("batch", batch)
        conn.execute("INSERT INTO call_facts SELECT * FROM batch")
        conn.unregister("batch")


def _likes(ledger: Ledger) -> dict[str, Any]:
    """Column -> caller -> the first caller of the same source that is a main agent, or a subagent, like it, and has
    the same root, agent, role or project."""
    import numpy as np

    values = ", ".join(OF_CALLER.values())
    rows = ledger.reader.execute(f"SELECT c.id, c.source, c.parent IS NULL, {values} FROM callers c ORDER BY c.id")
    callers = rows.fetchall()
    likes = {name: np.zeros(callers[-1][0] + 1 if callers else 1, dtype=np.int64) for name in _LIKE}
    for place, stands in enumerate(likes.values()):
        first: dict[tuple[str, int, str], int] = {}
        for id, source, main, *value in callers:
            stands[id] = first.setdefault((source, main, value[place]), id)
    return likes


def _copy_side(conn: duckdb.DuckDBPyConnection, ledger: Ledger, name: str, last: int, new: int) -> None:
    import numpy as np

    columns = _SIDE[name]
    query = f"SELECT {', '.join(columns)} FROM {name} WHERE id > ? AND id <= ?"
    for rows in _batches(ledger, query, (last, new)):
        batch = {c: np.array([row[n] for row in rows], dtype=object if n else np.int64) for n, c in enumerate(columns)}
        conn.register("batch", batch)
        conn.execute(f"INSERT INTO {name} SELECT * FROM batch")
        conn.unregister("batch")


def _batches(ledger: Ledger, query: str, parameters: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
    cursor = ledger.reader.execute(query, tuple(parameters))
    while rows := cursor.fetchmany(_BATCH):
        yield rows
