"""Plans as data: what ships is sound, and mistakes are named."""

from __future__ import annotations

import pytest

from outlay.errors import InputError
from outlay.prices.plans import SHIPPED, build, parse_plans, read_plans
from outlay.prices.ways.subscription import Subscription

WINDOW = {"id": "5h", "limit_usd": 12, "len_h": 5, "anchor": "first_call"}


def test_every_shipped_plan_can_be_built_or_says_why_not_and_where_it_was_read():
    plans = read_plans(SHIPPED)
    assert {p.scheme for p in plans} == {"plan", "credits", "gpu", "commit"}
    for plan in plans:
        assert plan.table["seen"] and plan.table["when"] and plan.table["kind"], plan.id
        if not plan.table.get("unpublished"):
            build(plan, high=True)
            build(plan, high=False)


def test_a_range_is_kept_as_its_two_ends():
    (plan,) = (p for p in read_plans(SHIPPED) if p.id == "claude-max-20x")
    better, worse = (build(plan, high=high) for high in (True, False))
    assert isinstance(better, Subscription) and isinstance(worse, Subscription)
    assert plan.ranged
    assert [w.limit // 10**12 for w in better.windows] == [66, 1854]
    assert [w.limit // 10**12 for w in worse.windows] == [66, 492]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"plan": [{"id": "x", "fee_usd_month": 10}]}, "needs `windows`"),
        ({"plan": [{"id": "x", "fee_usd_month": 10, "windows": []}]}, "needs `windows`"),
        ({"plan": [{"id": "x", "fee_usd_month": -10, "windows": [WINDOW]}]}, "0 or more"),
        ({"plan": [{"id": "x", "windows": [WINDOW]}]}, "`fee_usd_month` is missing"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [{**WINDOW, "limit_usd": 0}]}]}, "above 0"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [{**WINDOW, "anchor": "monday"}]}]}, "anchor is one of"),
        (
            {"plan": [{"id": "x", "fee_usd_month": 1, "windows": [{"id": "w", "anchor": "sliding", "len_h": 1}]}]},
            "exactly one",
        ),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [{**WINDOW, "limit_usd": [5, 3]}]}]}, "range"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [{**WINDOW, "timezone": "Mars"}]}]}, "time zone"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [WINDOW], "overage": "beg"}]}, "overage is"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [WINDOW], "overage": "fallback"}]}, "fallback_model"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [WINDOW], "fees": 3}]}, "'fees'"),
        ({"plan": [{"fee_usd_month": 1}]}, "`id` is missing"),
        ({"plan": [{"id": "x", "fee_usd_month": 1, "windows": [WINDOW]}] * 2}, "a second plan"),
        ({"credits": [{"id": "c", "usd_per_credit": 0.04}]}, "needs per_mtok"),
        ({"credits": [{"id": "c", "usd_per_credit": 0.04, "per_mtok": {"m": [1, 2]}}]}, "input, cached input, output"),
        ({"gpu": [{"id": "g", "usd_h": 6}]}, "needs `device`"),
        (
            {"gpu": [{"id": "g", "usd_h": 6, "capacity": {"prefill_tps": 0, "cached_tps": 1, "decode_tps": 1}}]},
            "above 0",
        ),
        ({"commit": [{"id": "k", "minimum_usd": 100, "price": 0}]}, "above 0"),
        ({"plans": []}, "no such table"),
        ({"plan": {"id": "x"}}, "two brackets"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_by_name(table, message):
    with pytest.raises(InputError, match=message):
        parse_plans(table, "mine.toml")


def test_a_fleet_on_known_hardware_takes_its_capacity_from_the_catalogue():
    (plan,) = parse_plans(
        {"gpu": [{"id": "g", "usd_h": 3, "device": "h100", "serves": "gpt-oss-120b", "context_tokens": 16_000}]}, "x"
    )
    better, worse = (build(plan, high=high) for high in (True, False))
    assert better.capacity.decode > worse.capacity.decode > 0
