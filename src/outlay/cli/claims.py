"""`outlay claims`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("claims")
@click.argument("ids", nargs=-1)
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change an input of the claim; repeatable.")
@click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours (TOML).")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page whose inputs can be changed.")
@click.option("--json", "as_json", is_flag=True, help="Print inputs and computed figures as JSON.")
def command(
    ids: tuple[str, ...], changes: tuple[str, ...], prices: tuple[Path, ...], page: Path | None, as_json: bool
) -> None:
    """Recompute well-known statements about what agents cost, and say when they hold.

    \b
    outlay claims
    outlay claims six-times --set used=25
    outlay claims --html claims.html
    """
    import shutil

    import msgspec

    from outlay.clock import Clock
    from outlay.errors import InputError
    from outlay.prices import claims
    from outlay.prices.book import load
    from outlay.views import claims as view

    every = {claim.id: claim for claim in claims.claims()}
    if unknown := [id for id in ids if id not in every]:
        raise InputError(f"no claim {unknown[0]!r}; there are {', '.join(every)}")
    if changes and len(ids) != 1:
        raise InputError(
            "--set changes an input of one claim: name it, such as `outlay claims six-times --set used=25`"
        )
    changed = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r}: write NAME=VALUE")
        changed[name] = value
    book, now = load(prices), Clock().now_ms()
    found = [claims.answer(every[id], book, now, changed) for id in ids or every]
    if page is not None:
        try:
            page.write_text(view.page(found, book.id), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {page}: {error.strerror}") from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(view.as_json(found, book.id)), indent=1))
        return
    width = min(120, shutil.get_terminal_size().columns)
    for n, each in enumerate(found):
        if n:
            click.echo()
        for line in view.lines(each, width):
            click.echo(line)
    click.echo(f"\nprices: book {book.id}" + (f"; page: {page}" if page else ""))
