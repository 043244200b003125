"""aider's leaderboards: `polyglot_leaderboard.yml`, `edit_leaderboard.yml` and their kin. Totals, no single tasks.

Checked against aider's own files. A row's success is within two tries (`pass_rate_2`), as on its site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from outlay.economics.trials import known_cost
from outlay.experiments.results import Finding, Results, Totals, pico_of


def is_leaderboard(data: object) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "pass_rate_2" in data[0]


def read_leaderboard(rows: Sequence[Mapping[str, Any]], source: str) -> Results:
    """One arm a row, named by model, editor and edit format, and by date where that is not enough."""
    plain = [_name(row) for row in rows]
    dated = [f"{name}, {row.get('date')}" for name, row in zip(plain, rows, strict=True)]
    exact = [f"{name}, {row.get('dirname', '')[:19]}" for name, row in zip(plain, rows, strict=True)]
    once = [{name for name, count in Counter(names).items() if count == 1} for names in (plain, dated)]
    names = [n if n in once[0] else d if d in once[1] else e for n, d, e in zip(plain, dated, exact, strict=True)]
    usual = Counter(int(row["test_cases"]) for row in rows).most_common(1)[0][0]
    totals, findings = [], []
    for arm, row in zip(names, rows, strict=True):
        total, found = _total(arm, row, usual)
        totals.append(total)
        findings += found
    return Results(sources=(source,), format="aider leaderboard", totals=tuple(totals), findings=tuple(findings))


def _name(row: Mapping[str, Any]) -> str:
    model, editor = str(row["model"]), row.get("editor_model")
    pair = f" + {editor}" if editor and str(editor) not in model else ""
    return f"{model}{pair}, {row.get('edit_format', '')}".removesuffix(", ")


def _total(arm: str, row: Mapping[str, Any], usual: int) -> tuple[Totals, list[Finding]]:
    findings = []
    n, percent = int(row["test_cases"]), float(row["pass_rate_2"])
    stated, whole = row.get("total_tests"), row.get("pass_num_2")
    if stated is not None and int(stated) != n:
        findings.append(Finding(arm, "denominator", f"{n} cases were run of {stated} tests"))
    if abs(n - usual) > 0.1 * usual:
        findings.append(Finding(arm, "other tasks", f"{n} cases were run, of the other rows {usual} each"))
    successes = int(whole) if whole is not None else _fitting(percent, n)
    if whole is not None and not any(_rounds(int(whole), m, percent) for m in {n, int(stated or n)}):
        text = f"{whole} of {n} is {100 * int(whole) / n:.1f} %, its headline says {percent} %"
        findings.append(Finding(arm, "contradiction" if abs(100 * int(whole) / n - percent) > 1 else "note", text))
    cost = pico_of(row["total_cost"]) if row.get("total_cost") is not None else None
    if known_cost(cost) is None:
        said = "no cost is stated" if cost is None else "its cost of exactly 0 is taken as unknown, not as free"
        findings.append(Finding(arm, "unknown cost", said))
    seconds = row.get("seconds_per_case")
    return (
        Totals(
            arm=arm,
            rate=percent / 100 if successes is None else successes / n,
            trials=n,
            successes=successes,
            mean_pico=round(cost / n) if cost else None,
            mean_ms=float(seconds) * 1000 if seconds else None,
            benchmark=f"aider, {usual} cases",
        ),
        findings,
    )


def _rounds(successes: int, trials: int, percent: float) -> bool:
    return abs(100 * successes / trials - percent) <= 0.0501


def _fitting(percent: float, trials: int) -> int | None:
    """The number of successes that rounds to that percentage, when there is exactly one."""
    near = round(percent / 100 * trials)
    fits = [k for k in (near - 1, near, near + 1) if 0 <= k <= trials and _rounds(k, trials, percent)]
    return fits[0] if len(fits) == 1 else None
