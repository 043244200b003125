"""`outlay bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

INPUT = (
    click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."),
    click.option(
        "--task-subset", "tasks", multiple=True, help="Only tasks that fit: 'django__*'; @FILE: a name a line."
    ),
    click.option("--arm", "arms", multiple=True, help="Only arms that fit: 'GPT-5*'; repeatable."),
    click.option("--json", "as_json", is_flag=True, help="Every figure as JSON; money in picodollars."),
)


def _input_options(function: Any) -> Any:
    for option in reversed(INPUT):
        function = option(function)
    return function


@click.group("bench")
def command() -> None:
    """Say what a success costs: try arms on tasks, and report on trials, your own or published ones.

    \b
    outlay bench run tasks/ --arm 'solo={team: {shape: solo}}' --arm relay=relay.yaml --repeats 2
    outlay bench report results.jsonl --compare solo lead
    outlay bench report leaderboards.json --html report.html
    outlay bench whatif results.jsonl --retries 3 --arm solo
    """


@command.command("run")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EXPERIMENT.yaml|TASK...")
@click.option(
    "--arm", "arms", multiple=True, metavar="NAME[=OVERLAY]",
    help="An arm of the experiment file, or a new one: YAML (a file, or '{team: {shape: solo}}') laid over every goal.",
)  # fmt: skip
@click.option(
    "--model", "models", multiple=True, metavar="[NAME=]SPEC", help="A model for every arm; default NAME main."
)
@click.option("--repeats", type=int, help="Tries of each task by each arm. Default: 1.")
@click.option("--concurrency", type=int, help="Trials at the same time. Default: 1.")
@click.option("--budget", metavar="USD", help="Most money for all trials; a trial begins only if its limit fits.")
@click.option("--seed", type=int, help="Of the order of the trials. Default: 1.")
@click.option("--stop-early", is_flag=True, help="End when it is clear which arms cost less per success (5 looks).")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of results. Default: bench-NAME.")
@click.option("--dry-run", is_flag=True, help="List the trials and the worst case; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else.")
def run(**flags: Any) -> None:
    """Let every arm try every task, each trial an ordinary run, and report what a success costs.

    The same command goes on where an earlier one was paused (Ctrl-C), killed or stopped by its budget; nothing that has
    ended is paid again. Exit codes: 0 done, 2 bad input, 3 stopped by the budget, 5 paused.

    \b
    Example:
      outlay bench run tasks/slugs tasks/links --model anthropic:claude-haiku-4-5 \\
        --arm 'solo={team: {shape: solo}}' --arm 'pipeline={team: {shape: pipeline}}' --repeats 3 --dry-run
    """
    from outlay.views.bench_run import run as carry_out

    raise SystemExit(carry_out(**flags))


@command.command("trial", hidden=True)
@click.argument("spec", type=click.Path(path_type=Path))
def trial(spec: Path) -> None:
    """One trial of an experiment, in a process of its own."""
    from outlay.views.bench_run import trial as pursue

    pursue(spec)


@command.command("report")
@_input_options
@click.option("--compare", "pairs", nargs=2, multiple=True, metavar="A B", help="Two arms task by task; repeatable.")
@click.option("--baseline", metavar="USD", help="What a person's solution of one task costs, for the cost of pass.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the report as Markdown.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with charts; it needs no network.")
@click.option("--png", type=click.Path(path_type=Path), help="Write the charts as a picture; .svg works too.")
@click.option("--dark", is_flag=True, help="Draw the picture on dark ground (the page has both).")
def report(**flags: Any) -> None:
    """Report cost per success of every arm, with ranges, and which arms are worth having.

    FILE is a file or folder of results: results.jsonl (our own); SWE-bench leaderboards.json (bash-only board) and
    per-instance files; aider leaderboards (.yml); mini-swe-agent trajectories with the harness's report beside them;
    Terminal-Bench results.json and Harbor's result.json; HAL _UPLOAD.json; OpenHands index folders; Inspect logs.
    The format is told from the content. Costs of exactly 0 count as unknown; figures that contradict each other are
    named and not ranked.
    """
    from outlay.views.bench_command import report as run

    run(**flags)


@command.command("whatif")
@_input_options
@click.option("--retries", type=int, metavar="K", help="Up to K tries a task, until the gate accepts one.")
@click.option(
    "--icc", metavar="X", help="Likeness of a task's repeats (0 to 1) where none were measured: 0.6, 0.5..0.9."
)
@click.option("--cascade", metavar="A,B[,C]", help="Try A; where the gate refuses, B; then C. On their common tasks.")
@click.option("--false-accept", default=0.0, show_default=True, help="Chance that the gate passes a bad result.")
@click.option("--false-reject", default=0.0, show_default=True, help="Chance that it refuses a good one.")
@click.option("--fallback", metavar="USD", help="After the last refused try a person does the task at that cost.")
@click.option(
    "--price", "prices", multiple=True, metavar="ARM=PRICE",
    help="Another price for an arm: x0.5 (half), PROVIDER:MODEL of the price book, or input:3,output:15,cache_read:0.3 "
    "(USD per million tokens; the last two need measured tokens). Repeatable.",
)  # fmt: skip
@click.option("--pay", is_flag=True, help="Your own trials under every way to pay: plans, credits, own machines.")
@click.option("--plans", multiple=True, type=click.Path(path_type=Path), help="With --pay: plans of yours (TOML).")
@click.option("--only", multiple=True, metavar="PLAN", help="With --pay: only this plan, and paying per token.")
def whatif(**flags: Any) -> None:
    """Compute what retries, cascades, other prices or other ways to pay would have cost on these trials.

    \b
    outlay bench whatif results.jsonl --retries 3
    outlay bench whatif leaderboards.json --cascade 'DeepSeek V3.2,Claude 4.5 Opus' --false-accept 0.05
    outlay bench whatif results.jsonl --price solo=x0.5
    outlay bench whatif bench-trials --pay --plans mine.toml
    """
    from outlay.views.bench_command import whatif as run

    run(**flags)
