"""All tables, with savepoints that nest, and a journal of what was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from stockroom.errors import NoSavepoint
from stockroom.table import Row, Table


class Change(NamedTuple):
    """One line of the journal."""

    what: str
    table: str
    record: int
    row: Row


class _Savepoint(NamedTuple):
    name: str
    tables: dict[str, Any]
    journal_length: int


class Store:
    """Tables by name. A savepoint stays set when it is rolled back to, as in SQL: it can be rolled back to again."""

    def __init__(self, *tables: Table) -> None:
        self.tables = {table.name: table for table in tables}
        self.journal: list[Change] = []
        self._savepoints: list[_Savepoint] = []

    def insert(self, table: str, row: Row) -> int:
        record = self.tables[table].insert(row)
        self.journal.append(Change("insert", table, record, self.tables[table].get(record)))
        return record

    def update(self, table: str, record: int, **changes: Any) -> Row:
        row = self.tables[table].update(record, changes)
        self.journal.append(Change("update", table, record, row))
        return row

    def delete(self, table: str, record: int) -> Row:
        row = self.tables[table].delete(record)
        self.journal.append(Change("delete", table, record, row))
        return row

    def get(self, table: str, record: int) -> Row:
        return self.tables[table].get(record)

    def set(self, name: str) -> None:
        """Set a savepoint. A name may be used again; the last one of that name counts."""
        kept = {table.name: table.snapshot() for table in self.tables.values()}
        self._savepoints.append(_Savepoint(name, kept, len(self.journal)))

    def roll_back(self, name: str) -> None:
        """Undo everything since the savepoint was set; it stays. Raises NoSavepoint."""
        at = self._find(name)
        savepoint = self._savepoints[at]
        del self._savepoints[at + 1 :]
        for table_name, kept in savepoint.tables.items():
            self.tables[table_name].restore(kept)
        del self.journal[savepoint.journal_length :]

    def release(self, name: str) -> None:
        """Forget the savepoint and those set after it; what was done stays. Raises NoSavepoint."""
        del self._savepoints[self._find(name) :]

    def _find(self, name: str) -> int:
        for at in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[at].name == name:
                return at
        raise NoSavepoint(f"no savepoint {name!r}")

    @contextmanager
    def all_or_nothing(self, name: str = "block") -> Iterator[None]:
        """A block that is undone whole when it raises."""
        self.set(name)
        try:
            yield
        except BaseException:
            self.roll_back(name)
            self.release(name)
            raise
        self.release(name)
