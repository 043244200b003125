"""Other words for the fields of plans: as price pages and other lists of plans write them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from outlay.errors import InputError

DESCRIPTIVE = {"scheme", "meter", "admission", "billing", "text", "since", "fee_note"}
"""Said about a plan in words; nothing is computed from them."""
_SCHEMES = {
    "subscription": "plan", "plan": "plan", "credits": "credits", "gpu": "gpu", "dedicated": "gpu", "commit": "commit",
    "minimum": "commit", "negotiated_minimum": "commit", "mix": "mix",
}  # fmt: skip
_FIELDS: dict[str, dict[str, tuple[str, int]]] = {
    "credits": {"credit_usd": ("usd_per_credit", 1), "usd_per_1000": ("usd_per_credit", 1000)},
    "gpu": {"usd_gpu_h": ("usd_h", 1)},
    "commit": {"overage_rate": ("beyond", 1)},
}
"""Kind of plan -> other word -> own word, and for how many of them the figure is."""
_OVERAGES = {"pay": "payg", "pay_per_token": "payg", "block": "drop", "fall_back": "fallback"}
_ANCHORS = {"floored_hour": "floor_hour", "anniversary": "subscription_anniversary"}


def scheme_of(table: str, entry: Mapping[str, Any], where: str) -> str:
    """The kind of a plan: of its table, or of its field `scheme` where it stands under [[plan]]."""
    named = entry.get("scheme")
    if named is None:
        return table
    scheme = _SCHEMES.get(_word(named))
    if scheme is None or table not in ("plan", scheme):
        raise InputError(f"{where}: scheme {named!r} under [[{table}]]; there are {', '.join(_SCHEMES)}")
    return scheme


def spelled(scheme: str, entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The entry with this package's own words for its fields, overage and anchors."""
    table = dict(entry)
    for other, (own, per) in _FIELDS.get(scheme, {}).items():
        if other in table:
            if own in table:
                raise InputError(f"{where}: {other} and {own} say the same; leave one out")
            value = table.pop(other)
            table[own] = [_each(v, per) for v in value] if isinstance(value, list) else _each(value, per)
    if isinstance(overage := table.get("overage"), str):
        table["overage"] = _OVERAGES.get(_word(overage), _word(overage))
    if isinstance(windows := table.get("windows"), list):
        table["windows"] = [_window(window) for window in windows]
    return table


def _window(entry: Any) -> Any:
    if not isinstance(entry, dict) or not isinstance(anchor := entry.get("anchor"), str):
        return entry
    return entry | {"anchor": _ANCHORS.get(_word(anchor), _word(anchor))}


def _each(value: Any, per: int) -> Any:
    """A figure for one where it is given for `per`, exactly; what is no figure is left for the reader to refuse."""
    return Decimal(value) / per if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _word(text: Any) -> str:
    return str(text).strip().lower().replace("-", "_").replace(" ", "_")
