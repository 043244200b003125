"""How a goal file was understood, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from outlay.agents.role import Role
from outlay.agents.watch.settings import Breaker, Breakers
from outlay.money import show
from outlay.runs.goal_types import Goal, Limits, ModelSpec, SessionLimits, SharedLimits, Team


def goal_json(goal: Goal) -> str:
    """The goal as JSON; paths are texts, money is in picodollars, times in seconds."""

    def plain(value: Any) -> str:
        if isinstance(value, Path):
            return str(value)
        raise NotImplementedError

    return msgspec.json.format(msgspec.json.encode(goal, enc_hook=plain), indent=1).decode()


def goal_lines(goal: Goal) -> Iterator[str]:
    """The goal in a few lines for a terminal."""
    team = goal.team
    yield f"goal       {goal.name}: {_shorten(goal.body.splitlines()[0], 66)}"
    yield f"workspace  {goal.workspace.path} (delivers: {goal.workspace.deliver})"
    for label, names in (
        ("protected", goal.workspace.protect),
        ("left out", goal.workspace.exclude),
        ("hosts", goal.workspace.hosts),
        ("context", goal.context),
        ("skills", tuple(map(str, goal.skills))),
        ("mcp", tuple(goal.mcp)),
    ):
        if names:
            yield f"{label:<11}{', '.join(names)}"
    yield from _block("models", [_model(model) for model in goal.models.values()])
    who = "the checks judge" if team.conducted else "main agent"
    yield f"team       {team.shape}, {who} {team.main!r}{_settings(team)}"
    yield from _block("roles", [_role(role) for role in team.roles.values()])
    checks = [
        f"{check.name}: {_shorten(check.command, 40)} ({check.rule}, {_time(check.timeout_s)})" for check in goal.checks
    ]
    yield from _block("checks", checks or ["none"])
    crowd = f"; {goal.limits.subagents} subagents at a time, depth {goal.limits.depth}" if team.shape == "lead" else ""
    yield f"limits     {_limits(goal.limits) or 'none'}{crowd}"
    named: dict[str, SessionLimits | SharedLimits] = {f"role {role}": each for role, each in goal.limits.roles.items()}
    named |= {"session": goal.limits.session, "team": goal.limits.team, "day": goal.limits.day}
    for name, limits in named.items():
        if text := _limits(limits):
            yield f"  {name:<8} {text}"
    yield from _block("breakers", list(_breakers(goal.limits.breakers)))
    yield from (f"warning    {warning}" for warning in goal.warnings)


def _settings(team: Team) -> str:
    """What the shape was told beside its roles."""
    written = {
        "pipeline": f"; sent back at most {team.reviews} times",
        "council": f"; {team.rounds} rounds",
        "relay": f"; the next tier {team.next_tier.replace('_', ' ')}",
    }
    return written.get(team.shape, "")


def _block(label: str, lines: list[str]) -> Iterator[str]:
    for n, line in enumerate(lines):
        yield f"{label if n == 0 else '':<11}{line}"


def _model(model: ModelSpec) -> str:
    facts = [f"window {model.window:,}"] if model.window else []
    facts += [f"at most {model.max_output:,} output tokens"] if model.max_output else []
    facts += ["own price"] if model.price else []
    facts += [f"reasoning {model.reasoning}"] if model.reasoning else []
    facts += [f"else {', '.join(model.fallback)}"] if model.fallback else []
    facts += [f"key in {model.key_env}"] if model.key_env else []
    return f"{model.name} = {model.spec}" + (f" ({'; '.join(facts)})" if facts else "")


def _role(role: Role) -> str:
    menu = f" (or {', '.join(role.models[1:])})" if len(role.models) > 1 else ""
    return f"{role.name}: {role.model}{menu}; {', '.join(role.tools) or 'no tools'} [{role.source}]"


def _breakers(breakers: Breakers) -> Iterator[str]:
    """Those that are as always in one line with their first bound, then each that the goal changes."""
    always = dict(Breakers().all())
    named = [name for name, each in breakers.all() if each == always[name]]
    if named:
        bounds = (f"{name} {breaker_line(name, always[name]).split()[2].rstrip(',;')}" for name in named)
        yield f"as always: {', '.join(bounds)}"
    yield from (breaker_line(name, each) for name, each in breakers.all() if name not in named)


def breaker_line(name: str, breaker: Breaker | None) -> str:
    """A breaker's bounds and actions: `same_call: times 5; warn, handover, stop`."""
    if breaker is None:
        return f"{name}: off"
    bounds = []
    for field in msgspec.structs.fields(breaker):
        value = getattr(breaker, field.name)
        if field.name != "action":
            bounds.append(f"{field.encode_name} {_time(value) if field.name.endswith('_s') else f'{value:,g}'}")
    return f"{name}: {', '.join(bounds)}; {', '.join(breaker.actions)}"


def _limits(limits: Limits | SessionLimits | SharedLimits) -> str:
    parts = [show(limits.usd_pico)] if limits.usd_pico is not None else []
    parts += [f"{limits.net_tokens:,} net tokens"] if limits.net_tokens is not None else []
    parts += [f"{limits.output_tokens:,} output tokens"] if limits.output_tokens is not None else []
    parts += [f"{limits.turns} turns"] if limits.turns is not None else []
    if not isinstance(limits, SharedLimits):
        parts += [_time(limits.wall_s)] if limits.wall_s is not None else []
        parts += [f"{limits.spawns} subagents in all"] if limits.spawns is not None else []
    return ", ".join(parts)


def _time(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
