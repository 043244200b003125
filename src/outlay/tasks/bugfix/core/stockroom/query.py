"""Questions to a table. An index answers what it can; the rest is filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stockroom.index import SortedIndex
from stockroom.table import Row, Table

Test = Callable[[Row], bool]


class Query:
    """Built step by step; nothing is read before it is asked for its rows."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._equal: dict[str, Any] = {}
        self._ranges: dict[str, tuple[Any, Any]] = {}
        self._tests: list[Test] = []
        self._order: tuple[str, bool] | None = None
        self._most: int | None = None

    def where(self, **equal: Any) -> Query:
        self._equal |= equal
        return self

    def between(self, field: str, low: Any = None, high: Any = None) -> Query:
        self._ranges[field] = (low, high)
        return self

    def having(self, test: Test) -> Query:
        self._tests.append(test)
        return self

    def order_by(self, field: str, down: bool = False) -> Query:
        self._order = (field, down)
        return self

    def at_most(self, count: int) -> Query:
        self._most = count
        return self

    def plan(self) -> str:
        """Which index is asked first, in words."""
        field, _ = self._best()
        return f"index {field}" if field else "all rows"

    def ids(self) -> list[int]:
        _, candidates = self._best()
        found = [record for record in candidates if self._fits(self._table.get(record))]
        if self._order:
            field, down = self._order
            found.sort(key=lambda record: (self._table.get(record)[field], record), reverse=down)
        return found[: self._most]

    def rows(self) -> list[Row]:
        return [self._table.get(record) for record in self.ids()]

    def count(self) -> int:
        """How many there are. A plain question is answered by the index alone."""
        if len(self._equal) == 1 and not self._ranges and not self._tests and self._most is None:
            ((field, value),) = self._equal.items()
            if field in self._table.indexes:
                return self._table.indexes[field].count(value)
        return len(self.ids())

    def _best(self) -> tuple[str, Iterable[int]]:
        """The index with the fewest candidates."""
        options: list[tuple[int, str, list[int]]] = []
        for field, value in self._equal.items():
            if field in self._table.indexes:
                ids = sorted(self._table.indexes[field].ids(value))
                options.append((len(ids), field, ids))
        for field, (low, high) in self._ranges.items():
            index = self._table.indexes.get(field)
            if isinstance(index, SortedIndex):
                ids = index.between(low, high)
                options.append((len(ids), field, ids))
        if options:
            _, field, ids = min(options)
            return field, ids
        return "", sorted(self._table.rows)

    def _fits(self, row: Row) -> bool:
        return (
            all(row.get(field) == value for field, value in self._equal.items())
            and all(_within(row.get(field), low, high) for field, (low, high) in self._ranges.items())
            and all(test(row) for test in self._tests)
        )


def _within(value: Any, low: Any, high: Any) -> bool:
    return value is not None and (low is None or value >= low) and (high is None or value <= high)
