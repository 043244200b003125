"""`outlay bench run` and its trials: progress as it goes, then the report."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from outlay.clock import Clock
from outlay.economics.trials import Trial
from outlay.errors import InputError
from outlay.experiments.bench import Bench, Ended, Planned, plan
from outlay.experiments.experiment import Experiment, Key, load_experiment
from outlay.experiments.folder import Folder, open_folder
from outlay.experiments.report import build
from outlay.experiments.results import read_jsonl
from outlay.experiments.trial_run import Spec, pursue
from outlay.money import pico, show
from outlay.views import bench_print
from outlay.views.bench import duration
from outlay.views.wording import plural

EXIT_CODES = {"": 0, "clear": 0, "budget": 3, "paused": 5}


def run(
    sources: Sequence[Path], arms: Sequence[str], models: Sequence[str], repeats: int | None, concurrency: int | None,
    budget: str | None, seed: int | None, stop_early: bool, out: Path | None, dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Carry out the experiment; the exit code."""
    experiment = _changed(load_experiment(sources, arms, models), repeats, concurrency, budget, seed, stop_early)
    place = (out or Path(f"bench-{experiment.name}")).absolute()
    if dry_run:
        _show_plan(experiment, plan(experiment), place, as_json)
        return 0
    for task in experiment.tasks.values():
        for note in task.notes:
            click.echo(f"{task.name}: {note}", err=True)
    plan(experiment)
    ended, folder = asyncio.run(_carry_out(experiment, place, as_json))
    if as_json:
        _print_json(ended, folder)
    else:
        _print_end(ended, folder)
    return EXIT_CODES[ended.why]


def _changed(
    experiment: Experiment, repeats: int | None, concurrency: int | None, budget: str | None, seed: int | None,
    stop_early: bool,
) -> Experiment:  # fmt: skip
    """The experiment with what the command line says otherwise."""
    for name, value in (("--repeats", repeats), ("--concurrency", concurrency)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value}: at least 1")
    return msgspec.structs.replace(
        experiment,
        repeats=repeats or experiment.repeats,
        concurrency=concurrency or experiment.concurrency,
        budget_pico=experiment.budget_pico if budget is None else pico(budget),
        seed=experiment.seed if seed is None else seed,
        stop_early=stop_early or experiment.stop_early,
    )


async def _carry_out(experiment: Experiment, place: Path, as_json: bool) -> tuple[Ended, Folder]:
    from outlay.sandbox.probe import open_sandbox

    sandbox = open_sandbox()
    folder = open_folder(place, experiment, Clock())
    trials = plan(experiment, folder)
    bench = Bench(experiment, folder, sandbox)
    before = len(folder.done())
    if not as_json:
        _say(f"{_size(experiment)}; results in {place}" + (f"; {before} are done" if before else ""))
        bench.ended = _Progress(len(trials), experiment.budget_pico, bench).ended
    return await bench.carry_out(trials), folder


class _Progress:
    """A line for every trial that has ended."""

    def __init__(self, trials: int, budget_pico: int | None, bench: Bench) -> None:
        self._trials = trials
        self._bench = bench
        self._of = f" of {show(budget_pico, digits=2)}" if budget_pico is not None else ""

    def ended(self, key: Key, trial: Trial, spent: int) -> None:
        number = f"{len(self._bench.done)}/{self._trials}"
        cost = "cost unknown" if trial.cost_pico is None else show(trial.cost_pico)
        took = duration(trial.wall_ms or 0)
        _say(f"{number:>7}  {trial.outcome:<9}  {key}: {cost}, {took}; {show(spent)}{self._of} spent")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _size(experiment: Experiment) -> str:
    arms, tasks, repeats = len(experiment.arms), len(experiment.tasks), experiment.repeats
    words = [plural(arms, "arm"), plural(tasks, "task")]
    words += [f"{repeats} tries of each"] if repeats > 1 else []
    return f"{' x '.join(words)} = {plural(arms * tasks * repeats, 'trial')}"


def _show_plan(experiment: Experiment, trials: Sequence[Planned], place: Path, as_json: bool) -> None:
    worst = None if any(t.limit_pico is None for t in trials) else sum(t.limit_pico or 0 for t in trials)
    if as_json:
        told = {"trials": trials, "worst_pico": worst, "budget_pico": experiment.budget_pico, "out": str(place)}
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2))
        return
    click.echo(f"{_size(experiment)}, {experiment.concurrency} at a time, in this order:")
    for number, trial in enumerate(trials, 1):
        most = "no limit" if trial.limit_pico is None else f"at most {show(trial.limit_pico, digits=2)}"
        click.echo(f"{number:>5}  {trial.key}  ({most})")
    cost = "unlimited: give every arm limits: {usd: ...}" if worst is None else show(worst, digits=2)
    click.echo(f"Worst case: {cost}" + _budget_words(experiment, worst))
    click.echo(f"Nothing was run. Results would go to {place}")


def _budget_words(experiment: Experiment, worst: int | None) -> str:
    budget = experiment.budget_pico
    if budget is None:
        return "; no budget"
    held = worst is not None and worst <= budget
    return f"; the budget of {show(budget, digits=2)} " + ("covers it" if held else "stops it before that")


def _print_end(ended: Ended, folder: Folder) -> None:
    if ended.done:
        click.echo()
        bench_print.print_report(build(read_jsonl(folder.results)))
        click.echo()
    if ended.left:
        words = {"budget": "Stopped by the budget", "clear": "Stopped early", "paused": "Paused"}[ended.why]
        click.echo(f"{words}: {ended.told or plural(ended.left, 'trial') + ' left'}.")
        if ended.why != "clear":
            click.echo("The same command goes on" + (" with a greater budget." if ended.why == "budget" else "."))
    click.echo(f"outlay bench report {folder.results} --html report.html")


def _print_json(ended: Ended, folder: Folder) -> None:
    report = bench_print.as_json(build(read_jsonl(folder.results))) if ended.done else b"null"
    told = {**msgspec.structs.asdict(ended), "results": str(folder.results), "report": msgspec.Raw(report)}
    click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2))


def trial(path: Path) -> None:
    """One trial, in this process; exits as its run does."""
    spec = msgspec.json.decode(path.read_bytes(), type=Spec)
    sys.exit(asyncio.run(pursue(spec, path.with_suffix(".lock"))))
