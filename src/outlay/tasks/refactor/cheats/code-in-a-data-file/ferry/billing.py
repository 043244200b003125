"""Bills for crossings. Amounts are in cents."""

from pathlib import Path
from dataclasses import dataclass
from typing import Callable

LEAST_CHARGE = 500
NEEDED_OF_A_CUSTOMER = ("name", "card", "trips", "country")


@dataclass(frozen=True)
class Kind:
    """What sets one kind of vehicle apart."""

    name: str
    base: dict  # by zone
    size: str  # what a vehicle may be charged extra for ...
    size_free: int
    size_step: int
    size_price: int
    count: str  # ... and what is counted on it
    count_most: int
    count_least: int
    count_free: int
    count_price: int
    summer: tuple
    summer_percent: int
    winter_percent: int
    fuel_from: int
    fuel_divisor: int
    fuel_on_count: bool
    cards: dict  # percent by card
    vat_percent: int
    more_discount: Callable  # (discount, net, customer) -> discount


def _as_it_is(discount, net, customer):
    return discount


def _for_many_trips(discount, net, customer):
    return discount + net * 3 // 100 if customer["trips"] >= 50 else discount


def _capped(discount, net, customer):
    return min(discount, 4000)


CAR = Kind(
    "car", {1: 2400, 2: 3900, 3: 6150}, "length_cm", 500, 100, 350, "people", 9, 1, 2, 650, (6, 7, 8), 130, 85,
    100, 400, True, {"gold": 15, "silver": 8}, 25, _as_it_is,
)  # fmt: skip
TRUCK = Kind(
    "truck", {1: 9800, 2: 14400, 3: 21900}, "weight_kg", 18000, 1000, 420, "axles", 8, 2, 3, 1100, (7, 8), 115, 95,
    100, 250, False, {"gold": 12, "silver": 5}, 25, _for_many_trips,
)  # fmt: skip
COACH = Kind(
    "coach", {1: 7200, 2: 10900, 3: 16800}, "length_cm", 1200, 100, 500, "seats", 80, 1, 20, 120, (6, 7, 8), 125, 90,
    110, 400, True, {"gold": 15, "silver": 8}, 6, _capped,
)  # fmt: skip


def bill_car(crossing, customer):
    return _bill(CAR, crossing, customer)


def bill_truck(crossing, customer):
    return _bill(TRUCK, crossing, customer)


def bill_coach(crossing, customer):
    return _bill(COACH, crossing, customer)


def _bill(kind, crossing, customer):
    _demand(crossing, ("zone", "date", "fuel_index", kind.size, kind.count))
    _demand(customer, NEEDED_OF_A_CUSTOMER)
    month = _month(crossing["date"])
    base = _in_season(kind, _base(kind, crossing), month)
    counted = _counted(kind, crossing)
    fuel = _fuel(kind, crossing, base + counted if kind.fuel_on_count else base)
    net = base + counted + fuel
    discount = kind.more_discount(net * kind.cards.get(customer["card"], 0) // 100, net, customer)
    net -= discount
    vat, text = _vat(kind, net, customer["country"])
    lines = [(f"{kind.name.capitalize()}, zone {crossing['zone']}", base)]
    reduction = f"{customer['card']} card" if customer["card"] else "discount"
    lines += [line for line in ((kind.count, counted), ("fuel", fuel), (reduction, -discount)) if line[1]]
    lines.append((text, vat))
    total = max(net + vat, LEAST_CHARGE)
    if total > net + vat:
        lines.append(("least charge", total - net - vat))
    return {
        "customer": customer["name"], "kind": kind.name, "date": crossing["date"], "lines": lines, "net": net,
        "vat": vat, "total": total,
    }  # fmt: skip


def _demand(given, fields):
    for field in fields:
        if field not in given:
            raise ValueError(f"missing {field}")


def _month(date):
    year, month, day = (int(part) for part in date.split("-"))
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(f"no date {date}")
    return month


def _base(kind, crossing):
    if crossing["zone"] not in kind.base:
        raise ValueError(f"no zone {crossing['zone']}")
    steps = max(0, (crossing[kind.size] - kind.size_free + kind.size_step - 1) // kind.size_step)
    return kind.base[crossing["zone"]] + steps * kind.size_price


def _counted(kind, crossing):
    count = crossing[kind.count]
    if not kind.count_least <= count <= kind.count_most:
        raise ValueError(f"{kind.count} must be {kind.count_least} to {kind.count_most}")
    return max(0, count - kind.count_free) * kind.count_price


def _in_season(kind, base, month):
    if month in kind.summer:
        return base * kind.summer_percent // 100
    return base * kind.winter_percent // 100 if month in (1, 2, 11) else base


def _fuel(kind, crossing, on):
    return max(0, on * (crossing["fuel_index"] - kind.fuel_from) // kind.fuel_divisor)


def _vat(kind, net, country):
    if country == "NO":
        return 0, "export, no VAT"
    text = f"VAT {kind.vat_percent} %" + ("" if country == "SE" else ", foreign")
    return (net * kind.vat_percent + 50) // 100, text
