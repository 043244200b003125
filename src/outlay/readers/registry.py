"""Names and states of subagents that `opencode-subagent` started: its `registry.json`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from outlay.readers.reading import Name


def names(folders: Iterable[str], environ: Mapping[str, str] = os.environ) -> list[Name]:
    """Every subagent in the registries of the folders, by the session that it ran in.

    A registry that is missing or torn (it is written while agents run) names nobody.
    """
    where = environ.get("OPENCODE_PSA_DIR", ".opencode-subagent")
    found: dict[str, Name] = {}
    for folder in sorted(set(folders)):
        try:
            document = msgspec.json.decode((Path(folder) / where / "registry.json").read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        agents = document.get("agents") if isinstance(document, dict) else None
        for name, agent in agents.items() if isinstance(agents, dict) else ():
            for entry in _entries(str(name), agent):
                found[entry.session] = entry
    return list(found.values())


def _entries(name: str, agent: Any) -> list[Name]:
    if not isinstance(agent, dict):
        return []
    entries = []
    if isinstance(agent.get("sessionId"), str):
        entries.append(Name(agent["sessionId"], name, str(agent.get("status") or "")))
    children = agent.get("children")
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict) and isinstance(child.get("sessionId"), str):
            label = f"{name}/{child.get('title') or 'task'}"
            entries.append(Name(child["sessionId"], label, str(child.get("status") or "")))
    return entries
