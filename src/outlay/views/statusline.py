"""One line about now, for other tools' status bars."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from outlay import home
from outlay.economics import zones
from outlay.economics.usage import Question, Tally, ask
from outlay.ledger import Ledger
from outlay.prices.book import load
from outlay.readers import places
from outlay.readers.update import update
from outlay.views.usage import count, money


def refresh(session: str | None, cache: str) -> str:
    """Read what changed, make the line, and keep it in `cache` for the next time."""
    where = zones.zone(None)
    today = zones.begins_ms(dt.datetime.now(where).date(), where)
    with Ledger(home.ensure(home.home()) / "ledger.db") as ledger:
        update(ledger, places.defaults())
        book = load()
        now = ask(ledger, book, Question(since_ms=today)).total
        own = ask(ledger, book, Question(roots=(session,))).total if session else None
    text = line(own, now)
    target = Path(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)
    return text


def line(session: Tally | None, today: Tally) -> str:
    """`session $1.23 · today $4.56 · 1.2M new, 30M re-read tokens`"""
    parts = [f"session {money(session)}"] if session is not None and session.calls else []
    parts.append(f"today {money(today)}")
    parts.append(f"{count(today.net)} new, {count(today.cache_read)} re-read tokens")
    return " · ".join(parts)
