"""The statements and what becomes of them: on a terminal, as data, and as a page whose inputs can be changed."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from outlay.prices.claims import Answer


def text(value: Fraction) -> str:
    """A figure in about four digits."""
    return f"{float(value):,.4g}" if abs(value) < 10_000 else f"{float(value):,.0f}"


def lines(found: Answer, width: int) -> Iterator[str]:
    """One statement for a terminal of `width` columns."""
    claim = found.claim
    yield from textwrap.wrap(f"{claim.says}  [{claim.id}]", width)
    verdict = "holds" if found.holds else "does not hold"
    yield from _indented(f"{verdict} with these inputs. {claim.reading}", width)
    names = [*(each.name for each in claim.inputs), *(step.name for step in claim.steps)]
    column = max(map(len, names))
    for each in claim.inputs:
        where = f"price book: {each.rate}" if each.rate else each.seen
        note = f" ({where})" if where else ""
        yield from _indented(
            f"  {each.name:<{column}}  {text(found.values[each.name])} {each.unit}{note}", width, column + 6
        )
    for step in claim.steps:
        figure = f"{text(found.values[step.name])} {step.unit}"
        yield from _indented(f"= {step.name:<{column}}  {figure}  = {step.formula}", width, column + 6)
    yield from _indented(claim.when, width)


def _indented(line: str, width: int, hanging: int = 2) -> list[str]:
    # Only the front of a line holds runs of blanks, which wrapping would otherwise keep at breaks.
    return textwrap.wrap(
        line, width, initial_indent="  ", subsequent_indent=" " * hanging, drop_whitespace=True, break_long_words=False
    )


def as_json(found: Sequence[Answer], book: str) -> dict[str, Any]:
    """Statements with every input and computed figure."""
    return {
        "price_book": book,
        "claims": [
            {
                "id": a.claim.id, "says": a.claim.says, "reading": a.claim.reading, "holds": a.holds,
                "when": a.claim.when,
                "inputs": {i.name: {"value": float(a.values[i.name]), "unit": i.unit} for i in a.claim.inputs},
                "computed": {
                    s.name: {"value": float(a.values[s.name]), "unit": s.unit, "formula": s.formula}
                    for s in a.claim.steps
                },
            }
            for a in found
        ],
    }  # fmt: skip


_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --dim: #59636e; --ground: #fff; --line: #d1d9e0; --card: #f6f8fa;
  --yes: #116329; --no: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --dim: #a0a8b2; --ground: #16181c; --line: #3a3f47;
  --card: #1e2127; --yes: #57d28a; --no: #ff8f8f; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 52rem;
  margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid var(--line); background: var(--card); border-radius: 8px; padding: 1rem 1.25rem;
  margin: 1.25rem 0; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0; } p { margin: .4rem 0; } .dim { color: var(--dim); }
.holds { font-weight: 600; color: var(--yes); } .fails { font-weight: 600; color: var(--no); }
table { border-collapse: collapse; width: 100%; font-size: .93rem; } td { padding: .15rem .5rem .15rem 0;
  vertical-align: top; } td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
input { width: 6.5rem; font: inherit; text-align: right; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 4px; padding: 0 .3rem; } code { font-size: .85rem; color: var(--dim); }
"""
_SCRIPT = """
const claims = JSON.parse(document.getElementById('data').textContent);
const show = x => (Math.abs(x) < 10000 ? Number(x.toPrecision(4)) : Math.round(x)).toLocaleString('en');
const field = (claim, name) => document.getElementById(claim.id + '.' + name);
function compute(claim) {
  const names = [], values = [];
  const run = f => Function(...names, 'min', 'max', 'return ' + f)(...values, Math.min, Math.max);
  for (const i of claim.inputs) { names.push(i.name); values.push(Number(field(claim, i.name).value)); }
  for (const s of claim.steps) {
    const v = run(s.formula);
    names.push(s.name); values.push(v);
    field(claim, s.name).textContent = show(v);
  }
  const v = field(claim, 'verdict'), yes = run(claim.holds);
  v.textContent = yes ? 'holds' : 'does not hold'; v.className = yes ? 'holds' : 'fails';
}
for (const claim of claims) for (const i of claim.inputs)
  field(claim, i.name).addEventListener('input', () => compute(claim));
"""


def page(found: Sequence[Answer], book: str) -> str:
    """An HTML page, whole in itself, on which the inputs can be changed."""
    data = [
        {"id": a.claim.id, "inputs": [{"name": i.name} for i in a.claim.inputs], "holds": a.claim.holds,
         "steps": [{"name": s.name, "formula": s.formula} for s in a.claim.steps]}
        for a in found
    ]  # fmt: skip
    articles = "".join(_article(a) for a in found)
    # A `<` in the data could end the element; JSON may write it as an escape.
    inert = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>What is said about the cost of agents</title><style>{_STYLE}</style>"
        "<h1>What is said about the cost of agents, and when it holds</h1>"
        f'<p class="dim">Change any input; the figures follow. Rates: price book {html.escape(book)}.</p>{articles}'
        f'<script type="application/json" id="data">{inert}</script>'
        f"<script>{_SCRIPT}</script></html>"
    )


def _article(found: Answer) -> str:
    claim, e = found.claim, html.escape
    rows = []
    for each in claim.inputs:
        value = f"{float(found.values[each.name]):.10g}"
        name = f'id="{e(claim.id)}.{e(each.name)}" aria-label="{e(each.name)}"'
        field = f'<input {name} value="{value}" type="number" step="any">'
        where = f"price book: {each.rate}" if each.rate else each.seen
        note = f' <span class="dim">({e(where)})</span>' if where else ""
        rows.append(_row(each.name, field, f"{e(each.unit)}{note}"))
    for step in claim.steps:
        value = f'<b id="{e(claim.id)}.{e(step.name)}">{text(found.values[step.name])}</b>'
        rows.append(_row(step.name, value, f"{e(step.unit)} <code>{e(step.formula)}</code>"))
    verdict = f'<span id="{e(claim.id)}.verdict" class="{"holds" if found.holds else "fails"}">'
    verdict += f"{'holds' if found.holds else 'does not hold'}</span>"
    return (
        f'<article id="{e(claim.id)}"><h2>{e(claim.says)}</h2><p>{verdict} with these inputs. {e(claim.reading)}</p>'
        f"<table>{''.join(rows)}</table><p>{e(claim.when)}</p></article>"
    )


def _row(name: str, figure: str, rest: str) -> str:
    return f'<tr><td>{html.escape(name)}</td><td class="n">{figure}</td><td>{rest}</td></tr>'
