"""A dialog as a list of folded entries of which only the lines on the screen are laid out and drawn."""

from __future__ import annotations

import textwrap
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import ClassVar

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from outlay.views.top.pages import Entry, Line

Unfold = Callable[[Entry], tuple[Line, ...]]
_MARGIN = 2
"""Columns left of the lines: the cursor, and whether there is more to unfold."""


class DialogView(ScrollView, can_focus=True):
    """Entries one below the other. One is under the cursor; it can be unfolded. Stays at the end when it is there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("home,g", "top", "Top", show=False),
        Binding("end,G", "end", "End", show=False),
        Binding("enter,space", "fold", "Fold", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.entries: list[Entry] = []
        self.cursor = 0
        self.hits: frozenset[tuple[int, int]] = frozenset()
        self._unfold: Unfold = lambda entry: entry.lines
        self._unfolded: dict[tuple[int, int], tuple[Line, ...]] = {}
        self._follows = True
        """Whether it stays at its end when there is more."""
        self._width = 80
        """Columns for which the lines were laid out."""
        self._starts: list[int] = [0]
        """Line at which each entry begins, and at the end the number of lines."""

    # ---- what it shows

    def show(self, entries: Sequence[Entry], unfold: Unfold | None = None) -> None:
        """Show other entries, from their end. unfold: reads all of an entry's lines."""
        self.entries = list(entries)
        self._unfold = unfold or (lambda entry: entry.lines)
        self._unfolded = {}
        self.hits = frozenset()
        self.cursor = max(len(self.entries) - 1, 0)
        self._follows = True
        self._lay_out()

    def prepend(self, entries: Sequence[Entry]) -> None:
        """Put older ones before; what is on the screen stays where it is."""
        if not entries:
            return
        lines = self._starts[-1]
        self.entries[:0] = entries
        self.cursor += len(entries)
        y = self.scroll_offset.y
        self._lay_out()
        if not self._follows:
            self._scroll(y + self._starts[-1] - lines)

    def append(self, entries: Sequence[Entry]) -> None:
        """Put newer ones at the end, and follow them unless somebody looks at older ones."""
        if not entries:
            return
        self.entries += entries
        if self._follows:
            self.cursor = len(self.entries) - 1
        self._lay_out()

    def go_to(self, place: tuple[int, int]) -> bool:
        """Put the cursor on the entry of that place; whether there is one."""
        index = bisect_left(self.entries, place, key=lambda entry: entry.place)
        if index == len(self.entries) or self.entries[index].place != place:
            return False
        self._put_cursor(index, middle=True)
        return True

    # ---- what a person does

    def action_move(self, by: int) -> None:
        """Entry by entry; through an entry longer than the screen line by line."""
        if not self.entries:
            return
        top, height = self.scroll_offset.y, self.size.height
        begin, end = self._starts[self.cursor], self._starts[self.cursor + 1]
        hidden_below, hidden_above = end > top + height, begin < top
        if (by > 0 and hidden_below) or (by < 0 and hidden_above):
            self._follows = False
            self._scroll(top + by)
            return
        self._put_cursor(min(max(self.cursor + by, 0), len(self.entries) - 1))

    def action_top(self) -> None:
        self._put_cursor(0)

    def action_end(self) -> None:
        self._put_cursor(max(len(self.entries) - 1, 0))
        self._scroll(self._starts[-1])

    def action_page_down(self) -> None:
        self._page(1)

    def action_page_up(self) -> None:
        self._page(-1)

    def action_fold(self) -> None:
        """Unfold the entry under the cursor, or fold it again."""
        if not self.entries:
            return
        entry = self.entries[self.cursor]
        if entry.place in self._unfolded:
            del self._unfolded[entry.place]
        elif entry.hidden:
            self._unfolded[entry.place] = self._unfold(entry)
        self._lay_out()
        self._put_cursor(self.cursor)

    def on_click(self, event: events.Click) -> None:
        line = event.y + self.scroll_offset.y
        if not self.entries or line >= self._starts[-1]:
            return
        index = self._entry_at(line)
        again = index == self.cursor
        self._put_cursor(index, scroll=False)
        if again:
            self.action_fold()

    def on_resize(self) -> None:
        self._lay_out()

    def on_mouse_scroll_up(self) -> None:
        self._follows = False

    def on_mouse_scroll_down(self) -> None:
        self._follows = self.scroll_offset.y >= self._starts[-1] - self.size.height - 1

    def _page(self, by: int) -> None:
        height = max(self.size.height - 1, 1)
        line = min(max(self._starts[self.cursor] + by * height, 0), max(self._starts[-1] - 1, 0))
        if self.entries:
            self._scroll(self.scroll_offset.y + by * height)
            self._put_cursor(self._entry_at(line))

    def _put_cursor(self, index: int, *, middle: bool = False, scroll: bool = True) -> None:
        self.cursor = index
        self._follows = index == len(self.entries) - 1
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if scroll and self.entries:
            begin, end = self._starts[index], self._starts[index + 1]
            if middle:
                self._scroll(begin - height // 3)
            elif begin < top or end - begin >= height:
                self._scroll(begin)
            elif end > top + height:
                self._scroll(end - height)
        self.refresh()

    # ---- lines

    def _lay_out(self) -> None:
        self._width = max(self.outer_size.width - self.scrollbar_size_vertical - _MARGIN, 10)
        counts = (len(self._lines(entry)) for entry in self.entries)
        self._starts = [0, *accumulate(counts)]
        self.virtual_size = Size(self._width + _MARGIN, self._starts[-1])
        if self._follows:
            self._scroll(self._starts[-1])
        self.refresh()

    def _scroll(self, y: int) -> None:
        self.scroll_to(y=max(y, 0), animate=False, immediate=True, force=True)

    def _lines(self, entry: Entry) -> tuple[Line, ...]:
        if (whole := self._unfolded.get(entry.place)) is not None:
            return _wrapped(whole, self._width)
        return _cut(entry.lines, self._width) if entry.tool else _folded(entry, self._width)

    def _entry_at(self, line: int) -> int:
        return bisect_right(self._starts, line) - 1

    def render_line(self, y: int) -> Strip:
        line = y + self.scroll_offset.y
        width = self.size.width
        if line >= self._starts[-1]:
            return Strip.blank(width, self.rich_style)
        index = self._entry_at(line)
        entry = self.entries[index]
        text, style = self._lines(entry)[line - self._starts[index]]
        first = line == self._starts[index]
        folds = ("▾" if entry.place in self._unfolded else "▸") if first and entry.hidden else " "
        mark = "▌" if index == self.cursor else "»" if first and entry.place in self.hits else " "
        here = Style(reverse=True) if index == self.cursor and first and self.has_focus else Style()
        segments = [Segment(mark + folds, self.rich_style), Segment(text, self.rich_style + Style.parse(style) + here)]
        return Strip(segments).adjust_cell_length(width, self.rich_style)


@lru_cache(maxsize=4096)
def _folded(entry: Entry, width: int) -> tuple[Line, ...]:
    lines = _wrapped(entry.lines, width)
    if entry.hidden:
        more = f"  … {entry.hidden:,} more line{'' if entry.hidden == 1 else 's'}"
        return (*lines, (more, "dim"))
    return lines


def _cut(lines: tuple[Line, ...], width: int) -> tuple[Line, ...]:
    return tuple((text if len(text) <= width // 2 else _fitted(text, width), style) for text, style in lines)


def _fitted(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


@lru_cache(maxsize=64)
def _wrapped(lines: tuple[Line, ...], width: int) -> tuple[Line, ...]:
    found: list[Line] = []
    for text, style in lines:
        if len(text) <= width and (text.isascii() or cell_len(text) <= width):
            found.append((text, style))
        else:
            found += ((part, style) for part in _parts(text, width))
    return tuple(found)


def _parts(text: str, width: int) -> list[str]:
    indent = text[: len(text) - len(text.lstrip())][: width // 2]
    if text.isascii() or cell_len(text) == len(text):
        return textwrap.wrap(text, width, subsequent_indent=indent, drop_whitespace=True) or [text[:width]]
    return [indent + part for part in chop_cells(text.lstrip(), width - len(indent))]
