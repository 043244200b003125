"""The places that roles have in a conducted team, and what stands there when a goal file leaves them out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from outlay.agents.role import TOOLS, Tool
from outlay.runs.front_matter import TeamEntry
from outlay.runs.goal_types import Shape
from outlay.runs.yaml_lines import Document, nearest

Places = Mapping[str, tuple[str, tuple[Tool, ...]]]
"""Name -> description and tools, where the goal file gives none."""

_READING: tuple[Tool, ...] = ("read", "glob", "grep")
_WORKING: tuple[Tool, ...] = tuple(tool for tool in TOOLS if tool != "agents")
_PIPELINE: Places = {
    "architect": ("Plans.", _READING),
    "developer": ("Builds.", _WORKING),
    "reviewer": ("Accepts the work or sends it back.", (*_READING, "shell")),
}
_CHAIR = "chair"
_PERSONAS = {
    "builder": "the simplest thing that reaches the goal, concretely",
    "skeptic": "what goes wrong, is missing or contradicts itself",
}
_KEYS = {"reviews": "pipeline", "rounds": "council", "next_tier": "relay"}
_NAME = re.compile(r"[\w-]{1,30}")
_FEWEST = 2
"""Personas of a council, tiers of a relay."""


def check_keys(document: Document, entry: TeamEntry, shape: Shape) -> None:
    """Note keys that belong to another shape."""
    for key, owner in _KEYS.items():
        if getattr(entry, key) is not None and shape != owner:
            document.problem(("team", key), f"'{key}' is for shape {owner}, the team's is {shape}")


def settings(entry: TeamEntry) -> dict[str, Any]:
    """What is written of the shapes' own keys."""
    return {key: value for key in _KEYS if (value := getattr(entry, key)) is not None}


def places(
    document: Document, entry: TeamEntry, shape: Shape, given: Sequence[str], models: Sequence[str]
) -> tuple[Places, str]:
    """Every place with what is built in there, in order, and the one whose work the checks judge."""
    if entry.main != "main":
        document.problem(("team", "main"), f"a {shape} has no main agent; leave 'main' out")
    for name in given:
        if not _NAME.fullmatch(name):
            document.problem(("team", "roles", name), f"{name!r} is no name in a {shape}: letters, digits, - and _")
    if shape == "pipeline":
        for name in set(given) - set(_PIPELINE):
            document.problem(("team", "roles", name), f"a pipeline has no {name!r}{nearest(name, _PIPELINE)}")
        return _PIPELINE, "developer"
    if shape == "council":
        personas = [name for name in given if name != _CHAIR] or list(_PERSONAS)
        if len(personas) < _FEWEST:
            document.problem(("team", "roles"), f"a council of one ({personas[0]}); give it two personas or more")
        seats = {name: (_PERSONAS.get(name, ""), _READING) for name in personas}
        return {**seats, _CHAIR: ("Decides and does it.", _WORKING)}, _CHAIR
    tiers = list(given) or list(models)
    if len(tiers) < _FEWEST:
        document.problem(
            ("team", "roles"), "a relay of one tier; name two roles or more, or two models, the cheapest first"
        )
    return dict.fromkeys(tiers, ("", _WORKING)), tiers[-1] if tiers else "main"
