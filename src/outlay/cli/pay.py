"""`outlay pay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

TRACE = (
    click.option("--trace", help="A run's id, or a JSONL file of calls. Default: all calls of the ledger."),
    click.option("--since", help="Calls of the ledger from then on: 2026-01-31, or 30d for so long ago."),
    click.option("--until", help="Calls of the ledger before then."),
    click.option("--source", help="Calls of one source only: outlay, claude, codex, gemini, opencode."),
    click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours (TOML)."),
    click.option("--plans", multiple=True, type=click.Path(path_type=Path), help="Plans of yours (TOML); repeatable."),
    click.option("--only", multiple=True, help="Only this plan (id); repeatable. Paying per token is always in."),
    click.option("--json", "as_json", is_flag=True, help="Every figure as JSON; money in USD and in picodollars."),
)


def _trace_options(function: Any) -> Any:
    for option in reversed(TRACE):
        function = option(function)
    return function


@click.group("pay")
def command() -> None:
    """Put one usage trace under every way to pay.

    \b
    outlay pay compare --since 30d
    outlay pay compare --trace calls.jsonl --plans mine.toml --chart pay.html
    outlay pay explain opencode-go --since 30d
    outlay pay windows --only claude-max-20x
    """


@command.command("compare")
@_trace_options
@click.option("--scale", default="0.1..100", show_default=True, help="Volumes to look at: a range, or one number.")
@click.option("--data", default="", help="Label of the data in the trace; plans that do not allow it are ruled out.")
@click.option("--partial", is_flag=True, help="Leave out calls without a price or a measurement (lower bounds).")
@click.option("--chart", multiple=True, type=click.Path(path_type=Path), help="Draw cost by volume: .html, .png, .svg.")
@click.option("--dark", is_flag=True, help="Draw the chart on dark ground.")
def compare(**flags: Any) -> None:
    """Say which way to pay is cheapest for a trace, from where on, and by how much."""
    from outlay.views.pay_command import compare as run

    run(**flags)


@command.command("explain")
@click.argument("plan")
@_trace_options
@click.option("--scale", default="1", show_default=True, help="Multiply the trace's volume by this.")
@click.option("--partial", is_flag=True, help="Leave out calls without a price or a measurement (lower bounds).")
def explain(**flags: Any) -> None:
    """Show the arithmetic of one plan, line by line."""
    from outlay.views.pay_command import explain as run

    run(**flags)


@command.command("windows")
@_trace_options
@click.option("--at", help="As of then, instead of now.")
def windows(**flags: Any) -> None:
    """Show how full each subscription window is, when it resets, and when it will be full at the present rate."""
    from outlay.views.pay_command import windows as run

    run(**flags)


@command.command("plans")
@click.option("--plans", multiple=True, type=click.Path(path_type=Path), help="Plans of yours (TOML); repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def plans(**flags: Any) -> None:
    """List the plans that are known, with date and source."""
    from outlay.views.pay_command import list_plans as run

    run(**flags)
