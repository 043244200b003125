"""The file: lines, errors with the nearest right name, warnings, writing."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from flows import EXAMPLE, example, policies
from hypothesis import given
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.policy.lint import lint
from outlay.policy.load import load, load_text
from outlay.policy.ready import READY, ready
from outlay.policy.toml_lines import PolicyError, parse
from outlay.policy.types import Policy
from outlay.policy.write import text, write

SMALL = """\
version = 1
[defaults]
unlabelled = "internal"
[models]
gemini = { place = "cloud", vendor = "google", terms = ["no-train"], endpoint = "https://a.googleapis.com" }
[data.internal]
may_go_to = ["vendor:google"]
[data.health]
from = ["path:/data/health/**", "scan:secret"]
may_go_to = []
[tools]
bash = { place = "device", device = "laptop-1" }
"""
RELEASE = '[release.f]\ndata = ["internal"]\nhow = "schema"\nschema = { type = "boolean" }\n'


def faults(source: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_text(source, "p")
    return [str(fault) for fault in caught.value.faults]


TYPOS = {
    "version = 1": ("version = 2", "p:1: version is 2; this program reads version 1"),
    "[defaults]": ("[defualts]", "p:2: unknown key 'defualts'; did you mean 'defaults'?"),
    'unlabelled = "internal"': (
        'unlabelled = "internl"',
        "p:3: defaults.unlabelled is 'internl', which is no data; did you mean 'internal'?",
    ),
    'place = "cloud"': ('place = "clod"', "p:5: models.gemini.place is 'clod'; did you mean 'cloud'?"),
    'vendor = "google"': ('vendor = "gogle"', "p:5: models.gemini.vendor is 'gogle'; did you mean 'google'?"),
    "terms": ("trems", "p:5: unknown key 'trems' in models.gemini; did you mean 'terms'?"),
    'endpoint = "https://a.googleapis.com"': (
        'endpoint = "a.googleapis.com"',
        "p:5: models.gemini.endpoint is no URL of a server: 'a.googleapis.com'; write https://host/path",
    ),
    '"https://a.': (
        '"https://key@a.',
        "p:5: models.gemini.endpoint holds a name, a key or a query; keys do not stand in a policy",
    ),
    'may_go_to = ["vendor:google"]': (
        'may_go_to = [\n  "any",\n  "vendr:google"]',
        "p:9: data.internal: may_go_to: 'vendr:google': no selector 'vendr'; did you mean 'vendor'?",
    ),
    '["vendor:google"]': ('["model:gemni"]', "p:7: data.internal.may_go_to: no model 'gemni'; did you mean 'gemini'?"),
    'to = ["vendor:google"]': (
        'to = ["vendor:gogle"]',
        "p:7: data.internal.may_go_to: no vendor 'gogle'; did you mean 'google'?",
    ),
    '= ["vendor:google"]': (
        '= ["term:no-trian"]',
        "p:7: data.internal.may_go_to: no term 'no-trian'; did you mean 'no-train'?",
    ),
    "path:/data/health/**": (
        "paht:/data",
        "p:9: data.health: from: 'paht:/data': no source 'paht'; did you mean 'path'?",
    ),
    "path:/data/": ("path:data/", "p:9: data.health: from: 'path:data/health/**': a path begins with `/` or `**/`"),
    "scan:secret": (
        "scan:jwtt",
        "p:9: data.health: from: 'scan:jwtt': no pattern 'jwtt'; did you mean 'jwt'?",
    ),
    "may_go_to = []": ("", "p:8: 'may_go_to' is missing in data.health"),
    'device = "laptop-1"': ("efect = true", "p:12: unknown key 'efect' in tools.bash; did you mean 'effect'?"),
    '"device", device': ('"cloud", vendor = "self", device', "p:12: tools.bash.device"),
}


@pytest.mark.parametrize("right", TYPOS)
def test_a_typo_is_refused_with_its_line_and_the_nearest_right_word(right: str) -> None:
    wrong, message = TYPOS[right]
    assert right in SMALL
    assert any(fault.startswith(message) for fault in faults(SMALL.replace(right, wrong, 1))), message


KEYS = [
    "version", "purpose", "defaults", "models", "data", "tools", "release", "unlabelled", "place", "vendor", "via",
    "endpoint", "may_go_to", "never", "from", "purposes", "how", "schema", "to", "detectors", "max_per_run", "type",
    "leak_bits_per_run", "properties", "enum", "required", "a", "\x1b[2J", "",
]  # fmt: skip
RELEASES = {
    '["internal"]': ('["internl"]', "p:14: release.f.data no data 'internl'; did you mean 'internal'?"),
    'data = ["internal"]': ('data = ["health"]', "p:14: release.f.data has 'health': secrets are never released"),
    '"schema"': ('"scema"', "p:15: release.f.how is 'scema'; did you mean 'schema'?"),
    '"boolean"': ('"string"', "p:16: release.f: schema: a fact is a boolean"),
    '{ type = "boolean" }': (
        '{ type = "integer", minimum = 0 }',
        "p:16: release.f: schema: an integer needs minimum and maximum",
    ),
    'schema = {': ('maximum = 3\nschema = {', "p:16: unknown key 'maximum' in release.f"),
}  # fmt: skip


@pytest.mark.parametrize("right", RELEASES)
def test_a_release_that_cannot_be_bounded_is_refused(right: str) -> None:
    wrong, message = RELEASES[right]
    assert any(fault.startswith(message) for fault in faults(SMALL + RELEASE.replace(right, wrong, 1)))


def test_a_redaction_for_anybody_or_with_an_unknown_detector_is_refused() -> None:
    told = faults(SMALL + '[release.r]\ndata = ["internal"]\nhow = "redact"\nto = ["any"]\ndetectors = ["emial"]\n')
    assert told == [
        "p:16: release.r: to: a redacted text goes to somebody named, not to any",
        "p:17: release.r: no detector 'emial'; did you mean 'email'?",
    ]


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    told = faults(SMALL.replace("no-train", "a\\tb").replace("[tools]", "[tols]").replace("vendor:google", "any & x"))
    assert [fault.split(":")[1] for fault in told] == ["5", "7", "11"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a = 1\nb = = 2\n", "p:2: not TOML: invalid value"),
        ("a = 1\na = 2\n", "p:2: not TOML: cannot overwrite a value"),
        ('a = "x\n', "p:1: not TOML: "),
        ("a = [1,\n\n", "p:1: not TOML: invalid value"),
        ("a = " + "[" * 5000, "p:1: not TOML: "),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(source: str, message: str) -> None:
    assert faults(source)[0].startswith(message)


def test_a_file_that_is_not_there_or_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the policy"):
        load(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_bytes(b"version = 1\nx = '\xff'\n")
    with pytest.raises(InputError, match=r"bad\.toml:2: not UTF-8"):
        load(tmp_path / "bad.toml")


shapes = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.sampled_from(["any", "a", "x:y", "schema", "cloud"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), shapes, max_size=6))
def test_whatever_shape_a_file_has_its_faults_are_told_with_lines_that_exist(made: dict[str, object]) -> None:
    source = "\n".join(f"{text(key)} = {toml(value)}" for key, value in made.items())
    with pytest.raises(PolicyError) as caught:
        load_text(source, "p")
    assert all(1 <= fault.line <= source.count("\n") + 1 for fault in caught.value.faults)
    assert all("\n" not in fault.text and fault.text.isprintable() for fault in caught.value.faults)


def test_a_name_cannot_write_to_the_terminal() -> None:
    source = SMALL.replace("gemini =", '"gem\\u001b[2Jini" =').replace('"laptop-1"', '"a\\u009bb"')
    told = "\n".join(faults(source))
    assert "\x1b" not in told and "\x9b" not in told and "cannot be printed" in told


# ---- lines


def places(value: object, place: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    found = {place}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= places(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found |= places(inner, (*place, number))
    return found


TRICKY = '''\
"a b".c = 1 # [x]
'd"' = """one
[two]
"""   # three
list = [ # [
  1, [2,
  "]"], { x = "}", y.z = 2 }, # ]
]
dates = [1979-05-27T07:32:00Z, 1979-05-27 07:32:00, 1e3,]
[t]   # t
k = \'\'\'
'' x\'\'\'\'
[t.u."v.w"]
e = {}
[[many]]
n = 1
[many.in]
n = 2
[[many]]
[[many.deep]]
n = 3
[many.in]
'''


def test_every_key_and_item_of_a_tricky_file_has_its_line() -> None:
    values, lines = parse(TRICKY, "t")
    assert set(lines) == places(values)
    expected = {
        ("a b", "c"): 1, ('d"',): 2, ("list", 1, 0): 6, ("list", 1, 1): 7, ("list", 2, "y", "z"): 7, ("t",): 10,
        ("t", "k"): 11, ("t", "u", "v.w", "e"): 14, ("many", 0, "in", "n"): 18, ("many", 1, "deep", 0, "n"): 21,
        ("many", 1, "in"): 22,
    }  # fmt: skip
    assert {place: lines[place] for place in expected} == expected


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(toml(inner) for inner in value) + "]"
    if isinstance(value, str):
        return text(value)
    return str(value).lower()


keys = st.text(st.characters(codec="utf-8"), max_size=6)
values = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_every_place_of_any_file_has_a_line_and_texts_round_trip(made: dict[str, object]) -> None:
    source = "\n\n".join(f"{text(key)} = {toml(value)}" for key, value in made.items())
    read, lines = parse(source, "t")
    assert read == tomllib.loads(source) == made
    assert set(lines) == places(made)
    assert all(1 <= line <= source.count("\n") + 1 for line in lines.values())


# ---- writing


def without_lines(policy: Policy) -> object:
    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {
                k: strip(v) for k, v in value.items() if k not in ("line", "lines", "may_line", "purposes_line", "file")
            }
        return [strip(inner) for inner in value] if isinstance(value, list | tuple) else value

    return strip(msgspec.to_builtins(policy, order="deterministic"))


@given(policies())
def test_a_policy_that_is_written_and_read_is_the_same(policy: Policy) -> None:
    again = load_text(write(policy, "a head\nof two lines"), "again")
    assert without_lines(again) == without_lines(policy)
    assert write(again, "a head\nof two lines") == write(policy, "a head\nof two lines")


def test_the_example_is_written_and_read_as_the_same_policy() -> None:
    assert without_lines(load_text(write(example()), "again")) == without_lines(example())


# ---- warnings


def warned(source: str) -> list[str]:
    return [str(fault) for fault in lint(load_text(source, "p"))]


WARNINGS = {
    'may_go_to = ["vendor:google"]': ('may_go_to = ["any"]', "p:7: unlabelled data (internal) may go to any model"),
    '["vendor:google"]': ('["vendor:mistral"]', "p:7: data internal: may_go_to 'vendor:mistral' fits no model"),
    '= ["vendor:google"]': ("= []", "p:7: unlabelled data (internal) may go to no model, so no agent can work"),
    "to = []": ('to = []\nnever = ["vendor:groq"]', "p:11: data health: never 'vendor:groq' fits no model and no tool"),
    '"scan:secret"': ('"mcp:a/*"', "p:1: no data has from = "),
    'from = ["path:/data/health/**", "scan:secret"]\n': ("", "p:8: data health has no `from`"),
    "a.googleapis.com": ("openrouter.ai", "p:5: model gemini: openrouter.ai belongs to openrouter, which sees"),
    'place = "cloud", vendor': ('place = "device", vendor', 'p:5: model gemini has place = "device", and a.googleapis'),
    "https://a.google": ("http://a.google", "p:5: model gemini is called without encryption (http)"),
    "[tools]": ('[tools]\nmail = { place = "cloud", vendor = "internet" }', "p:12: tool mail may be given nothing"),
}  # fmt: skip


@pytest.mark.parametrize("right", WARNINGS)
def test_what_is_probably_not_meant_is_warned_of_with_its_line(right: str) -> None:
    wrong, message = WARNINGS[right]
    assert right in SMALL
    told = warned(SMALL.replace(right, wrong, 1))
    assert any(fault.startswith(message) for fault in told), told


def test_a_rule_for_a_model_behind_a_router_that_is_not_cleared_is_warned_of() -> None:
    source = SMALL.replace("terms =", 'via = ["openrouter"], terms =').replace('"vendor:google"', '"model:gemini"')
    assert any("not to openrouter, which sees it on the way" in fault for fault in warned(source))


def test_a_purpose_that_no_data_is_for_and_terms_that_look_alike_are_warned_of() -> None:
    source = SMALL.replace("version = 1", 'version = 1\npurpose = "coachng"').replace(
        "may_go_to = []", 'may_go_to = []\npurposes = ["coaching"]'
    )
    assert "p:2: no data is for the purpose 'coachng'; did you mean 'coaching'?" in warned(source)
    twin = 'twin = { place = "cloud", vendor = "google", terms = ["no-trian"], endpoint = "https://b.googleapis.com" }'
    assert any(
        "'no-trian' looks like 'no-train'" in f for f in warned(SMALL.replace("[data.int", twin + "\n[data.int"))
    )


def test_a_file_without_a_purpose_that_its_data_demands_is_told_that_and_nothing_else() -> None:
    source = EXAMPLE.read_text().replace('purpose = "coaching"', "")
    assert [(fault.line, fault.text) for fault in lint(load_text(source, "p"))][1:] == [
        (31, "data health is for coaching, medical only, and the file says no purpose")
    ]


@pytest.mark.parametrize("name", READY)
def test_ready_policies_have_no_errors_and_no_warnings(name: str) -> None:
    assert warned(ready(name)) == []


def test_the_example_has_one_warning() -> None:
    assert [fault.line for fault in lint(example())] == [20]
    assert EXAMPLE.read_text().splitlines()[19].startswith("may_go_to")
