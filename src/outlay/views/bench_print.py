"""The report on the terminal, as Markdown and as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from outlay.experiments.report import Report
from outlay.views import bench
from outlay.views.tables import NARROW, Table, draw, markdown


def print_report(report: Report) -> None:
    """The report for a person at a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    width = min(console.width, 120)

    def say(text: str, *, style: str = "", indent: str = "") -> None:
        hang = indent + ("  " if indent else "")
        for line in textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=hang) or [""]:
            console.print(Text(line, style=style), soft_wrap=True)

    say(f"Cost per success: {report.format}", style="bold")
    say(bench.scope(report), style="dim")
    say("")
    for line in bench.headline(report):
        say(line)
    if passed := bench.pass_line(report):
        say(passed)
    if report.ranked:
        say("")
        print_table(bench.ranking(report), width)
    for title, lines in (("Not ranked", bench.unranked(report)), ("Mind", bench.notes(report))):
        if lines:
            say("")
            say(title, style="bold")
            for line in lines:
                say(line, indent="  ")
    for number, pair in enumerate(report.comparisons):
        say("")
        first, *rest = bench.comparison(pair, report.adjusted[number], len(report.comparisons) > 1)
        say(first, style="bold")
        for line in rest:
            say(line.strip(), indent="  ")
    for table in bench.tables(report):
        say("")
        say(table.title, style="bold")
        print_table(table, width)


def print_table(table: Table, width: int) -> None:
    """A table and its note."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, width=width)
    console.print(draw(fitted(table, width), width))
    for line in textwrap.wrap(table.note, width):
        console.print(Text(line, style="dim"), soft_wrap=True)


def fitted(table: Table, width: int) -> Table:
    """The table with short headings where the long ones do not fit, and its flexible first column cut so that all
    columns fit; 12 characters are always left."""
    gap = 1 if width < NARROW else 2
    short = width < NARROW
    widths = _widths(table, short, gap)
    if not short and sum(widths) - gap > width:
        columns = tuple(msgspec.structs.replace(column, name=column.short or column.name) for column in table.columns)
        table = msgspec.structs.replace(table, columns=columns)
        widths = _widths(table, short, gap)
    room = max(12, width - sum(widths[1:]) - gap)
    cut = [(row[0] if len(row[0]) <= room else row[0][: room - 1].rstrip() + "…", *row[1:]) for row in table.rows]
    return msgspec.structs.replace(table, rows=tuple(cut))


def _widths(table: Table, short: bool, gap: int) -> list[int]:
    headings = [column.short if column.short and short else column.name for column in table.columns]
    return [max([len(h), *(len(row[i]) for row in table.rows)]) + gap for i, h in enumerate(headings)]


def as_markdown(report: Report) -> str:
    """The report as a Markdown document."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield from (f"# Cost per success: {report.format}", "", bench.scope(report) + ".", "")
    yield from bench.headline(report)
    if line := bench.pass_line(report):
        yield line
    if report.ranked:
        yield from _section(bench.ranking(report), level=0)
    for title, lines in (("Not ranked", bench.unranked(report)), ("Mind", bench.notes(report))):
        if lines:
            yield from ("", f"## {title}", "", *(f"- {line}" for line in lines))
    if report.comparisons:
        yield from ("", "## Compared on the same tasks")
    for number, pair in enumerate(report.comparisons):
        first, *rest = bench.comparison(pair, report.adjusted[number], len(report.comparisons) > 1)
        yield from ("", f"**{first}**", *(line.strip() for line in rest))
    for table in bench.tables(report):
        yield from _section(table, level=2)


def _section(table: Table, *, level: int) -> Iterable[str]:
    yield ""
    if level:
        yield from (f"{'#' * level} {table.title}", "")
    yield from markdown(table)
    if table.note:
        yield from ("", table.note)


def as_json(report: Report) -> bytes:
    """Everything; money in picodollars, infinite bounds as null."""
    return msgspec.json.format(msgspec.json.encode(finite(msgspec.to_builtins(report, str_keys=True))), indent=2)


def finite(value: Any) -> Any:
    """The value with infinities as None, for JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return value
