"""Each way to pay equals a slow model in exact fractions, whatever the calls."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.prices import snapshot
from outlay.prices import trace as traces
from outlay.prices.book import load, rebuild
from outlay.prices.many import Columns, Kind
from outlay.prices.own import OwnBook, parse_own
from outlay.prices.rates import Rates, effective
from outlay.prices.ways.admission import Rule, admit
from outlay.prices.ways.commitment import best_minimum, settle
from outlay.prices.ways.credits import UNIT, Credits
from outlay.prices.ways.dedicated import Capacity, Dedicated
from outlay.prices.ways.mix import Mix, Part
from outlay.prices.ways.per_token import PerToken
from outlay.prices.ways.subscription import Subscription, Window
from prices import slow_ways as slow

HOUR = 3_600_000
BERLIN = ZoneInfo("Europe/Berlin")
START = 1_772_000_000_000  # February 2026: month ends and the change to summer time follow
BOOK = load()
ONE = BOOK.with_price("m", input=1, output=10, cache_read="0.1").with_price("n", input=3, output=7)


def made(times, fresh, output, cached=None, model=None, message=None):
    columns = Columns(
        [Kind("m"), Kind("n")], model or [0] * len(times), times,
        {"fresh": fresh, "output": output, "cache_read": cached or [0] * len(times)},
    )  # fmt: skip
    trace = traces.from_columns(columns, ONE)
    trace.message = message
    return trace


def everything(trace):
    return np.ones(len(trace), dtype=np.bool_)


times = st.lists(st.integers(0, 70 * 24 * HOUR), min_size=1, max_size=60).map(lambda x: sorted(START + t for t in x))
rules = st.builds(
    lambda anchor, hours, need, berlin, start: Rule(
        "w", anchor, hours * HOUR, need, BERLIN if berlin else dt.UTC, START - start
    ),
    st.sampled_from(
        ["first_call", "floor_hour", "calendar_day", "calendar_week", "calendar_month", "week_utc_monday",
         "subscription_anniversary", "account", "sliding"]
    ),
    st.integers(1, 200), st.integers(1, 60), st.booleans(), st.integers(0, 400 * 24 * HOUR),
)  # fmt: skip


@settings(max_examples=300)
@given(st.data(), times, st.lists(rules, min_size=1, max_size=3), st.booleans())
def test_windows_admit_the_same_calls_as_one_by_one(data, at, chosen, wait):
    n = len(at)
    weights = [data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)) for _ in chosen]
    counts = [data.draw(st.lists(st.booleans(), min_size=n, max_size=n)) for _ in chosen]
    came = admit(
        np.array(at), np.ones(n, dtype=np.bool_), chosen, [np.array(w) for w in weights],
        [np.array(c) for c in counts], np.arange(n), wait=wait,
    )  # fmt: skip
    windows = [slow.SlowWindow(r.anchor, r.length_ms, r.need, r.tz, r.start_ms) for r in chosen]
    calls = [(t, [w[i] for w in weights]) for i, t in enumerate(at)]
    want = slow.subscription(calls, windows, counts, wait=wait)
    assert came.served.tolist() == [served for served, _ in want]
    assert came.worth == sum(i for i, (served, _) in enumerate(want) if served)
    assert came.delay_ms == sum(delay for _, delay in want)
    assert came.delayed == sum(delay > 0 for _, delay in want)


@settings(max_examples=100)
@given(
    st.data(), times, st.fractions(Fraction(1, 50), 50, max_denominator=1000), st.integers(1, 10**9),
    st.fractions(0, 3, max_denominator=10), st.integers(0, 10**14),
)  # fmt: skip
def test_a_subscription_bills_fees_and_what_is_beyond_exactly(data, at, scale, limit, rate, fee):
    n = len(at)
    fresh = data.draw(st.lists(st.integers(0, 10**5), min_size=n, max_size=n))
    trace = made(at, fresh, [1] * n)
    month = Window(Rule("mo", "subscription_anniversary", 0, 1), 3 * limit)
    way = Subscription("s", fee, (Window(Rule("5h", "first_call", 5 * HOUR, 1), limit), month), "payg", rate)
    bill = way.bill(trace, scale, everything(trace))
    costs = [Fraction(f * 10**6 + 10**7) * scale for f in fresh]
    windows = [
        slow.SlowWindow("first_call", 5 * HOUR, limit),
        slow.SlowWindow("subscription_anniversary", 0, 3 * limit, start=at[0]),
    ]
    want = slow.subscription(
        [(t, [c, c]) for t, c in zip(at, costs, strict=True)], windows, [[True] * n] * 2, wait=False
    )
    over = sum((c for c, (served, _) in zip(costs, want, strict=True) if not served), Fraction(0))
    months = slow.months_touched(at[0], at[0], at[-1])
    assert bill.billed == fee * len(months) + over * rate
    share = sum(Fraction(fee * (min(e, at[-1] + 1) - max(b, at[0])), e - b) for b, e in months)
    assert bill.effective == share + over * rate
    assert bill.overage == sum(not served for served, _ in want)
    assert bill.listed == sum(costs)


@settings(max_examples=150)
@given(
    st.data(), times, st.fractions(Fraction(1, 50), 50, max_denominator=1000), st.integers(0, 40),
    st.integers(1, 30), st.sampled_from([None, 1, 2]),
)  # fmt: skip
def test_credits_cost_what_packs_bought_one_by_one_cost(data, at, scale, included, pack, expiry):
    n = len(at)
    fresh = data.draw(st.lists(st.integers(0, 8 * 10**6), min_size=n, max_size=n))
    trace = made(at, fresh, [0] * n)
    card = effective(Rates(fresh=1000, cache_read=100, output=5000))  # a credit per million tokens
    way = Credits("c", 4 * 10**10, (("m", card),), (), (), 0, included * UNIT, pack * UNIT, expiry)
    bill = way.bill(trace, scale, everything(trace))
    uses = [(t, Fraction(f * 1000) * scale) for t, f in zip(at, fresh, strict=True)]
    months = slow.months_touched(at[0], at[0], at[-1])
    want = slow.credit_packs(uses, months, included * UNIT, pack * UNIT, expiry, Fraction(4 * 10**10, UNIT))
    assert bill.billed == want


def test_a_message_card_bills_messages_and_no_tool_calls():
    trace = made([START, START + 1, START + 2], [10, 20, 30], [5, 5, 5], message=np.array([True, False, True]))
    way = Credits("c", 4 * 10**10, messages=(("m", 7 * UNIT),))
    assert way.bill(trace, Fraction(1), everything(trace)).billed == 2 * 7 * 4 * 10**10


@settings(max_examples=150)
@given(
    st.data(), times, st.fractions(Fraction(1, 100), 100, max_denominator=100), st.integers(0, 600_000),
    st.integers(0, 4 * HOUR), st.sampled_from([1000, 60_000, HOUR]), st.booleans(),
)  # fmt: skip
def test_a_fleet_that_scales_to_zero_is_up_as_long_as_one_by_one(data, at, scale, cold, idle, step, billed):
    n = len(at)
    output = data.draw(st.lists(st.integers(0, 4000), min_size=n, max_size=n))
    trace = made(at, [100] * n, output)
    fleet = Dedicated(
        "d", Fraction(10**13), Capacity(1000, 10_000, 37), "scale_to_zero", cold_ms=cold, cold_billed=billed,
        idle_ms=idle, granularity_ms=step,
    )  # fmt: skip
    bill = fleet.bill(trace, scale, everything(trace))
    per_token = -(-(10**12) // 37)
    work = [100 * 10**9 + o * per_token for o in output]
    buckets = {}
    for t, w in zip(at, work, strict=True):
        buckets[t // 300_000] = buckets.get(t // 300_000, 0) + w
    peak = max(buckets.values()) * scale / (300_000 * 10**9)
    nodes = max(1, -(-peak.numerator // peak.denominator))
    served = [-(-Fraction(-(-w // 10**6)) * scale / nodes // 1) for w in work]
    up, _, delayed, delay = slow.scale_to_zero(
        [(t * 1000, int(s)) for t, s in zip(at, served, strict=True)], cold * 1000, idle * 1000, step * 1000, billed
    )
    assert bill.billed == Fraction(10**13) * nodes * (up // 1000) / HOUR
    assert (bill.delayed, bill.delay_ms) == ((delayed, delay // 1000) if cold else (0, 0))


@settings(max_examples=200)
@given(
    st.lists(st.fractions(0, 300, max_denominator=100), min_size=1, max_size=14), st.integers(1, 100),
    st.fractions(Fraction(1, 10), 1, max_denominator=20), st.fractions(0, 2, max_denominator=20), st.integers(0, 4),
)  # fmt: skip
def test_a_minimum_with_rollover_bills_like_the_slow_model(volumes, minimum, price, beyond, rollover):
    cash, _, wasted = settle(volumes, minimum, price, beyond, rollover)
    assert cash == slow.commitment(volumes, minimum, price, beyond, rollover)
    assert wasted >= 0


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=8),
    st.fractions(Fraction(1, 10), Fraction(9, 10), max_denominator=10), st.fractions(1, 2, max_denominator=5),
)  # fmt: skip
def test_no_other_minimum_would_have_cost_less(volumes, price, beyond):
    exact = [Fraction(v) for v in volumes]
    best = best_minimum(exact, price, beyond, 0)

    def cost(minimum):
        return sum(slow.commitment(exact, minimum, price, beyond, 0))

    assert all(cost(best) <= cost(Fraction(m, 2)) for m in range(130))


def test_contract_discounts_hold_from_their_date_for_their_provider():
    discounts = parse_own(
        {"discount": [{"provider": "anthropic", "factor": Decimal("0.75"), "from": dt.datetime(2026, 11, 1)}]}, "x"
    )
    book = rebuild(*snapshot.read(), OwnBook((), discounts.discounts))
    november = int(dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp() * 1000)
    columns = Columns(
        [Kind("claude-opus-4-6"), Kind("gpt-5.4")],
        [0, 0, 1],
        [november - 1, november, november],
        {"fresh": [10**6] * 3},
    )
    trace = traces.from_columns(columns, book)
    bill = PerToken("per-token", book).bill(trace, Fraction(2), everything(trace))
    assert bill.listed == 2 * (5 + 5 + 5) * 10**12
    assert bill.billed == bill.contracted == 2 * (5 + Fraction("3.75") + 5) * 10**12


def test_a_mix_charges_each_call_once():
    at = [START + n * 60_000 for n in range(50)]
    trace = made(at, [10_000] * 50, [100] * 50, model=[n % 2 for n in range(50)])
    sub = Subscription("s", 10**12, (Window(Rule("5h", "first_call", 5 * HOUR, 1), 10**11),), "drop")
    mix = Mix("both", (Part(sub, ("m",)), Part(PerToken("per-token", ONE))))
    bill = mix.bill(trace, Fraction(1), everything(trace))
    alone = sub.bill(trace, Fraction(1), trace.of_model(["m"]))
    inside = int(trace.list_pico[alone.served].sum())
    assert bill.served.all() and bill.blocked == 0
    assert bill.billed == 10**12 + trace.priced.total_pico - inside
    assert bill.listed == trace.priced.total_pico


def test_the_last_call_overshoots_and_the_next_is_refused():
    trace = made([START, START + 1, START + 2], [60, 60, 60], [0, 0, 0])
    way = Subscription("s", 0, (Window(Rule("5h", "first_call", 5 * HOUR, 1), 100 * 10**6),), "drop")
    bill = way.bill(trace, Fraction(1), everything(trace))
    assert bill.served.tolist() == [True, True, False]
    assert bill.marginal is None


@pytest.mark.parametrize(("gap", "served"), [(5 * HOUR, False), (5 * HOUR + 1, True)])
def test_a_five_hour_window_is_live_to_the_millisecond(gap, served):
    trace = made([START, START + gap], [100, 100], [0, 0])
    way = Subscription("s", 0, (Window(Rule("5h", "first_call", 5 * HOUR, 1), 1),), "drop")
    assert way.bill(trace, Fraction(1), everything(trace)).served.tolist() == [True, served]


def test_a_scaled_call_is_admitted_as_long_as_something_of_the_window_is_left():
    trace = made([START + n for n in range(6)], [1] * 6, [0] * 6)
    way = Subscription("s", 0, (Window(Rule("5h", "first_call", 5 * HOUR, 1), 10, "requests"),), "drop")
    # Three calls for one: 9 of 10 are used before the fourth, which therefore still runs.
    assert way.bill(trace, Fraction(3), everything(trace)).served.sum() == 4


@pytest.mark.parametrize(("before", "packs"), [(1, 1), (0, 2)])
def test_a_pack_expires_at_the_very_instant(before, packs):
    end = slow.plus_months(START, 1)
    card = effective(Rates(fresh=1000, output=0))
    way = Credits("c", 10**9, (("m", card),), pack=5 * UNIT, expiry_months=1)
    trace = made([START, end - before], [10**6, 10**6], [0, 0])
    assert way.bill(trace, Fraction(1), everything(trace)).billed == packs * 5 * 10**9


def test_half_the_limit_is_the_same_as_twice_the_volume():
    at = [START + n * HOUR for n in range(40)]
    trace = made(at, list(range(1000, 41_000, 1000)), [10] * 40)
    wide = Subscription("s", 0, (Window(Rule("mo", "calendar_month", 0, 1), 10**11),), "payg")
    narrow = Subscription("s", 0, (Window(Rule("mo", "calendar_month", 0, 1), 10**11 // 2),), "payg")
    assert (
        wide.bill(trace, Fraction(2), everything(trace)).billed
        == 2 * narrow.bill(trace, Fraction(1), everything(trace)).billed
    )
