"""Tables described once and drawn for the terminal (rich) and for documents (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from rich.table import Table as RichTable


NARROW = 100
"""Columns of the terminal below which the short headings are used."""


class Column(msgspec.Struct, frozen=True):
    """A column. `short` is its heading where the terminal is narrow."""

    name: str
    align: Literal["left", "right"] = "right"
    short: str = ""
    flexible: bool = False
    """Gives way, by an ellipsis, when the terminal is narrow."""
    spare: bool = False
    """Left out where the terminal is too narrow for all; the last ones first."""


class Table(msgspec.Struct, frozen=True):
    """A table of texts. A row may be dimmed (`dim` holds its number)."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    dim: frozenset[int] = frozenset()
    note: str = ""
    narrow: int = NARROW
    """Columns of the terminal below which its short headings are used."""


def left(name: str, *, short: str = "", flexible: bool = False, spare: bool = False) -> Column:
    return Column(name, "left", short, flexible, spare)


def right(name: str, *, short: str = "", spare: bool = False) -> Column:
    return Column(name, "right", short, spare=spare)


_LEAST = 6
"""Cells that a flexible column keeps."""


def draw(table: Table, width: int) -> RichTable:
    """The table for a terminal of `width` columns."""
    from rich.table import Table as RichTable
    from rich.text import Text

    long = [column.name for column in table.columns]
    short = [column.short or column.name for column in table.columns]
    headings, gap = (short, 1) if width < table.narrow or _needed(table, long, 2) > width else (long, 2)
    widths = _widths(table, headings, width, gap)
    drawn = RichTable(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for n, room in widths.items():
        drawn.add_column(
            Text(headings[n]), justify=table.columns[n].align, no_wrap=True, overflow="ellipsis", width=room
        )
    for number, row in enumerate(table.rows):
        drawn.add_row(*(Text(row[n]) for n in widths), style="dim" if number in table.dim else None)
    return drawn


def _needed(table: Table, headings: list[str], gap: int) -> int:
    """Cells that everything takes, flexible columns cut as far as they may be."""
    least = [
        min(cells, _LEAST) if column.flexible else cells
        for column, cells in zip(table.columns, _whole(table, headings), strict=True)
    ]
    return sum(least) + gap * (len(least) - 1)


def _whole(table: Table, headings: list[str]) -> list[int]:
    """Cells that the texts of each column take."""
    from rich.cells import cell_len

    return [max(map(cell_len, (heading, *(row[n] for row in table.rows)))) for n, heading in enumerate(headings)]


def _widths(table: Table, headings: list[str], width: int, gap: int) -> dict[int, int]:
    """Columns -> their cells: what the texts take; until all fit into `width` flexible ones are cut, spare ones before
    others and widest first, then spare ones left out."""
    widths = dict(enumerate(_whole(table, headings)))
    flexible = [n for n, column in enumerate(table.columns) if column.flexible]
    spare = [n for n, column in enumerate(table.columns) if column.spare]

    def too_much() -> bool:
        return sum(widths.values()) + gap * (len(widths) - 1) > width

    while too_much():
        to_cut = [(n in spare, widths[n], n) for n in flexible if widths.get(n, 0) > _LEAST]
        if to_cut:
            widths[max(to_cut)[2]] -= 1
        elif spare:
            del widths[spare.pop()]
        else:
            break
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
