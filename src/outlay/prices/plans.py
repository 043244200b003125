"""Plans as data: TOML tables in the vocabulary of docs/reference/plans.md, checked when they are read.

A figure that is only known as a range stands as `[low, high]`; such a plan is asked twice, once per end.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD
from outlay.prices.book import PriceBook
from outlay.prices.calendar import HOUR_MS, zone
from outlay.prices.own import amount, instant
from outlay.prices.plan_words import DESCRIPTIVE, scheme_of, spelled
from outlay.prices.rates import Rates, effective
from outlay.prices.snapshot import DATA
from outlay.prices.trace import Trace, matches
from outlay.prices.ways.admission import ANCHORS, CALENDAR, Rule
from outlay.prices.ways.commitment import Commitment
from outlay.prices.ways.credits import UNIT, Credits
from outlay.prices.ways.dedicated import Capacity, Dedicated, Owned
from outlay.prices.ways.mix import Mix, Part
from outlay.prices.ways.per_token import PerToken
from outlay.prices.ways.subscription import Meter, Subscription, Window
from outlay.prices.ways.types import Way

SHIPPED = DATA / "plans.toml"
_ABOUT = {"id", "models", "data", "seen", "when", "kind", "note", "start"} | DESCRIPTIVE
_FIELDS = {
    "plan": _ABOUT | {
        "fee_usd_month", "windows", "overage", "overage_rate", "fallback_model", "timezone", "unpublished",
    },
    "credits": _ABOUT | {
        "usd_per_credit", "fee_usd_month", "included_credits", "pack_credits", "expiry_months", "per_mtok",
        "per_message", "per_request", "unpublished",
    },
    "gpu": _ABOUT | {
        "usd_h", "usd_h_total", "gpus", "capacity", "mode", "bucket_s", "max_nodes", "cold_start_s", "cold_billed",
        "idle_s", "granularity_s", "capex_usd", "residual_usd", "years", "interest", "watts", "pue", "usd_kwh",
        "opex_usd_h", "device", "serves", "context_tokens",
    },
    "commit": _ABOUT | {
        "minimum_usd", "period_months", "price", "beyond", "rollover_periods", "term_periods",
    },
    "mix": _ABOUT | {"parts"},
}  # fmt: skip
_LIMITS: dict[str, Meter] = {
    "limit_usd": "list", "limit_tokens": "tokens", "limit_requests": "requests", "limit_messages": "messages",
}  # fmt: skip
_WINDOW = {"id", "anchor", "len_h", "models", "timezone", *_LIMITS}


class Plan(msgspec.Struct, frozen=True):
    """One plan as it stands in its file."""

    id: str
    scheme: str
    """`plan` (subscription), `credits`, `gpu`, `commit` or `mix`."""
    table: dict[str, Any]
    origin: str
    """File and id, for messages."""

    @property
    def ranged(self) -> bool:
        """Whether some figure is a range, so that the two ends differ."""
        return _ranged(self.table)

    @property
    def models(self) -> tuple[str, ...]:
        """Models it serves; empty: any."""
        return tuple(self.table.get("models", ()))

    def serves(self, model: str) -> bool:
        return not self.models or matches(model, self.models)

    def rules_out(self, trace: Trace, data: str) -> str:
        """Why the plan cannot carry this trace at all, or an empty string."""
        if why := self.table.get("unpublished", ""):
            return str(why)
        if data and data not in self.table.get("data", ()):
            return f"nothing says that {data} data may go there (`data` in the plan)"
        if missing := [model for model in trace.models if not self.serves(model)]:
            return f"does not serve {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}"
        if trace.message is None and any("limit_messages" in w for w in self.table.get("windows", ())):
            return "counts messages of the user, and the trace does not say where one begins (field `message`)"
        return ""


def read_plans(path: Path) -> list[Plan]:
    """Plans of one file. Raises InputError that names file, plan and field."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise InputError(f"cannot read the plans {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"plans {path}: not TOML: {error}") from None
    return parse_plans(table, path.name)


def parse_plans(table: Mapping[str, Any], name: str) -> list[Plan]:
    """Plans of a parsed file; each is built once here, so that its mistakes show at once."""
    if unknown := sorted(set(table) - set(_FIELDS)):
        raise InputError(f"plans {name}: no such table {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    plans: list[Plan] = []
    for scheme, entries in table.items():
        if not isinstance(entries, list):
            raise InputError(f"plans {name}: write [[{scheme}]] with two brackets")
        for n, entry in enumerate(entries, 1):
            plans.append(_plan(scheme, entry, f"plans {name}, {scheme} {n}"))
    names = [plan.id for plan in plans]
    for plan in plans:
        if names.count(plan.id) > 1 or plan.id == PER_TOKEN:
            raise InputError(f"{plan.origin}: a second plan {plan.id!r}")
    return plans


PER_TOKEN = "per-token"


def _plan(scheme: str, entry: Mapping[str, Any], where: str) -> Plan:
    id = entry.get("id")
    if not isinstance(id, str) or not id:
        raise InputError(f"{where}: `id` is missing")
    where = f"{where} ({id})"
    scheme = scheme_of(scheme, entry, where)
    entry = spelled(scheme, entry, where)
    if unknown := sorted(set(entry) - _FIELDS[scheme]):
        raise InputError(f"{where}: no such field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS[scheme]))}")
    plan = Plan(id, scheme, entry, where)
    if scheme == "plan" and not entry.get("windows"):
        raise InputError(f"{where}: a subscription needs `windows`; without one nothing says what the fee includes")
    if not entry.get("unpublished") and scheme != "mix" and not entry.get("device"):
        for high in (False, True):
            build(plan, high=high)
    return plan


def _ranged(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            _is_range(v) or _ranged(v) for k, v in value.items() if k not in ("per_mtok", "models", "data", "seen")
        )
    if isinstance(value, list):
        return any(_ranged(v) for v in value if isinstance(v, dict))
    return False


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | Decimal) for v in value)


class _Reader:
    """Figures of one table, at one end of their ranges. `high` means: the end that is better for the buyer."""

    def __init__(self, table: Mapping[str, Any], where: str, high: bool) -> None:
        self.table, self.where, self.high = table, where, high

    def number(self, key: str, default: Any = None, *, cheaper_low: bool = False) -> Fraction:
        value = self.table.get(key, default)
        if value is None:
            raise InputError(f"{self.where}: `{key}` is missing")
        if isinstance(value, list):
            if not _is_range(value) or value[0] > value[1]:
                raise InputError(f"{self.where}: {key} is a number or a range [low, high]")
            value = value[0 if self.high == cheaper_low else 1]
        return amount(value, f"{self.where}: {key}")

    def whole(self, key: str, factor: int, default: Any = None, *, cheaper_low: bool = False) -> int:
        exact = self.number(key, default, cheaper_low=cheaper_low) * factor
        if exact.denominator != 1:
            raise InputError(f"{self.where}: {key} has too many decimals")
        return exact.numerator

    def optional(self, key: str, factor: int) -> int | None:
        return None if key not in self.table else self.whole(key, factor)

    @property
    def start(self) -> int | None:
        return instant(self.table.get("start"), f"{self.where}: start")


def build(plan: Plan, *, high: bool = False, trace: Trace | None = None, book: PriceBook | None = None) -> Way:
    """The way to pay behind a plan, at one end of its ranges (`high`: the end that is better for the buyer)."""
    read = _Reader(plan.table, plan.origin, high)
    if plan.scheme == "plan":
        return _subscription(plan, read, trace, book)
    if plan.scheme == "credits":
        return _credits(plan, read)
    if plan.scheme == "gpu":
        return _dedicated(plan, read, high)
    return Commitment(
        plan.id, read.whole("minimum_usd", PICO_PER_USD, cheaper_low=True), _share(read, "price"),
        _share(read, "beyond", plan.table.get("price")), read.whole("period_months", 1, 1),
        read.whole("rollover_periods", 1, 0), read.whole("term_periods", 1, 1), read.start,
    )  # fmt: skip


def _share(read: _Reader, key: str, default: Any = None) -> Fraction:
    value = read.number(key, default, cheaper_low=True)
    if not value:
        raise InputError(f"{read.where}: {key} is a share of the list price above 0, such as 0.8")
    return value


def _subscription(plan: Plan, read: _Reader, trace: Trace | None, book: PriceBook | None) -> Subscription:
    beyond = plan.table.get("overage", "drop")
    if beyond not in ("payg", "wait", "drop", "fallback"):
        raise InputError(f"{plan.origin}: overage is payg, wait, drop or fallback, not {beyond!r}")
    windows = tuple(_window(plan, entry, read.high) for entry in plan.table["windows"])
    other: tuple[int, ...] = ()
    if beyond == "fallback":
        model = plan.table.get("fallback_model")
        if not isinstance(model, str):
            raise InputError(f"{plan.origin}: overage = fallback needs `fallback_model`")
        if trace is not None and book is not None:
            other = _under(trace, book, model, plan.origin)
    return Subscription(
        plan.id, read.whole("fee_usd_month", PICO_PER_USD, cheaper_low=True), windows, beyond,
        read.number("overage_rate", 1, cheaper_low=True), other, read.start,
    )  # fmt: skip


def _under(trace: Trace, book: PriceBook, model: str, where: str) -> tuple[int, ...]:
    """What every call would cost under another model, at its own time."""
    from outlay.prices.many import Columns

    kinds = [msgspec.structs.replace(k, model=model, provider="", answered="") for k in trace.columns.kinds]
    priced = book.price_many(Columns(kinds, trace.columns.kind, trace.at_ms, dict(trace.columns.counts)))
    if priced.unknown:
        raise InputError(f"{where}: fallback_model: {next(iter(priced.unknown))}")
    return tuple(int(cost) for cost in priced.cost_pico)


def _window(plan: Plan, entry: Mapping[str, Any], high: bool) -> Window:
    where = f"{plan.origin}, window {entry.get('id', '?')}"
    if unknown := sorted(set(entry) - _WINDOW):
        raise InputError(f"{where}: no such field {unknown[0]!r}; there are {', '.join(sorted(_WINDOW))}")
    read = _Reader(entry, where, high)
    anchor = entry.get("anchor")
    if anchor not in ANCHORS:
        raise InputError(f"{where}: anchor is one of {', '.join(ANCHORS)}, not {anchor!r}")
    limits = [key for key in _LIMITS if key in entry]
    if len(limits) != 1:
        raise InputError(f"{where}: needs exactly one of {', '.join(_LIMITS)}")
    limit = read.whole(limits[0], PICO_PER_USD if limits[0] == "limit_usd" else 1)
    if limit <= 0:
        raise InputError(f"{where}: {limits[0]} must be above 0")
    length = 0
    if anchor not in CALENDAR and anchor != "subscription_anniversary":
        length = read.whole("len_h", HOUR_MS)
        if length <= 0 or (anchor == "floor_hour" and length < HOUR_MS):
            raise InputError(f"{where}: len_h must be above 0 (floor_hour: at least 1)")
    rule = Rule(str(entry.get("id", "window")), anchor, length, 1, zone(str(entry.get("timezone", ""))))
    return Window(rule, limit, _LIMITS[limits[0]], tuple(entry.get("models", ())))


def _credits(plan: Plan, read: _Reader) -> Credits:
    cards = []
    for model, card in plan.table.get("per_mtok", {}).items():
        if not isinstance(card, list) or len(card) != 3:
            raise InputError(f"{plan.origin}: per_mtok.{model} is [input, cached input, output] in credits")
        fresh, cached, output = (_per_token(value, f"{plan.origin}: per_mtok.{model}") for value in card)
        cards.append((model, effective(Rates(fresh=fresh, cache_read=cached, output=output))))
    each = {}
    for key in ("per_message", "per_request"):
        table = _Reader(plan.table.get(key, {}), f"{plan.origin}: {key}", read.high)
        each[key] = tuple((model, table.whole(model, UNIT, cheaper_low=True)) for model in table.table)
    if not cards and not any(each.values()):
        raise InputError(f"{plan.origin}: needs per_mtok, per_message or per_request")
    expiry = read.optional("expiry_months", 1)
    return Credits(
        plan.id, read.whole("usd_per_credit", PICO_PER_USD), tuple(cards), each["per_message"], each["per_request"],
        read.whole("fee_usd_month", PICO_PER_USD, 0), read.whole("included_credits", UNIT, 0),
        max(1, read.whole("pack_credits", UNIT, 0)), expiry, read.start,
    )  # fmt: skip


def _per_token(value: Any, where: str) -> int:
    """Billionths of a credit per token, from credits per million tokens."""
    exact = amount(value, where) * UNIT / 10**6
    if exact.denominator != 1:
        raise InputError(f"{where}: at most three decimals")
    return exact.numerator


def _dedicated(plan: Plan, read: _Reader, high: bool) -> Dedicated:
    gpus = read.whole("gpus", 1, 1)
    if "capex_usd" in plan.table:
        own = Owned(
            read.whole("capex_usd", PICO_PER_USD, cheaper_low=True), read.whole("residual_usd", PICO_PER_USD, 0),
            read.whole("years", 1), read.number("interest", 0, cheaper_low=True), read.whole("watts", 1),
            read.number("pue", 1, cheaper_low=True), read.whole("usd_kwh", PICO_PER_USD, cheaper_low=True),
            read.whole("opex_usd_h", PICO_PER_USD, 0, cheaper_low=True),
        )  # fmt: skip
        if own.years <= 0:
            raise InputError(f"{plan.origin}: years must be above 0")
        hour = own.hour()
    elif "usd_h_total" in plan.table:
        hour = Fraction(read.whole("usd_h_total", PICO_PER_USD, cheaper_low=True))
    else:
        hour = Fraction(read.whole("usd_h", PICO_PER_USD, cheaper_low=True) * gpus)
    mode = plan.table.get("mode", "always_on")
    if mode not in ("always_on", "scale_to_zero"):
        raise InputError(f"{plan.origin}: mode is always_on or scale_to_zero, not {mode!r}")
    return Dedicated(
        plan.id, hour, _capacity(plan, high), mode, read.whole("bucket_s", 1000, 300), read.optional("max_nodes", 1),
        read.whole("cold_start_s", 1000, 0), bool(plan.table.get("cold_billed")), read.whole("idle_s", 1000, 300),
        max(1, read.whole("granularity_s", 1000, 1)),
    )  # fmt: skip


def _capacity(plan: Plan, high: bool) -> Capacity:
    if device := plan.table.get("device"):
        from outlay.prices.hardware.serve import capacity_of

        return capacity_of(
            str(device), str(plan.table.get("serves", "")), int(plan.table.get("context_tokens", 32_000)),
            gpus=int(plan.table.get("gpus", 1)), high=high,
        )  # fmt: skip
    table = plan.table.get("capacity")
    if not isinstance(table, dict):
        raise InputError(f"{plan.origin}: needs `device`, or `capacity` (prefill_tps, cached_tps, decode_tps)")
    read = _Reader(table, f"{plan.origin}: capacity", high)
    speeds = [read.whole(key, 1) for key in ("prefill_tps", "cached_tps", "decode_tps")]
    if min(speeds) <= 0:
        raise InputError(f"{plan.origin}: speeds in `capacity` are above 0")
    return Capacity(*speeds)


def build_mix(plan: Plan, ways: Mapping[str, Way], models: Mapping[str, Sequence[str]]) -> Mix:
    """A mix of ways that are already built. `models` limits a part to what its plan serves."""
    parts = []
    for entry in plan.table.get("parts", ()):
        name = entry.get("plan")
        if name not in ways:
            raise InputError(f"{plan.origin}: no plan {name!r}; there are {', '.join(ways)}")
        parts.append(Part(ways[name], tuple(entry.get("models", models.get(name, ()))), tuple(entry.get("roles", ()))))
    if not parts:
        raise InputError(f"{plan.origin}: a mix needs `parts`, such as [{{plan = 'local', roles = ['scout']}}]")
    return Mix(plan.id, tuple(parts))


def per_token(book: PriceBook) -> PerToken:
    """Paying for every call, under the book's prices."""
    return PerToken(PER_TOKEN, book)


__all__ = ["PER_TOKEN", "Plan", "build", "build_mix", "per_token", "read_plans"]
