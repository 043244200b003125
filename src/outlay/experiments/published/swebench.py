"""SWE-bench: the site's `leaderboards.json` (bash-only board), per-instance files, and the harness's reports.

Checked against leaderboards.json of swe-bench.github.io (f1176b6) and its info_for_leaderboard.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from outlay.economics.trials import Trial, known_cost
from outlay.errors import InputError
from outlay.experiments.results import Finding, Results, Totals, check_headline, pico_of, unknown_zero

BOARD = "bash-only"
TASKS = 500
"""Tasks of SWE-bench Verified, which the bash-only board runs; a stated rate is over these unless it cannot be."""


def is_board(data: object) -> bool:
    return isinstance(data, dict) and isinstance(data.get("leaderboards"), list)


def is_instances(data: object) -> bool:
    """{model: {task: {resolved, cost, api_calls}}}"""
    if not isinstance(data, dict) or not data:
        return False
    first = next(iter(data.values()))
    row = next(iter(first.values()), None) if isinstance(first, dict) else None
    return isinstance(row, dict) and "resolved" in row and "cost" in row and "api_calls" in row


def read_board(data: Mapping[str, Any], source: str) -> Results:
    """Every arm of the bash-only board; other boards state no costs."""
    rows = next((board["results"] for board in data["leaderboards"] if board.get("name") == BOARD), None)
    if rows is None:
        raise InputError(f"{source}: no leaderboard {BOARD!r} in it; the others state no costs")
    parts = [_arm(row, source) for row in rows]
    return Results(
        sources=(source,),
        format="SWE-bench bash-only leaderboard",
        trials=tuple(trial for part in parts for trial in part.trials),
        totals=tuple(total for part in parts for total in part.totals),
        findings=tuple(finding for part in parts for finding in part.findings),
    )


def _arm(row: Mapping[str, Any], source: str) -> Results:
    arm, rate, cost = row["name"], row["resolved"] / 100, row.get("cost")
    details = row.get("per_instance_details")
    trials, findings = _trials(arm, details, source) if details else ((), ())
    findings = (*findings, *check_headline(arm, trials, rate, cost)) if trials else ()
    mean = known_cost(pico_of(row.get("instance_cost")))
    if trials and not any(finding.kind == "contradiction" for finding in findings):
        return Results(sources=(), format="", trials=trials, findings=findings)
    if mean is None:
        findings = (*findings, Finding(arm, "unknown cost", "its cost of exactly 0 is taken as unknown, not as free"))
    successes = round(rate * TASKS)
    if abs(successes / TASKS - rate) > 0.000051:
        text = f"its stated rate is no whole number of {TASKS} tasks: it was taken over others than the board's {TASKS}"
        findings = (*findings, Finding(arm, "denominator", text))
        total = Totals(arm=arm, rate=rate, mean_pico=mean)
    else:
        total = Totals(arm=arm, rate=rate, trials=TASKS, successes=successes, mean_pico=mean)
    return Results(sources=(), format="", trials=trials, totals=(total,), findings=findings)


def _trials(arm: str, rows: Mapping[str, Any], source: str) -> tuple[tuple[Trial, ...], tuple[Finding, ...]]:
    trials, zeros = [], 0
    for task, row in rows.items():
        success, cost = bool(row["resolved"]), pico_of(row.get("cost"))
        zeros += cost == 0
        trials.append(
            Trial(
                task=task,
                arm=arm,
                success=success,
                cost_pico=known_cost(cost),
                outcome="succeeded" if success else "failed",
                source=source,
            )
        )
    return tuple(trials), (unknown_zero(arm, zeros),) if zeros else ()


def read_instances(data: Mapping[str, Any], source: str) -> Results:
    """A per-instance file: one arm per model."""
    trials: list[Trial] = []
    findings: list[Finding] = []
    for arm, rows in data.items():
        some, found = _trials(arm, rows, source)
        trials += some
        findings += found
    return Results(
        sources=(source,), format="SWE-bench per-instance results", trials=tuple(trials), findings=tuple(findings)
    )


class Verdicts(msgspec.Struct, frozen=True):
    """What the SWE-bench harness says of submissions: `<model>.<run>.json`, schema 2."""

    resolved: frozenset[str]
    judged: frozenset[str]
    source: str


def is_verdicts(data: object) -> bool:
    return isinstance(data, dict) and "resolved_ids" in data and "submitted_ids" in data


def read_verdicts(data: Mapping[str, Any], source: str) -> Verdicts:
    """Which instances were resolved. Instances without a patch or with an error were judged too: not resolved."""
    keys = ("submitted_ids", "completed_ids", "resolved_ids", "unresolved_ids", "empty_patch_ids", "error_ids")
    judged = {task for key in keys for task in data.get(key) or ()}
    return Verdicts(frozenset(data["resolved_ids"]), frozenset(judged), source)
