"""Agents as a table, and their dialog as lines."""

from __future__ import annotations

from collections.abc import Sequence

from outlay import money
from outlay.service.agent import Agent
from outlay.service.look import in_lines
from outlay.views.tables import Table, left, right
from outlay.views.wording import clock_time, duration


def agent_tables(agents: Sequence[Agent]) -> list[Table]:
    """LIVE AGENTS and DONE AGENTS, children indented below the agent that started them."""
    live = [agent for agent in agents if agent.live]
    done = [agent for agent in agents if not agent.live]
    tables = [_table("LIVE AGENTS", live, done=False)] if live or not done else []
    return tables + ([_table("DONE AGENTS", done, done=True)] if done else [])


def _table(title: str, agents: Sequence[Agent], *, done: bool) -> Table:
    columns = (
        left("NAME"), left("STATUS"), left("MODEL", flexible=True), right("PID"), left("STARTED"),
        *((left("COMPLETED"),) if done else ()), right("RUNTIME"), right("RESUMED", short="RES"), right("TURNS"),
        right("DIALOG_TOKENS", short="DIALOG"), right("FULL"), right("COST"),
    )  # fmt: skip
    return Table(title, columns, tuple(_row(depth, agent, done=done) for depth, agent in in_lines(agents)))


def _row(depth: int, agent: Agent, *, done: bool) -> tuple[str, ...]:
    completed = (clock_time(agent.ended_ms, seconds=True) if agent.ended_ms else "-",) if done else ()
    name = agent.name if depth == 0 else f"{'  ' * depth}- {agent.name.rpartition('/')[2]}"
    return (
        name, agent.status.replace("_", " "), agent.model.partition("@")[0], str(agent.pid or "-"),
        clock_time(agent.started_ms, seconds=True), *completed, duration(agent.runtime_ms), str(agent.resumed),
        str(agent.turns), f"{agent.dialog_tokens:,}", "-" if agent.full_percent is None else f"{agent.full_percent}%",
        cost(agent),
    )  # fmt: skip


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
