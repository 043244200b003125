"""What tools and waste cost in imported sessions, for a terminal and as JSON."""

from __future__ import annotations

import shutil
from typing import Any

import msgspec

from outlay.economics.tool_cost import Cost, by_tool, of_uses
from outlay.economics.waste import Waste, wastes
from outlay.ledger import Ledger
from outlay.money import PICO_PER_USD, show
from outlay.prices.book import PriceBook
from outlay.readers.sessions import imported
from outlay.readers.trace import trace
from outlay.views.usage import count

KINDS = {
    "failed": "tool calls that failed",
    "retried": "the same call again after it failed",
    "read_again": "the same file read again, unchanged",
    "polling": "the same call three times or more in a row",
    "after_last_change": "calls after the last change",
}


class ToolReport(msgspec.Struct):
    """Tools and waste of some sessions together."""

    sessions: int = 0
    tools: dict[str, Cost] = {}
    waste: dict[str, Waste] = {}
    missing: list[str] = []
    """Transcripts that are gone."""


def tool_report(ledger: Ledger, book: PriceBook, roots: list[str]) -> ToolReport:
    """Read the transcripts of the sessions and say what their tools cost."""
    report = ToolReport()
    for root in roots:
        session, found = imported(ledger, root), trace(ledger, root)
        costs = of_uses(session.calls, found.uses, found.compactions, book)
        report.sessions += 1
        for tool, cost in by_tool(found.uses, costs).items():
            report.tools.setdefault(tool, Cost()).add(cost)
        for waste in wastes(session.calls, found.uses, costs, book):
            known = report.waste.setdefault(waste.kind, Waste(waste.kind))
            known.count += waste.count
            known.pico = None if known.pico is None or waste.pico is None else known.pico + waste.pico
            known.examples = [*known.examples, *waste.examples][:3]
        report.missing += [problem.place for problem in found.problems]
    report.tools = dict(sorted(report.tools.items(), key=lambda item: (-(item[1].pico or 0), item[0])))
    report.waste = dict(sorted(report.waste.items(), key=lambda item: -(item[1].pico or 0)))
    return report


def terminal(report: ToolReport) -> str:
    """Two small tables."""
    width = min(shutil.get_terminal_size((80, 24)).columns, 110)
    lines = [
        f"What tools brought into contexts, in {report.sessions:,} session{'' if report.sessions == 1 else 's'}", "",
        f"{'tool':<20}  {'uses':>7}  {'first read':>10}  {'read again':>10}  {'cost':>10}",
    ]  # fmt: skip
    total = Cost()
    for tool, cost in report.tools.items():
        total.add(cost)
        lines.append(_line(tool, cost))
    lines += [_line("total", total), ""]
    if report.waste:
        lines += ["Work that brought nothing new", ""]
    for waste in report.waste.values():
        lines.append(f"{waste.count:>7,}  {show(waste.pico):>10}  {KINDS[waste.kind]}")
        if waste.examples:
            lines.append(f"{'':>19}  such as {waste.examples[0].splitlines()[0]}"[:width])
    lines += ["", "Tokens are the exact growth of contexts, shared out over results by their length. Read again: in",
              "every later call until the context was compacted. Money is their part of the calls' cost."]  # fmt: skip
    if report.missing:
        lines.append(f"{len(report.missing):,} transcripts are gone; their tools are not known.")
    return "\n".join(lines) + "\n"


def _line(name: str, cost: Cost) -> str:
    numbers = f"{cost.uses:>7,}  {count(cost.first_read):>10}  {count(cost.read_again):>10}  {show(cost.pico):>10}"
    return f"{name[:20]:<20}  {numbers}"


def as_json(report: ToolReport) -> bytes:
    """Everything, money in USD."""
    tools: dict[str, Any] = {
        name: {
            "uses": c.uses, "first_read_tokens": c.first_read, "read_again_tokens": c.read_again,
            "first_read_usd": _usd(c.first_read_pico), "read_again_usd": _usd(c.read_again_pico),
        }
        for name, c in report.tools.items()
    }  # fmt: skip
    waste = {k: {"count": w.count, "cost_usd": _usd(w.pico), "examples": w.examples} for k, w in report.waste.items()}
    return msgspec.json.encode(
        {"version": 1, "sessions": report.sessions, "tools": tools, "waste": waste, "missing": report.missing}
    )


def _usd(pico: int | None) -> float | None:
    return None if pico is None else pico / PICO_PER_USD
