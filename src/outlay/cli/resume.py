"""`outlay resume`."""

from __future__ import annotations

import click


@click.command("resume")
@click.argument("run")
@click.argument("instructions", required=False)
@click.option("--model", "models", multiple=True, metavar="ROLE=SPEC", help="Another model from here on.")
@click.option("--limit", "limits", multiple=True, metavar="KEY=VALUE", help="Another limit, e.g. usd=5.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else.")
@click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")
@click.option("--detach", is_flag=True, help="Work in the background.")
def command(
    run: str,
    instructions: str | None,
    models: tuple[str, ...],
    limits: tuple[str, ...],
    as_json: bool,
    plain: bool,
    detach: bool,
) -> None:
    """Go on with a run that was paused, killed, or has ended.

    Calls that were finished are not paid again. A run that has ended goes on with new INSTRUCTIONS or limits.

    \b
    Examples:
      outlay resume 7k2m
      outlay resume 7k2m "Handle nested lists too." --limit usd=5
    """
    from outlay.views.attend import attend_resume, detach_resume

    if detach:
        detach_resume(run, instructions, models, limits, as_json=as_json)
        return
    raise SystemExit(attend_resume(run, instructions, models, limits, as_json=as_json, plain=plain))
