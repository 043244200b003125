"""Finding a run by what people type: its id, the beginning of it, its name, or nothing for the newest."""

from __future__ import annotations

from outlay import home
from outlay.errors import InputError
from outlay.ledger import Ledger


def open_ledger() -> Ledger:
    """The ledger, for commands that need one to exist. Raises InputError when there is none."""
    path = home.home() / "ledger.db"
    if not path.exists():
        raise InputError(f"there is no ledger at {path} yet; `outlay run GOAL.md` starts one")
    return Ledger(path)


def find_run(ledger: Ledger, text: str | None) -> str:
    """The id of the run that is meant. Of several runs with one name the newest.

    Raises InputError when there is none, or when the beginning of an id fits several.
    """
    if not text:
        rows = ledger.rows("SELECT id FROM runs ORDER BY started_ms DESC LIMIT 1")
        if not rows:
            raise InputError("there are no runs yet; `outlay run GOAL.md` starts one")
        return str(rows[0]["id"])
    pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = ledger.rows("SELECT id FROM runs WHERE id LIKE ? ESCAPE '\\' ORDER BY started_ms DESC", (pattern,))
    if len(rows) > 1 and all(row["id"] != text for row in rows):
        raise InputError(f"{text!r} fits {len(rows)} runs: {', '.join(row['id'] for row in rows[:5])}")
    if not rows:
        rows = ledger.rows("SELECT id FROM runs WHERE name = ? ORDER BY started_ms DESC", (text,))
    if not rows:
        raise InputError(f"no run {text!r}; `outlay runs` lists them")
    return text if any(row["id"] == text for row in rows) else str(rows[0]["id"])


def worked_ms(ledger: Ledger, run: str) -> list[int]:
    """Milliseconds that each activation of a run worked: from its start to the last that was heard of it. Pauses, and
    the time after a crash, are left out."""
    spans: list[int] = []
    begun = 0
    for at_ms, kind in ledger.reader.execute("SELECT at_ms, type FROM events WHERE run = ? ORDER BY seq", (run,)):
        if kind in ("run.started", "run.resumed"):
            spans.append(0)
            begun = at_ms
        if spans:
            spans[-1] = at_ms - begun
    return spans


def refuse_agent(ledger: Ledger, run: str, verb: str) -> None:
    """Raise InputError when the run is an agent in the background, which has commands of its own."""
    rows = ledger.rows("SELECT name, project FROM agents WHERE run = ?", (run,))
    if rows:
        name, project = rows[0]["name"], rows[0]["project"]
        raise InputError(f"run {run} is an agent in the background: outlay agent {verb} {name} --project {project}")
