"""Budgets: what is reserved cannot be spent twice."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.errors import LimitReached
from outlay.gateway.budget import Account, Ask, Bounds, Budget

CENT = 10**10


def ask(input_pico=CENT, output_token_pico=10**6, net=1_000, output=1_000):
    return Ask(input_pico, output_token_pico, net, output)


def test_twenty_parallel_sessions_on_one_budget_stay_within_it():
    async def run():
        budget = Budget(Account("the run", Bounds(usd_pico=10 * CENT)))
        rng = random.Random(1)

        async def session(name):
            done = 0
            while True:
                try:
                    grant = await budget.reserve(name, ask())
                except LimitReached:
                    return done
                await asyncio.sleep(rng.random() / 1000)
                budget.settle(name, grant, rng.randrange(grant.usd_pico + 1), 10)
                assert budget.run.spent_pico <= 10 * CENT
                done += 1

        calls = await asyncio.gather(*(session(f"s{n}") for n in range(20)))
        assert sum(calls) == budget.run.turns
        assert 8 * CENT < budget.run.spent_pico <= 10 * CENT
        assert budget.run.reserved_pico == 0

    asyncio.run(run())


def test_a_call_that_does_not_fit_waits_for_calls_under_way_and_then_goes_on():
    async def run():
        budget = Budget(Account("the run", Bounds(usd_pico=3 * CENT // 2)))
        first = await budget.reserve("a", ask())
        waited = []
        second = asyncio.create_task(budget.reserve("b", ask(), lambda: waited.append(True)))
        await asyncio.sleep(0.01)
        assert waited and not second.done()
        budget.settle("a", first, 0, 0)
        assert (await second).usd_pico > 0

    asyncio.run(run())


def test_output_is_lowered_to_what_is_left():
    async def run():
        budget = Budget(Account("the run", Bounds(usd_pico=CENT + 300 * 10**6)))
        assert (await budget.reserve("a", ask())).max_output_tokens == 300

    asyncio.run(run())


def test_the_refusal_names_the_limit_and_what_was_used():
    async def run():
        budget = Budget(Account("the run", Bounds(turns=1)), Bounds(net_tokens=500))
        with pytest.raises(LimitReached, match=r"net_tokens of session a.*0 of 500") as caught:
            await budget.reserve("a", ask())
        assert caught.value.limit == "net_tokens"
        budget = Budget(Account("the run", Bounds(turns=1)))
        grant = await budget.reserve("a", ask())
        budget.settle("a", grant, 1, 1)
        with pytest.raises(LimitReached, match="turns of the run"):
            await budget.reserve("a", ask())

    asyncio.run(run())


def test_a_parents_budget_holds_what_its_children_use_but_not_their_turns():
    async def run():
        budget = Budget(Account("the run", Bounds()), Bounds(usd_pico=4 * CENT, turns=3))
        for name, parent in (("main", None), ("child", "main"), ("grandchild", "child")):
            grant = await budget.reserve(name, ask(), parent=parent)
            budget.settle(name, grant, CENT, 10)
        with pytest.raises(LimitReached, match=r"usd of session main reached: \$0.0300 of \$0.0400"):
            await budget.reserve("grandchild", ask(output_token_pico=3 * 10**7, output=256))
        assert [budget.session(name).spent_pico for name in ("main", "child", "grandchild")] == [CENT] * 3
        assert budget.session("main").turns == 1
        await budget.reserve("main", ask(CENT // 2, output=256))

    asyncio.run(run())


def test_a_team_is_a_main_agent_with_all_its_subagents():
    async def run():
        budget = Budget(Account("the run", Bounds()), team_bounds=Bounds(turns=2))
        await budget.reserve("main", ask())
        await budget.reserve("child", ask(), parent="main")
        with pytest.raises(LimitReached, match="turns of team main"):
            await budget.reserve("other", ask(), parent="main")
        await budget.reserve("another main", ask())

    asyncio.run(run())


@settings(max_examples=60)
@given(
    bound=st.integers(0, 50 * CENT),
    costs=st.lists(st.tuples(st.integers(0, 3 * CENT), st.integers(0, 5_000), st.floats(0, 1)), max_size=30),
)
def test_no_sequence_of_calls_overspends(bound, costs):
    async def run():
        budget = Budget(Account("the run", Bounds(usd_pico=bound)))
        for input_pico, output, share in costs:
            try:
                grant = await budget.reserve("s", ask(input_pico, 10**6, 0, output))
            except LimitReached:
                continue
            budget.settle("s", grant, int(grant.usd_pico * share), 0)
            assert budget.run.spent_pico <= bound

    asyncio.run(run())
