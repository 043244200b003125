"""Facts and their bits, redaction, approvals: how a label comes off, and how not."""

import itertools
import json
import math

import pytest
from flows import EXAMPLE, example
from hypothesis import given
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.policy.decide import decide
from outlay.policy.detectors import DETECTORS, iban_valid, luhn, redact
from outlay.policy.fact import check_schema, fact, millibits
from outlay.policy.load import load_text
from outlay.policy.release import Spent, ask, release_approved, release_fact, release_redacted

FACT = example().releases["xyz_fact"].schema
assert FACT is not None
XYZ = frozenset({"xyz"})
HEALTH = frozenset({"health"})

# ---- facts


def test_the_bits_of_a_fact_are_the_logarithm_of_what_it_can_say() -> None:
    assert millibits({"type": "boolean"}) == 1000
    assert millibits({"type": "integer", "minimum": -4, "maximum": 3}) == 3000
    assert millibits({"enum": ["only"]}) == 0
    assert millibits(FACT) == math.ceil(1000 * (1 + math.log2(10_000) + 1 + 2)) == 17_288


@pytest.mark.parametrize(
    "text",
    ['{"found": true}', '{"found": 1, "count": 2}', '{"found": true, "count": 10000}', '{"found": true, "count": -1}',
     '{"found": true, "count": 1.5}', '{"found": true, "count": true}', '{"found": true, "count": "2"}',
     '{"found": true, "count": 2, "note": "ann"}', '{"found": true, "count": 2, "trend": "ann"}', "[]", "", "null",
     '{"found": true, "count": 2, "trend": null}', '{"found": true, "count": 1e400}', "[" * 5000, "1" * 9000,
     '{"found": true, "count": ' + "9" * 9000 + "}",
     b"\xff", b'{"found": true, "count": 1}\x00', '{"found": true, "c'],
)  # fmt: skip
def test_what_is_no_fact_is_refused_without_showing_it(text: str | bytes) -> None:
    with pytest.raises(InputError) as caught:
        fact(FACT, text)
    assert "ann" not in str(caught.value) and "10000" not in str(caught.value) and len(str(caught.value)) < 99


def test_how_a_fact_is_written_tells_nothing() -> None:
    ways = ['{"count":7,"found":true}', ' { "found" : true , "count" : 7 } ', '{"count":1,"count":7,"found":true}',
            '{"c\\u006funt":7,"found":true}']  # fmt: skip
    assert {fact(FACT, way) for way in ways} == {b'{"found":true,"count":7}'}


schemas = st.recursive(
    st.just({"type": "boolean"})
    | st.tuples(st.integers(-5, 5), st.integers(0, 6)).map(
        lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[0] + pair[1]}
    )
    | st.lists(st.sampled_from(["up", "down", 1, 2, "1"]), min_size=1, max_size=4, unique_by=repr).map(
        lambda values: {"enum": values}
    ),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties))).map(
            lambda required: {"type": "object", "properties": properties, "required": sorted(required)}
        )
    ),
    max_leaves=3,
)
MISSING = object()


def every_fact(schema: dict) -> list:  # type: ignore[type-arg]
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "boolean":
        return [True, False]
    if schema["type"] == "integer":
        return list(range(schema["minimum"], schema["maximum"] + 1))
    choices = [
        every_fact(inner) + ([] if key in schema["required"] else [MISSING])
        for key, inner in schema["properties"].items()
    ]
    return [
        {key: value for key, value in zip(schema["properties"], values, strict=True) if value is not MISSING}
        for values in itertools.product(*choices)
    ]


@given(schemas)
def test_a_fact_never_tells_more_than_its_bits(schema: dict) -> None:  # type: ignore[type-arg]
    problems: list[str] = []
    check_schema(schema, problems.append)
    assert problems == []
    told = {fact(schema, json.dumps(value)) for value in every_fact(schema)}
    assert math.log2(len(told)) * 1000 <= millibits(schema) + 1e-6


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(anything | st.dictionaries(st.sampled_from(["found", "count", "trend", "x"]), anything))
def test_no_json_text_gets_through_that_the_schema_does_not_have(value: object) -> None:
    try:
        out = json.loads(fact(FACT, json.dumps(value)))
    except InputError:
        return
    assert set(out) <= {"found", "count", "trend"}


@pytest.mark.parametrize(
    "schema",
    [None, {}, {"type": "string"}, {"type": "number"}, {"type": "array"}, {"type": "object"}, {"enum": []},
     {"enum": ["a", "a"]}, {"enum": [1.5]}, {"type": "boolean", "default": True}, {"type": "integer", "minimum": 0},
     {"type": "integer", "minimum": 3, "maximum": 2}, {"type": "integer", "minimum": True, "maximum": 2},
     {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["b"]},
     {"type": "object", "properties": {"a": {"type": "boolean"}}, "additionalProperties": True}],
)  # fmt: skip
def test_a_schema_without_a_bound_is_refused(schema: object) -> None:
    problems: list[str] = []
    check_schema(schema, problems.append)
    assert problems


def test_facts_end_when_their_number_or_the_bits_of_the_run_are_used_up() -> None:
    policy, spent = example(), Spent()
    for _ in range(8):
        spent = release_fact(policy, "xyz_fact", '{"found":true,"count":1}', XYZ, spent).spent
    assert spent.millibits == 8 * 17_288 and spent.uses == {"xyz_fact": 8}
    with pytest.raises(InputError, match="was used 8 times"):
        release_fact(policy, "xyz_fact", '{"found":true,"count":1}', XYZ, spent)
    with pytest.raises(InputError, match=r"17\.3 bits more would be above the 256 bits of a run \(240\.0 are used\)"):
        release_fact(policy, "xyz_fact", '{"found":true,"count":1}', XYZ, Spent(millibits=240_000))


def test_only_the_named_data_comes_off() -> None:
    told = release_fact(example(), "xyz_fact", '{"found":true,"count":1}', XYZ | HEALTH, Spent())
    assert told.label == HEALTH
    with pytest.raises(InputError, match="takes xyz off; the label is health"):
        release_fact(example(), "xyz_fact", '{"found":true,"count":1}', HEALTH, Spent())


def test_secrets_are_never_released() -> None:
    policy, spent = example(), Spent()
    token = b"the key is ghp_" + b"aB3" * 12
    with pytest.raises(InputError, match="secrets are never released"):
        release_fact(policy, "xyz_fact", '{"found":true,"count":1}', XYZ | {"secret"}, spent)
    with pytest.raises(InputError, match="secrets are never released"):
        approval = ask(policy.releases["xyz_summary"], token, "claude-opus", "1")
        release_approved(policy, "xyz_summary", token, XYZ, spent, approval)
    with pytest.raises(InputError, match="secrets are never released"):
        release_redacted(policy, "health_scrub", token.decode(), HEALTH, spent, "claude-opus")


# ---- a person


def test_an_approval_holds_for_the_very_bytes_once() -> None:
    policy, content = example(), "Umsatz: 12 €".encode()
    approval = ask(policy.releases["xyz_summary"], content, "claude-opus", "a1")
    with pytest.raises(InputError, match="not what was approved"):
        release_approved(policy, "xyz_summary", content + b" ", XYZ, Spent(), approval)
    told = release_approved(policy, "xyz_summary", content, XYZ, Spent(), approval)
    assert (told.content, told.label, told.to) == (content, frozenset(), "claude-opus")
    with pytest.raises(InputError, match="was used already"):
        release_approved(policy, "xyz_summary", content, XYZ, told.spent, approval)
    with pytest.raises(InputError, match="no release 'xyz_fact' of the kind human"):
        release_approved(policy, "xyz_fact", content, XYZ, Spent(), approval)


def test_purposes_bind_every_release_and_never_what_goes_to_one_recipient() -> None:
    text = (
        EXAMPLE.read_text()
        + """
[release.health_fact]
data = ["health"]
how = "schema"
schema = { type = "boolean" }
[release.health_seen]
data = ["health"]
how = "human"
"""
    )
    policy = load_text(text, "p")
    assert decide(policy, HEALTH, "gpt-5").releases == ("health_fact",)
    assert decide(policy, HEALTH, "gemini-router").releases == ("health_fact", "health_seen")
    assert decide(policy, HEALTH, "gpt-5", "advertising").releases == ()
    with pytest.raises(InputError, match="not for this purpose"):
        release_fact(policy, "health_fact", "true", HEALTH, Spent(), "advertising")
    with pytest.raises(InputError, match="not for gpt-5"):
        approval = ask(policy.releases["health_seen"], b"x", "gpt-5", "1")
        release_approved(policy, "health_seen", b"x", HEALTH, Spent(), approval)


# ---- redaction


def test_a_redacted_text_goes_to_the_named_recipient_only() -> None:
    policy = example()
    told = release_redacted(policy, "health_scrub", "Ann (ann@x.org) ran 5 km", HEALTH, Spent(), "claude-opus")
    assert (told.content, told.to) == (b"Ann ([email]) ran [number] km", "claude-opus")
    for to in ("gpt-5", "gemini-router"):
        with pytest.raises(InputError, match=f"not for {to}"):
            release_redacted(policy, "health_scrub", "x", HEALTH, Spent(), to)
    with pytest.raises(InputError, match=r"2,001 characters, at most 2,000"):
        release_redacted(policy, "health_scrub", "x" * 2001, HEALTH, Spent(), "claude-opus")
    with pytest.raises(InputError, match="not for claude-opus"):
        release_redacted(policy, "health_scrub", "x", HEALTH, Spent(), "claude-opus", "advertising")


FOUND = {
    "email": ["ann@example.org", "a.b+c@mail.example.co.uk", "ünï@exämple.de"],
    "phone": ["+49 170 1234567", "(030) 123 456 78", "555-123-4567", "+1 (555) 123-4567", "0170/1234567"],
    "iban": ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "fr14 2004 1010 0505 0001 3m02 606"],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "99994111111111111111",
             "2 4111111111111111"],
    "ssn": ["078-05-1120", "219 09 9999"],
    "ip": ["192.168.1.17", "2001:db8::8a2e:370:7334", "::1", "fe80::1", "::ffff:10.0.0.1"],
    "date": ["2026-11-21", "21.11.2026", "11/21/26", "3 March 1984", "March 3, 1984", "1st of May", "Oktober 2026",
             "3. März 1984", "2026-11-21T07:32:00Z"],
    "number": ["7", "3.14", "1,000,000", "٣٤"],
}  # fmt: skip
NOT_FOUND = {
    "email": ["@ann", "ann@localhost", "a @ b.org"],
    "phone": ["2026", "v1.2.3", "12 apples", "abc1234567"],
    "iban": ["GB82 WEST 1234 5698 7654 33", "DE00370400440532013000", "ISO 13616"],
    "card": ["4111 1111 1111 1112", "1234"],
    "ssn": ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "1078-05-1120"],
    "ip": ["1.2.3", "999.1.1.1", "1.2.3.4.5", "12:30", "std::vector"],
    "date": ["1.2.3", "maybe 3", "version 10.2", "10:30"],
    "number": ["seven", ""],
}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_takes_out_what_it_is_named_for_and_leaves_the_rest(name: str) -> None:
    for text in FOUND[name]:
        for before, after in (("", ""), ("it is ", " now"), ("(", ")"), ("x: ", ", y")):
            told = redact(before + text + after, [name])
            assert told.text.startswith(before) and told.text.endswith(after), told
            assert f"[{name}]" in told.text and told.counts == {name: 1}, (text, told)
    for text in NOT_FOUND[name]:
        assert redact(text, [name]).text == text


def test_full_width_digits_and_invisible_characters_hide_nothing() -> None:
    assert redact("４１１１ 1111\u200b 1111 1111", ["card"]).text == "[card]"
    assert redact("ann\u00ad@exam\u200dple.org", ["email"]).text == "[email]"


def test_two_accounts_and_two_cards_in_a_row_are_both_found() -> None:
    assert redact("GB82WEST12345698765432 DE89370400440532013000", ["iban"]).text == "[iban] [iban]"
    assert "4111" not in redact("4111111111111111 4111111111111111", ["card"]).text
    assert "4111" not in redact("1" * 60 + "4111111111111111", ["card"]).text


def test_check_digits_are_those_of_the_standards() -> None:
    assert luhn("79927398713") and not luhn("79927398710")
    assert iban_valid("GB82WEST12345698765432") and not iban_valid("GB82WEST12345698765433")


@given(st.text(st.sampled_from("0123456789 -./:@abGB\u200b٣(),\n"), max_size=60))
def test_no_digit_is_left_when_numbers_are_taken_out(text: str) -> None:
    assert not any(char.isdecimal() for char in redact(text, list(DETECTORS)).text)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'email'"):
        redact("x", ["emial"])
