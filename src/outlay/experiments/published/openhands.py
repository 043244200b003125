"""The OpenHands index: a folder per agent with `scores.json`, `metadata.json` and `instance_results/<benchmark>.json`.

Checked against files of OpenHands/openhands-index-results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from outlay.economics.trials import Trial, known_cost
from outlay.errors import InputError
from outlay.experiments.results import Finding, Results, Totals, check_headline, pico_of
from outlay.money import PICO_PER_USD


def is_scores(data: object) -> bool:
    return (
        isinstance(data, list) and bool(data) and isinstance(data[0], dict) and {"benchmark", "score"} <= data[0].keys()
    )


def read_scores(rows: Sequence[Mapping[str, Any]], source: str) -> Results:
    """One arm per benchmark, named `model (agent): benchmark`; its single tasks where the index has them."""
    folder = Path(source).resolve().parent
    name = _agent(folder)
    parts = [_benchmark(f"{name}: {row['benchmark']}", row, folder, source) for row in rows]
    return Results(
        sources=(source,),
        format="OpenHands index",
        trials=tuple(trial for part in parts for trial in part.trials),
        totals=tuple(total for part in parts for total in part.totals),
        findings=tuple(finding for part in parts for finding in part.findings),
    )


def _agent(folder: Path) -> str:
    try:
        meta = msgspec.json.decode((folder / "metadata.json").read_bytes())
        return f"{meta['model']} ({meta['agent_name']})"
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return folder.name


def _benchmark(arm: str, row: Mapping[str, Any], folder: Path, source: str) -> Results:
    rate, stated = float(row["score"]) / 100, row.get("cost_per_instance")
    mean = known_cost(pico_of(stated))
    seconds = row.get("average_runtime")
    took = float(seconds) * 1000 if seconds else None
    total = Totals(arm=arm, rate=rate, mean_pico=mean, mean_ms=took, benchmark=row["benchmark"])
    findings = []
    if mean is None:
        findings.append(
            Finding(arm, "unknown cost", "its cost of exactly 0, or none, is taken as unknown, not as free")
        )
    trials = _instances(arm, row["benchmark"], folder)
    if not trials:
        return Results(sources=(), format="", totals=(total,), findings=tuple(findings))
    findings += check_headline(arm, trials, rate, None, digits=1)
    findings += _check_cost(arm, trials, mean)
    return Results(sources=(), format="", trials=tuple(trials), findings=tuple(findings))


def _check_cost(arm: str, trials: Sequence[Trial], mean_pico: int | None) -> list[Finding]:
    """The stated mean cost against the instances'; a mean that counts unknown ones as 0 is told as such."""
    known = [trial.cost_pico for trial in trials if trial.cost_pico is not None]
    missing = len(trials) - len(known)
    found = [Finding(arm, "unknown cost", f"{missing} of {len(trials)} instances have no cost")] if missing else []
    if not known or mean_pico is None:
        return found

    def differs(own: float) -> bool:
        return abs(own - mean_pico) > 0.02 * mean_pico + 0.01 * PICO_PER_USD

    own = sum(known) / len(known)
    stated, shown = mean_pico / PICO_PER_USD, own / PICO_PER_USD
    if missing and differs(own) and not differs(sum(known) / len(trials)):
        text = (
            f"its headline of ${stated:.2f} an instance counts {missing} unknown ones as 0; the known cost ${shown:.2f}"
        )
        found.append(Finding(arm, "note", text))
    elif differs(own):
        text = f"its headline cost is ${stated:.2f} an instance, {len(known)} known ones average ${shown:.2f}"
        found.append(Finding(arm, "note" if missing else "contradiction", text))
    return found


def _instances(arm: str, benchmark: str, folder: Path) -> list[Trial]:
    path = folder / "instance_results" / f"{benchmark}.json"
    if not path.is_file():
        return []
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: {error}") from None
    return [
        Trial(
            task=f"{benchmark}/{task}",
            arm=arm,
            success=bool(row["resolved"]),
            cost_pico=known_cost(pico_of(row.get("cost"))),
            outcome="succeeded" if row["resolved"] else "failed",
            source=str(path),
        )
        for task, row in rows.items()
    ]
