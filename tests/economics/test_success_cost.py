"""Cost per success and its interval: hand-made cases, properties, refusals."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from economics.trial_cases import arm, trial
from outlay.economics.intervals import log_delta, ratio_error, wilson
from outlay.economics.success import arm_stats, cost_per_success, rate_of
from outlay.economics.trials import Trial, by_task, common_tasks
from outlay.errors import InputError
from outlay.tokens import Usage

DOLLAR = 10**12
outcomes = st.lists(st.tuples(st.booleans(), st.integers(1, 10**13)), min_size=2, max_size=40)


def test_failed_trials_are_paid_by_the_successes():
    data = by_task(arm("a", ("t1", True, 1.0), ("t2", False, 3.0), ("t3", True, 2.0)))
    assert cost_per_success(data).value == 3 * DOLLAR  # (1 + 3 + 2) / 2


def test_the_clustered_error_is_exact_on_a_hand_made_case():
    # Three tasks, two repeats each: C = 4, 2, 6, S = 2, 1, 1. r = 12 / 4 = 3, e = -2, -1, 3.
    # se = sqrt(3/2 * (4 + 1 + 9)) / 4 = sqrt(21) / 4.
    rows = [
        ("t1", True, 2.0),
        ("t1", True, 2.0),
        ("t2", True, 1.0),
        ("t2", False, 1.0),
        ("t3", True, 1.0),
        ("t3", False, 5.0),
    ]
    data = by_task(arm("a", *rows))
    assert data.costs == (4 * DOLLAR, 2 * DOLLAR, 6 * DOLLAR) and data.successes == (2, 1, 1)
    error = ratio_error(data.costs, data.successes)
    assert error == pytest.approx(math.sqrt(21) / 4 * DOLLAR)
    reach = stats.t.ppf(0.975, 2) * math.sqrt(21) / 4 / 3
    interval = log_delta(data.costs, data.successes)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((3 * DOLLAR * math.exp(-reach), 3 * DOLLAR * math.exp(reach)))


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilsons_interval_is_scipys(successes, more, level):
    n = max(successes, more)
    ours, theirs = wilson(successes, n, level), stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, 0)])
def test_an_impossible_rate_is_refused(successes, trials):
    with pytest.raises(InputError):
        wilson(successes, trials)


@given(outcomes)
def test_the_ratio_is_the_exact_quotient_of_sums(rows):
    data = by_task([trial(f"t{i}", s, None) for i, (s, _) in enumerate(rows)])
    assert not data.priced
    made = [
        Trial(task=f"t{i}", arm="a", success=s, cost_pico=c, outcome="succeeded" if s else "failed")
        for i, (s, c) in enumerate(rows)
    ]
    found = cost_per_success(by_task(made))
    wins = sum(s for s, _ in rows)
    if wins:
        assert found.value == pytest.approx(float(Fraction(sum(c for _, c in rows), wins)))
        assert found.interval is None or found.interval.holds(found.value)
    else:
        assert found.label == "bound" and found.value is None


@given(outcomes, st.floats(0.01, 100))
def test_the_interval_scales_with_the_currency_and_ignores_the_order_of_tasks(rows, factor):
    costs, wins = [float(c) for _, c in rows], [int(s) for s, _ in rows]
    one = log_delta(costs, wins)
    other = log_delta([c * factor for c in reversed(costs)], list(reversed(wins)))
    assert (one is None) == (other is None)
    if one and other and math.isfinite(one.high):
        assert (other.low, other.high) == pytest.approx((one.low * factor, one.high * factor), rel=1e-6)


def test_repeating_every_trial_narrows_nothing():
    """Copies of a trial are no evidence: the interval over tasks stays what it was."""
    rows = [("t1", True, 1.0), ("t2", False, 2.0), ("t3", True, 4.0), ("t4", True, 3.0)]
    once, twice = by_task(arm("a", *rows)), by_task(arm("a", *rows, *rows))
    assert cost_per_success(twice).value == cost_per_success(once).value
    a, b = cost_per_success(once).interval, cost_per_success(twice).interval
    assert a and b and (a.low, a.high) == pytest.approx((b.low, b.high))
    assert rate_of(twice) == rate_of(once)  # the outcome correlation is 1: eight trials say what four do


def test_without_a_success_there_is_a_lower_bound():
    found = cost_per_success(by_task(arm("a", *((f"t{i}", False, 2.0) for i in range(10)))))
    assert found.value is None and found.label == "bound" and found.interval
    assert found.interval.low == pytest.approx(2 * DOLLAR / wilson(0, 10).high)
    assert found.interval.high == math.inf


def test_costs_may_be_unknown_in_two_of_a_hundred_trials_but_not_in_three():
    def rows(unknown: int) -> list[tuple[str, bool, float | None]]:
        return [(f"t{i}", i % 2 == 0, None if i < unknown else 1.0) for i in range(100)]

    assert cost_per_success(by_task(arm("a", *rows(2)))).value == 2 * DOLLAR  # the two are taken at the mean
    refused = cost_per_success(by_task(arm("a", *rows(3))))
    assert refused.value is None and refused.label == "unknown" and "3 of 100" in refused.why


def test_a_cost_of_exactly_zero_needs_to_be_meant():
    with pytest.raises(InputError, match="exactly 0"):
        trial("t1", True, 0.0)
    assert trial("t1", True, 0.0, free=True).cost_pico == 0


def test_success_and_outcome_must_agree():
    with pytest.raises(InputError, match="outcome"):
        trial("t1", True, 1.0, outcome="errored")


def test_errored_and_stopped_trials_count_with_what_they_cost():
    trials = [
        trial("t1", True, 1.0),
        trial("t2", False, 5.0, outcome="errored"),
        trial("t3", False, 4.0, outcome="stopped"),
    ]
    found = arm_stats(trials)
    assert found.cost.value == 10 * DOLLAR and found.rate == pytest.approx(1 / 3)
    assert found.endings == {"succeeded": 1, "errored": 1, "stopped": 1} and found.failed_cost == pytest.approx(0.9)


def test_labels_say_how_far_a_figure_carries():
    few = cost_per_success(by_task(arm("a", *((f"t{i}", i != 3, 1.0) for i in range(10)))))
    many = cost_per_success(by_task(arm("a", *((f"t{i}", i % 3 != 0, 1.0) for i in range(90)))))
    wide = cost_per_success(by_task(arm("a", *((f"t{i}", i == 0, 1.0) for i in range(60)))))
    one = cost_per_success(by_task(arm("a", ("t", True, 1.0))))
    assert [few.label, many.label, wide.label, one.label] == ["approximate", "", "unranked", "no interval"]


def test_tokens_and_time_per_success_need_every_trial_measured():
    used = Usage(fresh=100, cache_read=1000, output=50)
    both = [trial("t1", True, 1.0, tokens=used, wall_ms=1000), trial("t2", False, 1.0, tokens=used, wall_ms=3000)]
    found = arm_stats(both)
    assert (found.tokens_per_success, found.gross_per_success, found.time_per_success_ms) == (300, 2300, 4000)
    assert arm_stats([*both, trial("t3", True, 1.0)]).tokens_per_success is None


def test_where_money_went_needs_every_part_measured():
    parts = [
        trial("t1", True, 2.0, coordination_pico=DOLLAR // 2),
        trial("t2", False, 2.0, coordination_pico=DOLLAR // 2),
    ]
    found = arm_stats(parts)
    assert found.coordination == 0.25 and found.verification is None


def test_common_tasks_are_those_of_every_arm():
    assert common_tasks(
        [arm("a", ("x", True, 1.0), ("y", True, 1.0)), arm("b", ("y", False, 1.0), ("z", True, 1.0))]
    ) == ["y"]
