"""`outlay forecast`: what a goal will probably cost, take and achieve; simulated teams; how good forecasts were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from outlay import home
from outlay.clock import Clock
from outlay.errors import InputError
from outlay.experiments.experiment import models_overlay, read_arm
from outlay.experiments.forecast import Range
from outlay.experiments.forecast_arms import Forecast, forecast
from outlay.experiments.forecast_check import Amounts, Calibration, calibrate
from outlay.experiments.forecast_history import Past, history
from outlay.experiments.overlay import composed
from outlay.experiments.results import read_jsonl
from outlay.experiments.simulate import Assumption, Simulated, assumptions, simulate
from outlay.ledger import Ledger
from outlay.prices.book import load
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.views.bench import percent
from outlay.views.bench_print import finite
from outlay.views.pay_print import print_table
from outlay.views.tables import Table, left, right


def run(
    goal: Path | None, arms: Sequence[str], models: Sequence[str], results: Sequence[Path], simulated: bool,
    given: Sequence[str], calibrated: bool, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Computes and prints."""
    if goal is None and not calibrated:
        raise InputError("name the goal file to forecast, or --calibrate to judge forecasts on past runs")
    if goal is None and (arms or models or simulated or given):
        raise InputError("--arm, --model, --simulate and --assume go with a goal file")
    named = dict(_assume(text) for text in given)
    goals = {} if goal is None else _goals(goal, arms, models)
    past = _past(results)
    found = [forecast(name, one, past, Clock().now_ms()) for name, one in goals.items()]
    figures = assumptions(past, named) if simulated or named else ()
    played = simulate(goals, figures, seed) if figures else []
    judged = calibrate(past) if calibrated else None
    if as_json:
        told = {
            "forecasts": [msgspec.to_builtins(one) | {"basis": one.basis, "per_success": one.per_success}
                          for one in found],
            "assumptions": figures,
            "simulated": [msgspec.to_builtins(one) | {"usd_per_success": one.usd_per_success} for one in played],
            "calibration": judged,
        }  # fmt: skip
        click.echo(msgspec.json.format(msgspec.json.encode(finite(msgspec.to_builtins(told))), indent=1))
        return
    _print([*_forecast_tables(found), *_simulation_tables(played, figures), *_calibration_tables(judged)])
    for one in found:
        if one.why_no_cost:
            click.echo(f"{one.arm}: {one.why_no_cost}")


def _goals(path: Path, arms: Sequence[str], models: Sequence[str]) -> dict[str, Goal]:
    """Each arm's goal; without arms the goal as it stands."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the goal {path}: {error}") from None
    chosen = dict(read_arm(arm, {}) for arm in arms) or {path.stem: ()}
    extra = (models_overlay(models),) if models else ()
    return {
        name: parse(composed(text, [*overlays, *extra], str(path)) if overlays or extra else text, path.absolute())
        for name, overlays in chosen.items()
    }


def _past(results: Sequence[Path]) -> list[Past]:
    """The ledger's runs; trials of `results` with their verifiers' verdicts."""
    files = [path / "results.jsonl" if path.is_dir() else path for path in results]
    for file in files:
        if not file.is_file():
            raise InputError(f"no results {file}")
    verdicts = {trial.source: trial.success for file in files for trial in read_jsonl(file).trials}
    place = home.home() / "ledger.db"
    if not place.exists():
        return []
    with Ledger(place) as ledger:
        return history(ledger, load(), verdicts)


def _assume(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise InputError(f"--assume {text!r}: write NAME=NUMBER, such as mistake=0.02") from None


def _print(tables: Sequence[Table]) -> None:
    for number, table in enumerate(tables):
        if number:
            click.echo()
        print_table(table)


def _forecast_tables(found: Sequence[Forecast]) -> list[Table]:
    if not found:
        return []
    columns = (left("arm"), left(""), right("expected"), right("80 % of runs"), right("95 % of runs"))
    rows = []
    for one in found:
        lines: list[tuple[str, str, str, str]] = [("cost", "unknown", "", "")]
        if one.cost is not None:
            lines = [("cost", *_cells(one.cost, _usd))]
        lines += [("time", *_cells(one.time, _duration)), ("success", *_cells(one.success, percent))]
        lines.append(("per success", "unknown" if one.per_success is None else _usd(one.per_success), "", ""))
        rows += [(one.arm if n == 0 else "", *line) for n, line in enumerate(lines)]
    basis = " ".join(f"{one.arm}: {one.basis}." for one in found)
    note = (
        f"{basis} Success is the chance of a run, and its ranges are of that chance. Costs stop at the goal's limits."
    )
    tables = [Table("Forecast", columns, tuple(rows), note=note)]
    roles = tuple(
        (one.arm if n == 0 else "", role.role, f"{role.runs:,}", *(
            (f"{role.sessions:.1f}", f"{role.net_tokens:,.0f}", "-" if role.usd is None else _usd(role.usd))
            if role.runs else ("-", "-", "-")
        ))
        for one in found for n, role in enumerate(one.roles)
    )  # fmt: skip
    heads = (left("arm"), left("role"), right("past runs"), right("sessions"), right("net tokens"), right("cost"))
    what = "Mean of the past runs that had the role, at the price of its model now."
    return [*tables, Table("By role", heads, roles, note=what)]


def _cells(found: Range, show: Any) -> tuple[str, str, str]:
    return (
        show(found.expected),
        f"{show(found.low)} to {show(found.high)}",
        f"{show(found.lowest)} to {show(found.highest)}",
    )


def _usd(value: float) -> str:
    return f"${value:,.2f}" if value >= 0.1 else f"${value:.2g}" if value >= 0.001 else f"${value:.1g}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _simulation_tables(played: Sequence[Simulated], figures: Sequence[Assumption]) -> list[Table]:
    if not played:
        return []
    columns = (
        left("arm", flexible=True), left("shape"), right("succeed"), right("wrong"),
        right("at a limit", short="limit"), right("steps"), right("cost"), right("80 % of runs"), right("time"),
        right("a success", short="success"), right("overhead"), right("efficiency", short="effic."),
    )  # fmt: skip
    rows = tuple(
        (
            one.arm, one.shape, percent(one.success), percent(one.wrong), percent(one.limited), f"{one.steps:.0f}",
            _usd(one.usd[0]), f"{_usd(one.usd[1])} to {_usd(one.usd[2])}", _duration(one.time_s[0]),
            _usd(one.usd_per_success) if one.success else "-", percent(one.overhead), f"{one.efficiency:.2f}",
        )
        for one in played
    )  # fmt: skip
    note = (
        "wrong: the checks pass, a mistake is left. at a limit: stopped by the goal's limits. overhead: steps beyond "
        "one agent's. efficiency: success per step, in steps of one agent alone. It is as good as these figures:"
    )
    given = tuple((one.name, f"{one.value:.3g}", one.unit, one.source, one.says) for one in figures)
    heads = (left("name"), right("value"), left("unit"), left("from"), left("what", flexible=True))
    return [
        Table("Simulated", columns, rows, note=note),
        Table("Assumptions", heads, given, note="Change any of them: --assume NAME=VALUE."),
    ]


def _calibration_tables(judged: Calibration | None) -> list[Table]:
    if judged is None:
        return []
    rows = []
    for name, one, runs in (("cost", judged.cost, judged.priced), ("time", judged.time, judged.runs)):
        rows.append((name, f"{runs:,}", *(_coverage(one) if one else ("-",) * 5)))
    columns = (
        left(""), right("runs"), right("50 % held"), right("80 % held"), right("95 % held"), right("loss"),
        right("without"),
    )  # fmt: skip
    note = (
        "Every run forecast from all others. held: share of the runs that lay in the range. loss: pinball loss of the "
        "10, 50 and 90 % points of the logarithm; without: of forecasts that do not look at goal, kind, shape and "
        "model."
    )
    chances = judged.success
    groups = tuple(
        (f"{percent(low)} to {percent(high)}", f"{good} of {n}", percent(good / n))
        for low, high, good, n in chances.groups
    )
    told = f"Brier score {chances.brier:.3f}; {chances.plain:.3f} of the rate of all other runs. 0.25 is a coin."
    return [
        Table("Calibration", columns, tuple(rows), note=note),
        Table("Success", (left("forecast"), right("succeeded"), right("share")), groups, note=told),
    ]


def _coverage(one: Amounts) -> tuple[str, ...]:
    return (*(percent(c.share) for c in one.coverage), f"{one.pinball:.3f}", f"{one.plain:.3f}")
