"""`outlay deliver`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("deliver")
@click.argument("run", required=False)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR", help="The whole result into this folder, not the workspace."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(run: str | None, to: Path | None, as_json: bool) -> None:
    """Bring the result of a run into its workspace, whatever its outcome.

    For results that were not delivered: the checks failed, or files were changed meanwhile. A file that was changed
    since the run began is never overwritten; --to takes everything to another folder. RUN is an id, the beginning of
    one, or a name; without it the newest run.

    \b
    Examples:
      outlay deliver 7k2m
      outlay deliver 7k2m --to /tmp/result
    """
    import asyncio

    import msgspec

    from outlay.runs.delivery import deliver
    from outlay.runs.lookup import find_run, open_ledger

    with open_ledger() as ledger:
        found = find_run(ledger, run)
        files, place = asyncio.run(deliver(found, ledger, to.absolute() if to else None))
    if as_json:
        click.echo(msgspec.json.encode({"run": found, "files": files, "folder": str(place)}))
    else:
        click.echo(f"{files} file{'' if files == 1 else 's'} brought to {place}")
