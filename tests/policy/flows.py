"""The example policy, and strategies that make policies and labels."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from outlay.policy.load import load, load_text
from outlay.policy.types import Decision, Policy

EXAMPLE = Path(__file__).with_name("example.toml")


def example() -> Policy:
    return load(EXAMPLE)


def lines_of_example() -> list[str]:
    return EXAMPLE.read_text().splitlines()


def facts(decision: Decision) -> object:
    """A decision without the numbers of lines."""
    return (
        decision.allowed, decision.label, decision.recipient, decision.hops, decision.releases, decision.purpose,
        [(why.data, why.hop, why.rule, why.says) for why in decision.because],
    )  # fmt: skip


VENDORS = ["anthropic", "openai", "google", "self"]
TERMS = ["no-train", "zdr"]
MODELS = [
    ("m0", 'place = "cloud", vendor = "anthropic", terms = ["no-train"]'),
    ("m1", 'place = "cloud", vendor = "openai", region = "eu"'),
    ("m2", 'place = "cloud", vendor = "google", terms = ["zdr", "no-train"]'),
    ("m3", 'place = "cloud", vendor = "google", via = ["openrouter"]'),
    ("m4", 'place = "onprem", vendor = "self"'),
    ("m5", 'place = "device", device = "laptop-1"'),
    ("m6", 'place = "onprem", vendor = "self", via = ["openrouter", "groq"], terms = ["zdr"]'),
]
TOOLS = [
    ("mail", 'place = "cloud", vendor = "internet", effect = true'),
    ("db/*", 'place = "onprem", vendor = "self"'),
    ("shell", 'place = "device", device = "laptop-1"'),
]
RECIPIENTS = [name for name, _ in MODELS] + ["mail", "db/query", "shell"]
NAMES = ["a", "b", "c", "d"]

selectors = st.lists(
    st.sampled_from(
        [f"vendor:{v}" for v in [*VENDORS, "openrouter", "groq"]] + [f"term:{t}" for t in TERMS]
        + ["place:cloud", "place:onprem", "place:device", "device:laptop-1", "region:eu", "tool:db/*", "tool:mail"]
        + [f"model:m{n}" for n in range(7)]
    ),
    min_size=1, max_size=2, unique=True,
).map(" & ".join)  # fmt: skip
rules = st.lists(selectors | st.just("any"), max_size=4, unique_by=lambda text: frozenset(text.split(" & ")))
purposes = st.sampled_from([[], ["coaching"], ["coaching", "medical"], ["ads"]])


@st.composite
def data_tables(draw: st.DrawFn) -> dict[str, dict[str, list[str]]]:
    """What `[data.NAME]` says, by name and key."""
    return {
        name: {"may_go_to": draw(rules), "never": draw(st.just([]) | rules), "purposes": draw(purposes)}
        for name in NAMES
    }


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    return load_text(text_of(draw(data_tables())), "made.toml")


def text_of(data: dict[str, dict[str, list[str]]], order: list[int] | None = None) -> str:
    """A policy file; `order` (a permutation) turns lists and tables about."""
    turned = order or list(range(8))

    def turn(values: list) -> list:  # type: ignore[type-arg]
        keyed = sorted(range(len(values)), key=lambda n: turned[n % len(turned)] * 100 + n)
        return [values[n] for n in keyed]

    lines = ["version = 1", 'purpose = "coaching"', "[defaults]", 'unlabelled = "a"', "[models]"]
    lines += turn([f'{name} = {{ {what}, endpoint = "https://host/{name}" }}' for name, what in MODELS])
    for name, table in turn(list(data.items())):
        lines.append(f"[data.{name}]")
        for key, values in turn(list(table.items())):
            if values or key == "may_go_to":
                lines.append(f"{key} = [{', '.join(chr(34) + v + chr(34) for v in turn(values))}]")
    lines.append("[tools]")
    lines += turn([f'"{name}" = {{ {what} }}' for name, what in TOOLS])
    lines += ["[release.fact]", 'data = ["b"]', 'how = "schema"', 'schema = { type = "boolean" }']
    lines += ["[release.scrub]", 'data = ["c"]', 'how = "redact"', 'to = ["vendor:google"]', 'detectors = ["email"]']
    return "\n".join(lines)
