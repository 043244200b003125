"""`outlay ledger`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(
    "ledger",
    epilog="\b\nExample:\n  outlay ledger anchor >> anchors.txt\n  outlay ledger verify --anchor anchors.txt",
)
def command() -> None:
    """Check the record of everything that happened."""


@command.command()
@click.option(
    "--anchor",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with lines `SEQ HASH`, as `outlay ledger anchor` printed them: finds a tail that was cut off.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def verify(anchor: Path | None, as_json: bool) -> None:
    """Walk the hash chain over all events. Exit code 1 when anything was changed or removed."""
    import msgspec

    from outlay.ledger import verify as walk
    from outlay.runs.lookup import open_ledger
    from outlay.views.anchors import read_anchors

    anchors = read_anchors(anchor) if anchor else None
    with open_ledger() as ledger:
        verdict = walk(ledger, anchors)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(verdict), indent=1))
    else:
        for problem in verdict.problems:
            click.echo(problem)
        redacted = f", {verdict.redacted} payloads redacted" if verdict.redacted else ""
        word = "whole" if not verdict.problems else f"BROKEN: {len(verdict.problems)} problems"
        click.echo(f"{verdict.events} events{redacted}; chain {word}; head {verdict.head[:16]}")
    if verdict.problems:
        raise click.exceptions.Exit(1)


@command.command()
def anchor() -> None:
    """Print `SEQ HASH` of the last event. Keep it elsewhere: with it `verify` finds that later events were cut off."""
    from outlay.runs.lookup import open_ledger
    from outlay.views.anchors import last_anchor

    with open_ledger() as ledger:
        click.echo(last_anchor(ledger))


@command.command("redact")
@click.option("--subject", required=True, metavar="RUN|data:NAME", help="A run's id, or a kind of data of a policy.")
@click.option("--json", "as_json", is_flag=True, help="What was removed, as JSON.")
def redact_subject(subject: str, as_json: bool) -> None:
    """Remove a subject's texts for good; the chain still verifies. It cannot be undone.

    What was removed can no longer be resumed. Files of the runs are not the ledger's: delete runs/RUN, too.

    \b
    Examples:
      outlay ledger redact --subject 7k2m3x9qa1b2c3d4
      outlay ledger redact --subject data:health
    """
    import msgspec

    from outlay.ledger.redact import redact
    from outlay.runs.lookup import open_ledger
    from outlay.runs.owner import owner_here

    with open_ledger() as ledger:
        removed = redact(ledger, subject, owner_here("redact"))
    if as_json:
        click.echo(msgspec.json.encode(removed).decode())
    else:
        click.echo(f"{removed.payloads} payloads of {subject} removed; delete the folders of {', '.join(removed.runs)}")


@command.command()
def path() -> None:
    """Print where the ledger is."""
    from outlay import home

    click.echo(home.home() / "ledger.db")


@command.command()
@click.argument("run", required=False)
@click.option(
    "--otel", "url", metavar="URL", required=True, help="The collector (OTLP/HTTP JSON); `-` prints the spans."
)
def export(run: str | None, url: str) -> None:
    """Send the model calls of RUN (default: all runs) as OpenTelemetry spans: counters and times, no texts.

    Headers are taken from OTEL_EXPORTER_OTLP_HEADERS. A call that is sent again is the same span.

    \b
    Example:
      outlay ledger export --otel http://127.0.0.1:4318
    """
    from outlay.runs.lookup import find_run, open_ledger
    from outlay.views.gateway import export_spans

    with open_ledger() as ledger:
        count = export_spans(ledger, url, find_run(ledger, run) if run else None)
    click.echo(f"{count} calls sent", err=True)
