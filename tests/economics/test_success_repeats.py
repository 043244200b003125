"""pass@k, pass^k, outcome correlation, retries and cascades."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from economics.trial_cases import arm
from outlay.economics.passk import icc, pass_at, pass_at_beta, pass_hat, variance_factor
from outlay.economics.retries import Expected, Fallback, Gate, by_correlation, capped, cascade, per_task
from outlay.economics.trials import by_task
from outlay.errors import InputError

DOLLAR = 10**12
groups = st.lists(st.lists(st.booleans(), min_size=2, max_size=6), min_size=1, max_size=8)


@given(groups, st.integers(1, 2))
def test_pass_at_k_and_pass_hat_k_are_means_over_all_choices_of_k_trials(tasks, k):
    some = [sum(any(c) for c in combinations(task, k)) / math.comb(len(task), k) for task in tasks]
    every = [sum(all(c) for c in combinations(task, k)) / math.comb(len(task), k) for task in tasks]
    wins, n = [sum(task) for task in tasks], [len(task) for task in tasks]
    assert pass_at(k, wins, n) == pytest.approx(sum(some) / len(tasks))
    assert pass_hat(k, wins, n) == pytest.approx(sum(every) / len(tasks))


def test_more_tries_than_repeats_cannot_be_judged():
    with pytest.raises(InputError, match="k = 3"):
        pass_at(3, [1, 2], [2, 3])


def test_outcome_correlation_is_one_when_tasks_decide_and_none_without_repeats():
    assert icc([2, 0, 2], [2, 2, 2]) == 1
    assert icc([1, 0, 1], [1, 1, 1]) is None
    assert icc([2, 2], [2, 2]) is None  # everything succeeds: nothing varies
    assert icc([1, 1], [2, 2]) == -1  # every task once each way


def test_outcome_correlation_on_a_hand_made_case():
    # Rates 1, 1/2, 0 in pairs: between = 2 * (1/4 + 0 + 1/4) / 2 = 1/2, within = (1/2) / 3 = 1/6.
    assert icc([2, 1, 0], [2, 2, 2]) == pytest.approx((1 / 2 - 1 / 6) / (1 / 2 + 1 / 6))


def test_independent_tries_predict_too_much_and_the_beta_binomial_does_not():
    """80 tasks in five tries: pass@1 .398, pass@2 .48625 give the correlation; pass@5 was .575."""
    rate, twice = 0.398, 0.48625
    correlation = 1 - (twice - rate) / (rate * (1 - rate))
    assert pass_at_beta(5, rate, 0) == pytest.approx(0.921, abs=0.001)
    assert pass_at_beta(5, rate, correlation) == pytest.approx(0.584, abs=0.001)
    assert pass_at_beta(2, rate, correlation) == pytest.approx(twice)


def test_more_repeats_help_less_than_more_tasks():
    assert variance_factor(1, 0.7) == 1 and variance_factor(10**6, 0.7) == pytest.approx(0.7)


@given(st.floats(0.01, 1), st.integers(1, 8), st.floats(0, 100))
def test_a_perfect_gate_gives_the_closed_form(p, tries, fallback):
    q = 1 - p
    found = capped(p, 3.0, 3.0, tries, fallback=Fallback(fallback))
    assert found.cost == pytest.approx(3 * (1 - q**tries) / (1 - q) + q**tries * fallback)
    assert found.success == pytest.approx(1) and found.wrong == 0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 6))
def test_retries_equal_the_enumeration_of_every_path(p, accept_bad, reject_good, tries):
    reached, cost, good, wrong, made = 1.0, 0.0, 0.0, 0.0, 0.0
    for _ in range(tries):
        made += reached
        cost += reached * (p * 5 + (1 - p) * 7)
        good += reached * p * (1 - reject_good)
        wrong += reached * (1 - p) * accept_bad
        reached *= p * reject_good + (1 - p) * (1 - accept_bad)
    found = capped(p, 5, 7, tries, Gate(accept_bad, reject_good))
    assert (found.cost, found.success, found.wrong, found.tries) == pytest.approx((cost, good, wrong, made), abs=1e-6)


def test_one_try_per_task_is_what_was_measured():
    data = by_task(arm("a", ("x", True, 1.0), ("x", False, 3.0), ("y", False, 2.0), ("y", False, 2.0)))
    found = per_task(data, 1)
    assert found == Expected(2 * DOLLAR, 0.25, 1.0, 0.0)
    assert found.per_success == 8 * DOLLAR


def test_retries_are_averaged_over_tasks_not_computed_from_the_average():
    data = by_task(arm("a", ("x", True, 1.0), ("x", True, 1.0), ("y", False, 1.0), ("y", False, 1.0)))
    assert per_task(data, 5).success == 0.5  # the mean rate of 1/2 would promise 31/32
    assert per_task(data, 5).cost == 3 * DOLLAR


@given(st.floats(0.02, 0.98), st.integers(1, 6))
def test_retries_by_correlation_agree_with_the_beta_binomial(correlation, tries):
    trials = arm("a", *((f"t{i}", i < 4, 1.0) for i in range(10)))
    found = by_correlation(trials, correlation, tries)
    assert found.success == pytest.approx(pass_at_beta(tries, 0.4, correlation), abs=1e-6)


def test_the_ends_of_correlation_are_independence_and_hopelessness():
    trials = arm("a", *((f"t{i}", i < 4, 1.0) for i in range(10)))
    assert by_correlation(trials, 0, 2).success == pytest.approx(1 - 0.6**2)
    assert by_correlation(trials, 1, 2).success == pytest.approx(0.4)
    assert by_correlation(trials, 1, 2).cost == pytest.approx(1.6 * DOLLAR)


def test_retries_need_known_costs_and_at_least_one_try():
    with pytest.raises(InputError, match="known costs"):
        per_task(by_task(arm("a", ("x", True, None))), 2)
    with pytest.raises(InputError, match="at least one"):
        capped(0.5, 1, 1, 0)


def test_a_cascade_pays_the_second_arm_only_where_the_first_failed():
    cheap = arm("cheap", ("x", True, 1.0), ("y", False, 1.0), ("z", False, 1.0), ("w", True, 1.0))
    dear = arm("dear", ("x", True, 10.0), ("y", True, 10.0), ("z", False, 10.0), ("w", True, 10.0))
    found = cascade([cheap, dear])
    assert found.expected.success == 0.75 and found.expected.cost == pytest.approx((4 + 20) / 4 * DOLLAR)
    assert found.expected.per_success == pytest.approx(8 * DOLLAR)
    assert found.independent == pytest.approx(1 - 0.5 * 0.25)  # arms that fail together solve less


def test_a_cascade_with_an_erring_gate_delivers_wrong_results():
    cheap, dear = arm("c", ("x", False, 1.0), ("y", True, 1.0)), arm("d", ("x", True, 4.0), ("y", True, 4.0))
    found = cascade([cheap, dear], Gate(false_accept=0.5)).expected
    # x: accepted wrongly half the time, else passed on; y: right at once.
    assert found.wrong == 0.25 and found.success == 0.75 and found.cost == pytest.approx((1 + 2 + 1) / 2 * DOLLAR)


def test_a_cascade_needs_common_tasks():
    with pytest.raises(InputError, match="no task in common"):
        cascade([arm("a", ("x", True, 1.0)), arm("b", ("y", True, 1.0))])


@given(st.floats(0, 1e-9), st.integers(1, 50))
def test_hopeless_tasks_cost_every_try(p, tries):
    found = capped(p, 5, 7, tries)
    assert (found.tries, found.cost) == pytest.approx((tries, 7 * tries), rel=1e-6)
