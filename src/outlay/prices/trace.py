"""A usage trace: calls in order of time, with their list value, as every way to pay sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from outlay.errors import InputError
from outlay.ledger.calls import Call
from outlay.prices.book import PriceBook
from outlay.prices.many import CLASSES, Columns, Kind, PricedMany, kind_of
from outlay.prices.own import instant

_Ints = NDArray[np.int64]


class Trace:
    """Columns of calls in order of time, priced by one book. Length n everywhere."""

    def __init__(self, columns: Columns, priced: PricedMany, who: _Who) -> None:
        self.columns = columns
        self.priced = priced
        self.at_ms = columns.at_ms
        self.list_pico: _Ints = priced.cost_pico
        """List value of each call, picodollars; 0 where unknown."""
        self._whole = int(np.sum(self.list_pico, dtype=np.int64))
        self.session = who.session
        self.sessions = who.sessions
        self.role = who.role
        self.roles = who.roles
        self.message = who.message
        """Where a user's message begins; None when the source does not say."""
        self.outcomes = who.outcomes
        """Task (session of a file, run of the ledger) -> whether it succeeded, where known."""
        self.unmeasured = who.unmeasured

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def models(self) -> list[str]:
        """Every model in the trace, in order of first use."""
        return list(dict.fromkeys(kind.model for kind in self.columns.kinds))

    @property
    def successes(self) -> int | None:
        """Tasks known to have succeeded; None when nothing is known about any."""
        return sum(self.outcomes.values()) if self.outcomes else None

    @property
    def unpriced(self) -> int:
        """Calls without a list value."""
        return int((~self.priced.known).sum()) - self.unmeasured

    def worth(self, mask: NDArray[np.bool_]) -> int:
        """Exact list value of some of the calls, picodollars."""
        if mask.all():
            return self._whole
        return int(np.sum(self.list_pico, where=mask, dtype=np.int64))

    def of_model(self, wanted: Sequence[str]) -> NDArray[np.bool_]:
        """Which calls go to one of the models. A name that ends in `*` stands for all that begin so."""
        codes = [code for code, kind in enumerate(self.columns.kinds) if matches(kind.model, wanted)]
        return np.isin(self.columns.kind, codes)

    def of_role(self, wanted: Sequence[str]) -> NDArray[np.bool_]:
        """Which calls were made by one of the roles."""
        codes = [code for code, role in enumerate(self.roles) if role in wanted]
        return np.isin(self.role, codes)


def matches(model: str, wanted: Sequence[str]) -> bool:
    """Whether a model is one of those wanted; `glm-*` stands for all that begin with `glm-`."""
    return any(model == name or (name.endswith("*") and model.startswith(name[:-1])) for name in wanted)


class _Who(msgspec.Struct):
    session: NDArray[np.int32]
    sessions: list[str]
    role: NDArray[np.int32]
    roles: list[str]
    message: NDArray[np.bool_] | None
    outcomes: dict[str, bool]
    unmeasured: int


class Line(msgspec.Struct, frozen=True):
    """One call of a JSONL trace."""

    at: str | int | float
    """ISO time (UTC without an offset), or seconds since the epoch."""
    model: str
    session: str = ""
    role: str = ""
    provider: str = ""
    tier: str = ""
    speed: str = ""
    fresh: int | None = None
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int | None = None
    reasoning: int = 0
    web_searches: int = 0
    success: bool | None = None
    """Whether the session's task succeeded; on any of its calls."""
    message: bool | None = None
    """Whether a user's message begins with this call; needed by plans that bill per message."""


_decode_line = msgspec.json.Decoder(Line).decode


def at_ms(value: str | int | float, where: str) -> int:
    """Milliseconds UTC of a JSONL time."""
    if isinstance(value, str):
        found = instant(value, where)
        assert found is not None
        return found
    return round(value * 1000)


def read_jsonl(path: Path, book: PriceBook) -> Trace:
    """A trace from a file of calls, one JSON object a line. Raises InputError with the number of the bad line."""
    lines: list[Line] = []
    times: list[int] = []
    try:
        with path.open("rb") as file:
            for n, raw in enumerate(file, 1):
                if raw.strip():
                    lines.append(_line(raw, f"{path}, line {n}"))
                    times.append(at_ms(lines[-1].at, f"{path}, line {n}"))
    except OSError as error:
        raise InputError(f"cannot read the trace {path}: {error.strerror}") from None
    if not lines:
        raise InputError(f"the trace {path} has no calls")
    return _from_lines(lines, times, book)


def _line(raw: bytes, where: str) -> Line:
    try:
        line = _decode_line(raw)
    except msgspec.DecodeError as error:
        raise InputError(f"{where}: {error}") from None
    for name in CLASSES:
        if (getattr(line, name) or 0) < 0:
            raise InputError(f"{where}: {name} is negative")
    if line.reasoning > (line.output or 0):
        raise InputError(f"{where}: reasoning is a part of output and cannot exceed it")
    return line


def _from_lines(lines: list[Line], times: list[int], book: PriceBook) -> Trace:
    codes: dict[Kind, int] = {}
    kinds = [
        codes.setdefault(
            Kind(x.model, x.provider, x.tier, x.speed, "", x.fresh is not None and x.output is not None), len(codes)
        )
        for x in lines
    ]
    counts = {name: [getattr(line, name) or 0 for line in lines] for name in CLASSES}
    outcomes: dict[str, bool] = {}
    for line in lines:
        if line.success is not None:
            outcomes[line.session] = outcomes.get(line.session, False) or line.success
    said = [line.message for line in lines]
    message = None if any(m is None for m in said) else np.array(said, dtype=np.bool_)
    columns = Columns(list(codes), kinds, times, counts)
    return _build(columns, [x.session for x in lines], [x.role for x in lines], message, outcomes, book)


def from_calls(calls: Iterable[Call], book: PriceBook, outcomes: Mapping[str, bool] | None = None) -> Trace:
    """A trace from calls of the ledger; `outcomes` says which tasks (runs) succeeded."""
    kept = list(calls)
    if not kept:
        raise InputError("no calls in the trace; widen --since, or name a run that made some")
    columns = Columns.of(kept)
    return _build(columns, [c.session for c in kept], [c.role for c in kept], None, dict(outcomes or {}), book)


def from_columns(columns: Columns, book: PriceBook) -> Trace:
    """A trace of one session from bare columns (benchmarks, forecasts)."""
    n = len(columns)
    return _build(columns, [""] * n, [""] * n, None, {}, book)


def _build(
    columns: Columns, sessions: list[str], roles: list[str], message: Any, outcomes: dict[str, bool], book: PriceBook
) -> Trace:
    order = np.argsort(columns.at_ms, kind="stable")
    ordered = Columns(
        columns.kinds, columns.kind[order], columns.at_ms[order], {n: c[order] for n, c in columns.counts.items()}
    )
    names, session = _codes(sessions)
    role_names, role = _codes(roles)
    measured = np.array([kind.measured for kind in ordered.kinds], dtype=np.bool_)
    priced = book.price_many(ordered)
    if priced.beyond:
        raise InputError("a call in the trace costs more than nine million dollars; check its token counters")
    if priced.total_pico >= 2**62:
        raise InputError("the trace is worth more than four million dollars; split it by time (--since, --until)")
    who = _Who(
        session=session[order], sessions=names, role=role[order], roles=role_names,
        message=None if message is None else message[order], outcomes=outcomes,
        unmeasured=int((~measured[ordered.kind]).sum()),
    )  # fmt: skip
    return Trace(ordered, priced, who)


def _codes(names: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    table: dict[str, int] = dict.fromkeys(names, 0)
    if len(table) == 1:
        return list(table), np.zeros(len(names), dtype=np.int32)
    table.clear()
    codes = np.fromiter((table.setdefault(name, len(table)) for name in names), dtype=np.int32, count=len(names))
    return list(table), codes


__all__ = ["Trace", "from_calls", "from_columns", "kind_of", "matches", "read_jsonl"]
