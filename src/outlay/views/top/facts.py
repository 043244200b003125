"""The facts above a dialog: how the run stands, its checks, money, limits, rates; and the session's context."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from outlay.money import show
from outlay.views.facts import SessionFacts
from outlay.views.live import checks_line, gauges_line, headline
from outlay.views.top.desk import Seen
from outlay.views.wording import cost, percent, plural, printable, tokens

_BAR = 10


def facts_of(seen: Seen, session: SessionFacts | None, width: int) -> Group:
    """What is known of a run, and of one of its sessions."""
    view = seen.view
    lines: list[RenderableType] = [headline(view)]
    if session is not None:
        lines.append(_session_line(seen, session))
    lines += [line for line in (checks_line(view), gauges_line(view, width)) if line is not None]
    lines.append(_rate_line(seen))
    if seen.approvals:
        waits = plural(len(seen.approvals), "release")
        lines.append(Text(f"waiting for a person: {waits}; a decides", style="bold reverse"))
    if seen.question:
        lines.append(Text(f"it asks: {printable(seen.question)}  (m answers)", style="bold reverse"))
    if view.status == "interrupted":
        lines.append(Text("no process works on this run; r resumes it", style="bold"))
    return Group(*lines)


def _session_line(seen: Seen, session: SessionFacts) -> Text:
    spend = seen.view.spends.get(session.id)
    line = Text.assemble(
        (printable(session.name), "bold"), f"  {session.status.replace('_', ' ')}  {session.role}, {session.model}  ",
        f"{plural(session.turns, 'turn')}  {cost(spend) if spend else '–'}  ",
    )  # fmt: skip
    if session.window_tokens:
        share = session.context_tokens / session.window_tokens
        filled = min(round(share * _BAR), _BAR)
        line.append(f"context {'█' * filled}{'░' * (_BAR - filled)} ")
        line.append(f"{percent(share)} of {tokens(session.window_tokens)}")
    if session.status != "done" and session.last_action:
        line.append("  " + " ".join(printable(session.last_action).split()), style="dim")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _rate_line(seen: Seen) -> Text:
    view = seen.view
    span = "in the last 5 minutes" if view.status == "running" else "over its whole time"
    rate = view.rate
    priced = f"{show(int(rate.usd_pico_per_h), digits=2)}/h" if view.total.least_pico is not None else "unknown $/h"
    words = f"{tokens(round(rate.net_tokens_per_min))} net tokens/min  {priced}  {span}"
    return Text.assemble(("rates  ", "bold"), words, no_wrap=True, overflow="ellipsis")
