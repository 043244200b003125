"""mini-swe-agent trajectories (`<instance>.traj.json`): cost, calls, tokens, ending. Whether an instance was resolved
stands in the SWE-bench harness's report, which must be given beside them.

Checked against a trajectory that mini-swe-agent 2.4.6 wrote and those of 2.2 and 2.3 in its repository (format 1.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlay.economics.trials import Outcome, Trial, known_cost
from outlay.errors import InputError
from outlay.experiments.published.swebench import Verdicts
from outlay.experiments.results import Results, pico_of, unknown_zero
from outlay.tokens import Usage

_STOPPED = {"LimitsExceeded", "TimeExceeded"}
"""Endings by a limit of its own (agents/default.py). `Submitted` ended by itself; anything else is an error."""


def is_trajectory(data: object) -> bool:
    return isinstance(data, dict) and str(data.get("trajectory_format", "")).startswith("mini-swe-agent")


def read_trajectory(data: Mapping[str, Any], source: str, verdicts: Verdicts | None) -> Results:
    """One trial. Raises InputError when nobody says whether the instance was resolved."""
    info = data["info"]
    task = data.get("instance_id") or ""
    if not task:
        raise InputError(f"{source}: a trajectory without an instance_id belongs to no task")
    if verdicts is None or task not in verdicts.judged:
        where = "" if verdicts is None else f" and {verdicts.source} does not judge {task}"
        raise InputError(
            f"{source}: a trajectory does not say whether {task} was resolved{where}; "
            "give the SWE-bench harness's report (<model>.<run>.json) beside it"
        )
    config = info.get("config") or {}
    arm = (config.get("model") or {}).get("model_name") or "unknown model"
    cost = pico_of((info.get("model_stats") or {}).get("instance_cost"))
    success = task in verdicts.resolved
    trial = Trial(
        task=task,
        arm=arm,
        success=success,
        cost_pico=known_cost(cost),
        tokens=_tokens(data.get("messages") or []),
        wall_ms=_wall(data.get("messages") or []),
        outcome="succeeded" if success else _outcome(info.get("exit_status") or ""),
        source=source,
    )
    findings = (unknown_zero(arm, 1),) if cost == 0 else ()
    return Results(sources=(source,), format="mini-swe-agent trajectories", trials=(trial,), findings=findings)


def _outcome(status: str) -> Outcome:
    if status in _STOPPED:
        return "stopped"
    return "failed" if status == "Submitted" else "errored"


def _tokens(messages: list[dict[str, Any]]) -> Usage | None:
    """Summed over the answers; None when one has no usage. Prompt tokens hold the cached ones."""
    total, answers = Usage(), 0
    for message in messages:
        if message.get("role") != "assistant":
            continue
        usage = ((message.get("extra") or {}).get("response") or {}).get("usage")
        if not isinstance(usage, dict) or usage.get("cache_creation_input_tokens"):
            return None  # how cache writes are counted there was never seen
        answers += 1
        read = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        thought = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
        total += Usage(
            fresh=int(usage["prompt_tokens"]) - read,
            cache_read=read,
            output=int(usage["completion_tokens"]),
            reasoning=thought,
        )
    return total if answers else None


def _wall(messages: list[dict[str, Any]]) -> int | None:
    """From the first answer's timestamp to the last entry's: the first call's own time is not written down."""
    times = [m["extra"]["timestamp"] for m in messages if "timestamp" in (m.get("extra") or {})]
    return round((max(times) - min(times)) * 1000) if len(times) > 1 else None
