"""One call, from where it was read to what it cost."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from outlay.errors import InputError
from outlay.ledger import Call, Ledger
from outlay.money import show, usd
from outlay.prices.book import PriceBook, Unpriced
from outlay.prices.rates import Effective
from outlay.prices.types import Priced

_CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")


class Share(msgspec.Struct, frozen=True):
    """One class of the call: tokens (or searches) times a rate."""

    name: str
    count: int
    rate_pico: int | None
    """Picodollars each; None when the list states none."""

    @property
    def pico(self) -> int | None:
        """Their product."""
        return None if self.rate_pico is None else self.count * self.rate_pico


class Audit(msgspec.Struct, frozen=True):
    """A call with its evidence and its price."""

    call: Call
    file: str
    line: int | None
    """None when the file is gone or the source has no lines."""
    text: str
    """The line itself, cut after 400 characters."""
    shares: list[Share]
    request_pico: int
    priced: Priced


def audit(ledger: Ledger, book: PriceBook, text: str) -> Audit:
    """Find a call and take its cost apart. Raises InputError when there is none, or several."""
    call = _find(ledger, text)
    file, _, place = call.origin.rpartition(":")
    line, shown = _line(Path(file), int(place)) if file and place.isdigit() else (None, "")
    card = book.card(
        call.model, call.provider, call.ended_ms, tier=call.tier, speed=call.speed, answered=call.answered_model
    )
    rates = None if isinstance(card, Unpriced) else card.at(call.usage.input)
    return Audit(
        call, file or call.origin, line, shown, _shares(call, rates), rates.request if rates else 0, book.price(call)
    )


def _find(ledger: Ledger, text: str) -> Call:
    file, _, number = text.rpartition(":")
    if file and number.isdigit() and Path(file).expanduser().is_file():
        return _at(ledger, Path(file).expanduser().resolve(), int(number))
    found = list(ledger.calls("key = ?", (text,))) or list(
        ledger.calls(
            "key IN (SELECT key FROM call_facts WHERE key >= ? AND key < ? LIMIT 6)", (text, text + "\U0010ffff")
        )
    )
    if not found:
        raise InputError(f"no call {text!r} in the ledger; `outlay usage` reads transcripts, then try its key again")
    if len(found) > 1:
        raise InputError(f"{text!r} begins several calls: {', '.join(c.key for c in found[:5])}; give more of it")
    return found[0]


def _at(ledger: Ledger, path: Path, number: int) -> Call:
    begin = 0
    with path.open("rb") as file:
        for _ in range(number - 1):
            begin += len(file.readline())
        length = len(file.readline())
    rows = ledger.reader.execute(
        "SELECT f.key FROM call_facts f JOIN callers c ON c.id = f.caller WHERE c.file = ? AND f.offset <= ? "
        "ORDER BY f.offset DESC LIMIT 1",
        (str(path), begin + max(length - 1, 0)),
    ).fetchone()
    if rows is None:
        raise InputError(f"no call of {path} begins at line {number} or before; `outlay usage` reads transcripts")
    return next(ledger.calls("key = ?", (rows[0],)))


def _line(path: Path, offset: int) -> tuple[int | None, str]:
    try:
        with path.open("rb") as file:
            before = file.read(offset)
            text = file.readline(2000).decode("utf-8", "replace").strip()
    except OSError:
        return None, ""
    return before.count(b"\n") + 1, text[:400]


def _shares(call: Call, rates: Effective | None) -> list[Share]:
    shares = []
    for name in _CLASSES:
        count = getattr(call.usage, name)
        if name == "output":
            count -= call.usage.reasoning
        if count:
            rate = None if rates is None else getattr(rates, "web_search" if name == "web_searches" else name)
            shares.append(Share(name, count, rate))
    return shares


def render(found: Audit) -> str:
    """For a terminal."""
    call = found.call
    where = f"{found.file}:{found.line}" if found.line else found.file or "(no file)"
    when = dt.datetime.fromtimestamp(call.ended_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    who = f"{call.agent or 'main'} ({call.role or 'main'}), session {call.session}"
    model = call.model + (f", answered by {call.answered_model}" if call.answered_model else "")
    on = f" on {call.machine}" if call.machine else ""
    extras = ", ".join(part for part in (call.tier, call.speed) if part)
    lines = [
        f"call     {call.key}", f"source   {call.source}{on}, {call.quality}",
        f"read at  {where}", f"ended    {when}", f"who      {who}",
        f"model    {model}{f' ({extras})' if extras else ''}", f"tools    {call.tools or '(none)'}", "",
        f"{'class':<16}{'count':>12}  {'USD per million':>16}  {'cost':>14}",
    ]  # fmt: skip
    for share in found.shares:
        rate = "no rate" if share.rate_pico is None else str((usd(share.rate_pico) * 10**6).normalize().__format__("f"))
        cost = show(share.pico, digits=8) if share.pico is not None else "unknown"
        lines.append(
            f"{share.name if share.name != 'output' else 'output*':<16}{share.count:>12,}  {rate:>16}  {cost:>14}"
        )
    if found.request_pico:
        lines.append(f"{'request':<16}{1:>12,}  {'':>16}  {show(found.request_pico, digits=8):>14}")
    priced = found.priced
    cost = show(priced.cost_pico, digits=8) if priced.cost_pico is not None else f"unknown: {priced.why_unknown}"
    lines += ["", f"cost     {cost}", f"price    {priced.row or 'no row'}, book {priced.book}"]
    if call.recorded_cost_pico is not None:
        lines.append(f"recorded {show(call.recorded_cost_pico, digits=8)} by {call.source} itself")
    if call.usage.reasoning:
        lines.append("* without its reasoning, which has a line of its own")
    if found.text:
        lines += ["", found.text]
    return "\n".join(lines)


def to_json(found: Audit) -> str:
    """Everything; money in picodollars."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode()
