"""A table: records of one kind by id, and its indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stockroom.errors import Duplicate, Missing
from stockroom.index import Buckets, Index, SortedIndex

Row = dict[str, Any]


class Table:
    """Rows are never changed in place: an update puts a new row where the old one was, so that old ones can be kept."""

    def __init__(
        self, name: str, unique: Iterable[str] = (), indexed: Iterable[str] = (), ordered: Iterable[str] = ()
    ) -> None:
        self.name = name
        self.rows: dict[int, Row] = {}
        self.next_id = 1
        self.indexes: dict[str, Index] = {field: Index(field, unique=True) for field in unique}
        self.indexes |= {field: Index(field) for field in indexed}
        self.indexes |= {field: SortedIndex(field) for field in ordered}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return iter(sorted(self.rows.items()))

    def get(self, record: int) -> Row:
        """The row with this id. Raises Missing."""
        try:
            return self.rows[record]
        except KeyError:
            raise Missing(f"{self.name} has no record {record}") from None

    def insert(self, row: Row) -> int:
        """Raises Duplicate; nothing is written then."""
        self._check(row, None)
        record = self.next_id
        self.next_id += 1
        self.rows[record] = dict(row)
        for index in self.indexes.values():
            index.add(row.get(index.field), record)
        return record

    def update(self, record: int, changes: Row) -> Row:
        """Raises Missing and Duplicate; nothing is written then. The new row."""
        old = self.get(record)
        new = old | changes
        self._check(new, record)
        for field, index in self.indexes.items():
            if old.get(field) != new.get(field):
                index.remove(old.get(field), record)
                index.add(new.get(field), record)
        self.rows[record] = new
        return new

    def delete(self, record: int) -> Row:
        """Raises Missing. The row that was there."""
        old = self.get(record)
        for field, index in self.indexes.items():
            index.remove(old.get(field), record)
        return self.rows.pop(record)

    def _check(self, row: Row, record: int | None) -> None:
        for field, index in self.indexes.items():
            if index.taken(row.get(field), but=record):
                raise Duplicate(self.name, field, row.get(field))

    def snapshot(self) -> tuple[dict[int, Row], int, dict[str, Buckets]]:
        return dict(self.rows), self.next_id, {field: index.snapshot() for field, index in self.indexes.items()}

    def restore(self, kept: tuple[dict[int, Row], int, dict[str, Buckets]]) -> None:
        rows, self.next_id, buckets = kept
        self.rows = dict(rows)
        for field, index in self.indexes.items():
            index.restore(buckets[field])
