"""`outlay statusline`: prints what it knew a moment ago at once, and finds out anew in the background."""

from __future__ import annotations

import json
import os
import sys
import time

import click

_FRESH_S = 10.0


@click.command("statusline")
@click.option("--session", metavar="ID", help="Show this session, too. Claude Code names it on standard input.")
@click.option("--refresh", is_flag=True, help="Find out anew before printing.")
def command(session: str | None, refresh: bool) -> None:
    """Print one line for another tool's status bar: the session's cost, today's cost, today's tokens.

    \b
    Example, in ~/.claude/settings.json:
      {"statusLine": {"type": "command", "command": "outlay statusline"}}
    """
    session = session or _named_on_stdin()
    cache = _cache_file(session)
    try:
        with open(cache, encoding="utf-8") as file:  # noqa: PTH123 (importing pathlib takes longer than all else here)
            line = file.read()
        age = time.time() - os.stat(cache).st_mtime  # noqa: PTH116
    except OSError:
        line, age = "", float("inf")
    if refresh or not line:
        from outlay.views.statusline import refresh as find_out

        line = find_out(session, cache)
    elif age > _FRESH_S:
        _refresh_in_background(cache, session)
    click.echo(line)


def _cache_file(session: str | None) -> str:
    home = os.environ.get("OUTLAY_HOME")
    if not home:
        data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")  # noqa: PTH111, PTH118
        home = os.path.join(data, "outlay")  # noqa: PTH118
    name = "".join(c for c in session or "" if c.isalnum() or c in "-_")
    return os.path.join(home, "statusline", f"{name or 'all'}.txt")  # noqa: PTH118


def _named_on_stdin() -> str | None:
    """The session that Claude Code names: a JSON object on standard input, when there is one."""
    import select

    if sys.stdin is None or sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.01)[0]:
        return None
    try:
        given = json.loads(os.read(sys.stdin.fileno(), 1 << 20) or b"{}")
    except ValueError:
        return None
    name = given.get("session_id") if isinstance(given, dict) else None
    return name if isinstance(name, str) else None


def _refresh_in_background(cache: str, session: str | None) -> None:
    import subprocess

    program = [sys.executable, "-m", "outlay.views.statusline_refresh", cache, *([session] if session else [])]
    subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
