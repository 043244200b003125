"""Sums over calls in SQL: by SQLite in the ledger itself, or by DuckDB in a columnar copy where there are very many.

Calls are added up by caller, service and price class first; every such sum is then priced and folded into its group,
all in whole numbers, so that any grouping adds up to the same total.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from outlay.economics import zones
from outlay.economics.usage_kept import kept
from outlay.economics.usage_prices import Plan, Service, classes
from outlay.ledger import Ledger
from outlay.ledger.calls import QUALITIES

if TYPE_CHECKING:
    from outlay.economics.usage import Question

MANY_CALLS = 400_000
"""From here on a columnar copy is worth making (SQLite needs about a microsecond a call)."""

SUMS = (
    "calls", "fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches",
    "priced_pico", "recorded_pico", "unpriced_calls", "lower_bounds", "residuals", "unmeasured",
)  # fmt: skip
"""Fields of a tally, in order."""
_TOKENS = SUMS[1:8]


class Table(msgspec.Struct, frozen=True):
    """Where calls are asked for: `call_facts`, `callers`, `toolsets` and `services` under one SQL engine."""

    run: Callable[[str, list[Any]], list[tuple[Any, ...]]]
    sorts: bool
    """The engine groups by sorting, so that one pass by caller and day is cheaper than one by each. One that does not
    has columns `f.like_source`, `f.like_role` and so on: a caller that stands for all of the same source, main agents
    or subagents alike, and the same role; there are few of them."""


class Sums(msgspec.Struct):
    """What the query gave; every tuple of numbers has the fields of SUMS."""

    groups: list[tuple[Any, ...]] = []
    """(key, *numbers)"""
    sides: list[tuple[Any, ...]] = []
    """(1 for subagents, source, *numbers)"""
    unknown: dict[int, int] = {}
    """Service -> calls that were measured and have no price."""
    unmeasured: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    keys: int = 0
    """How many groups there are, where some of them were left out."""


_QUALITIES = 8
"""As many numbers are kept for a call's quality, which is the lowest digit of what calls are added up by."""
_Q = f"g.who % {_QUALITIES}"
_IS = {name: f"{_Q} = {QUALITIES.index(name)}" for name in QUALITIES}
OF_CALLER = {"session": "c.root", "agent": "c.agent", "role": "c.role", "project": "c.project", "source": "c.source"}
_OF_CALL = {
    "model": ("0", "s.model", "JOIN services s ON s.id = r.service"),
    "tool": ("f.toolset", "t.names", "JOIN toolsets t ON t.id = g.k"),
}
"""Grouping -> what calls are added up by beside their price class, what that is called, where it is looked up."""
_SPAN = "SELECT min(ended_ms), max(ended_ms) FROM call_facts"


def open_table(ledger: Ledger) -> Table:
    """The ledger's calls; a columnar copy of them, brought up to date, where there are many and DuckDB is there."""
    most = ledger.reader.execute("SELECT max(id) FROM call_facts").fetchone()[0] or 0
    if most >= MANY_CALLS:
        from importlib.util import find_spec

        if find_spec("duckdb") is not None:
            return Table(kept(ledger, _columns(ledger)), False)

    def run(query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return ledger.reader.execute(query, parameters).fetchall()

    return Table(kept(ledger, run), True)


def _columns(ledger: Ledger) -> Callable[[str, list[Any]], list[tuple[Any, ...]]]:
    """Runs a query in the columnar copy, which is opened for the first one; in the ledger where that is impossible."""

    def run(query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        from outlay.economics.usage_columns import open_columns

        columns = open_columns(ledger)
        if columns is None:
            return ledger.reader.execute(re.sub(r"f\.like_\w+", "f.caller", query), parameters).fetchall()
        return columns.run(query, parameters)

    return run


def services(ledger: Ledger) -> list[Service]:
    """All that ever answered."""
    rows = ledger.reader.execute("SELECT id, model, answered_model, provider, tier, speed FROM services")
    return [Service(*row) for row in rows]


def query(table: Table, question: Question, plans: Mapping[int, Plan]) -> Sums:
    """The sums that a question is about."""
    if not table.run("SELECT 1 FROM call_facts LIMIT 1", []):
        return Sums()
    where, parameters = _where(question)
    own = _OF_CALL.get(question.by or "")
    if question.by in ("day", "week", "month"):
        span = table.run(_SPAN, [])[0]
        own = zones.day_expression(question.zone, *span).replace("ended_ms", "f.ended_ms"), "g.k", ""
    text = _query(table, question.by, own, where, plans, question.most)
    found = Sums()
    for row in table.run(text, parameters * (2 if own and not table.sorts else 1)):
        kind = row[0]
        if kind == 0:
            found.groups.append((row[1], *row[3:17]))
        elif kind == 1:
            found.sides.append((row[1], row[2], *row[3:17]))
        elif kind == 3:
            found.keys = row[3]
        else:
            found.unknown[int(row[1])] = row[3]
            found.unmeasured += row[4]
    of_these = f" f WHERE {where}" if where else ""
    found.first_ms, found.last_ms = table.run(f"{_SPAN}{of_these}", parameters)[0]
    return found


def _query(
    table: Table,
    by: str | None,
    of_call: tuple[str, str, str] | None,
    where: str,
    plans: Mapping[int, Plan],
    most: int | None,
) -> str:
    numbered = classes(plans)
    radix = len(numbered.rows)
    width = radix * _QUALITIES
    of_caller = OF_CALLER.get(by or "")
    who, join_who = _who(table, by if of_caller else "source")
    whose = f"CAST({who} AS BIGINT) * {radix} + {numbered.expression}"
    # caller, price class and quality are one number: half the work of grouping is comparing keys
    key, join, inner, one_pass = of_caller or "''", "", "0", of_call is None or table.sorts
    if of_call is not None and one_pass:
        inner, key, join = of_call
    parts = [
        f"""r (pc, service, known, fresh, cache_read, cache_write_5m, cache_write_1h, output, reasoning, web_search,
            request) AS (VALUES {", ".join(f"({row[0] * _QUALITIES}, {str(row[1:])[1:]}" for row in numbered.rows)})""",
        f"a AS MATERIALIZED ({_added_up(whose, where, inner, join_who)})",
        f"""p AS MATERIALIZED (
            SELECT CASE WHEN c.parent IS NULL THEN 0 ELSE 1 END AS sub, c.source AS source, r.service AS service,
                {key} AS key, {_PRICED}
            FROM a g JOIN callers c ON c.id = CAST((g.who - g.who % {width}) / {width} AS INTEGER)
            JOIN r ON r.pc = g.who % {width} - {_Q} {join})""",
    ]
    if of_call is not None and not one_pass:
        inner, key, join = of_call
        parts.append(f"b AS MATERIALIZED ({_added_up(numbered.expression, where, inner)})")
        parts.append(f"q AS (SELECT {key} AS key, {_PRICED} FROM b g JOIN r ON r.pc = g.who - {_Q} {join})")
    answers = _answers("p" if one_pass else "q", of_caller, of_call, most)
    return f"WITH {', '.join(parts)} {' UNION ALL '.join(answers)}"


def _who(table: Table, by: str | None) -> tuple[str, str]:
    """A caller that stands for all that are the same in this, as SQL over `f`, and the join that it takes: with few
    of them there is little to add up afterwards."""
    if not table.sorts:
        return f"f.like_{by}", ""
    if by != "source":
        return "f.caller", ""
    stands = table.run("SELECT parent IS NULL, source, min(id) FROM callers GROUP BY 1, 2", [])
    sides = []
    for main in (0, 1):
        cases = [f"WHEN {_quoted(source)} THEN {id}" for is_main, source, id in stands if is_main == main]
        sides.append(f"CASE c.source {' '.join(cases)} END" if cases else "NULL")
    return f"CASE WHEN c.parent IS NULL THEN {sides[1]} ELSE {sides[0]} END", "CROSS JOIN callers c ON c.id = f.caller"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _answers(named: str, of_caller: str | None, of_call: object, most: int | None) -> list[str]:
    totals = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    nothing = ", ".join("0" for _ in SUMS[2:])
    answers = [
        f"SELECT 1 AS kind, CAST(sub AS VARCHAR) AS key, source, {totals} FROM p GROUP BY sub, source",
        f"SELECT 2, CAST(service AS VARCHAR), '', sum(unpriced_calls) - sum(unmeasured), sum(unmeasured), {nothing} "
        "FROM p WHERE unpriced_calls > 0 GROUP BY service",
    ]
    if of_call is not None or of_caller is not None:
        groups = f"SELECT 0, CAST(key AS VARCHAR) AS key, '', {totals} FROM {named} GROUP BY {named}.key"
        if most is not None and of_caller is not None:
            order = "priced_pico DESC, fresh + cache_read + cache_write_5m + cache_write_1h + output DESC, key"
            groups = f"SELECT * FROM (SELECT * FROM ({groups}) ORDER BY {order} LIMIT {most})"
            answers.append(f"SELECT 3, '', '', count(DISTINCT key), 0, {nothing} FROM {named}")
        answers.append(groups)
    return answers


_NO_CALL = _IS["reported"]
_UNPRICED = f"r.known = 0 OR {_IS['unmeasured']}"
_PRICED = f"""CASE WHEN {_NO_CALL} THEN 0 ELSE g.n END AS calls, {", ".join(f"g.{name}" for name in _TOKENS)},
    CASE WHEN {_UNPRICED} THEN 0 ELSE r.fresh * g.fresh + r.cache_read * g.cache_read
    + r.cache_write_5m * g.cache_write_5m + r.cache_write_1h * g.cache_write_1h + r.output * (g.output - g.reasoning)
    + r.reasoning * g.reasoning + r.web_search * g.web_searches
    + r.request * CASE WHEN {_NO_CALL} THEN 0 ELSE g.n END END AS priced_pico, g.recorded_pico,
    CASE WHEN ({_UNPRICED}) AND NOT {_NO_CALL} THEN g.n ELSE 0 END AS unpriced_calls,
    CASE WHEN {_IS["lower_bound"]} THEN g.n ELSE 0 END AS lower_bounds,
    CASE WHEN {_IS["residual"]} THEN g.n ELSE 0 END AS residuals,
    CASE WHEN {_IS["unmeasured"]} THEN g.n ELSE 0 END AS unmeasured"""


def _added_up(who: str, where: str, inner: str = "0", join: str = "") -> str:
    """Sums over calls by `who` (which holds the price class; their quality is put to it) and `inner`."""
    tokens = ", ".join(f"sum(f.{name}) AS {name}" for name in _TOKENS)
    return f"""SELECT ({who}) * {_QUALITIES} + f.quality AS who, {inner} AS k, count(*) AS n, {tokens},
        coalesce(sum(f.recorded_cost_pico), 0) AS recorded_pico
        FROM call_facts f {join} {f"WHERE {where}" if where else ""} GROUP BY 1{"" if inner == "0" else ", 2"}"""


def _where(question: Question) -> tuple[str, list[Any]]:
    tests: list[str] = []
    parameters: list[Any] = []
    if question.since_ms is not None:
        tests.append("f.ended_ms >= ?")
        parameters.append(question.since_ms)
    if question.until_ms is not None:
        tests.append("f.ended_ms < ?")
        parameters.append(question.until_ms)
    callers: list[str] = []
    for column, wanted in (("source", question.sources), ("machine", question.machines), ("root", question.roots)):
        if wanted:
            callers.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            parameters += wanted
    if question.projects:
        named = [f"project = ? OR substr(project, length(project) - {len(name)}) = ?" for name in question.projects]
        callers.append(f"({' OR '.join(named)})")
        parameters += [part for name in question.projects for part in (name, f"/{name}")]
    if question.folders:
        callers.append(f"({' OR '.join('substr(file, 1, ?) = ?' for _ in question.folders)})")
        parameters += [part for folder in question.folders for part in (len(folder) + 1, f"{folder}/")]
    if callers:
        tests.append(f"f.caller IN (SELECT id FROM callers WHERE {' AND '.join(callers)})")
    return " AND ".join(tests), parameters
