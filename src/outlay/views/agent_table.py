"""Agents as a table, and their dialog as lines."""

from __future__ import annotations

from collections.abc import Sequence

from outlay import money
from outlay.service.agent import Agent
from outlay.service.look import in_lines
from outlay.views.tables import Table, left, right
from outlay.views.wording import clock_time, date_time, duration, tokens

WIDE = 132
"""Columns of a terminal from which on everything is written out."""


def agent_tables(agents: Sequence[Agent], width: int, now_ms: int) -> list[Table]:
    """LIVE AGENTS and DONE AGENTS, children indented below the agent that started them, for a terminal of `width`
    columns."""
    live = [agent for agent in agents if agent.live]
    done = [agent for agent in agents if not agent.live]
    tables = [_table("LIVE AGENTS", live, width, now_ms, done=False)] if live or not done else []
    return tables + ([_table("DONE AGENTS", done, width, now_ms, done=True)] if done else [])


def _table(title: str, agents: Sequence[Agent], width: int, now_ms: int, *, done: bool) -> Table:
    columns = (
        left("NAME", flexible=True), left("STATUS"), left("MODEL", flexible=True, spare=True), right("PID", spare=True),
        left("STARTED", short="START", spare=True), *((left("COMPLETED", short="END"),) if done else ()),
        right("RUNTIME", short="TIME"), right("RESUMED", short="RES", spare=True), right("TURNS"),
        right("DIALOG_TOKENS", short="DIALOG"), right("FULL"), right("COST"),
    )  # fmt: skip
    rows = (_row(depth, agent, now_ms, done=done, whole=width >= WIDE) for depth, agent in in_lines(agents))
    return Table(title, columns, tuple(rows), narrow=WIDE)


def _row(depth: int, agent: Agent, now_ms: int, *, done: bool, whole: bool) -> tuple[str, ...]:
    name = agent.name if depth == 0 else f"{'  ' * depth}- {agent.name.rpartition('/')[2]}"
    model = agent.model.partition("@")[0]
    full = agent.full_percent
    return (
        name, agent.status.replace("_", " "), model if whole else model.partition(":")[2] or model,
        str(agent.pid or "-"), _moment(agent.started_ms, now_ms, whole=whole),
        *((_moment(agent.ended_ms, now_ms, whole=whole),) if done else ()), duration(agent.runtime_ms),
        str(agent.resumed), str(agent.turns), f"{agent.dialog_tokens:,}" if whole else tokens(agent.dialog_tokens),
        "-" if full is None else f"{full}%" if whole else f"{full:.0f}%", cost(agent),
    )  # fmt: skip


def _moment(ms: int | None, now_ms: int, *, whole: bool) -> str:
    """The time of a moment of today; of another day the date, too, or alone."""
    if ms is None:
        return "-"
    date = date_time(ms)[5:10]
    if date_time(now_ms)[:10] == date_time(ms)[:10]:
        return clock_time(ms, seconds=whole)
    return f"{date} {clock_time(ms)}" if whole else date


def cost(agent: Agent) -> str:
    """Its cost with its children's; `+` after it when some of it is not known."""
    if agent.cost_pico is not None:
        return money.show(agent.cost_pico)
    return f"{money.show(agent.known_cost_pico)}+" if agent.known_cost_pico else "unknown"


def cost_line(agent: Agent) -> str:
    """One line on what an agent's answer took."""
    children = sum(1 for depth, _ in in_lines([agent]) if depth)
    with_children = f" with {children} subagent{'' if children == 1 else 's'}" if children else ""
    return (
        f"[{agent.name}: {agent.status.replace('_', ' ')}, {agent.turns} turns, {agent.net_tokens:,} net tokens, "
        f"{cost(agent)}{with_children}, {duration(agent.runtime_ms)}]"
    )
