"""Tables of prices and plans on a terminal: long names give way, figures never do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from outlay.views.tables import NARROW, Table, draw

if TYPE_CHECKING:
    from rich.console import Console

_LEAST = 8


def console() -> Console:
    """Where commands print."""
    from rich.console import Console

    return Console(highlight=False)


def fitted(table: Table, width: int) -> Table:
    """The table with the cells of its flexible columns shortened until it is no wider than `width`."""
    gap = 1 if width < NARROW else 2
    headings = [c.short if c.short and width < NARROW else c.name for c in table.columns]
    widths = [max([len(h), *(len(row[n]) for row in table.rows)]) for n, h in enumerate(headings)]
    while sum(widths) + gap * len(widths) > width:
        flexible = [n for n, column in enumerate(table.columns) if column.flexible and widths[n] > _LEAST]
        if not flexible:
            break
        widths[max(flexible, key=lambda n: widths[n])] -= 1
    rows = tuple(tuple(_cut(cell, widths[n]) for n, cell in enumerate(row)) for row in table.rows)
    return msgspec.structs.replace(table, rows=rows)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def print_table(table: Table, out: Console | None = None) -> None:
    """Title, table and note."""
    to = out or console()
    if table.title:
        to.print(table.title, style="bold")
    to.print(draw(fitted(table, to.width), to.width))
    if table.note:
        to.print(table.note, style="dim")
