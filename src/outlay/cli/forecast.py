"""`outlay forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("forecast")
@click.argument("goal", required=False, type=click.Path(path_type=Path))
@click.option(
    "--arm", "arms", multiple=True, metavar="NAME=OVERLAY",
    help="A variant: YAML (a file, or '{team: {shape: solo}}') laid over the goal; repeatable. Default: the goal.",
)  # fmt: skip
@click.option("--model", "models", multiple=True, metavar="[NAME=]SPEC", help="A model for every arm; NAME: main.")
@click.option(
    "--results", multiple=True, type=click.Path(path_type=Path),
    help="results.jsonl, or an experiment's folder: verifiers' verdicts count instead of checks'.",
)  # fmt: skip
@click.option("--simulate", "simulated", is_flag=True, help="Simulate the arms' teams too, from shown assumptions.")
@click.option("--assume", "given", multiple=True, metavar="NAME=VALUE", help="An assumption of the simulation.")
@click.option("--calibrate", "calibrated", is_flag=True, help="Say how good forecasts of past runs would have been.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulation.")
@click.option("--json", "as_json", is_flag=True, help="Every figure as JSON; money in USD, time in seconds.")
def command(**flags: Any) -> None:
    """Forecast what a goal will cost, take and achieve, before it is run, from your own past runs.

    The ledger's runs count the more the more they have in common with the goal: the goal itself, its kind of task, its
    shape, its main model. Their tokens are priced at what the goal's models cost now. Where history is thin the ranges
    are wide, and it says so. Nothing is run and nothing is sent.

    \b
    Examples:
      outlay forecast GOAL.md
      outlay forecast GOAL.md --arm 'one={team: {shape: solo}}' --arm 'three={team: {shape: pipeline}}' --simulate
      outlay forecast --calibrate
    """
    from outlay.views.forecast import run

    run(**flags)
