"""Arms against each other: paired tests, several of them, stopping early, fronts, cost of pass."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from economics.trial_cases import arm
from outlay.economics.frontier import Point, cost_of_pass, expected_costs, front, gain, hull
from outlay.economics.paired import compare, holm, mcnemar, tasks_needed
from outlay.economics.sequential import boundaries, spent
from outlay.errors import InputError

points = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=15).map(
    lambda rows: [Point(str(i), float(c), r / 10) for i, (c, r) in enumerate(rows)]
)


def test_the_log_ratio_and_its_error_are_exact_on_a_hand_made_case():
    a = arm("a", ("x", True, 1.0), ("y", True, 1.0), ("z", False, 2.0))
    b = arm("b", ("x", True, 2.0), ("y", False, 2.0), ("z", True, 4.0))
    # C_A = 4, S_A = 2, C_B = 8, S_B = 2: ratio 1/2. e = (1/4-1/2)-(2/8-1/2), (1/4-1/2)-(2/8-0), (2/4-0)-(4/8-1/2)
    e = [0.0, -0.5, 0.5]
    se = math.sqrt(3 / 2 * sum(x * x for x in e))
    found = compare(a, b)
    assert found.ratio == pytest.approx(0.5) and found.sd == pytest.approx(se * math.sqrt(3))
    reach = stats.t.ppf(0.975, 2) * se
    assert found.interval and (found.interval.low, found.interval.high) == pytest.approx(
        (0.5 * math.exp(-reach), 0.5 * math.exp(reach))
    )
    assert found.p_cost == pytest.approx(2 * stats.t.sf(abs(math.log(0.5)) / se, 2))
    assert (found.only_a, found.only_b, found.p_success) == (1, 1, 1.0)


def test_only_common_tasks_are_compared():
    a = arm("a", ("x", True, 1.0), ("y", True, 1.0), ("only-a", False, 99.0))
    b = arm("b", ("x", True, 2.0), ("y", True, 2.0))
    found = compare(a, b)
    assert found.tasks == 2 and found.ratio == pytest.approx(0.5)
    with pytest.raises(InputError, match="no task in common"):
        compare(a, arm("c", ("else", True, 1.0)))


def test_a_comparison_without_a_ratio_says_why():
    a, b = arm("a", ("x", False, 1.0), ("y", False, 1.0)), arm("b", ("x", True, None), ("y", True, 2.0))
    assert compare(a, a).ratio is None and "without a success" in compare(a, a).why
    assert compare(b, b).ratio is None and "known costs" in compare(b, b).why


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_binomial_test(b, c):
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_nor_its_rank(values):
    adjusted = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert all(adjusted[i] <= adjusted[j] for i, j in itertools.pairwise(order))


def test_holm_on_a_hand_made_case():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_how_many_tasks_a_difference_needs():
    assert tasks_needed(1.34, 0.606) == 34  # the reference page: 34 tasks for a ratio of 1.34
    assert 780 <= (tasks_needed(1.10, 0.96) or 0) <= 820
    assert tasks_needed(1.10, 0.96) == tasks_needed(1 / 1.10, 0.96)
    assert tasks_needed(1.0, 0.5) is None


def test_obrien_fleming_boundaries_are_the_published_ones():
    # Lan-DeMets O'Brien-Fleming, two-sided 5 %: gsDesign and ldbounds print these.
    assert boundaries(2) == pytest.approx([2.9626, 1.9686], abs=2e-4)
    assert boundaries(5) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    assert boundaries(1) == pytest.approx([1.9600], abs=1e-4)
    assert spent(1.0) == pytest.approx(0.05)


@pytest.mark.parametrize("looks", [[], [0.5, 0.5], [0.0, 1.0], [0.5, 1.2]])
def test_looks_lie_at_rising_shares(looks):
    with pytest.raises(InputError, match="rising"):
        boundaries(looks)


@given(points)
def test_nothing_beats_a_point_of_the_front_and_every_other_is_beaten(given_points):
    kept = front(given_points)

    def beats(p: Point, q: Point) -> bool:
        return p.cost <= q.cost and p.rate >= q.rate and (p.cost, p.rate) != (q.cost, q.rate)

    assert all(any(beats(q, p) for q in given_points) != (p in kept) for p in given_points)


@given(points)
def test_the_hull_is_concave_from_the_origin_and_covers_every_point(given_points):
    line = [Point("", 0.0, 0.0), *hull(given_points)]
    slopes = [(b.rate - a.rate) / (b.cost - a.cost) for a, b in itertools.pairwise(line) if b.cost > a.cost]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(slopes))
    for point in given_points:
        above = [p.rate for p in line if p.cost <= point.cost]
        right = next((p for p in line if p.cost >= point.cost), None)
        left = line[len(above) - 1]
        level = left.rate
        if right and right.cost > left.cost:
            level += (right.rate - left.rate) * (point.cost - left.cost) / (right.cost - left.cost)
        assert point.rate <= level + 1e-9


def test_a_mix_beats_what_lies_below_the_line():
    a, b, c = Point("a", 1.0, 0.4), Point("b", 2.0, 0.45), Point("c", 3.0, 0.8)
    assert [p.arm for p in front([a, b, c])] == ["a", "b", "c"]
    assert [p.arm for p in hull([a, b, c])] == ["a", "c"]


def test_cost_of_pass_is_a_mean_of_ratios_and_infinite_where_nobody_succeeds():
    a = expected_costs(arm("a", ("x", True, 1.0), ("x", False, 1.0), ("y", False, 1.0)))
    b = expected_costs(arm("b", ("x", True, 5.0), ("y", True, 6.0)))
    assert a == {"x": 2e12, "y": math.inf}
    assert cost_of_pass({"a": a}) == math.inf and cost_of_pass({"a": a}, baseline=4e12) == 3e12
    assert cost_of_pass({"a": a, "b": b}) == 4e12
    assert gain({"a": a, "b": b}, ["a"]) == pytest.approx(1 - 4 / 5.5)
    assert gain({"a": a, "b": b}, ["b"]) == 1.0  # without b task y has no price


def test_cost_of_pass_needs_known_costs():
    with pytest.raises(InputError, match="known costs"):
        expected_costs(arm("a", ("x", True, None)))
