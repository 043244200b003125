"""A run over time: what it cost, and when its sessions waited for models and tools."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from outlay.economics.spend import spend_of
from outlay.ledger import Call, Ledger
from outlay.prices.book import PriceBook

POINTS = 240
"""Points of a curve, and columns of a timeline: as fine as a chart can show."""
_CURVES = 6
_LANES = 60


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """What one session, or all others together, had cost at each time."""

    session: str
    """Empty: the others."""
    name: str
    pico: list[int]


class CostOverTime(msgspec.Struct, frozen=True, kw_only=True):
    """Known cost, adding up; the dearest sessions first."""

    at_ms: list[int]
    curves: list[Curve]
    unknown: int
    """Calls that have no known cost, or not the whole of it: they are in no curve, or with the least they cost."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a session's context at its answered calls, thinned out to the largest of each stretch."""

    at_ms: list[int]
    tokens: list[int]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A call or a tool's work, or several that a chart cannot tell apart."""

    lane: int
    kind: str
    """`call`, `tool`, or `mark`: something that happened at one moment."""
    from_ms: int
    to_ms: int
    name: str
    """The model, the tool, the event's type."""
    n: int | None
    """Place in the session's stream of the first of them; None when it is not known."""
    count: int = 1
    bad: int = 0
    """How many of them failed."""


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A session."""

    session: str
    name: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened when, between two moments."""

    from_ms: int
    to_ms: int
    lanes: list[Lane]
    spans: list[Span]
    hidden: int
    """Sessions that are not among the lanes: more than a chart can show."""


def cost_over_time(calls: Iterable[Call], names: dict[str, str], book: PriceBook) -> CostOverTime:
    """names: session -> its name. Every call counts at its end."""
    spends = [(call.ended_ms, call.session, spend_of(call, book)) for call in calls]
    if not spends:
        return CostOverTime(at_ms=[], curves=[], unknown=0)
    totals: dict[str, int] = {}
    for _, session, spend in spends:
        totals[session] = totals.get(session, 0) + spend.known.total
    dearest = sorted(totals, key=lambda session: -totals[session])
    shown = dearest if len(dearest) <= _CURVES else dearest[: _CURVES - 1]
    times = _thinned([at for at, _, _ in spends])
    costs = {session: [0] * len(times) for session in [*shown, ""]}
    for at, session, spend in spends:
        place = min(bisect_right(times, at - 1), len(times) - 1)
        costs[session if session in shown else ""][place] += spend.known.total
    curves = [Curve(session=s, name=names.get(s, s), pico=_adding_up(costs[s])) for s in shown]
    if len(dearest) > len(shown):
        others = len(dearest) - len(shown)
        curves.append(Curve(session="", name=f"{others} others", pico=_adding_up(costs[""])))
    return CostOverTime(at_ms=times, curves=curves, unknown=sum(spend.cost_pico is None for _, _, spend in spends))


def _thinned(times: list[int]) -> list[int]:
    """At most POINTS of some ascending times: the last of each stretch."""
    if len(times) <= POINTS:
        return sorted(set(times))
    return sorted({times[(n + 1) * len(times) // POINTS - 1] for n in range(POINTS)})


def _adding_up(values: list[int]) -> list[int]:
    total, found = 0, []
    for value in values:
        total += value
        found.append(total)
    return found


def context(ledger: Ledger, session: str) -> Context:
    """How a session's context grew and shrank."""
    rows = ledger.reader.execute(
        "SELECT ended_ms, fresh + cache_read + cache_write_5m + cache_write_1h + output FROM calls "
        "WHERE session = ? AND status = 'ok' ORDER BY ended_ms, key",
        (session,),
    ).fetchall()
    step = max(-(-len(rows) // POINTS), 1)
    largest = [max(rows[n : n + step], key=lambda row: row[1]) for n in range(0, len(rows), step)]
    return Context(at_ms=[row[0] for row in largest], tokens=[row[1] for row in largest])


_MARKS = ("breaker.tripped", "policy.denied", "limit.reached", "context.replaced", "context.cleaned",
          "model.replaced", "session.ended", "rule.refused", "limit.refused")  # fmt: skip


def timeline(
    ledger: Ledger, run: str, *, session: str = "", from_ms: int | None = None, to_ms: int | None = None
) -> Timeline:
    """Calls and tools of a run, or of one session, between two moments; what one column of a chart cannot tell apart is
    one span."""
    rows = ledger.rows(
        "SELECT id, name FROM sessions WHERE run = ? AND (? = '' OR id = ?) ORDER BY started_ms, id",
        (run, session, session),
    )
    lanes = {row["id"]: place for place, row in enumerate(rows[:_LANES])}
    spans = [*_calls(ledger, run, session, lanes), *_events(ledger, run, session, lanes)]
    begin = from_ms if from_ms is not None else min((span.from_ms for span in spans), default=0)
    end = to_ms if to_ms is not None else max((span.to_ms for span in spans), default=begin)
    inside = [span for span in spans if span.to_ms >= begin and span.from_ms <= end]
    return Timeline(
        from_ms=begin,
        to_ms=end,
        lanes=[Lane(session=row["id"], name=row["name"]) for row in rows[:_LANES]],
        spans=_merged(inside, begin, max(end - begin, 1), _columns(len(lanes))),
        hidden=max(len(rows) - _LANES, 0),
    )


def _calls(ledger: Ledger, run: str, session: str, lanes: dict[str, int]) -> list[Span]:
    rows = ledger.reader.execute(
        "SELECT session, key, started_ms, ended_ms, coalesce(answered_model, model), status FROM calls "
        "WHERE run = ? AND (? = '' OR session = ?)",
        (run, session, session),
    )
    return [
        Span(lane=lanes[of], kind="call", from_ms=end if start is None else start, to_ms=end, name=model,
             n=_place(key), bad=int(status != "ok"))
        for of, key, start, end, model, status in rows
        if of in lanes
    ]  # fmt: skip


def _place(key: str) -> int | None:
    """The place of a call's intent in its session's stream, which its key ends with."""
    digits = key.rpartition("#")[2]
    return int(digits) if digits.isdecimal() and len(digits) < 16 else None


def _events(ledger: Ledger, run: str, session: str, lanes: dict[str, int]) -> list[Span]:
    kinds = ("tool.result", *_MARKS)
    rows = ledger.reader.execute(
        "SELECT stream, n, at_ms, type, json_extract(head, '$.name'), json_extract(head, '$.wall_ms'), "
        f"json_extract(head, '$.is_error') FROM events WHERE run = ? AND type IN ({', '.join('?' * len(kinds))}) "
        "AND (? = '' OR +stream = ?)",
        (run, *kinds, session, session),
    )
    found = []
    for stream, n, at, kind, name, wall, error in rows:
        if stream not in lanes:
            continue
        tool = kind == "tool.result"
        found.append(
            Span(lane=lanes[stream], kind="tool" if tool else "mark", from_ms=at - int(wall or 0) if tool else at,
                 to_ms=at, name=(name or "tool") if tool else kind, n=n, bad=int(bool(error)))
        )  # fmt: skip
    return found


def _columns(lanes: int) -> int:
    """How finely time is divided: a chart of many lanes has as many spans as one of few."""
    return min(2 * POINTS, max(60, 6000 // max(lanes, 1)))


def _merged(spans: list[Span], begin: int, width: int, wanted: int) -> list[Span]:
    """Spans of one lane and kind that fall into one column are one."""
    columns: dict[tuple[int, str, int], Span] = {}
    wide: list[Span] = []
    for span in spans:
        first, last = ((ms - begin) * wanted // width for ms in (span.from_ms, span.to_ms))
        if last > first + 1:
            wide.append(span)
            continue
        place = (span.lane, span.kind, first)
        other = columns.get(place)
        columns[place] = span if other is None else _together(other, span)
    return sorted([*wide, *columns.values()], key=lambda span: (span.lane, span.from_ms))


def _together(one: Span, other: Span) -> Span:
    first = min(one, other, key=lambda span: span.from_ms)
    return msgspec.structs.replace(
        first,
        to_ms=max(one.to_ms, other.to_ms),
        name=one.name if one.name == other.name else first.name,
        count=one.count + other.count,
        bad=one.bad + other.bad,
    )
