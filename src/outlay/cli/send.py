"""`outlay send`."""

from __future__ import annotations

import click


@click.command("send")
@click.argument("target", metavar="RUN[:SESSION]")
@click.argument("message")
@click.option("--json", "as_json", is_flag=True, help="Print where it went as JSON.")
def command(target: str, message: str, as_json: bool) -> None:
    """Tell a session at work something; it reads it before its next turn, or has it as the answer to its question.

    RUN is an id, the beginning of one, or a name; SESSION the name of a session of it or the end of one, by default the
    main agent. A message of - is read from standard input. A run that is paused reads it when it is resumed.

    \b
    Examples:
      outlay send 7k2m "The port is 8123, not 8080."
      outlay send 7k2m:main/scout "Look at src only."
    """
    import sys

    import msgspec

    from outlay.views.send import said, send

    sent = send(target, sys.stdin.read() if message == "-" else message)
    click.echo(msgspec.json.encode(sent).decode() if as_json else said(sent))
