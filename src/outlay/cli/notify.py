"""`outlay notify`."""

from __future__ import annotations

import click


@click.group("notify")
def command() -> None:
    """Tell people how runs go: desktop, webhook, email, chat.

    Addresses are URLs of apprise, in `notify:` of a goal file or in ~/.config/outlay/notify.toml.
    """


@command.command("test")
@click.argument("goal", required=False, type=click.Path(dir_okay=False, exists=True))
@click.option("--to", "urls", multiple=True, metavar="URL", help="Only this address (several allowed).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test(goal: str | None, urls: tuple[str, ...], as_json: bool) -> None:
    """Send a test notice to every address of GOAL and of the user; exit code 1 when one does not take it.

    \b
    Examples:
      outlay notify test GOAL.md
      outlay notify test --to 'json://127.0.0.1:8080/hook'
    """
    from outlay.views.notify import send_test

    raise SystemExit(send_test(goal, urls, as_json=as_json))
