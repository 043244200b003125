"""`outlay usage`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("usage")
@click.option(
    "--by",
    type=click.Choice(["day", "week", "month", "session", "model", "agent", "role", "tool", "project", "source"]),
    help="What the calls are grouped by.  [default: day]",
)
@click.option("--total", is_flag=True, help="The total alone.")
@click.option("--since", metavar="WHEN", help="From this day on: 2026-01-31, 7d, 24h, today or a time.")
@click.option("--until", metavar="WHEN", help="Up to this day, that day included; or up to a time.")
@click.option("--timezone", metavar="ZONE", help="Whose days: Europe/Vienna, UTC.  [default: this machine's]")
@click.option(
    "--source",
    "sources",
    multiple=True,
    type=click.Choice(["claude", "codex", "gemini", "opencode", "outlay"]),
    help="Only calls of this tool; may be given again.",
)
@click.option("--project", "projects", multiple=True, metavar="DIR", help="Only this project: its folder, or its name.")
@click.option("--session", "sessions", multiple=True, metavar="ID", help="Only this session and what it started.")
@click.option(
    "--home",
    "homes",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A home folder to report on instead of yours.",
)
@click.option("--from", "others", multiple=True, metavar="NAME=DIR", help="Another machine's home, beside yours.")
@click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours (TOML).")
@click.option("--partial", is_flag=True, help="Cost of what has a price, where a part has none.")
@click.option("--all", "everything", is_flag=True, help="Every group, however many.")
@click.option("--no-read", is_flag=True, help="Answer from the ledger, without looking for changed transcripts.")
@click.option("--json", "how", flag_value="json", help="For programs: docs/reference/usage-json.md.")
@click.option("--csv", "how", flag_value="csv", help="For spreadsheets.")
@click.option("--markdown", "how", flag_value="markdown", help="As a document.")
@click.option("--tool-cost", is_flag=True, help="What tools' results and wasted work cost, from the transcripts.")
@click.option("--watch", is_flag=True, help="Keep the report on the screen up to date.")
def command(**options: object) -> None:
    """Say what agents used and what it was worth: Claude Code, Codex, Gemini CLI, OpenCode and runs of Outlay.

    Transcripts are found where the tools keep them and read into the ledger; only what changed is read again.

    \b
    Examples:
      outlay usage
      outlay usage --by model --since 7d
      outlay usage --tool-cost --since today
      outlay usage --by project --json | jq .total.cost_usd
    """
    from outlay.views import usage_command

    request = usage_command.request(options)
    if options["tool_cost"]:
        click.echo(usage_command.tool_cost(request), nl=False)
    elif options["watch"]:
        usage_command.watch(request)
    else:
        click.echo(usage_command.once(request), nl=False)
