"""`outlay export`: a run or an experiment as files that other programs open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from outlay.economics.spend import Spend
from outlay.economics.trials import Outcome, Trial
from outlay.errors import InputError
from outlay.experiments.export import Trace, find_runs, trace_of
from outlay.experiments.results import read_jsonl
from outlay.ledger import Ledger
from outlay.runs.lookup import find_run, open_ledger
from outlay.views.facts import price_book, run_of


def export(what: str | None, how: str, out: Path | None, to: str | None, overwrite: bool, as_json: bool) -> None:
    """Writes the files and says which."""
    results = _results_of(what)
    with open_ledger() as ledger:
        if results is None:
            trials = [_trial(trace := _trace(ledger, find_run(ledger, what), to))]
            traces = {trials[0].source: trace}
            name = trace.name
        else:
            made = [trial for trial in read_jsonl(results).trials if trial.source]
            runs = find_runs(ledger, [trial.source for trial in made])
            traces = {run: _trace(ledger, run, to) for run in runs}
            trials = [trial for trial in made if trial.source in traces]
            name = results.absolute().parent.name
            if len(runs) < len(made):
                click.echo(f"{len(made) - len(runs)} of {len(made)} trials are not in this ledger; left out", err=True)
    files = (
        _atif(trials, traces, out, overwrite, many=results is not None)
        if how == "atif"
        else _inspect(name, trials, traces, out, overwrite, many=results is not None, archive=how == "inspect-eval")
    )
    withheld = sum(trace.withheld for trace in traces.values())
    if as_json:
        told = {"files": [str(file) for file in files], "trials": len(trials), "withheld": withheld}
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=1))
        return
    for file in files:
        click.echo(f"wrote {file}")
    if withheld:
        who = f"what may not go to {to}" if to else "all of them: say with --to who gets the file"
        click.echo(f"{withheld:,} texts were left out under the run's policy ({who})")


def _results_of(what: str | None) -> Path | None:
    """The results of an experiment, when one is meant."""
    path = Path(what) if what else None
    if path is None or not (path.is_dir() or path.suffix == ".jsonl"):
        return None
    file = path / "results.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path} is no experiment: it has no results.jsonl")
    return file


def _trace(ledger: Ledger, run: str, to: str | None) -> Trace:
    from outlay.prices.book import load

    return trace_of(ledger, run, price_book(load(), run_of(ledger, run)), to)


def _trial(trace: Trace) -> Trial:
    """A run that belongs to no experiment, as its own only trial."""
    outcome: Outcome = trace.outcome or "lost"  # type: ignore[assignment]
    cost = _cost(trace.spend)
    return Trial(
        task=trace.name, arm="run", success=outcome == "succeeded", outcome=outcome, source=trace.run,
        cost_pico=cost, free=cost == 0, tokens=trace.spend.usage, wall_ms=trace.wall_ms,
    )  # fmt: skip


def _cost(spend: Spend) -> int | None:
    return None if spend.unpriced or spend.possible_pico is None else spend.known.total + spend.possible_pico


def _inspect(
    name: str, trials: Sequence[Trial], traces: dict[str, Trace], out: Path | None, overwrite: bool, *, many: bool,
    archive: bool,
) -> list[Path]:  # fmt: skip
    from outlay.experiments.export_inspect import Entry, log_of, write_archive, write_json

    suffix = ".eval" if archive else ".json"
    arms = list(dict.fromkeys(trial.arm for trial in trials))
    files = _places(out, [f"{name}-{arm}" if many else name for arm in arms], suffix, overwrite, many=many)
    for arm, file in zip(arms, files, strict=True):
        entries = [Entry(trial=t, trace=traces[t.source]) for t in trials if t.arm == arm]
        (write_archive if archive else write_json)(log_of(name, arm if many else "", entries), file)
    return files


def _atif(
    trials: Sequence[Trial], traces: dict[str, Trace], out: Path | None, overwrite: bool, *, many: bool
) -> list[Path]:
    from outlay.experiments.export_atif import trajectory

    names = [f"{t.arm}-{t.task}-{t.repeat + 1}" if many else traces[t.source].name for t in trials]
    files = _places(out, names, ".trajectory.json", overwrite, many=many)
    for trial, file in zip(trials, files, strict=True):
        file.write_bytes(msgspec.json.format(msgspec.json.encode(trajectory(traces[trial.source])), indent=1))
    return files


def _places(out: Path | None, names: Sequence[str], suffix: str, overwrite: bool, *, many: bool) -> list[Path]:
    """Where the files go: `out` is the folder of an experiment's, and the file of a run's own."""
    safe = ["".join(c if c.isalnum() or c in "-_.+" else "_" for c in name) + suffix for name in names]
    if many:
        folder = out or Path("export")
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / name for name in safe]
    else:
        files = [out / safe[0] if out is not None and out.is_dir() else out or Path(safe[0])]
    for file in files:
        if file.exists() and not overwrite:
            raise InputError(f"{file} exists; choose another place with -o, or --overwrite")
    return files
