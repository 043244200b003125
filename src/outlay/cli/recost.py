"""`outlay recost`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("recost")
@click.argument("run", required=False)
@click.option("--since", help="Instead of a run: calls of the ledger from then on: 2026-01-31, or 30d.")
@click.option("--until", help="Calls of the ledger before then.")
@click.option("--source", help="Calls of one source only: outlay, claude, codex, gemini, opencode.")
@click.option("--before", help="The book of that time: an id, current, shipped, or a TOML file. A run knows its own.")
@click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours to price with.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; money in picodollars.")
def command(
    run: str | None, since: str | None, until: str | None, source: str | None, before: str | None,
    prices: tuple[Path, ...], as_json: bool,
) -> None:  # fmt: skip
    """Price past calls again, under today's book, and show what changes. The ledger itself holds no prices.

    \b
    outlay recost RUN
    outlay recost RUN --prices contract.toml
    outlay recost --since 30d --before shipped --prices contract.toml
    """
    import msgspec

    from outlay.prices.book import load
    from outlay.views.pay_print import print_table
    from outlay.views.pay_trace import load_trace
    from outlay.views.prices import effects_table, recost

    if run is None and since is None:
        raise click.UsageError("name a run, or a time with --since")
    trace = load_trace(load(prices), run, since, until, source)
    found = recost(run, trace, before, prices)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1))
        return
    print_table(effects_table(found.effects))
    click.echo(f"\nbook {found.before_book} -> {found.after_book}")
