"""Tables described once and drawn for the terminal (rich) and for documents (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from rich.table import Table as RichTable


class Column(msgspec.Struct, frozen=True):
    """A column. `short` is its heading where the terminal is narrow."""

    name: str
    align: Literal["left", "right"] = "right"
    short: str = ""
    flexible: bool = False
    """Gives way, by an ellipsis, when the terminal is narrow."""


class Table(msgspec.Struct, frozen=True):
    """A table of texts. A row may be dimmed (`dim` holds its number)."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    dim: frozenset[int] = frozenset()
    note: str = ""


def left(name: str, *, short: str = "", flexible: bool = False) -> Column:
    return Column(name, "left", short, flexible)


def right(name: str, *, short: str = "") -> Column:
    return Column(name, "right", short)


NARROW = 100
"""Columns of the terminal below which the short headings are used."""

_LEAST = 6
"""Cells that a flexible column keeps."""


def draw(table: Table, width: int) -> RichTable:
    """The table for a terminal of `width` columns."""
    from rich.table import Table as RichTable
    from rich.text import Text

    gap = 1 if width < NARROW else 2
    drawn = RichTable(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    headings = [column.short if column.short and width < NARROW else column.name for column in table.columns]
    widths = _widths(table, headings, width - gap * (len(headings) - 1))
    for column, heading, room in zip(table.columns, headings, widths, strict=True):
        drawn.add_column(Text(heading), justify=column.align, no_wrap=True, overflow="ellipsis", width=room)
    for number, row in enumerate(table.rows):
        drawn.add_row(*(Text(cell) for cell in row), style="dim" if number in table.dim else None)
    return drawn


def _widths(table: Table, headings: list[str], room: int) -> list[int]:
    """Cells per column: what the texts take, the flexible ones cut, widest first, until all fit into `room`."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(text) for text in (heading, *(row[n] for row in table.rows))) for n, heading in enumerate(headings)
    ]
    flexible = [n for n, column in enumerate(table.columns) if column.flexible]
    while sum(widths) > room and any(widths[n] > _LEAST for n in flexible):
        widths[max(flexible, key=widths.__getitem__)] -= 1
    return widths


def markdown(table: Table) -> Iterable[str]:
    """The table's lines in Markdown."""
    yield "| " + " | ".join(column.name for column in table.columns) + " |"
    yield "|" + "|".join("---" if column.align == "left" else "---:" for column in table.columns) + "|"
    for row in table.rows:
        yield "| " + " | ".join(_markdown_cell(cell) for cell in row) + " |"


def _markdown_cell(text: str) -> str:
    indent = len(text) - len(text.lstrip())
    return "&emsp;" * (indent // 2) + text.strip().replace("|", "\\|").replace("\n", " ")
