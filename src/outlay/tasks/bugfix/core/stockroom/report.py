"""Counts and sums over a table, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stockroom.query import Query
from stockroom.table import Row, Table


def counts(table: Table, field: str) -> dict[Any, int]:
    """How many rows have each value of an indexed field."""
    index = table.indexes[field]
    return {value: index.count(value) for value in sorted(index.values(), key=str)}


def sums(table: Table, field: str, amount: Callable[[Row], int]) -> dict[Any, int]:
    """Sum of `amount` by value of an indexed field."""
    index = table.indexes[field]
    return {
        value: sum(map(amount, Query(table).where(**{field: value}).rows()))
        for value in sorted(index.values(), key=str)
    }


def as_text(title: str, numbers: dict[Any, int]) -> str:
    width = max((len(str(value)) for value in numbers), default=0)
    lines = [f"{value!s:{width}}  {number:>8,}" for value, number in numbers.items()]
    return "\n".join([title, *lines, f"{'all':{width}}  {sum(numbers.values()):>8,}"]) + "\n"
