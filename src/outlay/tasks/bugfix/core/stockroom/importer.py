"""Imports: many rows at once. What fails is tried again after `mend` has looked at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from stockroom.errors import StockroomError
from stockroom.store import Store
from stockroom.table import Row

Mend = Callable[[Row, StockroomError], Row | None]
TRIES = 3


class Imported(NamedTuple):
    """What became of an import."""

    ids: list[int]
    tries: int
    refused: list[tuple[Row, str]]


def import_rows(store: Store, table: str, rows: Iterable[Row], mend: Mend | None = None) -> Imported:
    """Write all rows, or try again as a whole without the row that failed, or with what `mend` made of it.

    After TRIES tries the import is given up: nothing of it stays, and everything is refused.
    """
    waiting = list(rows)
    refused: list[tuple[Row, str]] = []
    store.set("import")
    for tries in range(1, TRIES + 1):
        written: list[int] = []
        failed: tuple[Row, StockroomError] | None = None
        for row in waiting:
            try:
                written.append(store.insert(table, row))
            except StockroomError as error:
                failed = (row, error)
                break
        if failed is None:
            store.release("import")
            return Imported(written, tries, refused)
        store.roll_back("import")
        waiting = _without(waiting, failed, mend, refused)
    store.release("import")
    return Imported([], TRIES, refused + [(row, "given up") for row in waiting])


def _without(
    waiting: list[Row], failed: tuple[Row, StockroomError], mend: Mend | None, refused: list[tuple[Row, str]]
) -> list[Row]:
    row, error = failed
    better = mend(row, error) if mend else None
    if better is None:
        refused.append((row, str(error)))
    return [better if each is row else each for each in waiting if each is not row or better is not None]
