"""What calls used and cost, grouped: every grouping adds up to the same total, to the token and the picodollar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, timedelta, tzinfo
from typing import Any

import msgspec

from outlay.economics import usage_sql, zones
from outlay.economics.usage_prices import plan
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook

GROUPINGS = ("day", "week", "month", "session", "model", "agent", "role", "tool", "project", "source")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls, and how they are grouped."""

    by: str | None = None
    """One of GROUPINGS; None: the total alone."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Excluded."""
    zone: tzinfo = UTC
    sources: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    """A project's folder, or its last part."""
    machines: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    """Sessions, with all that they started."""
    folders: tuple[str, ...] = ()
    """Only calls from transcripts in these."""
    most: int | None = None
    """The answer may leave out all but so many groups, the dearest; days, tools and models are always all there."""


class Tally(msgspec.Struct):
    """Counters and cost of a group of calls."""

    calls: int = 0
    fresh: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    web_searches: int = 0
    priced_pico: int = 0
    """Cost of those calls whose cost is known."""
    recorded_pico: int = 0
    """What the sources themselves reported; never part of the cost."""
    unpriced_calls: int = 0
    lower_bounds: int = 0
    """Calls whose counters are the least that they may have been."""
    residuals: int = 0
    """Rows that stand for calls which the source counted but did not show."""
    unmeasured: int = 0

    @property
    def net(self) -> int:
        """Fresh + cache writes + output, in tokens."""
        return self.fresh + self.cache_write_5m + self.cache_write_1h + self.output

    @property
    def gross(self) -> int:
        """Net + cache reads, in tokens."""
        return self.net + self.cache_read

    @property
    def cost_pico(self) -> int | None:
        """The cost, or None when a call in it has none."""
        return None if self.unpriced_calls else self.priced_pico

    def add(self, other: Tally) -> None:
        """Take in another group."""
        for name in _FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_FIELDS = Tally.__struct_fields__


class Group(msgspec.Struct):
    """One line of the answer."""

    key: str
    tally: Tally


class Answer(msgspec.Struct):
    """The answer to a question."""

    total: Tally
    main: Tally
    subagents: Tally
    groups: list[Group]
    book: str
    """Id of the price book."""
    unknown: dict[str, int] = {}
    """Why calls have no price -> how many."""
    sources: dict[str, Tally] = {}
    first_ms: int | None = None
    last_ms: int | None = None
    keys: int = 0
    """How many groups there are; `groups` may hold fewer of them."""

    @property
    def leverage(self) -> float | None:
        """Subagents' net tokens over the main agents'."""
        return self.subagents.net / self.main.net if self.main.net else None

    @property
    def bloat(self) -> float | None:
        """Cache reads over net tokens."""
        return self.total.cache_read / self.total.net if self.total.net else None


def ask(ledger: Ledger, book: PriceBook, question: Question) -> Answer:
    """Answer a question from the ledger's calls, priced under a book. Raises InputError for an unknown grouping."""
    if question.by is not None and question.by not in GROUPINGS:
        raise InputError(f"cannot group by {question.by!r}; by what: {', '.join(GROUPINGS)}")
    table = usage_sql.open_table(ledger)
    plans = {s.id: plan(book, s) for s in usage_sql.services(ledger)}
    sums = usage_sql.query(table, question, plans)
    answer = Answer(
        Tally(), Tally(), Tally(), [], book.id, first_ms=sums.first_ms, last_ms=sums.last_ms, keys=sums.keys
    )
    for sub, source, *numbers in sums.sides:
        tally = Tally(*numbers)
        answer.total.add(tally)
        (answer.subagents if int(sub) else answer.main).add(tally)
        answer.sources.setdefault(source, Tally()).add(tally)
    for service, count in sums.unknown.items():
        why = plans[service].why_unknown if service in plans else "its model was not noted"
        if count:
            answer.unknown[why] = answer.unknown.get(why, 0) + count
    if sums.unmeasured:
        answer.unknown["their usage was not measured"] = sums.unmeasured
    answer.groups = _groups(question.by, sums.groups)
    if len(answer.groups) > answer.keys or question.by in ("day", "week", "month", "tool"):
        answer.keys = len(answer.groups)
    return answer


def _groups(by: str | None, rows: list[tuple[Any, ...]]) -> list[Group]:
    groups: dict[str, Tally] = {}
    if by == "tool":
        for names, *numbers in rows:
            for name, share in _shares(names, Tally(*numbers)):
                groups.setdefault(name, Tally()).add(share)
    elif by in ("day", "week", "month"):
        for day, *numbers in rows:
            groups.setdefault(_FOLDS[by](int(day)), Tally()).add(Tally(*numbers))
    else:
        empty = "main" if by in ("agent", "role") else "(unknown)"
        found = [Group(row[0] or empty, Tally(*row[1:])) for row in rows]
        found.sort(key=lambda g: (-g.tally.priced_pico, -g.tally.gross, g.key))
        return found
    found = [Group(key, tally) for key, tally in groups.items()]
    if by == "tool":
        found.sort(key=lambda g: (-g.tally.priced_pico, -g.tally.gross, g.key))
    else:
        found.sort(key=lambda g: g.key)
    return found


def _shares(names: str, tally: Tally) -> Iterable[tuple[str, Tally]]:
    """A call that asked for several tools is shared out among them; what does not divide goes to the first names."""
    tools = sorted(names.split(",")) if names else ["(none)"]
    if len(set(tools)) == 1:
        return [(tools[0], tally)]
    shares = {name: Tally() for name in tools}
    for field in _FIELDS:
        each, rest = divmod(getattr(tally, field), len(tools))
        for place, name in enumerate(tools):
            setattr(shares[name], field, getattr(shares[name], field) + each + (place < rest))
    return list(shares.items())


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


_FOLDS: dict[str, Callable[[int], str]] = {
    "day": lambda number: zones.day_of(number).isoformat(),
    "week": lambda number: _monday(zones.day_of(number)).isoformat(),
    "month": lambda number: zones.day_of(number).isoformat()[:7],
}


def top(answer: Answer, most: int | None, *, last: bool = False) -> tuple[list[Group], Group | None]:
    """The first (or last) groups, and all others as one; None when there are no others."""
    groups = answer.groups
    if most is None or answer.keys <= most:
        return groups, None
    shown = groups[-(most - 1) :] if last else groups[: most - 1]
    rest = Group(f"{answer.keys - len(shown):,} more", Tally())
    rest.tally.add(answer.total)
    for group in shown:
        for name in _FIELDS:
            setattr(rest.tally, name, getattr(rest.tally, name) - getattr(group.tally, name))
    return shown, rest
