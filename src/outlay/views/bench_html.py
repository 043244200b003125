"""The report as one HTML page with charts: no script, no network, light or dark as the reader's screen is."""

from __future__ import annotations

from html import escape
from pathlib import Path

from outlay.errors import InputError
from outlay.experiments.report import Report
from outlay.views import bench
from outlay.views.bench_chart import svgs
from outlay.views.tables import Table

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #6a737d; --ground: #ffffff; --grid: #e3e6ea;
  --worth: #0072b2 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #9aa3ad; --ground: #16181c; --grid: #33373e; --worth: #56b4e9 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.scope, .note { color: var(--soft); margin-top: .2rem; font-size: .9rem }
.lead p { font-size: 1.15rem; margin: .4rem 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap }
th { color: var(--soft); font-weight: 500 } .left { text-align: left; white-space: normal } .worth { font-weight: 600 }
.worth td:first-child { color: var(--worth) } svg { max-width: 100%; height: auto } .dark { display: none }
@media (prefers-color-scheme: dark) { .light { display: none } .dark { display: block } }
"""


def page(report: Report) -> str:
    """The whole document. Raises EnvironmentProblem without the chart libraries."""
    body = [
        f"<h1>Cost per success</h1><p class=scope>{escape(report.format)}: {escape(bench.scope(report))}</p>",
        "<div class=lead>", *(f"<p>{escape(line)}</p>" for line in bench.headline(report)), "</div>",
    ]  # fmt: skip
    if line := bench.pass_line(report):
        body.append(f"<p>{escape(line)}</p>")
    if report.ranked:
        for light, dark in zip(svgs(report, dark=False), svgs(report, dark=True), strict=True):
            body.append(f"<div class='wide light'>{light}</div><div class='wide dark'>{dark}</div>")
        worth = {n for n, row in enumerate(report.ranked) if row.worth}
        body += ["<h2>Every arm</h2>", _table(bench.ranking(report), worth)]
    for title, lines in (("Not ranked", bench.unranked(report)), ("Mind", bench.notes(report))):
        if lines:
            body += [f"<h2>{title}</h2><ul>", *(f"<li>{escape(line)}</li>" for line in lines), "</ul>"]
    if report.comparisons:
        body.append("<h2>Compared on the same tasks</h2>")
    for number, pair in enumerate(report.comparisons):
        first, *rest = bench.comparison(pair, report.adjusted[number], len(report.comparisons) > 1)
        body.append(f"<p><b>{escape(first)}</b><br>{'<br>'.join(escape(line.strip()) for line in rest)}</p>")
    for table in bench.tables(report):
        body += [f"<h2>{escape(table.title)}</h2>", _table(table, set())]
    sources = ", ".join(Path(source).name for source in report.sources[:5])
    body.append(f"<p class=note>From {escape(sources)}{' and more' if len(report.sources) > 5 else ''}.</p>")
    head = (
        "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Cost per success</title><style>{_STYLE}</style>"
    )
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _table(table: Table, worth: set[int]) -> str:
    sides = [" class=left" if column.align == "left" else "" for column in table.columns]
    head = "".join(f"<th{side}>{escape(c.name)}</th>" for side, c in zip(sides, table.columns, strict=True))
    rows = []
    for number, row in enumerate(table.rows):
        cells = "".join(f"<td{side}>{escape(cell.strip())}</td>" for side, cell in zip(sides, row, strict=True))
        rows.append(f"<tr{' class=worth' if number in worth else ''}>{cells}</tr>")
    note = f"<p class=note>{escape(table.note)}</p>" if table.note else ""
    return f"<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>{note}"


def write_page(report: Report, path: Path) -> None:
    """Writes the page. Raises InputError when it cannot be written."""
    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
