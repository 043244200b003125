"""`outlay agents`: which other agents can be driven here."""

from __future__ import annotations

import click


@click.command(epilog="Example: outlay agents --json")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(as_json: bool) -> None:
    """Say which other agents are installed, in which version, and what to type to install the rest.

    A goal names one as a model, such as `models: {coder: "claude-code:sonnet"}`.
    """
    from outlay.views.agents import agents_json, print_agents

    click.echo(agents_json()) if as_json else print_agents()
