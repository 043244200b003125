"""`outlay skill`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@click.group("skill", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Teach other agents to use `outlay agent`, by a skill: a short SKILL.md that they load when it fits.

    \b
    outlay skill install                          for Claude Code, for you
    outlay skill install --for opencode --project in the current folder
    """


def _where(function: F) -> F:
    program = click.option(
        "--for", "program", type=click.Choice(["claude", "opencode", "codex"]), default="claude", show_default=True
    )
    project = click.option(
        "--project/--user", default=False, help="In the current folder, or for you.  [default: --user]"
    )
    return program(project(function))


@command.command("install")
@_where
def install(program: Any, project: bool) -> None:
    """Write the skill; an older one is replaced."""
    from outlay.service import skill

    click.echo(f"written: {skill.install(program, Path.cwd() if project else None)}")


@command.command("uninstall")
@_where
def uninstall(program: Any, project: bool) -> None:
    """Remove the skill."""
    from outlay.service import skill

    click.echo(f"removed: {skill.uninstall(program, Path.cwd() if project else None)}")


@command.command("show")
def show() -> None:
    """Print the skill."""
    from outlay.service import skill

    click.echo(skill.text(), nl=False)
