"""A report for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from outlay.views.report_data import Report
from outlay.views.report_tables import tables
from outlay.views.tables import draw, markdown
from outlay.views.wording import clock_time, cost, date_time, duration, percent, plural, sparkline, tokens

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

_STYLES = {"succeeded": "bold green", "failed": "bold red", "lost": "bold red", "running": "bold cyan"}
_CONTEXT_TITLE = "Context of the main agent"


def overview(report: Report) -> list[tuple[str, str]]:
    """Label and value of the first lines."""
    run = report.run
    lines = [("run", f"{run.name} ({run.id})")]
    if run.goal:
        lines.append(("goal", run.goal))
    reason = f": {run.reason}" if run.reason and run.reason != run.state else ""
    lines.append(("outcome", f"{run.state}{reason}"))
    if run.status == "interrupted":
        lines.append(("", f"no process works on it; go on with: outlay resume {run.id}"))
    if run.played:
        how = {"recorded": "played from a recording", "by hand": "given by hand"}[run.played]
        lines.append(("models", f"answers were {how}: nothing was paid, cost is at the goal's prices"))
    if report.estimated_calls:
        lines.append(("", f"tokens of {report.estimated_calls:,} calls are estimated from the length of their texts"))
    if report.checks:
        passed = sum(check.passed is True for check in report.checks)
        lines.append(("checks", f"{passed} of {len(report.checks)} passed"))
    failed = sum(fault.status == "failed" for fault in report.faults)
    lines.append(
        ("work", f"{plural(len(report.agents), 'session')}, {plural(report.turns, 'turn')}, "
         f"{plural(report.total.calls, 'call')}" + (f" ({failed} failed)" if failed else ""))
    )  # fmt: skip
    ended = ""
    if run.ended_ms:
        same_day = date_time(run.ended_ms)[:10] == date_time(run.started_ms)[:10]
        ended = f" to {clock_time(run.ended_ms) if same_day else date_time(run.ended_ms)}"
    lines.append(("time", f"{duration(run.wall_ms)} at work, {date_time(run.started_ms)}{ended}"))
    lines.append(("cost", f"{cost(report.total)}{_why(report)}"))
    lines.append(("tokens", f"{tokens(report.total.usage.net)} net, {tokens(report.total.usage.gross)} gross"))
    return lines


def _why(report: Report) -> str:
    from outlay.economics.tokenomics import why_no_cost

    why = why_no_cost(report.total)
    return f" ({why})" if why else ""


def context_line(report: Report, width: int) -> str:
    """The main agent's context over its calls: where it began, its peak, where it ended."""
    values, window = report.context, report.context_window
    peak = max(values)
    full = f" ({percent(peak / window)} of {tokens(window)})" if window else ""
    return (
        f"{sparkline(values, width)}  {tokens(values[0])} at first, {tokens(peak)} at most{full}, "
        f"{tokens(values[-1])} at the end"
    )


def footer(report: Report) -> str:
    """What the costs rest on."""
    book = f"book {report.price_book} ({report.price_source}, {report.price_date})"
    return f"Prices: {book}; made {date_time(report.made_ms)}."


class Rendered:
    """A report that fits itself to the console it is printed on."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        report, width = self.report, options.max_width
        for label, value in overview(report):
            style = _STYLES.get(report.run.state, "bold") if label == "outcome" else ""
            yield Text.assemble((f"{label:<9}", "dim"), (value, style), overflow="fold")
        for table in tables(report, width):
            yield Text(f"\n{table.title}", style="bold underline")
            yield draw(table, width)
            if table.note:
                yield Text(table.note, style="dim")
            if table.title == "Agents" and len(report.context) > 1:
                yield Text(f"\n{_CONTEXT_TITLE}", style="bold underline")
                yield Text(context_line(report, max(width - 62, 10)))
        yield Text("\nBottom line", style="bold underline")
        yield Text(" ".join(report.bottom_line))
        yield Text(f"\n{footer(report)}", style="dim")


def render_table(report: Report) -> Rendered:
    """The report for a terminal; print it on a rich console."""
    return Rendered(report)


def render_markdown(report: Report) -> str:
    """The report as a Markdown document."""
    lines = [f"# {report.run.name}: {report.run.state}", ""]
    lines += [f"- {label or 'note'}: {value}" for label, value in overview(report)]
    for table in tables(report):
        lines += ["", f"## {table.title}", "", *markdown(table)]
        if table.note:
            lines += ["", table.note.replace("* Est", "\\* Est")]
        if table.title == "Agents" and len(report.context) > 1:
            lines += ["", f"## {_CONTEXT_TITLE}", "", context_line(report, 60)]
    lines += ["", "## Bottom line", "", " ".join(report.bottom_line), "", footer(report), ""]
    return "\n".join(lines)
