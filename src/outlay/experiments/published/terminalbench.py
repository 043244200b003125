"""Terminal-Bench: `results.json` of terminal-bench 1 (no costs) and `result.json` of a Harbor trial (version 2).

Checked against files written by their own classes: terminal-bench 0.2.18 `harness/models.py`, harbor 0.25.0
`models/trial`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from outlay.economics.passk import pass_at
from outlay.economics.trials import Outcome, Trial, by_task, known_cost
from outlay.experiments.results import Finding, Results, check_headline, pico_of, unknown_zero
from outlay.tokens import Usage


def is_run(data: object) -> bool:
    """terminal-bench 1: all trials of a run."""
    rows = data.get("results") if isinstance(data, dict) else None
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and "is_resolved" in rows[0]


def is_trial(data: object) -> bool:
    """Harbor: one trial."""
    return isinstance(data, dict) and {"task_name", "trial_name", "agent_info"} <= data.keys()


def read_run(data: Mapping[str, Any], source: str) -> Results:
    """All trials of a terminal-bench 1 run. It states tokens undivided and no cost, so costs and tokens are unknown."""
    arm = _arm_of_run(Path(source))
    seen: Counter[str] = Counter()
    trials = []
    for row in data["results"]:
        task, success = row["task_id"], bool(row.get("is_resolved"))
        trials.append(
            Trial(
                task=task,
                arm=arm,
                repeat=seen[task],
                success=success,
                wall_ms=_between(row.get("trial_started_at"), row.get("trial_ended_at")),
                outcome="succeeded" if success else _failure(row.get("failure_mode")),
                source=source,
            )
        )
        seen[task] += 1
    findings = [Finding(arm, "unknown cost", "terminal-bench 1 states no cost")]
    findings += check_headline(arm, trials, data.get("accuracy"), None)
    findings += _check_pass_at(arm, trials, data.get("pass_at_k") or {})
    return Results(sources=(source,), format="Terminal-Bench results", trials=tuple(trials), findings=tuple(findings))


def _arm_of_run(path: Path) -> str:
    """Agent and model from `run_metadata.json` beside the results; the folder's name without it."""
    beside = path.parent / "run_metadata.json"
    if beside.is_file():
        try:
            meta = msgspec.json.decode(beside.read_bytes())
            return " / ".join(part for part in (meta.get("agent_name"), meta.get("model_name")) if part)
        except (msgspec.DecodeError, AttributeError):
            pass
    return path.resolve().parent.name


def _failure(mode: object) -> Outcome:
    if mode in (None, "unset", "none"):
        return "failed"
    return "stopped" if "timeout" in str(mode) else "errored"


def _check_pass_at(arm: str, trials: list[Trial], stated: Mapping[str, Any]) -> list[Finding]:
    data = by_task(trials)
    found = []
    for k, value in stated.items():
        if value is not None and int(k) <= min(data.trials):
            own = pass_at(int(k), data.successes, data.trials)
            if abs(own - value) > 0.0005:
                text = f"it states pass@{k} = {value:.4f}, its trials give {own:.4f}"
                found.append(Finding(arm, "contradiction", text))
    return found


def read_trial(data: Mapping[str, Any], source: str) -> Results:
    """One Harbor trial. It succeeded when its `reward` is at least 1; without one of that name, when every one is."""
    info = data["agent_info"]
    model = info.get("model_info") or {}
    arm = " / ".join(part for part in (info.get("name"), model.get("name")) if part)
    rewards = (data.get("verifier_result") or {}).get("rewards") or {}
    success = bool(rewards) and rewards.get("reward", min(rewards.values())) >= 1
    used = _contexts(data)
    costs = [pico_of(one.get("cost_usd")) for one in used]
    cost = None if not costs or any(c is None for c in costs) else sum(c or 0 for c in costs)
    findings = [unknown_zero(arm, 1)] if cost == 0 else []
    if len(rewards) > 1 and "reward" not in rewards:
        findings.append(Finding(arm, "note", f"{data['task_name']}: several rewards; success is all of them at 1"))
    trial = Trial(
        task=data["task_name"],
        arm=arm,
        success=success,
        cost_pico=known_cost(cost),
        tokens=_tokens(used),
        wall_ms=_between(data.get("started_at"), data.get("finished_at")),
        outcome="succeeded" if success else _exception(data),
        source=source,
    )
    return Results(sources=(source,), format="Harbor trials", trials=(trial,), findings=tuple(findings))


def _contexts(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if data.get("agent_result"):
        return [data["agent_result"]]
    return [step["agent_result"] for step in data.get("step_results") or [] if step.get("agent_result")]


def _tokens(used: list[Mapping[str, Any]]) -> Usage | None:
    """Harbor counts cached input inside `n_input_tokens`."""
    total = Usage()
    for one in used:
        if one.get("n_input_tokens") is None or one.get("n_output_tokens") is None:
            return None
        read = int(one.get("n_cache_tokens") or 0)
        total += Usage(fresh=int(one["n_input_tokens"]) - read, cache_read=read, output=int(one["n_output_tokens"]))
    return total if used else None


def _exception(data: Mapping[str, Any]) -> Outcome:
    steps = [step.get("exception_info") for step in data.get("step_results") or []]
    name = next((e["exception_type"] for e in [data.get("exception_info"), *steps] if e), "")
    if not name:
        return "failed"
    return "stopped" if "Timeout" in name else "errored"


def _between(start: object, end: object) -> int | None:
    """Milliseconds between two ISO times."""
    if not (isinstance(start, str) and isinstance(end, str)):
        return None
    try:
        passed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    except (ValueError, TypeError):
        return None
    return round(passed.total_seconds() * 1000)
