"""What one more call would add is what the bill says when it is made."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.prices.rates import Rates, effective
from outlay.prices.ways.admission import Rule
from outlay.prices.ways.commitment import Commitment
from outlay.prices.ways.credits import UNIT, Credits
from outlay.prices.ways.dedicated import Capacity, Dedicated
from outlay.prices.ways.mix import Mix, Part
from outlay.prices.ways.per_token import PerToken
from outlay.prices.ways.subscription import Subscription, Window
from prices import slow_ways as slow
from prices.test_ways_against_slow_models import HOUR, ONE, START, everything, made, times

CARD = effective(Rates(fresh=1000, cache_read=100, output=5000))
anchors = st.sampled_from(["first_call", "floor_hour", "calendar_week", "subscription_anniversary", "sliding"])
limits = st.integers(10**9, 10**12)


def window(anchor, hours, limit, models=()):
    return Window(Rule(anchor, anchor, hours * HOUR, 1), limit, "list", models)


subscriptions = st.builds(
    lambda anchor, hours, limit, week, beyond, fee: Subscription(
        "s", fee, (window(anchor, hours, limit), window("calendar_week", 0, week, ("m",))), beyond
    ),
    anchors, st.integers(1, 200), limits, limits, st.sampled_from(["payg", "drop", "wait"]), st.integers(0, 10**13),
)  # fmt: skip
credits = st.builds(
    lambda pack, expiry, included, message: Credits(
        "c", 4 * 10**10, () if message else (("m", CARD),), (("m", 7 * UNIT),) if message else (), (("n", UNIT),),
        10**12, included * UNIT, max(1, pack * UNIT), expiry,
    ),
    st.integers(0, 30), st.sampled_from([None, 1, 2]), st.integers(0, 40), st.booleans(),
)  # fmt: skip
fleets = st.builds(
    lambda mode, cold, idle, step, billed: Dedicated(
        "d", Fraction(10**13), Capacity(1000, 10_000, 37), mode, 300_000, None, cold, billed, idle, step
    ),
    st.sampled_from(["always_on", "scale_to_zero"]), st.integers(0, 600_000), st.integers(0, 4 * HOUR),
    st.sampled_from([1000, 60_000, HOUR]), st.booleans(),
)  # fmt: skip
commitments = st.builds(
    lambda minimum, months, rollover: Commitment(
        "k", minimum, Fraction(4, 5), Fraction(9, 10), months, rollover
    ),
    st.integers(0, 10**12), st.integers(1, 3), st.integers(0, 3),
)  # fmt: skip
mixes = st.builds(
    lambda first, models, then: Mix("x", (Part(first, models), *then)),
    st.one_of(subscriptions, credits), st.sampled_from([(), ("m",), ("n",)]),
    st.sampled_from([(), (Part(PerToken("per-token", ONE)),)]),
)  # fmt: skip


@settings(max_examples=400)
@given(
    st.data(), times, st.one_of(subscriptions, credits, fleets, commitments, mixes),
    st.fractions(Fraction(1, 50), 50, max_denominator=1000),
)  # fmt: skip
def test_the_next_call_costs_what_its_bill_says(data, at, way, scale):
    n = len(at)
    numbers = st.lists(st.integers(0, 10**6), min_size=n, max_size=n)
    fresh, output = data.draw(numbers), data.draw(numbers)
    model = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    message = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    once = made(at, fresh, output, model=model, message=message)
    twice = made(
        *([*x, x[-1]] for x in (at, fresh, output)), model=[*model, model[-1]], message=np.append(message, message[-1])
    )
    before, after = way.bill(once, scale, everything(once)), way.bill(twice, scale, everything(twice))
    if after.served[-1]:
        assert before.marginal == after.billed - before.billed
        if isinstance(way, Subscription):
            assert before.next_delay_ms == after.delay_ms - before.delay_ms
    else:
        assert before.marginal is None


def test_a_fleet_that_has_no_more_nodes_refuses_the_next_call():
    trace = made([START], [200_000], [0])
    way = Dedicated("d", Fraction(10**13), Capacity(500, 500, 500), max_nodes=2)
    assert way.bill(trace, Fraction(1), everything(trace)).marginal is None
    with pytest.raises(InputError, match="needs 3 nodes"):
        way.bill(trace, Fraction(2), everything(trace))


@settings(max_examples=100)
@given(st.data(), times, st.integers(1, 10**9), st.integers(0, 10**14), anchors, st.integers(1, 1000))
def test_waiting_is_paid_for_in_every_month_until_the_last_call_is_served(data, at, limit, fee, anchor, hours):
    fresh = data.draw(st.lists(st.integers(0, 10**5), min_size=len(at), max_size=len(at)))
    trace = made(at, fresh, [1] * len(at))
    way = Subscription("s", fee, (window(anchor, hours, limit),), "wait")
    bill = way.bill(trace, Fraction(1), everything(trace))
    calls = [(t, [f * 10**6 + 10**7]) for t, f in zip(at, fresh, strict=True)]
    windows = [slow.SlowWindow(anchor, hours * HOUR, limit, start=at[0])]
    served = slow.subscription(calls, windows, [[True] * len(at)], wait=True)
    last = max(t + delay for t, (_, delay) in zip(at, served, strict=True))
    months = slow.months_touched(at[0], at[0], last)
    assert bill.billed == fee * len(months)
    assert bill.effective == sum(Fraction(fee * (min(e, last + 1) - max(b, at[0])), e - b) for b, e in months)


def test_a_card_serves_only_what_it_prices():
    trace = made([START, START + 1], [10**6, 10**6], [0, 0], model=[0, 1])
    bill = Credits("c", 10**10, (("m", CARD),)).bill(trace, Fraction(1), everything(trace))
    assert bill.served.tolist() == [True, False] and bill.blocked == 1
    assert bill.billed == 10**10 and bill.marginal is None
