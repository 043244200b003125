"""The usage report: a table for a terminal, JSON, CSV and Markdown of one answer."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable
from typing import Any

import msgspec

from outlay.economics.usage import Answer, Tally, top
from outlay.money import PICO_PER_USD, show
from outlay.readers.coverage import CANNOT_SHOW, NAMES
from outlay.views.tables import Table, left, markdown, right

VERSION = 1
"""Of the JSON contract: docs/reference/usage-json.md."""
FIELDS = (
    "calls", "fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "net", "gross",
    "cost_usd", "recorded_cost_usd", "unpriced_calls", "web_searches",
)  # fmt: skip
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Extra(msgspec.Struct, frozen=True):
    """What belongs to a report beside the answer."""

    by: str | None
    zone: str
    partial: bool = False
    problems: tuple[tuple[str, str, str], ...] = ()
    """(path, place, what) of what could not be read."""
    labels: dict[str, str] = {}
    """Group -> what it is called in a table."""
    gone: int = 0
    """Transcripts that are no longer there, whose calls are still counted."""


def count(number: int) -> str:
    """Three digits and a letter: `950`, `12.3k`, `158M`, `5.05B`."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size * 0.9995:
            scaled = number / size
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}{letter}"
    return str(number)


def money(tally: Tally, partial: bool = False) -> str:
    """`$1.23`; `≥ $1.23` where a part has no price; `unknown` where nothing has one."""
    if tally.cost_pico is not None:
        return show(tally.cost_pico, digits=2 if tally.cost_pico >= PICO_PER_USD // 100 or not tally.cost_pico else 4)
    if tally.priced_pico:
        return ("" if partial else "≥ ") + show(tally.priced_pico, digits=2)
    return "unknown"


# ---- for people


def terminal(answer: Answer, extra: Extra, width: int, color: bool, most: int | None) -> str:
    """The whole report for a terminal of `width` columns; at most `most` groups."""
    if not answer.total.calls:
        return "No calls found. Claude Code, Codex, Gemini CLI and OpenCode were looked for; see `outlay usage --help`."
    bold, dim, plain = (_BOLD, _DIM, _PLAIN) if color else ("", "", "")
    lines = [f"{bold}{_title(answer, extra)}{plain}", ""]
    table = _table(answer, extra, most)
    lines += _draw(table, width, bold, dim, plain)
    lines += ["", *_split(answer), ""]
    lines += [f"{dim}{line}{plain}" for line in _wrapped(_coverage(answer, extra), width)]
    return "\n".join(lines)


def _title(answer: Answer, extra: Extra) -> str:
    who = ", ".join(NAMES.get(source, source) for source in sorted(answer.sources))
    assert answer.first_ms is not None and answer.last_ms is not None
    first, last = (_date(ms, extra.zone) for ms in (answer.first_ms, answer.last_ms))
    days = f"{first.day} {first:%b %Y}" if first == last else f"{first.day} {first:%b %Y} – {last.day} {last:%b %Y}"
    return f"{who} · {days}" + (f" · days in {extra.zone}" if extra.by in ("day", "week", "month") else "")


def _date(ms: int, zone: str) -> dt.date:
    from outlay.economics.zones import zone as find

    return dt.datetime.fromtimestamp(ms / 1000, find(zone if "/" in zone or zone == "UTC" else None)).date()


def _table(answer: Answer, extra: Extra, most: int | None) -> Table:
    columns = (
        left(extra.by or "", flexible=True), right("calls"), right("fresh"), right("cached", short="cached"),
        right("written"), right("output"), right("cost"),
    )  # fmt: skip
    timely = extra.by in ("day", "week", "month")
    groups, rest = top(answer, most, last=timely)
    rows = [_row(extra.labels.get(g.key) or _label(g.key, extra.by), g.tally, extra) for g in groups]
    if rest is not None:
        line = _row(f"({rest.key})", rest.tally, extra)
        rows = [line, *rows] if timely else [*rows, line]
    rows.append(_row("total", answer.total, extra))
    return Table("", columns, tuple(rows))


def _row(label: str, tally: Tally, extra: Extra) -> tuple[str, ...]:
    written = tally.cache_write_5m + tally.cache_write_1h
    numbers = (tally.fresh, tally.cache_read, written, tally.output)
    return (label, f"{tally.calls:,}", *(count(n) for n in numbers), money(tally, extra.partial))


def _label(key: str, by: str | None) -> str:
    if by == "source":
        return NAMES.get(key, key)
    if by == "project" and key.count("/") > 2:
        return "…/" + "/".join(key.rsplit("/", 2)[1:])
    return key


def _draw(table: Table, width: int, bold: str, dim: str, plain: str) -> list[str]:
    sizes = [max(len(c.name), *(len(row[n]) for row in table.rows)) for n, c in enumerate(table.columns)]
    sizes[0] = max(12, min(sizes[0], width - sum(sizes[1:]) - 2 * (len(sizes) - 1)))

    def line(cells: Iterable[str]) -> str:
        first, *others = cells
        if len(first) > sizes[0]:
            first = first[: sizes[0] - 1] + "…"
        return "  ".join(
            [first.ljust(sizes[0]), *(c.rjust(s) for c, s in zip(others, sizes[1:], strict=True))]
        ).rstrip()

    drawn = [f"{dim}{line(c.name for c in table.columns)}{plain}"]
    *rows, total = table.rows
    drawn += [line(row) for row in rows]
    return [*drawn, f"{bold}{line(total)}{plain}"]


def _split(answer: Answer) -> list[str]:
    main, subs, net = answer.main, answer.subagents, answer.total.net
    if not net:
        return []
    lines = []
    if subs.calls:
        for name, tally in (("Main agents", main), ("Subagents", subs)):
            share = tally.net / net
            lines.append(f"{name:<11}  {tally.calls:>9,} calls  {share:>4.0%} of net tokens  {money(tally):>12}")
        lines.append(f"Leverage {answer.leverage:.2f}: net tokens of subagents per net token of main agents.")
    else:
        lines.append("No subagents: everything went to main agents.")
    lines.append(f"Cache bloat {answer.bloat:.2f}: how often every new token was read again from a cache.")
    return lines


def _coverage(answer: Answer, extra: Extra) -> list[str]:
    total, said = answer.total, []
    for why, calls in sorted(answer.unknown.items(), key=lambda item: -item[1]):
        said.append(f"{_calls(calls)} without a price: {why}.")
    if total.lower_bounds:
        said.append(
            f"{_calls(total.lower_bounds)} are lower bounds: the tool wrote them down before the answer was whole."
        )
    if total.residuals:
        said.append(
            f"{_calls(total.residuals, 'row')} stand for calls that Claude Code counted and did not write down."
        )
    hidden = [f"{NAMES[s]}: {', '.join(CANNOT_SHOW[s])}" for s in sorted(answer.sources) if CANNOT_SHOW.get(s)]
    if hidden:
        said.append(f"Not in any transcript. {'; '.join(hidden)}.")
    if extra.problems:
        files = len({path for path, _, _ in extra.problems})
        where = f"{_calls(len(extra.problems), 'place')} in {_calls(files, 'file')}"
        said.append(f"{where} could not be read as they are; --json lists them.")
    if extra.gone:
        said.append(f"{_calls(extra.gone, 'file')} no longer there: what they held still counts.")
    return said


def _calls(number: int, what: str = "call") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _wrapped(sentences: list[str], width: int) -> list[str]:
    import textwrap

    return [line for text in sentences for line in textwrap.wrap(text, max(width, 40), subsequent_indent="  ")]


# ---- for programs and documents


def as_json(answer: Answer, extra: Extra) -> bytes:
    """The contract of `outlay usage --json`."""
    total = answer.total
    document: dict[str, Any] = {
        "version": VERSION,
        "by": extra.by,
        "timezone": extra.zone,
        "price_book": answer.book,
        "total": figures(total, extra.partial),
        "groups": [{"key": g.key, **figures(g.tally, extra.partial)} for g in answer.groups],
        "main": figures(answer.main, extra.partial),
        "subagents": figures(answer.subagents, extra.partial),
        "leverage": answer.leverage,
        "cache_bloat": answer.bloat,
        "coverage": {
            "unpriced": [{"why": why, "calls": calls} for why, calls in sorted(answer.unknown.items())],
            "lower_bound_calls": total.lower_bounds,
            "residual_rows": total.residuals,
            "unmeasured_calls": total.unmeasured,
            "sources": {
                source: {
                    "calls": tally.calls, "lower_bound_calls": tally.lower_bounds, "residual_rows": tally.residuals,
                    "cannot_show": list(CANNOT_SHOW.get(source, ())),
                }
                for source, tally in sorted(answer.sources.items())
            },
            "problems": [{"path": p, "place": place, "what": what} for p, place, what in extra.problems],
            "files_gone": extra.gone,
        },
    }  # fmt: skip
    return msgspec.json.encode(document)


def figures(tally: Tally, partial: bool = False) -> dict[str, Any]:
    """The fields of the contract. `cost_usd` is null when a call has no price, unless a part will do."""
    cost = tally.priced_pico if partial else tally.cost_pico
    found: dict[str, Any] = {
        "calls": tally.calls, "fresh": tally.fresh, "cache_read": tally.cache_read,
        "cache_write_5m": tally.cache_write_5m, "cache_write_1h": tally.cache_write_1h, "output": tally.output,
        "reasoning": tally.reasoning, "net": tally.net, "gross": tally.gross, "cost_usd": _usd(cost),
        "recorded_cost_usd": _usd(tally.recorded_pico), "unpriced_calls": tally.unpriced_calls,
        "web_searches": tally.web_searches,
    }  # fmt: skip
    if cost is None:
        found["priced_cost_usd"] = _usd(tally.priced_pico)
    return found


def _usd(pico: int | None) -> float | None:
    return None if pico is None else pico / PICO_PER_USD


def as_csv(answer: Answer, extra: Extra) -> str:
    """One line a group, then the total; the fields of the contract. An unknown cost is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([extra.by or "key", *FIELDS])
    for key, tally in [*((g.key, g.tally) for g in answer.groups), ("total", answer.total)]:
        found = figures(tally, extra.partial)
        writer.writerow([key, *("" if found[name] is None else found[name] for name in FIELDS)])
    return out.getvalue()


def as_markdown(answer: Answer, extra: Extra) -> str:
    """A table and the sentences under it."""
    lines = [f"**{_title(answer, extra)}**", "", *markdown(_table(answer, extra, None)), ""]
    lines += _split(answer) + [""] + [f"- {line}" for line in _coverage(answer, extra)]
    return "\n".join(lines) + "\n"
