"""HAL, the Holistic Agent Leaderboard: a run's `<run>_UPLOAD.json`.

Checked against the writer (hal-harness `hal/benchmarks/base_benchmark.py`, `taubench.py`) and the two samples in its
tests. A run states one total cost; a cost per task is there only where a benchmark writes one into its raw results.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outlay.economics.trials import Trial, known_cost
from outlay.errors import InputError
from outlay.experiments.results import Finding, Results, Totals, check_headline, pico_of


def is_upload(data: object) -> bool:
    return isinstance(data, dict) and "raw_eval_results" in data and "results" in data


def read_upload(data: Mapping[str, Any], source: str) -> Results:
    """One run: an arm named by agent and benchmark."""
    config, results = data.get("config") or {}, data["results"] or {}
    named = " on ".join(part for part in (config.get("agent_name"), config.get("benchmark_name")) if part)
    arm = named or Path(source).stem.removesuffix("_UPLOAD")
    raw = data["raw_eval_results"] if isinstance(data["raw_eval_results"], dict) else {}
    verdicts = _verdicts(results, raw)
    if not verdicts:
        raise InputError(f"{source}: neither task lists nor rewards in it; which tasks succeeded cannot be told")
    seconds = data.get("wall_clock_times") or {}
    trials = []
    for task, success in verdicts.items():
        own = raw.get(task)
        error = isinstance(own, str)
        trials.append(
            Trial(
                task=task,
                arm=arm,
                success=success,
                cost_pico=known_cost(pico_of(own.get("cost"))) if isinstance(own, dict) else None,
                wall_ms=round(seconds[task] * 1000) if isinstance(seconds.get(task), int | float) else None,
                outcome="succeeded" if success else "errored" if error else "failed",
                source=source,
            )
        )
    stated = results.get("total_cost", data.get("total_cost"))
    total = known_cost(pico_of(stated))
    findings = check_headline(arm, trials, results.get("accuracy"), stated if total else None, digits=1)
    if any(isinstance(own, dict) and 0 < _reward(own) < 1 for own in raw.values()):
        findings.append(Finding(arm, "note", "rewards between 0 and 1: HAL counts them as success"))
    if total is None and not all(trial.cost_pico for trial in trials):
        findings.append(Finding(arm, "unknown cost", "no total cost is stated, or one of exactly 0"))
    successes = sum(trial.success for trial in trials)
    totals: tuple[Totals, ...] = ()
    if total is not None:
        n = len(trials)
        one = Totals(arm=arm, rate=successes / n, trials=n, successes=successes, mean_pico=round(total / n))
        totals = (one,)
    return Results(sources=(source,), format="HAL run", trials=tuple(trials), totals=totals, findings=tuple(findings))


def _verdicts(results: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, bool]:
    """Task -> success, from the run's own lists; from raw rewards without them."""
    good, bad = results.get("successful_tasks"), results.get("failed_tasks")
    if good is not None and bad is not None:
        return {str(task): True for task in good} | {str(task): False for task in bad}
    return {
        task: isinstance(own, dict) and _reward(own) > 0
        for task, own in raw.items()
        if isinstance(own, str) or (isinstance(own, dict) and ("reward" in own or "score" in own))
    }


def _reward(own: Mapping[str, Any]) -> float:
    value = own.get("reward", own.get("score", 0))
    return float(value) if isinstance(value, int | float) else 0.0
