"""Who may see what: the worked examples, and what holds for every policy."""

import pytest
from flows import MODELS, NAMES, RECIPIENTS, data_tables, example, facts, lines_of_example, policies, text_of
from hypothesis import given
from hypothesis import strategies as st

from outlay.policy.decide import cleared, decide, decide_parts, find_recipient
from outlay.policy.denial import denial
from outlay.policy.load import load_text
from outlay.policy.release import Spent, release_fact
from outlay.policy.selector import fits, parse_selector
from outlay.policy.source import join, label_path, label_sql, label_text, label_tool
from outlay.policy.types import Hop, Label

CLOUD = ["claude-opus", "gpt-5", "gemini", "gemini-router"]


def may(label: Label | str, to: str, purpose: str | None = None) -> bool:
    wanted = frozenset((label,)) if isinstance(label, str) else label
    return decide(example(), wanted, to, purpose).allowed


# ---- the worked examples


def test_rows_of_xyz_go_to_the_model_on_premises_and_to_no_other() -> None:
    label = label_sql(example(), "xyz", "orders", "amount")
    assert label == label_tool(example(), "xyz-db", "query") == label_path(example(), "/data/xyz/a.csv") == {"xyz"}
    assert cleared(example(), label) == ["gpt-oss-120b"]
    assert not any(may(label, to) for to in (*CLOUD, "qwen-30b"))


def test_a_diary_on_the_laptop_goes_to_the_model_of_the_device_only() -> None:
    label = label_path(example(), "/home/ann/Private/diary.md")
    assert [name for name in example().models if may(label, name)] == ["qwen-30b"]


def test_health_goes_to_gemini_and_the_device_but_not_through_a_router() -> None:
    label = label_path(example(), "/data/health/2026/pulse.csv")
    assert may(label, "gemini") and may(label, "qwen-30b")
    assert not any(may(label, to) for to in ("gpt-5", "claude-opus", "gemini-router"))
    assert decide(example(), label, "gemini-router").hops == ("gemini-router", "openrouter")


def test_health_goes_to_nobody_for_advertising() -> None:
    assert cleared(example(), frozenset({"health"}), "advertising") == []
    assert may("health", "gemini", "medical") and may("health", "gemini")


def test_whoop_goes_to_google_anthropic_and_its_own_tool_but_not_to_others() -> None:
    label = label_tool(example(), "whoop", "get_recovery")
    assert all(may(label, to) for to in ("gemini", "claude-opus", "whoop/get_recovery"))
    assert not any(may(label, to) for to in ("gpt-5", "send_email", "git_push"))


def test_xyz_joined_with_the_diary_goes_to_nobody_and_the_message_says_so() -> None:
    policy = example()
    label = join([frozenset({"xyz"}), frozenset({"laptop"})])
    assert cleared(policy, label) == []
    for to in (*policy.models, *policy.tools):
        assert "laptop and xyz together: nobody" in denial(policy, decide(policy, label, to)), to


def test_the_main_agent_gets_no_answer_from_xyz_but_a_fact_of_17_bits() -> None:
    policy, label = example(), frozenset({"xyz"})
    assert round(policy.releases["xyz_fact"].millibits / 1000, 1) == 17.3
    refused = decide(policy, label, "claude-opus")
    assert not refused.allowed and refused.releases == ("xyz_fact", "xyz_summary")
    told = release_fact(policy, "xyz_fact", '{"count": 12, "found": true}', label, Spent())
    assert told.content == b'{"found":true,"count":12}' and told.label == frozenset()
    assert decide(policy, told.label, "claude-opus").allowed
    by_another = join([label, frozenset({"internal"})])  # what a middle agent wrote after it read the rows
    assert not decide(policy, by_another, "claude-opus").allowed


def test_credentials_go_to_nobody() -> None:
    policy = example()
    text = "aws: AKIAIOSFODNN7QWERTYU"
    assert label_text(policy, text) == label_path(policy, "/srv/app/.env") == {"secret"}
    assert cleared(policy, frozenset({"secret"})) == []
    assert decide(policy, frozenset({"secret"}), "bash").releases == ()


# ---- what a denial says


def test_a_denial_names_label_origin_line_who_is_cleared_and_releases_and_says_not_to_retry() -> None:
    policy = example()
    text = denial(policy, decide(policy, frozenset({"health"}), "claude-opus"), {"health": "tool result 4"})
    assert "health (from tool result 4)" in text and "(line 29)" in text and "Do not retry" in text
    assert "Cleared for health: gemini, qwen-30b, bash." in text and "Releases: health_scrub (redact)." in text


def test_never_stands_above_every_rule_and_above_releases() -> None:
    policy = load_text(
        text_of({n: {"may_go_to": ["any"], "never": ["vendor:google"], "purposes": []} for n in NAMES}), "made"
    )
    refused = decide(policy, frozenset({"c"}), "m2")
    assert [why.rule for why in refused.because] == ["never vendor:google"] and refused.releases == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [("whoop/sleep", "whoop/sleep"), ("whoop/*", "whoop/*"), ("bash", "bash"), ("curl", None), ("gemini", None)],
)
def test_a_tool_is_found_by_its_pattern_and_one_with_the_name_of_a_model_is_not(name: str, found: str | None) -> None:
    recipient = find_recipient(example(), name, "tool")
    assert (recipient.name if recipient else None) == found
    assert not decide(example(), frozenset({"internal"}), "gemini", kind="tool").allowed
    assert not decide(example(), frozenset({"internal"}), "bash", kind="model").allowed


def test_what_the_policy_does_not_know_is_refused() -> None:
    assert not decide(example(), frozenset({"internal"}), "gpt-6").allowed
    assert not decide(example(), frozenset({"internal", "medical"}), "gemini").allowed
    assert not decide(example(), frozenset({"internal"}), "curl").allowed


def test_unlabelled_parts_count_as_the_default_says() -> None:
    policy = load_text(
        text_of({n: {"may_go_to": [] if n == "a" else ["any"], "never": [], "purposes": []} for n in NAMES}), "made"
    )
    assert decide_parts(policy, [frozenset({"b"})], "m0").allowed
    assert not decide_parts(policy, [frozenset({"b"}), frozenset()], "m0").allowed
    assert not decide_parts(policy, [], "m0").allowed


def test_every_line_that_a_reason_names_says_what_the_reason_says() -> None:
    policy, lines = example(), lines_of_example()
    for name in policy.data:
        for to in (*policy.models, *policy.tools):
            for purpose in ("coaching", "advertising"):
                for why in decide(policy, frozenset({name}), to, purpose).because:
                    key = "may_go_to" if why.rule.startswith("no rule") else why.rule.split()[0]
                    assert lines[why.line - 1].startswith(key), (why, lines[why.line - 1])


HOP = Hop("tool", "db/query", "device", "self", "laptop-1", "eu", frozenset({"zdr"}))


@pytest.mark.parametrize(
    ("selector", "true"),
    [
        ("any", True), ("vendor:self", True), ("vendor:google", False), ("place:device", True), ("place:cloud", False),
        ("device:laptop-1", True), ("device:laptop-2", False), ("region:eu", True), ("region:us", False),
        ("term:zdr", True), ("term:no-train", False), ("tool:db/*", True), ("tool:db/query", True),
        ("tool:mail", False), ("model:db/query", False), ("term:zdr & region:eu", True),
        ("term:zdr & region:us", False), ("term:no-train & region:eu", False),
    ],
)  # fmt: skip
def test_a_selector_is_true_when_all_its_terms_are(selector: str, true: bool) -> None:
    assert fits(parse_selector(selector), HOP) is true


# ---- what holds for every policy

labels = st.frozensets(st.sampled_from(NAMES), min_size=1)
recipients = st.sampled_from(RECIPIENTS)
wanted = st.sampled_from(["", "coaching", "medical", "ads"])


@given(policies(), labels, labels, recipients, wanted)
def test_a_bigger_label_is_never_cleared_for_more(policy, label, more, to, purpose) -> None:  # type: ignore[no-untyped-def]
    if decide(policy, label | more, to, purpose).allowed:
        assert decide(policy, label, to, purpose).allowed
    each = all(decide(policy, frozenset({name}), to, purpose).allowed for name in label)
    assert each == decide(policy, label, to, purpose).allowed


@given(policies(), labels, recipients, wanted)
def test_every_refused_flow_names_data_and_a_line_of_the_file(policy, label, to, purpose) -> None:  # type: ignore[no-untyped-def]
    decision = decide(policy, label, to, purpose)
    assert decision.because
    if not decision.allowed:
        assert decision.forbidden <= label and all(why.line > 0 for why in decision.because)
        assert f"(line {decision.because[0].line})" in denial(policy, decision)


@given(policies(), labels, st.sampled_from([name for name, _ in MODELS]), wanted)
def test_every_hop_must_be_cleared(policy, label, to, purpose) -> None:  # type: ignore[no-untyped-def]
    decision = decide(policy, label, to, purpose)
    if decision.allowed:
        seen = {(why.data, why.hop) for why in decision.because}
        assert seen == {(name, hop) for name in label for hop in decision.hops}


@given(data_tables(), st.permutations(range(8)), labels, recipients, wanted)
def test_the_order_of_the_file_does_not_matter(tables, order, label, to, purpose) -> None:  # type: ignore[no-untyped-def]
    one, other = load_text(text_of(tables), "a"), load_text(text_of(tables, list(order)), "a")
    assert facts(decide(one, label, to, purpose)) == facts(decide(other, label, to, purpose))


@given(data_tables(), labels, recipients, wanted, st.sampled_from(NAMES))
def test_taking_a_rule_away_never_allows_more(tables, label, to, purpose, name) -> None:  # type: ignore[no-untyped-def]
    before = decide(load_text(text_of(tables), "a"), label, to, purpose)
    less = {**tables, name: {**tables[name], "may_go_to": tables[name]["may_go_to"][1:]}}
    if decide(load_text(text_of(less), "a"), label, to, purpose).allowed:
        assert before.allowed


@given(policies(), st.lists(labels | st.just(frozenset()), max_size=20), recipients)
def test_a_request_is_decided_as_the_union_of_its_parts(policy, parts, to) -> None:  # type: ignore[no-untyped-def]
    named = [part or frozenset({"a"}) for part in parts]
    assert decide_parts(policy, parts, to) == decide(policy, join(named), to)
