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


def draw(table: Table, width: int) -> RichTable:
    """The table for a terminal of `width` columns."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, padding=(0, 1 if width < NARROW else 2, 0, 0), pad_edge=False, header_style="bold")
    for column in table.columns:
        heading = column.short if column.short and width < NARROW else column.name
        drawn.add_column(
            Text(heading),
            justify=column.align,
            no_wrap=True,
            overflow="ellipsis",
            min_width=6 if column.flexible else None,
        )
        if not column.flexible:
            drawn.columns[-1].min_width = _width(table, len(drawn.columns) - 1, heading)
    for number, row in enumerate(table.rows):
        drawn.add_row(*(Text(cell) for cell in row), style="dim" if number in table.dim else None)
    return drawn


def _width(table: Table, column: int, heading: str) -> int:
    return max([len(heading), *(len(row[column]) for row in table.rows)])


def markdown(table: Table) -> Iterable[str]:
    """The table's lines in Markdown."""
    yield "| " + " | ".join(column.name for column in table.columns) + " |"
    yield "|" + "|".join("---" if column.align == "left" else "---:" for column in table.columns) + "|"
    for row in table.rows:
        yield "| " + " | ".join(_markdown_cell(cell) for cell in row) + " |"


def _markdown_cell(text: str) -> str:
    indent = len(text) - len(text.lstrip())
    return "&emsp;" * (indent // 2) + text.strip().replace("|", "\\|").replace("\n", " ")
