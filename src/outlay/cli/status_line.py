"""The status line as it was known a moment ago, printed with next to no imports: a status bar asks again and again."""

import os
import sys
import time

_FRESH_S = 10.0


def print_known(session: str | None = None) -> bool:
    """Print the line that is kept, finding out anew in the background where it is old; False where none is kept."""
    session = session or named_on_stdin()
    cache = cache_file(session)
    try:
        with open(cache, encoding="utf-8") as file:  # noqa: PTH123 (importing pathlib takes longer than all else here)
            line = file.read()
        age = time.time() - os.stat(cache).st_mtime  # noqa: PTH116
    except OSError:
        return False
    if not line:
        return False
    sys.stdout.write(f"{line}\n")
    if age > _FRESH_S:
        _refresh_in_background(cache, session)
    return True


def cache_file(session: str | None) -> str:
    """Where a session's line is kept; that of all sessions for None."""
    home = os.environ.get("OUTLAY_HOME")
    if not home:
        data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")  # noqa: PTH111, PTH118
        home = os.path.join(data, "outlay")  # noqa: PTH118
    name = "".join(c for c in session or "" if c.isalnum() or c in "-_")
    return os.path.join(home, "statusline", f"{name or 'all'}.txt")  # noqa: PTH118


_stdin: list[bytes] = []


def named_on_stdin() -> str | None:
    """The session that Claude Code names: a JSON object on standard input, when there is one. It is read once."""
    if not _stdin:
        _stdin.append(_read_stdin())
    if not _stdin[0]:
        return None
    import json

    try:
        given = json.loads(_stdin[0])
    except ValueError:
        return None
    name = given.get("session_id") if isinstance(given, dict) else None
    return name if isinstance(name, str) else None


def _read_stdin() -> bytes:
    import select

    if sys.stdin is None or sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.01)[0]:
        return b""
    return os.read(sys.stdin.fileno(), 1 << 20)


def _refresh_in_background(cache: str, session: str | None) -> None:
    import subprocess

    program = [sys.executable, "-m", "outlay.views.statusline_refresh", cache, *([session] if session else [])]
    subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
