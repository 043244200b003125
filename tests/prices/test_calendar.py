"""Periods begin where people expect them to: month ends, leap days, changes of the clock."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.prices.calendar import (
    HOUR_MS,
    add_months,
    calendar_next,
    calendar_start,
    month_number,
    months,
    to_ms,
    zone,
)
from prices import slow_ways as slow

BERLIN = ZoneInfo("Europe/Berlin")


def ms(*parts, tz=dt.UTC):
    return to_ms(dt.datetime(*parts, tzinfo=tz))


def test_a_subscription_of_the_31st_renews_on_the_last_day_of_short_months():
    start = ms(2027, 12, 31, 10)
    days = [dt.datetime.fromtimestamp(add_months(start, n) / 1000, dt.UTC).date() for n in range(1, 5)]
    assert [str(d) for d in days] == ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"]


def test_a_leap_day_subscription_renews_on_the_28th_in_common_years():
    assert add_months(ms(2028, 2, 29), 12) == ms(2029, 2, 28)
    assert add_months(ms(2028, 2, 29), 48) == ms(2032, 2, 29)


def test_the_day_on_which_clocks_change_has_23_or_25_hours():
    spring, autumn = ms(2026, 3, 29, 12), ms(2026, 10, 25, 12)
    for noon, hours in ((spring, 23), (autumn, 25)):
        start = calendar_start("day", noon, BERLIN)
        assert calendar_next("day", start, BERLIN) - start == hours * HOUR_MS


def test_a_week_begins_on_monday_in_its_own_zone():
    sunday_late = ms(2026, 11, 22, 23, 30)
    assert calendar_start("week", sunday_late) == ms(2026, 11, 16)
    assert calendar_start("week", sunday_late, BERLIN) == ms(2026, 11, 23, tz=BERLIN)


def test_december_is_followed_by_january():
    assert calendar_next("month", ms(2026, 12, 1)) == ms(2027, 1, 1)


@given(st.integers(0, 4 * 10**12), st.integers(0, 4 * 10**12), st.sampled_from([dt.UTC, BERLIN]))
def test_every_instant_lies_in_exactly_the_month_that_is_said(start, at, tz):
    number = month_number(start, at, tz)
    assert add_months(start, number, tz) <= at < add_months(start, number + 1, tz)


@given(st.integers(10**12, 2 * 10**12), st.integers(0, 10**11), st.integers(0, 10**10))
def test_months_follow_each_other_without_gaps_as_counted_one_by_one(start, after, length):
    found = list(months(start, start + after, start + after + length))
    assert found == slow.months_touched(start, start + after, start + after + length)
    assert all(one[1] == following[0] for one, following in pairwise(found))


def test_an_unknown_time_zone_is_named():
    with pytest.raises(InputError, match="Mars/Olympus"):
        zone("Mars/Olympus")
