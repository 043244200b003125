"""`outlay cancel`."""

from __future__ import annotations

import click


@click.command("cancel")
@click.argument("run")
@click.option("--pause", is_flag=True, help="Pause at the next safe point instead; can be resumed.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the run to end.")
def command(run: str, pause: bool, timeout: float) -> None:
    """End a run: what it is doing is cut, its work is kept (see `outlay show`), nothing is delivered.

    RUN is an id, the beginning of one, or a name.
    """
    from outlay.views.attend import ask

    raise SystemExit(ask(run, "pause" if pause else "cancel", timeout))
