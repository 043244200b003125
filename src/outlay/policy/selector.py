"""Selectors: which recipients a rule means. `vendor:google & term:no-train`, `place:device`, `any`."""

from __future__ import annotations

from fnmatch import fnmatchcase

from outlay.policy.toml_lines import nearest
from outlay.policy.types import Hop, Rule

KINDS = ("model", "place", "device", "vendor", "term", "tool", "region")


def parse_selector(text: str, line: int = 0) -> Rule:
    """A rule from its text. Raises ValueError with what is wrong, for the person who wrote it."""
    terms = set()
    for part in text.split("&"):
        part = part.strip()
        kind, colon, value = (piece.strip() for piece in part.partition(":"))
        if part == "any":
            terms.add(("any", ""))
        elif not part:
            raise ValueError(f"{text!r} has nothing beside an `&`")
        elif not colon:
            raise ValueError(f"{part!r} is no selector; write kind:value with one of {', '.join(KINDS)}, or any")
        elif kind not in KINDS:
            raise ValueError(f"{part!r}: no selector {kind!r}{nearest(kind, KINDS)}")
        elif not value:
            raise ValueError(f"{part!r} says no {kind}")
        else:
            terms.add((kind, value))
    if len(terms) > 1 and ("any", "") in terms:
        raise ValueError(f"{text!r}: `any` stands alone")
    ordered = tuple(sorted(terms, key=lambda term: (_ORDER[term[0]], term[1])))
    return Rule(" & ".join(f"{kind}:{value}" if value else kind for kind, value in ordered), ordered, line)


_ORDER = {kind: number for number, kind in enumerate((*KINDS, "any"))}


def fits(rule: Rule, hop: Hop) -> bool:
    """Whether every term of the rule is true of the hop."""
    for kind, value in rule.terms:
        if kind == "vendor":
            true = hop.vendor == value
        elif kind == "place":
            true = hop.place == value
        elif kind == "model":
            true = hop.kind == "model" and hop.name == value
        elif kind == "term":
            true = value in hop.terms
        elif kind == "device":
            true = hop.device == value
        elif kind == "region":
            true = hop.region == value
        elif kind == "tool":
            true = hop.kind == "tool" and (hop.name == value or fnmatchcase(hop.name, value))
        else:
            true = kind == "any"
        if not true:
            return False
    return True


def fitting(rules: tuple[Rule, ...], hop: Hop) -> Rule | None:
    """The first rule that fits the hop; rules are sorted by their text, so the file's order does not matter."""
    for rule in rules:
        if fits(rule, hop):
            return rule
    return None
