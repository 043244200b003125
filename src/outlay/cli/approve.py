"""`outlay approve`."""

from __future__ import annotations

import click


@click.command("approve")
@click.argument("run")
@click.argument("id", required=False)
@click.option("--deny", is_flag=True, help="Say no.")
@click.option("--json", "as_json", is_flag=True, help="Print what waits, or the decision, as JSON.")
def command(run: str, id: str | None, deny: bool, as_json: bool) -> None:
    """Decide on what a run's agents want released to a model; the one that asked waits for it.

    Without ID it shows what waits, to the byte. RUN is an id, the beginning of one, or a name. An approval holds once,
    for exactly these bytes.

    \b
    Examples:
      outlay approve 7k2m
      outlay approve 7k2m a1
      outlay approve 7k2m a1 --deny
    """
    from outlay.views.approve import decide_on, show_waiting

    if id is None and deny:
        raise click.UsageError("--deny needs the ID of what is denied")
    click.echo(show_waiting(run, as_json=as_json) if id is None else decide_on(run, id, not deny, as_json=as_json))
