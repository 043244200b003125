"""`outlay export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("export")
@click.argument("what", required=False, metavar="[RUN|EXPERIMENT]")
@click.option(
    "--format", "how", required=True, type=click.Choice(["inspect", "inspect-eval", "atif"]),
    help="inspect: an Inspect log as JSON; inspect-eval: as an .eval archive; atif: Harbor's trajectory format.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="File of a run, folder of an experiment. Default: the run's name here; ./export.",
)  # fmt: skip
@click.option("--to", metavar="NAME", help="Who gets the file: a model or tool that the run's policy knows.")
@click.option("--overwrite", is_flag=True, help="Write over files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(**flags: Any) -> None:
    """Write a run, or the trials of an experiment, as files that other programs open.

    RUN is a run's id, the beginning of one, or a name; without it the newest run. EXPERIMENT is its folder, or its
    results.jsonl: one Inspect log for each arm, one ATIF file for each trial. A run with a policy gives out only what
    the policy clears for the recipient named by --to, and no text at all without one.

    \b
    Example:
      outlay export 7k2m --format inspect -o run.json && inspect view --log-dir .
    """
    from outlay.views.export import export

    export(**flags)
