"""Writes docs/reference/cli.md from the commands' own help: python docs/generate_cli.py"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from outlay.cli.program import outlay

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 100
HEAD = """\
# Command line

Written from each command's own `--help` by `python docs/generate_cli.py`; a test holds it to that.

RUN is always an id, the beginning of one, or a name (of several runs with one name the newest).

## Exit codes

| code | `outlay run`, `outlay resume` | other commands |
|---|---|---|
| 0 | succeeded: all checks passed, run by Outlay | done |
| 1 | failed: checks fail in the final state | `ledger verify`: the chain is broken |
| 2 | bad input, or something this machine lacks; nothing was started | the same |
| 3 | stopped by a limit, checks fail | |
| 4 | cancelled | `sandbox exec`: interrupted |
| 5 | paused, can be resumed | |

`outlay sandbox exec` passes the command's own exit code through (124: its timeout). With `--detach` 0 means that the
run has begun. Errors go to standard error and begin with `outlay:`.
"""


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command below `command` with its full name, in the order of the help."""
    context = click.Context(
        command, info_name=path, max_content_width=WIDTH, terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )
    yield path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, f"{path} {name}")


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for path, command, context in commands(outlay, "outlay"):
        parts.append(f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
