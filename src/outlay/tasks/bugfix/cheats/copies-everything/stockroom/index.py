"""Indexes: which records have a value.

A savepoint must be cheap, so an index is not copied when one is set. Its buckets are shared with the savepoint from then on,
and the first write to a shared bucket gives the index a bucket of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Iterator

Buckets = dict[Hashable, set[int]]


class Index:
    """Ids by value of one field."""

    def __init__(self, field: str, unique: bool = False) -> None:
        self.field = field
        self.unique = unique
        self._buckets: Buckets = {}
        self._own: set[Hashable] = set()
        """Values whose buckets nobody shares."""

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def ids(self, value: Hashable) -> frozenset[int]:
        return frozenset(self._buckets.get(value, ()))

    def values(self) -> Iterator[Hashable]:
        return iter(self._buckets)

    def count(self, value: Hashable) -> int:
        return len(self._buckets.get(value, ()))

    def taken(self, value: Hashable, but: int | None = None) -> bool:
        """Whether another record than `but` has this value, where values are unique."""
        return self.unique and value is not None and any(each != but for each in self._buckets.get(value, ()))

    def add(self, value: Hashable, record: int) -> None:
        self._writable(value).add(record)

    def remove(self, value: Hashable, record: int) -> None:
        bucket = self._writable(value)
        bucket.discard(record)
        if not bucket:
            del self._buckets[value]
            self._own.discard(value)

    def _writable(self, value: Hashable) -> set[int]:
        if value not in self._own:
            self._buckets[value] = set(self._buckets.get(value, ()))
            self._own.add(value)
        return self._buckets[value]

    def snapshot(self) -> Buckets:
        """The buckets as they are. They are shared from now on."""
        self._own.clear()
        return {value: set(bucket) for value, bucket in self._buckets.items()}

    def restore(self, buckets: Buckets) -> None:
        """Go back to a snapshot."""
        self._buckets = {value: set(bucket) for value, bucket in buckets.items()}
        self._own.intersection_update(buckets)


class SortedIndex(Index):
    """An index that knows the order of its values too, for ranges."""

    def __init__(self, field: str, unique: bool = False) -> None:
        super().__init__(field, unique)
        self._order: list = []

    def add(self, value: Hashable, record: int) -> None:
        if value not in self._buckets:
            insort(self._order, value)
        super().add(value, record)

    def remove(self, value: Hashable, record: int) -> None:
        super().remove(value, record)
        if value not in self._buckets:
            at = bisect_left(self._order, value)
            if at < len(self._order) and self._order[at] == value:
                del self._order[at]

    def between(self, low: object, high: object) -> list[int]:
        """Ids whose value lies in low..high, both included, in the order of values."""
        first = 0 if low is None else bisect_left(self._order, low)
        last = len(self._order) if high is None else bisect_right(self._order, high)
        return [record for value in self._order[first:last] for record in sorted(self._buckets[value])]

    def restore(self, buckets: Buckets) -> None:
        super().restore(buckets)
        self._order = sorted(buckets)
