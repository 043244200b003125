"""The gateway at the terminal: what it says when it is ready and at its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import click
import msgspec

from outlay.gateway.identify import DUMMY
from outlay.ledger import Ledger
from outlay.runs.standalone import Setup, serving


async def serve(setup: Setup, *, token: str, as_json: bool, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM. options: of `serving`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(setup, tokens=(token,) if token else (), warn=_warn, **options) as gateway:
        if as_json:
            click.echo(msgspec.json.encode({"run": gateway.run, "url": gateway.url}).decode())
        else:
            for line in _ready(gateway.url, gateway.run, token, setup):
                click.echo(line)
        sys.stdout.flush()
        await stop.wait()
        gateway.reason = "the gateway was stopped"
        if gateway.server.metrics.refused("limit"):
            gateway.outcome, gateway.reason = "stopped", "a limit was reached"
    if not as_json:
        click.echo(f"stopped; what was used: outlay report {gateway.run}")


def _warn(words: str) -> None:
    click.echo(f"outlay: {words}", err=True)


def export_spans(ledger: Ledger, url: str, run: str | None) -> int:
    """Send the calls of a run, or of all, to a collector; `-` prints them. How many there were."""
    from outlay.gateway.otel import Exporter, document

    if url != "-":
        return asyncio.run(Exporter(ledger, url, run).send())
    calls = list(ledger.calls("source = 'outlay' AND (? IS NULL OR run = ?)", (run, run)))
    click.echo(document(calls).decode())
    return len(calls)


def _ready(url: str, run: str, token: str, setup: Setup) -> list[str]:
    seat = token or "NAME"
    key = f"{DUMMY}{seat}"
    models = ", ".join(f"{name} -> {spec}" if name != spec else name for name, spec in setup.specs.items())
    return [
        f"gateway {run} at {url}",
        f"models: {models}",
        "" if token else "NAME is what the session is called in the ledger; leave /s/NAME out for `main`.",
        f"  ANTHROPIC_BASE_URL={url}/s/{seat} ANTHROPIC_API_KEY={key}",
        f"  OPENAI_BASE_URL={url}/s/{seat}/v1 OPENAI_API_KEY={key}",
        f"  GOOGLE_GEMINI_BASE_URL={url}/s/{seat} GEMINI_API_KEY={key}",
    ]


def print_report(run: str, *, as_json: bool) -> None:
    """The report of a run, on stderr."""
    from outlay.prices.book import load
    from outlay.runs.lookup import open_ledger
    from outlay.views.report import build, render_table

    with open_ledger() as ledger:
        report = build(ledger, run, load())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=1), err=True)
        return
    from rich.console import Console

    Console(stderr=True, highlight=False).print(render_table(report))
