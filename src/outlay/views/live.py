"""The view of a run while it works: a tree of its sessions on a terminal, plain lines elsewhere. It only reads the
ledger, so it works beside the run as well as from another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from outlay.ledger import Ledger
from outlay.money import show
from outlay.prices.book import PriceBook
from outlay.views.facts import WORKING, SessionFacts
from outlay.views.tables import NARROW, Table, draw, left, right
from outlay.views.watch import Gauge, Notice, RunView, RunWatch, check_words
from outlay.views.wording import clock_time, cost, duration, percent, plural, tokens

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.text import Text

REFRESH_S = 0.25
"""Time between two looks at the ledger; the screen is drawn at most that often."""
IDLE_S = 1.0
"""Time between two drawings when nothing but the clock has changed."""
PULSE_S = 60.0
"""Time between two lines of progress without a terminal."""

_STYLES = {
    "running": "cyan", "waiting": "yellow", "queued": "dim", "done": "green", "succeeded": "bold green",
    "failed": "red", "cancelled": "red", "timed_out": "red", "stopped": "red", "lost": "red", "interrupted": "bold red",
    "paused": "yellow",
}  # fmt: skip


async def follow(ledger: Ledger, run_id: str, book: PriceBook, console: Console, *, plain: bool) -> None:
    """Show the run until it has ended, paused, or lost its process."""
    watch = RunWatch(ledger, run_id, book)
    if plain:
        await _follow_plain(watch, console)
    else:
        await _follow_live(watch, console)


def is_over(view: RunView) -> bool:
    """Whether nothing more will happen to the run by itself."""
    return view.status != "running"


async def _follow_plain(watch: RunWatch, console: Console) -> None:
    view, notices = watch.look()
    notices = _since_last_start(notices)
    last_line = time.monotonic()
    while True:
        for notice in notices:
            console.print(_line(notice), soft_wrap=True, highlight=False)
        if notices:
            last_line = time.monotonic()
        elif time.monotonic() - last_line > PULSE_S:
            console.print(_pulse(view), soft_wrap=True, highlight=False)
            last_line = time.monotonic()
        if is_over(view):
            return
        await asyncio.sleep(REFRESH_S)
        view, notices = watch.look()


async def _follow_live(watch: RunWatch, console: Console) -> None:
    from rich.live import Live

    view, notices = watch.look()
    recent = _since_last_start(notices)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        drawn, drawn_at = None, 0.0
        while True:
            now = time.monotonic()
            facts = (view.status, view.sessions, view.total, view.checks)
            if facts != drawn or now - drawn_at > IDLE_S:
                live.update(screen(view, recent, console.width, console.height - 1), refresh=True)
                drawn, drawn_at = facts, now
            if is_over(view):
                return
            await asyncio.sleep(REFRESH_S)
            view, notices = watch.look()
            recent = [*recent, *notices][-50:]


def _since_last_start(notices: list[Notice]) -> list[Notice]:
    """What happened since the run was last started or resumed."""
    begins = [n for n, notice in enumerate(notices) if notice.text in ("run started", "run resumed")]
    return notices[begins[-1] :] if begins else notices


# ---- plain lines


def _line(notice: Notice) -> Text:
    from rich.text import Text

    who = f"{notice.session}  " if notice.session else ""
    return Text(f"{clock_time(notice.at_ms, seconds=True)}  {who}{notice.text}")


def _pulse(view: RunView) -> str:
    at_work = sum(session.status in WORKING for session in view.sessions)
    money = cost(view.total)
    now = (
        clock_time(view.started_ms + view.wall_ms, seconds=True)
        if not view.sessions
        else clock_time(_now_ms(), seconds=True)
    )
    return (
        f"{now}  {plural(at_work, 'session')} at work, {plural(view.turns, 'turn')}, {money}, {duration(view.wall_ms)}"
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---- the screen


def screen(view: RunView, recent: list[Notice], width: int, height: int) -> Group:
    """Everything about the run that fits into `width` columns and `height` lines."""
    from rich.console import Group
    from rich.text import Text

    checks = checks_line(view)
    gauges = gauges_line(view, width)
    room = max(height - 4 - bool(checks) - bool(gauges) - bool(view.status == "interrupted"), 3)
    shown, hidden = _fitting(view.sessions, room)
    parts: list[RenderableType] = [headline(view), draw(tree(view, shown), width)]
    if hidden:
        parts.append(Text(f"… and {plural(hidden, 'session')} that ended", style="dim"))
    parts += [line for line in (checks, gauges) if line]
    left_over = room - len(shown) - bool(hidden)
    news = [notice for notice in recent if not notice.text.startswith("started (")][-min(max(left_over - 1, 0), 6) :]
    if news and left_over > 1:
        parts += [Text(""), *(_styled(notice) for notice in news)]
    if view.status == "interrupted":
        parts.append(Text(f"no process works on this run; go on with: outlay resume {view.id}", style="bold red"))
    return Group(*parts)


def headline(view: RunView) -> Text:
    """Name, state, time, money, reason, in one line."""
    from rich.text import Text

    label = f" ({view.played})" if view.played else ""
    line = Text.assemble(
        (view.name, "bold"), (f"  {view.id}  ", "dim"), (view.state, _STYLES.get(view.state, "")),
        f"  {duration(view.wall_ms)}  {cost(view.total)}{label}  {plural(view.turns, 'turn')}",
    )  # fmt: skip
    if view.outcome and view.reason not in ("", view.outcome):
        line.append(f"  {view.reason}", style="dim")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def tree(view: RunView, sessions: list[SessionFacts]) -> Table:
    """The sessions, children under their parents."""
    depth: dict[str, int] = {}
    for session in view.sessions:
        depth[session.id] = depth.get(session.parent or "", -1) + 1
    rows = []
    for session in sessions:
        level = depth[session.id]
        name = session.name if level == 0 else "  " * level + session.name.rpartition("/")[2]
        full = session.context_tokens / session.window_tokens if session.window_tokens else None
        spend = view.spends.get(session.id)
        doing = "" if session.status == "done" else session.last_action
        rows.append(
            (name, session.status.replace("_", " "), session.role, session.model, str(session.turns), percent(full),
             cost(spend) if spend else "–", " ".join(doing.split()))
        )  # fmt: skip
    ended = frozenset(n for n, session in enumerate(sessions) if session.status not in WORKING)
    columns = (
        left("NAME", flexible=True), left("STATE"), left("ROLE"), left("MODEL"), right("TURNS"), right("FULL"),
        right("COST"), left("DOING", flexible=True),
    )  # fmt: skip
    return Table("Sessions", columns, tuple(rows), dim=ended)


def checks_line(view: RunView) -> Text | None:
    """The checks and how they stand."""
    from rich.text import Text

    if not view.checks:
        return None
    line = Text("checks  ", style="bold")
    for check in view.checks:
        style = {True: "green", False: "red", None: "dim"}[check.passed]
        mark = {True: "✓", False: "✗", None: "·"}[check.passed]
        runs = f" (run {check.rounds})" if check.rounds > 1 else ""
        line.append(f"{mark} {check_words(check)}{runs}   ", style=f"not bold {style}")
    return line


def gauges_line(view: RunView, width: int) -> Text | None:
    """How much of every limit is used."""
    from rich.text import Text

    if not view.gauges:
        return None
    bar = 10 if width >= NARROW else 4
    line = Text("limits  ", style="bold")
    for gauge in view.gauges:
        filled = min(round(gauge.share * bar), bar)
        style = "red" if gauge.share >= 0.9 else "yellow" if gauge.share >= 0.7 else "green"
        line.append(f"{gauge.name} ", style="not bold")
        line.append("█" * filled, style=f"not bold {style}")
        line.append("░" * (bar - filled), style="not bold dim")
        line.append(f" {percent(gauge.share)} of {_bound(gauge)}  ", style="not bold")
    return line


def _bound(gauge: Gauge) -> str:
    match gauge.name:
        case "money":
            return show(int(gauge.bound), digits=2)
        case "time":
            return duration(int(gauge.bound * 1000))
        case "net tokens":
            return tokens(int(gauge.bound))
    return f"{gauge.bound:,.0f}"


def _styled(notice: Notice) -> Text:
    style = {True: "green", False: "red", None: "dim"}[notice.good]
    line = _line(notice)
    line.stylize(style)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _fitting(sessions: list[SessionFacts], room: int) -> tuple[list[SessionFacts], int]:
    """Sessions for `room` lines: all when they fit, else those at work and the newest of the others."""
    if len(sessions) <= room:
        return sessions, 0
    at_work = [session.id for session in sessions if session.status in WORKING or session.parent is None]
    ended = [session.id for session in sessions if session.id not in set(at_work)]
    kept = set(at_work[: room - 1]) | set(_newest(ended, max(room - 1 - len(at_work), 0)))
    shown = [session for session in sessions if session.id in kept]
    return shown, len(sessions) - len(shown)


def _newest(ids: list[str], count: int) -> list[str]:
    return ids[-count:] if count else []


def show_lines(view: RunView, recent: list[Notice]) -> Iterator[RenderableType]:
    """The run as one page, for `outlay show`."""
    from rich.text import Text

    yield headline(view)
    yield Text(f"goal {view.goal}, workspace {view.workspace}", style="dim", overflow="fold")
    yield Text("")
    yield _Fitted(tree(view, view.sessions))
    checks = checks_line(view)
    if checks:
        yield Text("")
        yield checks
    gauges = gauges_line(view, 80)
    if gauges:
        yield gauges
    if recent:
        yield Text("")
        yield from (_styled(notice) for notice in recent[-10:])
    if view.status in ("interrupted", "paused"):
        why = "no process works on this run" if view.status == "interrupted" else "paused"
        yield Text(f"\n{why}; go on with: outlay resume {view.id}", style="bold")


class _Fitted:
    """A table that fits itself to the console it is printed on."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: object) -> Iterator[RenderableType]:
        yield draw(self.table, console.width)
