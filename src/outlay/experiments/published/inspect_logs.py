"""Inspect logs (inspect_ai), as JSON or as `.eval` archives with deflate compression.

Checked against logs written by inspect-ai 0.3.285 and its own test logs of 2024. Newer `.eval` files are compressed
with zstd, which Python reads from 3.14 on; `inspect log convert --to json` turns them into JSON.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from outlay.economics.trials import Outcome, Trial, known_cost
from outlay.errors import InputError
from outlay.experiments.results import Finding, Results, check_headline, pico_of, unknown_zero
from outlay.tokens import Usage


def is_log(data: object) -> bool:
    return isinstance(data, dict) and isinstance(data.get("eval"), dict) and "status" in data and "plan" in data


def read_archive(path: Path) -> Results:
    """A `.eval` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise InputError(f"{path}: its evaluation did not end; there is no header in it")
            log = msgspec.json.decode(archive.read("header.json"))
            log["samples"] = [msgspec.json.decode(archive.read(name)) for name in names if name.startswith("samples/")]
    except NotImplementedError:
        raise InputError(
            f"{path}: compressed with zstd, which this Python cannot read; "
            f"turn it into JSON with `inspect log convert {path.name} --to json --output-dir json`"
        ) from None
    except (zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise InputError(f"{path}: no Inspect log: {error}") from None
    return read_log(log, str(path))


def read_log(log: Mapping[str, Any], source: str) -> Results:
    """One arm, named by model and task. A sample succeeds when its first score is C, true, or at least 1."""
    about = log["eval"]
    arm = f"{about['model']} on {about['task']}"
    samples = log.get("samples") or []
    if not samples:
        raise InputError(f"{source}: no samples in it (status {log.get('status')})")
    scorer = next((name for sample in samples for name in sample.get("scores") or {}), "")
    findings, zeros, trials = [], 0, []
    for sample in samples:
        cost = _cost((sample.get("model_usage") or {}).values())
        zeros += cost == 0
        success = _good(((sample.get("scores") or {}).get(scorer) or {}).get("value"))
        trials.append(
            Trial(
                task=str(sample["id"]),
                arm=arm,
                repeat=int(sample.get("epoch") or 1) - 1,
                success=success,
                cost_pico=known_cost(cost),
                tokens=_tokens((sample.get("model_usage") or {}).values()),
                wall_ms=round(sample["total_time"] * 1000) if sample.get("total_time") else None,
                outcome="succeeded" if success else _ending(sample),
                source=source,
            )
        )
    if zeros:
        findings.append(unknown_zero(arm, zeros))
    if all(trial.cost_pico is None for trial in trials):
        findings.append(Finding(arm, "unknown cost", "the log states no cost"))
    if log.get("status") != "success":
        findings.append(Finding(arm, "note", f"the evaluation's status is {log.get('status')}"))
    findings += _check(arm, trials, log, scorer)
    return Results(sources=(source,), format="Inspect log", trials=tuple(trials), findings=tuple(findings))


def _check(arm: str, trials: list[Trial], log: Mapping[str, Any], scorer: str) -> list[Finding]:
    results = log.get("results") or {}
    metrics: dict[str, Any] = next(
        (score["metrics"] for score in results.get("scores") or [] if score["name"] == scorer), {}
    )
    accuracy = (metrics.get("accuracy") or {}).get("value")
    found = []
    if (total := results.get("total_samples")) is not None and total != len(trials):
        found.append(Finding(arm, "denominator", f"its header counts {total} samples, {len(trials)} are in it"))
    even = len(set(Counter(trial.task for trial in trials).values())) == 1
    if accuracy is not None and even and not any(trial.outcome == "errored" for trial in trials):
        found += check_headline(arm, trials, accuracy, None)
    return found


def _good(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return value >= 1 if isinstance(value, int | float) else value == "C"


def _ending(sample: Mapping[str, Any]) -> Outcome:
    if sample.get("error"):
        return "errored"
    return "stopped" if sample.get("limit") else "failed"


def _cost(usages: Iterable[Mapping[str, Any]]) -> int | None:
    """Sum of all models' costs; None when one has none."""
    costs = [pico_of(usage["total_cost"]) if usage.get("total_cost") is not None else None for usage in usages]
    return sum(c or 0 for c in costs) if costs and None not in costs else None


def _tokens(usages: Iterable[Mapping[str, Any]]) -> Usage | None:
    """Inspect's `input_tokens` leaves cache reads and writes out; writes are counted as for five minutes."""
    total, seen = Usage(), False
    for usage in usages:
        seen = True
        total += Usage(
            fresh=int(usage.get("input_tokens") or 0),
            cache_read=int(usage.get("input_tokens_cache_read") or 0),
            cache_write_5m=int(usage.get("input_tokens_cache_write") or 0),
            output=int(usage.get("output_tokens") or 0),
            reasoning=int(usage.get("reasoning_tokens") or 0),
        )
    return total if seen else None
