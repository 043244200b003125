"""Spending and the ratios that follow from it."""

from hypothesis import given
from hypothesis import strategies as st

from outlay.economics.contexts import brought_by_tools, growth
from outlay.economics.spend import NOTHING, class_costs, group, spend_of, total
from outlay.economics.tokenomics import tokenomics
from outlay.ledger import Call
from outlay.prices.book import PriceBook, load
from outlay.tokens import ZERO, Usage

BOOK: PriceBook = load().with_price(
    "own", input=1, output=10, cache_read="0.1", cache_write_5m="1.25", cache_write_1h=2
)
counts = st.integers(0, 10**7)


def call(usage: Usage, key: str = "k", session: str = "s", **facts: object) -> Call:
    given = {"model": "own", "quality": "exact", "provider": "x"} | facts
    return Call(source="outlay", key=key, session=session, ended_ms=0, usage=usage, **given)  # type: ignore[arg-type]


@given(fresh=counts, read=counts, five=counts, hour=counts, output=counts, reasoning=counts)
def test_the_classes_add_up_to_the_price_of_the_call(
    fresh: int, read: int, five: int, hour: int, output: int, reasoning: int
) -> None:
    one = call(Usage(fresh=fresh, cache_read=read, cache_write_5m=five, cache_write_1h=hour,
                     output=output + reasoning, reasoning=reasoning))  # fmt: skip
    parts, why = class_costs(one, BOOK)
    assert not why and parts.total == BOOK.price(one).cost_pico
    assert parts.output == (output + reasoning) * 10_000_000 and parts.reasoning == reasoning * 10_000_000


def test_a_call_without_a_price_makes_the_sum_a_lower_bound() -> None:
    spend = total([call(Usage(fresh=10)), call(Usage(fresh=10), model="nobody-knows")], BOOK)
    assert (spend.cost_pico, spend.least_pico, spend.unpriced) == (None, 10_000_000, 1)
    assert "nobody-knows" in spend.why_unknown[0]


def test_only_unpriced_calls_cost_an_unknown_amount_and_never_nothing() -> None:
    spend = total([call(Usage(fresh=10), model="nobody-knows")], BOOK)
    assert spend.cost_pico is None and spend.least_pico is None


def test_a_refused_attempt_costs_nothing_even_where_the_model_has_no_price() -> None:
    spend = spend_of(call(ZERO, status="failed", model="nobody-knows"), BOOK)
    assert (spend.calls, spend.cost_pico, spend.unpriced, spend.unmeasured) == (1, 0, 0, 0)


def test_what_a_lost_or_cut_call_may_have_cost_is_kept_apart() -> None:
    lost = call(ZERO, status="lost", quality="unmeasured", possible_cost_pico=500)
    cut = call(Usage(fresh=1), status="cut", quality="lower_bound", possible_cost_pico=3_000_000)
    spend = total([lost, cut], BOOK)
    assert spend.cost_pico is None and spend.least_pico == 1_000_000
    assert spend.possible_pico == 500 + 2_000_000
    assert total([call(ZERO, quality="unmeasured")], BOOK).possible_pico is None


def test_groups_keep_every_call_once() -> None:
    calls = [call(Usage(output=n), session=f"s{n % 3}") for n in range(10)]
    groups = group(calls, BOOK, lambda c: c.session)
    assert sum(groups.values(), NOTHING) == total(calls, BOOK)


def test_the_ratios_of_the_glossary() -> None:
    main = total([call(Usage(fresh=100, cache_read=900, output=100))], BOOK)
    subs = total([call(Usage(fresh=300, cache_read=100, output=100))], BOOK)
    ratios = tokenomics(main, subs, passed_checks=2)
    assert ratios.leverage.value == 2.0
    assert ratios.subagents_share_net.value == 400 / 600
    assert ratios.subagents_share_gross.value == 500 / 1600
    assert ratios.cache_bloat.value == 1000 / 600 and ratios.cache_bloat_main.value == 4.5
    main_cost, subs_cost = 100e-6 + 90e-6 + 1000e-6, 300e-6 + 10e-6 + 1000e-6
    assert abs((ratios.usd_per_net_mtok_main.value or 0) - main_cost / 200 * 1e6) < 1e-9
    assert abs((ratios.usd_per_passed_check.value or 0) - (main_cost + subs_cost) / 2) < 1e-12


def test_a_ratio_that_cannot_be_known_says_why() -> None:
    unpriced = total([call(Usage(fresh=100), model="nobody-knows")], BOOK)
    ratios = tokenomics(unpriced, NOTHING, passed_checks=0)
    assert ratios.leverage.value is None and ratios.leverage.why_unknown == "no subagents"
    assert "nobody-knows" in ratios.usd_per_net_mtok.why_unknown
    assert ratios.usd_per_passed_check.why_unknown == "no check passed"
    assert tokenomics(NOTHING, unpriced, 1).leverage.why_unknown == "the main agent has no tokens"


def test_growth_of_a_context_leaves_the_answer_out_and_is_shared_by_characters() -> None:
    first = call(Usage(fresh=1000, output=200, reasoning=150), key="a")
    second = call(Usage(fresh=100, cache_read=1500, output=10), key="b")
    assert growth(first, second) == 400
    third = call(Usage(cache_read=1700), key="c")
    assert growth(second, third) == 90
    entered = {("s", "a"): [("read", 300), ("shell", 100)], ("s", "b"): [("shell", 5)], ("s", "c"): [("read", 9)]}
    assert brought_by_tools([first, second, third], entered) == {"read": 300, "shell": 190}


def test_an_answer_whose_reasoning_is_not_read_again_leaves_room_for_the_results() -> None:
    first = call(Usage(fresh=1000, output=500, reasoning=450), key="a")
    assert growth(first, call(Usage(fresh=1150), key="b")) == 100
    assert growth(first, call(Usage(fresh=900), key="b")) == 0
