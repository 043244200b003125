"""The frozen price list: genai-prices compiled to whole picodollars, dated and hashed, read without that package.

`python -m outlay.prices.snapshot` writes it anew from the installed genai-prices. Ids are exact: what genai-prices
matches by prefix, substring or pattern is left out, because it prices `claude-opus-4-60` as `claude-opus-4-6`;
dated ids that matter are written down in `aliases.toml`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD_PER_MTOK
from outlay.prices.rates import Rates

DATA = Path(__file__).parent / "data"
FILE = DATA / "snapshot.json"
MANIFEST = DATA / "snapshot.toml"
VARIANTS = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
"""What genai-prices calls a request's context -> our variant. Others (a route, a kind of search) are left out."""
_PER_TOKEN = {
    "input_mtok": "fresh",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
}
_PER_THOUSAND = {"web_searches_kcount": "web_search", "requests_kcount": "request"}
_UNCOUNTED = ("output_citation_mtok",)
"""Billed on every call, but counted in none of ours: such a model has no price here."""


WEEKENDS_OFF_PEAK = {"deepseek": ("deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro")}
"""genai-prices cannot say weekdays. Its comments on these models: off-peak all day on Saturdays and Sundays from
2026-08-23. Chinese public holidays are off-peak too and are not known here: on those days peak hours cost too much."""
_WEEKENDS_FROM = dt.date(2026, 8, 23)


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rates that hold from a moment, or in a part of the day; the last row that holds wins."""

    base: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    """(input tokens above which, rates of the whole call), ascending."""
    from_ms: int | None = None
    hours: tuple[int, int] | None = None
    """Milliseconds of the UTC day, from (included) to (excluded); may cross midnight."""
    variant: str = ""
    days: tuple[int, ...] = ()
    """Days of the UTC week on which it holds, Monday is 0; empty: all."""


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model at one provider."""

    id: str
    rows: tuple[Row, ...]
    variants: tuple[Row, ...] = ()
    """Partial rates that replace those of the row that holds; the first that states a class wins."""
    rounded: bool = False
    """Some rate was finer than a picodollar per token and was rounded to it (half to even)."""


class Snapshot(msgspec.Struct, frozen=True):
    """The file: provider -> id (lower case) -> model as raw JSON, decoded only when it is asked for."""

    source: str
    date: str
    providers: dict[str, dict[str, msgspec.Raw]]
    """The JSON is a model, or a string: the id under which the same model stands in this table."""
    fallbacks: dict[str, list[str]] = {}
    """Provider -> providers whose prices it takes for models that it does not list."""


class Manifest(msgspec.Struct, frozen=True):
    """What stands beside the file."""

    source: str
    date: str
    sha256: str
    models: int
    rounded: int


def read(path: Path = FILE, sha256: str | None = None) -> tuple[Snapshot, str]:
    """The snapshot and its SHA-256. Raises InputError when the file is not the one that was frozen."""
    try:
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        if sha256 is not None and digest != sha256:
            raise InputError(f"the price snapshot {path} was changed after it was frozen; run `outlay prices update`")
        return _decoder.decode(raw), digest
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"cannot read the price snapshot {path}: {error}; run `outlay prices update`") from None


_decoder = msgspec.json.Decoder(Snapshot)
_decode_entry = msgspec.json.Decoder(Model | str).decode


def model_at(listed: Snapshot, provider: str, id: str) -> Model | None:
    """The model under exactly this id (lower case), or None."""
    table = listed.providers.get(provider, {})
    if (raw := table.get(id)) is None:
        return None
    found = _decode_entry(raw)
    return model_at(listed, provider, found) if isinstance(found, str) else found


def own_ids(listed: Snapshot, provider: str) -> list[str]:
    """Ids of a provider's models, each once: other ids of the same model are left out."""
    return [id for id, raw in listed.providers[provider].items() if not bytes(raw).startswith(b'"')]


def manifest(path: Path = MANIFEST) -> Manifest:
    """Source, date and hash of the frozen file."""
    return msgspec.toml.decode(path.read_bytes(), type=Manifest)


# ---- compiling


def _pico_rate(price: Decimal, places: int) -> tuple[int, bool]:
    exact = price * places
    whole = exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    return int(whole), whole != exact


def _stated(prices: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(prices).items() if value is not None}


def _at_step(value: Any, above: int | None) -> Decimal:
    """The price of one class when the whole input is just above `above` (None: at the bottom)."""
    if isinstance(value, Decimal):
        return value
    found: Decimal = value.base
    for tier in value.tiers:
        if above is not None and tier.start <= above:
            found = tier.price
    return found


def _rates(prices: Any, above: int | None) -> tuple[Rates, bool]:
    found: dict[str, int] = {}
    rounded = False
    for key, value in _stated(prices).items():
        if key in _PER_TOKEN:
            name, places = _PER_TOKEN[key], PICO_PER_USD_PER_MTOK
        elif key in _PER_THOUSAND:
            name, places = _PER_THOUSAND[key], 10**9
        else:
            continue
        found[name], finer = _pico_rate(_at_step(value, above), places)
        rounded |= finer
    return Rates(**found), rounded


def _row(prices: Any, constraint: Any, variant: str = "") -> tuple[Row, bool]:
    starts = sorted({t.start for v in _stated(prices).values() if not isinstance(v, Decimal) for t in v.tiers})
    base, rounded = _rates(prices, None)
    tiers = tuple((start, _rates(prices, start)[0]) for start in starts)
    from_ms: int | None = None
    hours: tuple[int, int] | None = None
    if constraint is not None and hasattr(constraint, "start_date"):
        from_ms = int(dt.datetime.combine(constraint.start_date, dt.time(), dt.UTC).timestamp()) * 1000
    elif constraint is not None:
        hours = (_ms_of_day(constraint.start_time), _ms_of_day(constraint.end_time))
    return Row(base, tiers, from_ms, hours, variant), rounded


def _ms_of_day(time: dt.time) -> int:
    moment = dt.datetime.combine(dt.date(1970, 1, 2), time, time.tzinfo or dt.UTC).astimezone(dt.UTC)
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1000


def _model(info: Any) -> Model | None:
    conditional = info.prices if isinstance(info.prices, list) else None
    pairs = [(c.prices, c.constraint) for c in conditional] if conditional is not None else [(info.prices, None)]
    if any("input_mtok" not in _stated(p) or any(key in _stated(p) for key in _UNCOUNTED) for p, _ in pairs):
        return None
    compiled = _dated_hours([_row(prices, constraint) for prices, constraint in pairs])
    variants = []
    for variant in info.price_variants or ():
        if len(variant.when) == 1 and (name := VARIANTS.get(next(iter(variant.when.items())))):
            variants.append(_row(variant.prices, variant.constraint, name))
    rounded = any(finer for _, finer in [*compiled, *variants])
    return Model(info.id, tuple(r for r, _ in compiled), tuple(r for r, _ in variants), rounded)


def _dated_hours(rows: list[tuple[Row, bool]]) -> list[tuple[Row, bool]]:
    """Give hours of the day their date, which genai-prices cannot write down beside them.

    Its hourly rates are those of today. They hold from the newest dated row on; before the first one the price was
    flat; in between, what these hours cost is not known, and a row without rates says so.
    """
    dates = [row.from_ms for row, _ in rows if row.from_ms is not None]
    hourly = [row for row, _ in rows if row.hours is not None]
    if not hourly or not dates:
        return rows
    found = [(row, finer) for row, finer in rows if row.hours is None]
    if min(dates) < max(dates):
        gaps = [(Row(Rates(), from_ms=min(dates), hours=row.hours), False) for row in hourly]
        newest = next(n for n, (row, _) in enumerate(found) if row.from_ms == max(dates))
        found[newest:newest] = gaps
    finer = any(f for row, f in rows if row.hours is not None)
    return found + [(msgspec.structs.replace(row, from_ms=max(dates)), finer) for row in hourly]


def _weekend(model: Model) -> Model:
    """The model with its off-peak rates on weekends."""
    off_peak = [row for row in model.rows if row.hours is None][-1]
    from_ms = int(dt.datetime.combine(_WEEKENDS_FROM, dt.time(), dt.UTC).timestamp()) * 1000
    row = Row(off_peak.base, off_peak.tiers, max(from_ms, off_peak.from_ms or 0), days=(5, 6))
    return msgspec.structs.replace(model, rows=(*model.rows, row))


def _exact_ids(match: Any) -> Iterator[str]:
    if hasattr(match, "equals"):
        yield match.equals
    for clause in getattr(match, "or_", ()):
        yield from _exact_ids(clause)


def compile_genai(providers: Any, version: str, date: str) -> tuple[bytes, Manifest]:
    """The snapshot's bytes and its manifest from genai-prices' `providers`."""
    tables: dict[str, dict[str, Any]] = {}
    fallbacks: dict[str, list[str]] = {}
    models = rounded = 0
    for provider in sorted(providers, key=lambda p: p.id):
        table: dict[str, Any] = {}
        for info in provider.models:
            model = _model(info)
            if model is None:
                continue
            if info.id in WEEKENDS_OFF_PEAK.get(provider.id, ()):
                model = _weekend(model)
            models += 1
            rounded += model.rounded
            table.setdefault(info.id.lower(), model)
        for info in provider.models:
            if isinstance(table.get(info.id.lower()), Model):
                for alias in _exact_ids(info.match):
                    table.setdefault(alias.lower(), info.id.lower())
        if table:
            tables[provider.id] = dict(sorted(table.items()))
        if provider.fallback_model_providers:
            fallbacks[provider.id] = list(provider.fallback_model_providers)
    source = f"genai-prices {version}"
    raw = msgspec.json.encode({"source": source, "date": date, "providers": tables, "fallbacks": fallbacks})
    return raw, Manifest(source, date, hashlib.sha256(raw).hexdigest(), models, rounded)


def installed() -> tuple[bytes, Manifest]:
    """Compile the genai-prices that is installed. Its date is that of the newest price change in it that has begun."""
    try:
        from importlib.metadata import version

        from genai_prices.data import providers
    except ImportError:
        raise InputError("genai-prices is not installed; install it with `pip install genai-prices`") from None
    return compile_genai(providers, version("genai-prices"), _newest_date(providers, dt.datetime.now(dt.UTC).date()))


def _newest_date(providers: Any, today: dt.date) -> str:
    dates: list[dt.date] = [
        c.constraint.start_date
        for p in providers
        for m in p.models
        for c in [*(m.prices if isinstance(m.prices, list) else []), *(m.price_variants or ())]
        if hasattr(c.constraint, "start_date")
    ]
    return max(date for date in dates if date <= today).isoformat()


def write(raw: bytes, about: Manifest, folder: Path, stem: str = "snapshot") -> None:
    """Write the two files of a snapshot into `folder`."""
    lines: Mapping[str, object] = msgspec.structs.asdict(about)
    (folder / f"{stem}.json").write_bytes(raw)
    text = "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in lines.items())
    (folder / f"{stem}.toml").write_text(text)


if __name__ == "__main__":
    contents, facts = installed()
    write(contents, facts, Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    sys.stdout.write(f"{facts.models} models of {facts.source}, {len(contents)} bytes, sha256 {facts.sha256[:12]}\n")
