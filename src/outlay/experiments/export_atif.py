"""A run as a trajectory in ATIF, Harbor's Agent Trajectory Interchange Format.

Written as ATIF-v1.7, the first version with subagents in the same file; checked against the models of harbor 0.25.0."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outlay import __version__
from outlay.economics.spend import Spend
from outlay.experiments.export import Session, Step, Trace
from outlay.money import PICO_PER_USD
from outlay.tokens import Usage

VERSION = "ATIF-v1.7"


def trajectory(trace: Trace) -> dict[str, Any]:
    """The main session's trajectory with those of all subagents in it. JSON-ready."""
    if not trace.sessions:
        return _empty(trace)
    main, *others = trace.sessions
    found = _trajectory(trace, main, trace.sessions)
    found["subagent_trajectories"] = [_trajectory(trace, session, trace.sessions) for session in others] or None
    found["notes"] = _notes(trace)
    found["final_metrics"] = _totals(trace.spend, len(found["steps"])) | {
        "extra": {"unpriced_calls": trace.spend.unpriced, "unmeasured_calls": trace.spend.unmeasured}
    }
    found["extra"] = {
        "outcome": trace.outcome, "reason": trace.reason, "checks": trace.checks, "wall_ms": trace.wall_ms,
    }  # fmt: skip
    whole: dict[str, Any] = _without_none(found)
    return whole


def _empty(trace: Trace) -> dict[str, Any]:
    """A run whose main session never began."""
    step = {"step_id": 1, "source": "user", "message": "", "timestamp": _iso(trace.started_ms)}
    agent = {"name": "outlay", "version": __version__}
    return {"schema_version": VERSION, "session_id": trace.run, "agent": agent, "steps": [step]}


def _notes(trace: Trace) -> str:
    kept = f" Its policy keeps {trace.withheld} texts out of this file." if trace.withheld else ""
    return f"Run {trace.run} ({trace.name}) of outlay; final_metrics are those of all sessions together.{kept}"


def _trajectory(trace: Trace, session: Session, every: tuple[Session, ...]) -> dict[str, Any]:
    started = {each.started_by: each for each in every if each.started_by and each.parent == session.id}
    steps: list[dict[str, Any]] = []
    if session.system:
        steps.append({"source": "system", "message": session.system, "timestamp": _iso(session.started_ms)})
    steps += [_step(step, started) for step in session.steps]
    if not steps:
        steps.append({"source": "user", "message": "", "timestamp": _iso(session.started_ms)})
    return {
        "schema_version": VERSION,
        "session_id": trace.run,
        "trajectory_id": session.name,
        "agent": {
            "name": "outlay", "version": __version__, "model_name": _model(session),
            "extra": {"role": session.role, "session": session.name, "status": session.status},
        },
        "steps": [{"step_id": number, **step} for number, step in enumerate(steps, 1)],
        "final_metrics": _totals(session.spend, len(steps)),
        "extra": {"reason": session.reason} if session.reason else None,
    }  # fmt: skip


def _model(session: Session) -> str:
    """The model that answered last, by its provider's id; before any answer its name in the goal."""
    calls = [step.call for step in session.steps if step.call]
    return calls[-1].model if calls else session.model


def _step(step: Step, started: dict[str, Session]) -> dict[str, Any]:
    made: dict[str, Any] = {"source": step.source, "message": step.text, "timestamp": _iso(step.at_ms)}
    if step.source == "user":
        return made | {"extra": {"kind": step.kind}}
    if step.call is None:
        made["llm_call_count"] = 0
    else:
        made |= {"model_name": step.call.model, "llm_call_count": 1, "metrics": _metrics(step)}
    if step.asked:
        made["tool_calls"] = [
            {"tool_call_id": asked.id, "function_name": asked.name, "arguments": asked.arguments}
            for asked in step.asked
        ]
        results = [
            {
                "source_call_id": asked.id,
                "content": asked.result,
                "subagent_trajectory_ref": [{"trajectory_id": started[asked.id].name}] if asked.id in started else None,
                "extra": {"is_error": True} if asked.is_error else None,
            }
            for asked in step.asked
            if asked.result is not None
        ]
        made["observation"] = {"results": results} if results else None
    return made


def _metrics(step: Step) -> dict[str, Any]:
    assert step.call is not None
    if step.call.quality == "unmeasured":
        return {"extra": {"quality": step.call.quality}}
    return _tokens(step.call.usage, "") | {
        "cost_usd": None if step.cost_pico is None else step.cost_pico / PICO_PER_USD,
        "extra": _written(step.call.usage) | {"quality": step.call.quality},
    }


def _totals(spend: Spend, steps: int) -> dict[str, Any]:
    """`total_cost_usd` only when every call has a known cost."""
    cost = spend.cost_pico
    return _tokens(spend.usage, "total_") | {
        "total_cost_usd": None if cost is None else cost / PICO_PER_USD,
        "total_steps": steps,
    }


def _tokens(usage: Usage, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}prompt_tokens": usage.input,
        f"{prefix}completion_tokens": usage.output,
        f"{prefix}cached_tokens": usage.cache_read,
    }


def _written(usage: Usage) -> dict[str, int]:
    names = ("cache_write_5m", "cache_write_1h", "reasoning")
    return {name: count for name in names if (count := getattr(usage, name))}


def _iso(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value
