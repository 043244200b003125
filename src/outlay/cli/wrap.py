"""`outlay wrap`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("wrap", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--model", "models", multiple=True, metavar="NAME=SPEC", help="A model to serve; see `outlay gateway`.")
@click.option("--refuse", multiple=True, metavar="PATTERN", help="Models to refuse.")
@click.option(
    "--limit", "--limits", "limits", multiple=True, metavar="KEY=VALUE", help="A limit, e.g. usd=2.50 or turns=100."
)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="A configuration of the gateway.")
@click.option("--policy", type=click.Path(path_type=Path, dir_okay=False), help="Policy that every call must keep.")
@click.option("--label", "labels", multiple=True, metavar="NAME", help="What it holds, by the policy's names.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--quiet", is_flag=True, help="No report.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    models: tuple[str, ...],
    refuse: tuple[str, ...],
    limits: tuple[str, ...],
    config: Path | None,
    policy: Path | None,
    labels: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    command: tuple[str, ...],
) -> None:
    """Run any agent behind the gateway, with limits and a report at the end.

    Sets the addresses and keys that Claude Code, Codex, OpenCode, Gemini CLI and the official SDKs read; the true keys
    stay here. The report goes to stderr. Exits as COMMAND does, or with 3 when a limit was reached.

    \b
    Example:
      outlay wrap --limit usd=2 -- claude -p "Fix the failing test"
    """
    import asyncio

    from outlay.runs.standalone import set_up
    from outlay.runs.wrapped import wrap

    done = asyncio.run(wrap(set_up(models, refuse, limits, config, policy=policy, labels=labels), command))
    if not quiet:
        from outlay.views.gateway import print_report

        print_report(done.run, as_json=as_json)
    raise SystemExit(3 if done.limit_reached else done.exit_code)
