"""Token totals written down by hand or by another tool: a table of main agent and all agents."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal, InvalidOperation

from outlay.economics.spend import Classes, Spend
from outlay.errors import InputError
from outlay.money import pico
from outlay.tokens import Usage

COLUMNS = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
_SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_COUNT = re.compile(r"([\d.,_ ]*\d)\s*([kmb]?)$", re.IGNORECASE)


def read_table(text: str, name: str) -> tuple[Spend, Spend]:
    """(main agent, subagents) from CSV with the columns `who`, token classes and `cost_usd`.

    Rows: `main`, and `all` or `subagents`; several of a kind are added up, and any other name is a subagent. Counts
    may end in K, M or B. Raises InputError naming the row and column.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    reader = csv.DictReader(io.StringIO("\n".join(lines)), skipinitialspace=True)
    columns = [c.strip() for c in reader.fieldnames or ()]
    if "who" not in columns:
        raise InputError(f"{name}: the first line must name the columns: who, {', '.join(COLUMNS)}, cost_usd")
    unknown = [c for c in columns if c not in ("who", "cost_usd", *COLUMNS)]
    if unknown:
        raise InputError(f"{name}: no column {unknown[0]!r}; known: who, {', '.join(COLUMNS)}, cost_usd")
    found: dict[str, Spend] = {}
    for number, row in enumerate(reader, 1):
        who = (row.get("who") or "").strip().lower()
        kind = who if who in ("main", "all") else "subagents"
        found[kind] = found.get(kind, Spend()) + _spend(row, f"{name}, row {number} ({who})")
    if "main" not in found or len(found) < 2:
        raise InputError(f"{name}: give a row `main` and a row `all` (or rows of subagents)")
    if "all" in found and "subagents" in found:
        raise InputError(f"{name}: `all` holds the subagents already; give it or them")
    subagents = found.get("subagents") or _rest(found["all"], found["main"], name)
    return found["main"], subagents


def _spend(row: dict[str, str], where: str) -> Spend:
    usage = Usage(**{column: _count(row.get(column), f"{where}, {column}") for column in COLUMNS})
    cost = (row.get("cost_usd") or "").strip().lstrip("$").replace(",", "")
    if not cost:
        return Spend(calls=1, usage=usage, unpriced=1, why_unknown=(f"{where} has no cost_usd",))
    return Spend(calls=1, usage=usage, known=Classes(other=pico(cost)))


def _count(text: str | None, where: str) -> int:
    if not text or not text.strip():
        return 0
    found = _COUNT.match(text.strip())
    try:
        count = Decimal(re.sub(r"[,_ ]", "", found[1])) * _SCALES[found[2].lower()] if found else None
    except InvalidOperation:
        count = None
    if count is None or count != count.to_integral_value():
        raise InputError(f"{where}: {text.strip()!r} is no number of tokens; write 280600, 280.6K or 3M")
    return int(count)


def _rest(whole: Spend, main: Spend, name: str) -> Spend:
    usage = Usage(**{c: getattr(whole.usage, c) - getattr(main.usage, c) for c in COLUMNS})
    if min(getattr(usage, c) for c in COLUMNS) < 0 or whole.known.total < main.known.total:
        raise InputError(f"{name}: `all` is less than `main` in a column; `all` must hold `main`")
    unpriced = whole.unpriced + main.unpriced
    return Spend(
        calls=1, usage=usage, known=Classes(other=whole.known.total - main.known.total), unpriced=unpriced,
        why_unknown=whole.why_unknown + main.why_unknown,
    )  # fmt: skip
