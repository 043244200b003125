"""The rule for a fresh context, clean-ups and handoffs as data."""

import json

import pytest

from outlay.agents.context import cleaning
from outlay.agents.context.document import Handed, NoHandoff, read, shown
from outlay.agents.context.rule import Clean, Prices, Standing, weigh
from outlay.wires.types import Message, Text, ToolCall, ToolResult

SONNET = Prices(0.3e6, 300_000, 3_750_000, 15_000_000)


def turn(n: int, tool: str, arguments: dict[str, object], result: str) -> list[Message]:
    return [
        Message("assistant", (ToolCall(f"c{n}", tool, json.dumps(arguments)),)),
        Message("user", (ToolResult(f"c{n}", tool, result),)),
    ]


def conversation() -> list[Message]:
    messages = [Message("user", (Text("task"),))]
    for n in range(12):
        messages += turn(n, "read", {"path": f"f{n % 8}.py"}, f"{n} " + "x" * 3_000)
    return messages


def test_a_session_that_has_just_begun_goes_on() -> None:
    assert weigh(Standing(context=8_000, base=5_000, first=True, turns=3), SONNET).action == "go_on"


def test_a_long_context_is_handed_over_and_not_with_few_turns_left() -> None:
    standing = Standing(context=90_000, base=6_000, first=True, turns=60)
    assert weigh(standing, SONNET).action == "hand_over"
    assert weigh(Standing(90_000, 6_000, True, 60, turns_left=3), SONNET).action == "go_on"


def test_a_later_context_is_left_when_a_turn_costs_more_than_its_turns_did_on_average() -> None:
    def standing(turns: int) -> Standing:
        """Four thousand tokens a turn on a base of eight thousand."""
        read = sum(8_000 + 4_000 * n for n in range(turns))
        return Standing(8_000 + 4_000 * turns, 8_000, False, turns, news=3_800, read=read)

    def mean(turns: int) -> float:
        """Of contexts left after so many turns: picodollars a turn, without what each turn pays anyhow."""
        learns = min(0.1 * 4_000 * turns, 8_000)
        starts = 8_000 + learns
        context = 8_000 + 4_000 * turns
        handoff = context * 0.3e6 + 3_800 * 3.45e6 + 400 * 3.75e6 + 1_500 * 15e6 + starts * 3.75e6
        return (sum(0.3e6 * 4_000 * n for n in range(turns)) + handoff + turns * 0.3e6 * learns) / turns

    left = next(turns for turns in range(1, 60) if weigh(standing(turns), SONNET).action == "hand_over")
    best = min(range(1, 60), key=mean)
    assert mean(left) <= 1.02 * mean(best)
    once_more = weigh(standing(left), SONNET)
    assert once_more.next_turn >= once_more.mean_turn


def test_without_a_cheap_cache_a_fresh_context_pays_sooner() -> None:
    dear = Prices(3.0e6, 3_000_000, 3_000_000, 15_000_000)
    standing = Standing(context=30_000, base=5_000, first=True, turns=8)
    assert (weigh(standing, SONNET).action, weigh(standing, dear).action) == ("go_on", "hand_over")


def test_a_cheap_clean_up_comes_before_a_handoff() -> None:
    standing = Standing(context=40_000, base=6_000, first=True, turns=25)
    said = weigh(standing, SONNET, Clean(removed=25_000, again=0, behind=2_000))
    assert said.action == "clean" and said.clean_costs < said.handoff_costs


def test_files_read_again_are_folded_and_old_results_cut_and_the_newest_stay() -> None:
    messages = conversation()
    before = list(messages)
    found = cleaning.best(messages, lambda each: each.removed_chars)
    assert found is not None and found.folded == 4
    cleaning.apply(messages, found.edits)
    changed = {edit.message for edit in found.edits}
    assert all(messages[n] is before[n] for n in range(len(messages)) if n not in changed), "others stay byte for byte"
    assert messages[2].parts[0].content == "(read again later: see there)"
    assert messages[16].parts[0] == before[16].parts[0] or "cut here" in messages[16].parts[0].content
    assert messages[-1] is before[-1]
    assert sum(map(cleaning.size, before)) - sum(map(cleaning.size, messages)) == found.removed_chars


def test_a_second_clean_up_finds_nothing_more() -> None:
    messages = conversation()
    found = cleaning.best(messages, lambda each: each.removed_chars)
    assert found is not None
    cleaning.apply(messages, found.edits)
    assert cleaning.best(messages, lambda each: each.removed_chars) is None


def test_a_clean_up_may_begin_late_to_keep_the_cache() -> None:
    all_of_it = cleaning.best(conversation(), lambda each: each.removed_chars)
    late = cleaning.best(conversation(), lambda each: each.removed_chars - each.behind_chars)
    assert all_of_it and late and late.edits[0].message >= all_of_it.edits[0].message
    assert late.behind_chars <= all_of_it.behind_chars


def test_a_handoff_keeps_earlier_facts_but_those_that_were_dropped() -> None:
    before = Handed(state="a", facts=("port 8123", "user is ada"), failed=("pip: no network",))
    said = json.dumps(
        {"state": "b", "facts": ["port 9000", "user is ada"], "dropped": [1], "files": [{"path": "a.py"}]}
    )
    handed = read(f"```json\n{said}\n```", before)
    assert handed.facts == ("user is ada", "port 9000") and handed.failed == ("pip: no network",)
    text = shown(handed)
    assert "1. user is ada" in text and "State: b" in text and "a.py" in text


@pytest.mark.parametrize("said", ["", "done", "{", '{"state": ""}', '{"state": 3', '{"facts": 1, "state": "x"}', "[]"])
def test_what_is_no_handoff_is_refused(said: str) -> None:
    with pytest.raises(NoHandoff):
        read(said, None)
