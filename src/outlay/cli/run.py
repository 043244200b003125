"""`outlay run`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("run")
@click.argument("goal", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ROLE=SPEC",
    help="Another model, e.g. main=anthropic:claude-opus-5-5; without ROLE= the main agent's.",
)
@click.option("--name", default="", help="Name of the run; default: the goal file's.")
@click.option("--workspace", type=click.Path(path_type=Path), help="Another workspace than the goal file's.")
@click.option("--limit", "limits", multiple=True, metavar="KEY=VALUE", help="Another limit, e.g. usd=2.50 or wall=2h.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every answer to this file, to be played with recorded:FILE.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else.")
@click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")
@click.option("--detach", is_flag=True, help="Work in the background; print the run's id and return.")
@click.option("--run-id", hidden=True, default="")
def command(
    goal: Path,
    models: tuple[str, ...],
    name: str,
    workspace: Path | None,
    limits: tuple[str, ...],
    record: Path | None,
    as_json: bool,
    plain: bool,
    detach: bool,
    run_id: str,
) -> None:
    """Run a goal to its end.

    Ctrl-C once pauses at the next safe point (go on with `outlay resume`), twice cancels.
    Exit codes: 0 succeeded, 1 failed, 2 bad input, 3 stopped by a limit, 4 cancelled, 5 paused.

    \b
    Example:
      outlay run GOAL.md --model main=openai:qwen3@http://127.0.0.1:8080/v1 --limit usd=2
    """
    from outlay.runs.goal import load
    from outlay.runs.limits import change
    from outlay.runs.outcome import Options
    from outlay.views.attend import attend_start, detach_run

    read = change(limits)(load(goal, models=models, workspace=workspace))
    options = Options(
        name=name,
        models=models,
        workspace=str(workspace.absolute()) if workspace else None,
        limits=limits,
        record=str(record.absolute()) if record else None,
    )
    if detach:
        detach_run(read, options, as_json=as_json)
        return
    raise SystemExit(attend_start(read, options, run_id=run_id, as_json=as_json, plain=plain))
