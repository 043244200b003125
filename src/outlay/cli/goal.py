"""`outlay goal`: write, check and describe goal files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from outlay.runs.goal_types import Shape


@click.group(
    epilog="Example: outlay goal new GOAL.md && outlay goal check GOAL.md",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Write and check goal files."""


@command.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("GOAL.md"))
@click.option("--solo", "shape", flag_value="solo", default="solo", help="One agent alone (the default).")
@click.option("--lead", "shape", flag_value="lead", help="A main agent with subagents.")
@click.option(
    "--shape",
    type=click.Choice(["solo", "lead", "pipeline", "council", "relay"]),
    help="The shape in which the team works (docs/guides/shapes.md).",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def new(path: Path, shape: str, force: bool) -> None:
    """Write a commented template to PATH (default: GOAL.md)."""
    from outlay.errors import EnvironmentProblem, InputError
    from outlay.runs.goal_template import template

    if path.exists() and not force:
        raise InputError(f"{path} exists; choose another name, or overwrite it with --force")
    try:
        path.write_text(template(cast("Shape", shape)), encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror}") from None
    click.echo(f"wrote {path}; say in it what you want, then: outlay goal check {path}")


@command.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, metavar="[NAME=]SPEC", help="Another model, as for `outlay run`.")
@click.option("--workspace", type=click.Path(path_type=Path), help="Another workspace, as for `outlay run`.")
@click.option("--json", "as_json", is_flag=True, help="Print what was understood as JSON.")
def check(path: Path, models: tuple[str, ...], workspace: Path | None, as_json: bool) -> None:
    """Say how the goal file PATH is understood, or what is wrong with it (exit code 2).

    What keeps a good file from being run here and now (no key, no price under a limit in USD) is told as well.
    """
    import json

    from outlay.errors import InputError, OutlayError
    from outlay.runs.goal import load
    from outlay.runs.prepare import prepare
    from outlay.views.goal import goal_json, goal_lines

    try:
        goal = load(path, models=models, workspace=workspace)
    except InputError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"errors": str(error).splitlines()}, indent=1))
        raise click.exceptions.Exit(2) from None
    if as_json:
        click.echo(goal_json(goal))
        return
    click.echo("\n".join(goal_lines(goal)))
    try:
        prepare(goal)
    except OutlayError as problem:
        click.echo(f"cannot run yet: {str(problem).removeprefix(f'{goal.path}: ')}")


@command.command()
def schema() -> None:
    """Print the JSON schema of the front matter, for editors."""
    import json

    from outlay.runs.front_matter import json_schema

    click.echo(json.dumps(json_schema(), indent=1))
