"""`outlay prices`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group("prices")
def command() -> None:
    """What tokens cost: the price book, where it comes from, and what changes.

    \b
    outlay prices show claude-opus-5-5
    outlay prices show deepseek-v4-pro --at 2026-11-20T02:30
    outlay prices check --provider anthropic
    outlay prices diff shipped mine.toml --since 30d
    """


@command.command("show")
@click.argument("model")
@click.option("--provider", default="", help="At this provider. Default: all that list exactly this id.")
@click.option("--at", help="At this time (UTC), instead of now.")
@click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours (TOML).")
@click.option("--json", "as_json", is_flag=True, help="Print cards as JSON; rates in picodollars per token.")
def show(model: str, provider: str, at: str | None, prices: tuple[Path, ...], as_json: bool) -> None:
    """Show what MODEL (an exact id) costs, in USD per million tokens."""
    from outlay.clock import Clock
    from outlay.prices.book import load
    from outlay.views import prices as view
    from outlay.views.pay_trace import when

    book = load(prices)
    now = Clock().now_ms()
    at_ms = when(at, now, "--at") or now
    found = view.cards(book, model, provider, at_ms)
    if as_json:
        _json(view.cards_json(book, found, at_ms))
        return
    _print(view.cards_table(found))
    click.echo(f"\nbook {book.id}: your rows, then {book.source} of {book.date} ({book.snapshot_sha256[:12]})")


@command.command("check")
@click.option("--with", "other", type=click.Path(path_type=Path), help="LiteLLM's JSON, or a litellm wheel.")
@click.option("--provider", default="", help="Only this provider.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def check(other: Path | None, provider: str, as_json: bool) -> None:
    """Compare the book with LiteLLM's price list and show where they differ.

    Nothing is fetched: the list is the file of --with, else that of an installed litellm, else the one that came with
    Outlay.
    """
    import msgspec

    from outlay.clock import Clock
    from outlay.prices import second
    from outlay.prices.book import load
    from outlay.views import prices as view

    found = second.check(load(), second.second_list(other), Clock().now_ms(), provider)
    if as_json:
        _json(msgspec.to_builtins(found))
        return
    if found.differences:
        _print(view.check_table(found))
        click.echo()
    click.echo(f"{found.models:,} models and {found.rates:,} rates in both lists, {len(found.differences):,} differ")
    click.echo(f"second opinion: {found.origin}")


@command.command("update")
@click.option(
    "--fetch", is_flag=True, help="Download the newest genai-prices with pip; else the installed one is used."
)
@click.option("--shipped", is_flag=True, help="Go back to the snapshot that came with Outlay.")
def update(fetch: bool, shipped: bool) -> None:
    """Put a new price snapshot in force. Nothing else ever does."""
    from outlay.prices.keep import folder
    from outlay.views import prices as view

    if shipped:
        for path in (folder() / "frozen").glob("snapshot.*"):
            path.unlink()
        click.echo("the snapshot that came with Outlay is in force")
        return
    changed, about = view.fetch(fetch)
    text = f"{about.source} of {about.date}: {about.models:,} models, sha256 {about.sha256[:12]}"
    click.echo(f"in force now: {text}" if changed else f"nothing new: {text}")


@command.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--at", help="At this time (UTC), instead of now.")
@click.option("--trace", help="Show what it does to this trace: a run's id, or a JSONL file of calls.")
@click.option("--since", help="Show what it does to the ledger's calls from then on: 2026-01-31, or 30d.")
@click.option("--json", "as_json", is_flag=True, help="Print changes and effects as JSON.")
def diff(before: str, after: str, at: str | None, trace: str | None, since: str | None, as_json: bool) -> None:
    """Show which rates differ between two books, and what that does to a trace.

    BEFORE and AFTER: current, shipped, the id of a kept book, a TOML file of yours, or a snapshot's JSON file.
    """
    import msgspec

    from outlay.clock import Clock
    from outlay.prices.book import load
    from outlay.views import prices as view
    from outlay.views.pay_trace import load_trace, when

    now = Clock().now_ms()
    calls = load_trace(load(), trace, since, None, None) if trace or since else None
    found, effects = view.compare_books(before, after, when(at, now, "--at") or now, calls)
    if as_json:
        _json({"changes": msgspec.to_builtins(found), "effects": msgspec.to_builtins(effects)})
        return
    if found:
        _print(view.changes_table(found))
    click.echo(f"{len(found):,} rates differ")
    if effects:
        click.echo()
        _print(view.effects_table(effects))


def _json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=1))


def _print(table: Any) -> None:
    from outlay.views.pay_print import print_table

    print_table(table)
