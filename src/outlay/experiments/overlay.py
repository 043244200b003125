"""Arms as overlays: YAML laid over the front matter of a goal file. Mappings merge key by key, everything else
replaces, `null` takes a key away; `team` replaces as a whole, for its parts mean nothing in another shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from outlay.errors import InputError
from outlay.runs.front_matter import FrontMatter
from outlay.runs.paths import beside
from outlay.runs.yaml_lines import Document, Problems, split

WHOLE = frozenset({"team"})
"""Keys that are replaced, not merged."""


def read_overlay(text: str, file: str, folder: Path) -> str:
    """An overlay, checked, with the paths in it made absolute from `folder`. Raises InputError by line."""
    problems = Problems()
    document = Document(text or "{}", file, 1, problems)
    if document.root is not None:
        document.read(FrontMatter)
    problems.raise_if_any()
    root = document.root
    if isinstance(root, yaml.MappingNode):
        _anchor(root, folder)
        return str(yaml.serialize(root))
    return "{}\n"


def composed(goal: str, overlays: Sequence[str], file: str) -> str:
    """A whole goal file with overlays laid over its front matter, the last one on top."""
    parts = split(goal, file)
    front = _node(parts.front)
    for overlay in overlays:
        _merge(front, _node(overlay))
    return f"---\n{yaml.serialize(front)}---\n{parts.body}\n"


def _node(text: str) -> yaml.MappingNode:
    found = yaml.compose(text, Loader=yaml.SafeLoader)
    if found is None or (isinstance(found, yaml.ScalarNode) and not found.value):
        return yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(found, yaml.MappingNode):
        raise InputError("an overlay and a goal's front matter are YAML mappings")
    found.flow_style = False
    return found


def _merge(below: yaml.MappingNode, above: yaml.MappingNode, *, top: bool = True) -> None:
    for key, value in above.value:
        found = next((pair for pair in below.value if pair[0].value == key.value), None)
        if found is not None:
            both = isinstance(found[1], yaml.MappingNode) and isinstance(value, yaml.MappingNode)
            if both and not (top and key.value in WHOLE):
                _merge(found[1], value, top=False)
                continue
            below.value.remove(found)
        if value.tag != "tag:yaml.org,2002:null":
            below.value.append((key, value))


def _anchor(root: yaml.MappingNode, folder: Path) -> None:
    """Paths that are written in an experiment start there, not at the task that they are laid over."""
    parts = {key.value: value for key, value in root.value}
    for spec in _values(parts.get("models")):
        for inner in [spec, *(v for k, v in _pairs(spec) if k == "spec")]:
            kind, colon, path = str(inner.value).partition(":") if isinstance(inner, yaml.ScalarNode) else ("", "", "")
            if colon and kind in ("recorded", "manual"):
                inner.value = f"{kind}:{beside(folder, path)}"
    roles = next((value for key, value in _pairs(parts.get("team")) if key == "roles"), None)
    written = [parts.get("policy"), *_values(parts.get("skills"))]
    written += [value for role in _values(roles) for key, value in _pairs(role) if key == "file"]
    for node in written:
        if isinstance(node, yaml.ScalarNode) and node.value:
            node.value = str(beside(folder, node.value))


def _pairs(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    return [(key.value, value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _values(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [value for _, value in _pairs(node)]
