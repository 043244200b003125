"""From the options of `outlay usage` to the text that it prints."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from outlay import home
from outlay.economics import zones
from outlay.economics.usage import Question, ask
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook, load
from outlay.readers import places
from outlay.readers.places import Place
from outlay.views import usage as view

_WATCH_S = 2.0
_ROWS = 31
_AGO = re.compile(r"(\d+)\s*([hdw])$")


class Request(msgspec.Struct, frozen=True):
    """What was asked for, checked."""

    question: Question
    where: tuple[Place, ...]
    read: bool
    book: PriceBook
    how: str | None
    zone: str
    partial: bool
    most: int | None


def request(options: Mapping[str, Any]) -> Request:
    """Check the options. Raises InputError naming the one that cannot work."""
    where = zones.zone(options["timezone"])
    homes, others = options["homes"], options["others"]
    found = [place for folder in homes for place in places.of_home(folder.expanduser())]
    if not homes and not options["no_read"]:
        found = places.defaults()
    found += [place for text in others for place in places.named(text)]
    now = dt.datetime.now(where)
    by = None if options["total"] else options["by"] or "day"
    most = None if options["everything"] or options["how"] else _ROWS
    question = Question(
        most=most, by=by, zone=where, sources=options["sources"], roots=options["sessions"],
        projects=tuple(name.rstrip("/") for name in options["projects"]),
        folders=tuple(str(place.root) for place in found) if homes else (),
        since_ms=_moment("--since", options["since"], now, False),
        until_ms=_moment("--until", options["until"], now, True),
    )  # fmt: skip
    if question.since_ms is not None and question.until_ms is not None and question.since_ms >= question.until_ms:
        raise InputError("--since is not before --until: no time lies between them")
    name = options["timezone"] or str(getattr(where, "key", None) or now.tzname())
    return Request(
        question, tuple(found), not options["no_read"], load(options["prices"]), options["how"], name,
        options["partial"], most,
    )  # fmt: skip


def _moment(option: str, text: str | None, now: dt.datetime, whole_day: bool) -> int | None:
    """Milliseconds of a day, a time, or so long ago."""
    if not text:
        return None
    if ago := _AGO.match(text):
        span = dt.timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[ago[2]]: int(ago[1])})
        return int((now - span).timestamp() * 1000)
    assert now.tzinfo is not None
    named = {"today": now.date(), "yesterday": now.date() - dt.timedelta(days=1)}
    try:
        day = named.get(text) or dt.date.fromisoformat(text)
        return zones.begins_ms(day + dt.timedelta(days=1 if whole_day else 0), now.tzinfo)
    except ValueError:
        pass
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {text!r}: write a day (2026-01-31), a time, `today`, `7d` or `24h`") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).timestamp() * 1000)


def once(asked: Request) -> str:
    """Read what changed and answer."""
    with Ledger(home.ensure(home.home()) / "ledger.db") as ledger:
        return _text(ledger, asked)


def tool_cost(asked: Request) -> str:
    """Read what changed, then say what tools and wasted work cost in the sessions asked for."""
    from outlay.views import tool_cost as tools

    with Ledger(home.ensure(home.home()) / "ledger.db") as ledger:
        if asked.read:
            from outlay.readers.update import update

            update(ledger, asked.where)
        question = msgspec.structs.replace(asked.question, by="session", most=None)
        roots = [group.key for group in ask(ledger, asked.book, question).groups]
        report = tools.tool_report(ledger, asked.book, roots)
    return tools.as_json(report).decode() + "\n" if asked.how == "json" else tools.terminal(report)


def watch(asked: Request) -> None:
    """Print the answer again whenever it changes, until interrupted."""
    last = ""
    with Ledger(home.ensure(home.home()) / "ledger.db") as ledger:
        try:
            while True:
                text = _text(ledger, asked)
                if text != last:
                    sys.stdout.write(("\x1b[H\x1b[2J" if sys.stdout.isatty() else "") + text)
                    sys.stdout.flush()
                    last = text
                time.sleep(_WATCH_S)
        except KeyboardInterrupt:
            return


def _text(ledger: Ledger, asked: Request) -> str:
    gone, unread, folders = 0, set(), tuple(f"{folder}/" for folder in asked.question.folders)
    if asked.read:
        from outlay.readers.update import update

        outcome = update(ledger, asked.where)
        gone = outcome.gone
        unread = {(path, problem.place, problem.what) for path, problem in outcome.problems}
    answer = ask(ledger, asked.book, asked.question)
    names = labels(ledger, asked.question.by, [group.key for group in answer.groups[:_ROWS]])
    shown = tuple(p for p in problems(ledger, unread) if not folders or p[0].startswith(folders))
    extra = view.Extra(asked.question.by, asked.zone, asked.partial, shown, names, gone)
    if asked.how == "json":
        return view.as_json(answer, extra).decode() + "\n"
    if asked.how == "csv":
        return view.as_csv(answer, extra)
    if asked.how == "markdown":
        return view.as_markdown(answer, extra)
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((80, 24)).columns
    return view.terminal(answer, extra, min(width, 110), color, asked.most) + "\n"


def labels(ledger: Ledger, by: str | None, keys: list[str]) -> dict[str, str]:
    """What sessions and agents are called: the beginning of the id, then title or project."""
    if by not in ("session", "agent") or not keys:
        return {}
    marks = ", ".join("?" * len(keys))
    column = "root" if by == "session" else "agent"
    rows = ledger.reader.execute(
        f"SELECT c.{column}, coalesce(nullif(n.name, ''), c.project) FROM callers c LEFT JOIN names n ON "
        f"n.session = c.session AND n.source = c.source WHERE c.{column} IN ({marks}) AND c.{column} <> 'main' "
        f"{'AND c.parent IS NULL' if by == 'session' else ''} ORDER BY c.id DESC",
        keys,
    )
    return {
        key: key if name == key else f"{_short(key)} {name.rstrip('/').rpartition('/')[2]}"
        for key, name in rows
        if name
    }


def _short(id: str) -> str:
    """The beginning of an id. Time-ordered ids (Codex) and prefixed ones (OpenCode) need more to be told apart."""
    return id[:13] if id.startswith(("01", "ses_")) else id[:8]


def problems(ledger: Ledger, unread: set[tuple[str, str, str]]) -> tuple[tuple[str, str, str], ...]:
    """What could not be read, now (`unread`) or when it was: (path, place, what)."""
    rows = ledger.reader.execute("SELECT path, problems FROM readings WHERE problems <> '[]'")
    noted = {(path, *problem) for path, text in rows for problem in msgspec.json.decode(text)}
    return tuple(sorted(noted | unread))
