"""Roles: from the goal file, from role files, and from agent files of Claude Code, which are read as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from outlay.agents.context.settings import Handoff, When, settled
from outlay.agents.role import TOOLS, Role, Tool
from outlay.errors import InputError
from outlay.runs import shape_roles
from outlay.runs.front_matter import RoleEntry, TeamEntry
from outlay.runs.goal_types import ModelSpec, Shape, Team
from outlay.runs.paths import beside
from outlay.runs.yaml_lines import Document, Place, Problems, decode, nearest, split
from outlay.teams.team import CONDUCTED

FOLDERS = (".claude/agents", ".outlay/agents")
"""Folders of a workspace that hold roles; of two with the same name the later one holds."""

CLAUDE_TOOLS: dict[str, Tool | None] = {
    "Read": "read", "NotebookRead": "read", "Write": "write", "Edit": "edit", "MultiEdit": "edit",
    "NotebookEdit": "edit", "Glob": "glob", "LS": "glob", "Grep": "grep", "Bash": "shell", "BashOutput": "shell",
    "KillBash": "shell", "KillShell": "shell", "TodoWrite": "todo", "TodoRead": "todo", "Task": "agents",
    "Agent": "agents", "TaskOutput": "agents", "Skill": "read", "WebFetch": None, "WebSearch": None,
}  # fmt: skip
"""Tools of Claude Code and what they are here; None: there is nothing like it."""

_CLAUDE_MODELS = ("sonnet", "opus", "haiku", "fable")
WORKER = "worker"
"""Name of the built-in subagent role."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A role before its model and tools are resolved."""

    name: str
    description: str = ""
    prompt: str = ""
    model: str | None = None
    models: tuple[str, ...] = ()
    tools: list[str] | None = None
    without: list[str] = []
    handoff: Handoff | None = None
    source: str
    lenient: bool = False
    """Whether unknown tools and models are warnings (files written for another program)."""
    problem: Callable[[str, str], None]
    """Notes what is wrong with a key of this role, at its line."""


class RoleReader:
    """Resolves the team of one goal."""

    def __init__(
        self, document: Document, models: dict[str, ModelSpec], folder: Path, workspace: Path, problems: Problems
    ) -> None:
        self._document = document
        self._models = models
        self._known = document.keys.get(("models",), []) or list(models)
        self._folder = folder
        self._workspace = workspace
        self._problems = problems
        self.warnings: list[str] = []

    def team(self, entry: TeamEntry) -> Team:
        """The team that `entry` describes; what is wrong goes to the problems."""
        drafts = dict(self._given(entry))
        shape: Shape = entry.shape or ("lead" if set(drafts) - {entry.main} else "solo")
        shape_roles.check_keys(self._document, entry, shape)
        if shape in CONDUCTED:
            return self._conducted(entry, shape, drafts)
        if shape == "lead" and not entry.roles:
            drafts = {draft.name: draft for draft in self._from_folders()}
        if entry.main not in drafts and entry.main != "main":
            known = [*drafts, "main"]
            self._document.problem(
                ("team", "main"), f"no role {entry.main!r} for team.main{nearest(entry.main, known)}"
            )
        drafts.setdefault(entry.main, self._built_in(entry.main))
        if shape == "lead" and len(drafts) == 1:
            drafts[WORKER] = self._built_in(WORKER)
        main_model = self._model(drafts[entry.main], self._default_model())
        roles = {
            name: self._resolve(draft, name == entry.main, shape, main_model)
            for name, draft in sorted(drafts.items(), key=lambda item: item[0] != entry.main)
        }
        return Team(shape, entry.main, roles)

    def _conducted(self, entry: TeamEntry, shape: Shape, drafts: dict[str, Draft]) -> Team:
        """A team whose roles have fixed places."""
        built_in, main = shape_roles.places(self._document, entry, shape, list(drafts), self._known)
        for name, (description, tools) in built_in.items():
            given = drafts.get(name, self._built_in(name))
            drafts[name] = msgspec.structs.replace(
                given,
                description=given.description or description,
                tools=list(tools) if given.tools is None else given.tools,
            )
        default = self._default_model()
        return Team(
            shape,
            main,
            {name: self._resolve(drafts[name], False, shape, default) for name in built_in},
            **shape_roles.settings(entry),
        )

    # ---- where roles come from

    def _given(self, entry: TeamEntry) -> Iterator[tuple[str, Draft]]:
        place: Place = ("team", "roles")
        seen: set[str] = set()
        if isinstance(entry.roles, dict):
            pairs = [((*place, name), name, role) for name, role in entry.roles.items()]
        else:
            pairs = [(where, "", role) for where, role in self._document.items(place, entry.roles)]
        for where, name, role in pairs:
            draft = self._from_entry(where, name, role)
            if draft is None:
                continue
            if draft.name in seen:
                self._document.problem(where, f"a second role {draft.name!r}")
            seen.add(draft.name)
            yield draft.name, draft

    def _from_entry(self, place: Place, key: str, entry: str | RoleEntry) -> Draft | None:
        if isinstance(entry, str):
            draft = self._from_file(place, entry)
            return msgspec.structs.replace(draft, name=key) if draft and key else draft
        base = self._from_file((*place, "file"), entry.file) if entry.file else None
        if entry.file and base is None:
            return None
        name = entry.name or key or (base.name if base else "")
        if not name:
            self._document.problem(place, "a role without 'name'")
            return None
        if entry.name and key and entry.name != key:
            self._document.problem((*place, "name"), f"the role {key!r} calls itself {entry.name!r}; leave 'name' out")

        def problem(part: str, text: str) -> None:
            self._document.problem((*place, part), text)

        base = base or Draft(name=name, source=f"{self._document.file}:{self._document.line(place)}", problem=problem)
        tools = _names(entry.tools) if entry.tools is not None else None
        return msgspec.structs.replace(
            base,
            name=name,
            description=entry.description or base.description,
            prompt=(entry.prompt or base.prompt).strip(),
            model=entry.model or base.model,
            models=entry.models or base.models,
            tools=tools if tools is not None else base.tools,
            handoff=settled(entry.handoff) if entry.handoff is not None else base.handoff,
            problem=problem,
            lenient=base.lenient and entry.model is None and tools is None,
        )

    def _from_file(self, place: Place, name: str) -> Draft | None:
        """The role in the file `name`: a path from the goal file, or the name of a role in one of the folders."""
        if re.fullmatch(r"[\w-]+", name):
            for draft in self._from_folders():
                if draft.name == name:
                    return draft
            known = [draft.name for draft in self._from_folders()]
            self._document.problem(place, f"no role {name!r} in {' or '.join(FOLDERS)}{nearest(name, known)}")
            return None
        path = beside(self._folder, name)
        if not path.is_file():
            self._document.problem(place, f"no role file {name} in {self._folder}")
            return None
        return self._read(path, name)

    def _from_folders(self) -> list[Draft]:
        found: dict[str, Draft] = {}
        for folder in FOLDERS:
            for path in sorted((self._workspace / folder).glob("**/*.md")):
                draft = self._read(path, str(path.relative_to(self._workspace)))
                if draft is not None:
                    found[draft.name] = draft
        return list(found.values())

    def _built_in(self, name: str) -> Draft:
        description = "Does a part of the work on its own and reports back." if name == WORKER else ""
        return Draft(name=name, description=description, source="built in", problem=lambda part, text: None)

    def _read(self, path: Path, shown: str) -> Draft | None:
        """A role file. Keys that this program does not know belong to others and are left alone."""
        try:
            text = decode(path.read_bytes(), shown)
            parts = split(text, shown)
        except InputError as error:
            line, _, what = str(error).removeprefix(f"{shown}:").partition(":")
            self._problems.add(shown, int(line), what.strip())
            return None
        keys = _loose_keys(parts.front)

        def problem(part: str, text: str) -> None:
            self._problems.add(shown, _line_of(parts.front, part) + 1, text)

        return Draft(
            name=_text(keys.get("name")) or path.stem,
            description=_text(keys.get("description")),
            prompt=parts.body,
            model=_text(keys.get("model")) or None,
            models=tuple(_names(keys.get("models") or [])),
            tools=_names(keys["tools"]) if keys.get("tools") else None,
            without=_names(keys.get("disallowedTools") or []),
            handoff=_handoff(_text(keys.get("handoff")), problem),
            source=shown,
            lenient=True,
            problem=problem,
        )

    # ---- what they may use

    def _default_model(self) -> str:
        return "main" if "main" in self._known else next(iter(self._known), "main")

    def _resolve(self, draft: Draft, is_main: bool, shape: Shape, main_model: str) -> Role:
        model = main_model if is_main else self._model(draft, main_model)
        menu = [model]
        for name in draft.models:
            if name not in self._known:
                draft.problem("models", f"unknown model {name!r} in role {draft.name!r}{nearest(name, self._known)}")
            elif name not in menu:
                menu.append(name)
        return Role(
            name=draft.name,
            description=" ".join(draft.description.split()),
            prompt=draft.prompt,
            model=model,
            models=tuple(menu),
            tools=self._tools(draft, is_main and shape == "lead"),
            handoff=draft.handoff,
            source=draft.source,
        )

    def _model(self, draft: Draft, default: str) -> str:
        wanted = draft.model
        if wanted is None:
            return draft.name if draft.name in self._known else default
        if wanted == "inherit":
            return default
        if wanted in self._known:
            return wanted
        if draft.lenient:
            return self._claude_model(draft, wanted, default)
        draft.problem("model", f"unknown model {wanted!r} in role {draft.name!r}{nearest(wanted, self._known)}")
        return default

    def _claude_model(self, draft: Draft, wanted: str, default: str) -> str:
        """A model of the goal that is what another program means by `wanted` (`sonnet`, `claude-sonnet-5-5`)."""
        for name, spec in self._models.items():
            if spec.model == wanted or (wanted in _CLAUDE_MODELS and wanted in spec.model):
                return name
        self.warnings.append(
            f"{draft.source}: role {draft.name!r} asks for model {wanted!r}, which the goal does not have; "
            f"it gets {default!r} (name a model {wanted!r} under `models` to change that)"
        )
        return default

    def _tools(self, draft: Draft, leads: bool) -> tuple[Tool, ...]:
        if draft.tools is None or draft.tools == ["*"]:
            chosen: set[str] = {tool for tool in TOOLS if leads or tool != "agents"}
        else:
            chosen = {tool for name in draft.tools if (tool := self._tool(draft, name))}
        chosen -= {tool for name in draft.without if (tool := self._tool(draft, name))}
        return tuple(tool for tool in TOOLS if tool in chosen)

    def _tool(self, draft: Draft, name: str) -> str | None:
        bare, _, restriction = name.partition("(")
        if bare.startswith("mcp__"):
            return "mcp"
        if bare in TOOLS or CLAUDE_TOOLS.get(bare):
            if restriction:
                self.warnings.append(
                    f"{draft.source}: role {draft.name!r}: {name!r} is given as {bare!r} without bounds"
                )
            return bare if bare in TOOLS else CLAUDE_TOOLS[bare]
        if draft.lenient:
            self.warnings.append(
                f"{draft.source}: role {draft.name!r}: there is no tool like {name!r}; it goes without"
            )
        else:
            draft.problem("tools", f"unknown tool {name!r} in role {draft.name!r}{nearest(name, TOOLS)}")
        return None


def _handoff(word: str, problem: Callable[[str, str], None]) -> Handoff | None:
    """`handoff` of a role file; None when it has none."""
    if word and word not in get_args(When):
        problem("handoff", f"handoff is {word!r}{nearest(word, get_args(When))}")
    return settled(word) if word in get_args(When) else None  # type: ignore[arg-type]


def _names(value: Any) -> list[str]:
    """Names from a list, or from a text that separates them by commas (not those inside parentheses)."""
    if isinstance(value, str):
        value = re.split(r",(?![^()]*\))", value)
    return [str(name).strip() for name in value if str(name).strip()] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _loose_keys(front: str) -> dict[str, Any]:
    """Front matter of a role file. Many of them are no YAML (`description: Use when: ...`); then each line
    `key: text` counts as it stands."""
    import yaml

    try:
        keys = yaml.load(front, Loader=yaml.BaseLoader)
        if isinstance(keys, dict):
            return {str(key): value for key, value in keys.items()}
    except (yaml.YAMLError, RecursionError):
        pass
    found = re.finditer(r"^([A-Za-z][\w-]*):[ \t]*(.*(?:\n[ \t]+.*)*)", front, re.MULTILINE)
    return {match[1]: match[2].strip() for match in found}


def _line_of(front: str, key: str) -> int:
    """Line (1-based, in the front matter) on which `key` stands; 1 if it does not."""
    before, found, _ = ("\n" + front).partition(f"\n{key}:")
    return before.count("\n") + 1 if found else 1
