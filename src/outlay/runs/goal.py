"""Goal files: Markdown whose body is the goal and whose YAML front matter says who works on it, within what limits,
and which checks decide. Format: docs/reference/goal.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from outlay.agents.context.settings import settled
from outlay.agents.role import Role
from outlay.errors import InputError
from outlay.runs.front_matter import FrontMatter, ModelEntry, WorkspaceEntry, json_schema
from outlay.runs.goal_types import Check, Goal, ModelSpec, Workspace
from outlay.runs.model_spec import parse_spec
from outlay.runs.paths import beside
from outlay.runs.roles import RoleReader
from outlay.runs.yaml_lines import Document, Place, Problems, decode, nearest, split
from outlay.teams.team import Team

__all__ = ["json_schema", "load", "parse"]

LONGEST_NAME = 60
TAKEN = re.compile(r"/(bin|boot|dev|etc|lib\w*|nix|proc|run|sbin|sys|usr|var|workspace)(/.*)?|/home|/home/agent|/tmp")
"""Places in the sandbox that are its own."""


def load(path: Path, *, models: Sequence[str] = (), workspace: Path | None = None) -> Goal:
    """Read a goal file.

    `models` are changes from the command line, `SPEC` (the main agent's model) or `NAME=SPEC` (that of a role, or
    the model of that name). `workspace` takes the place of the one in the file.
    Raises InputError with one line for everything that is wrong: `GOAL.md:7: unknown key 'modle' ...`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no goal file {path}; `outlay goal new {path}` writes a template") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return parse(decode(data, str(path)), path, models=models, workspace=workspace)


def parse(text: str, path: Path, *, models: Sequence[str] = (), workspace: Path | None = None) -> Goal:
    """`load` for a text that is already read; `path` says where it stands (relative paths start there)."""
    file = str(path)
    parts = split(text, file)
    problems = Problems()
    if not parts.body:
        problems.add(file, parts.body_line, "no goal: the text after the front matter is empty; say what is wanted")
    document = Document(parts.front, file, parts.front_line, problems)
    front = document.read(FrontMatter) or FrontMatter()
    problems_of_form = bool(problems) and document.root is None
    if problems_of_form:
        problems.raise_if_any()
    reader = _Resolver(document, problems, path.absolute().parent, workspace)
    try:
        goal = reader.goal(front, text, path, parts.body, models)
    except OSError as error:
        raise InputError(f"{file}: cannot read {error.filename}: {error.strerror}") from None
    problems.raise_if_any()
    return goal


class _Resolver:
    """Turns what is written into a Goal, noting everything that is wrong."""

    def __init__(self, document: Document, problems: Problems, folder: Path, workspace: Path | None) -> None:
        self._document = document
        self._problems = problems
        self._folder = folder
        self._workspace = workspace

    def goal(self, front: FrontMatter, text: str, path: Path, body: str, overrides: Sequence[str]) -> Goal:
        workspace = self._read_workspace(front.workspace)
        models = self._models(front)
        changes = [_split_override(override) for override in overrides]
        if not models and not self._document.keys.get(("models",)):
            models = self._models_from(changes)
        roles = RoleReader(self._document, models, self._folder, workspace.path, self._problems)
        team = roles.team(front.team)
        if not self._problems:
            models, changed = _override(models, team.roles, team.main, changes)
            team = msgspec.structs.replace(team, roles=changed)
        self._check_names(front)
        for role in front.limits.roles:
            if role not in team.roles:
                place: Place = ("limits", "roles", role)
                self._document.problem(place, f"no role {role!r} to limit{nearest(role, team.roles)}")
        self._check_checks(front.checks)
        self._check_gates(front)
        self._check_delegation(front, team)
        self._check_mcp(front)
        for place, name in self._document.items(("context",), front.context):
            self._inside(place, name, workspace.path, must_exist=True)
        goal = Goal(
            path=path.absolute(),
            text=text,
            name=front.name or _name_of(path),
            body=body,
            models=models,
            team=team,
            checks=front.checks,
            limits=front.limits,
            workspace=workspace,
            context=front.context,
            mcp=front.mcp,
            databases=front.databases,
            skills=self._skills(front.skills),
            gates=front.gates,
            delegation=front.delegation,
            handoff=settled(front.handoff),
            notify=front.notify,
            policy=self._existing(("policy",), front.policy, "policy file"),
        )
        return msgspec.structs.replace(goal, warnings=(*roles.warnings, *_doubts(goal)))

    # ---- models

    def _models(self, front: FrontMatter) -> dict[str, ModelSpec]:
        models: dict[str, ModelSpec] = {}
        for name, written in front.models.items():
            place: Place = ("models", name)
            entry = ModelEntry(spec=written) if isinstance(written, str) else written
            self._check_fallback(name, entry.fallback)
            try:
                models[name] = msgspec.structs.replace(
                    parse_spec(name, entry.spec, self._folder),
                    window=entry.window,
                    price=entry.price,
                    max_output=entry.max_output,
                    fallback=entry.fallback,
                    reasoning=entry.reasoning,
                    key_env=entry.key_env,
                )
            except InputError as error:
                self._document.problem(place if isinstance(written, str) else (*place, "spec"), str(error))
        return models

    def _check_fallback(self, name: str, fallback: tuple[str, ...]) -> None:
        known = [other for other in self._document.keys[("models",)] if other != name]
        for place, other in self._document.items(("models", name, "fallback"), fallback):
            if other not in known:
                what = "is its own fallback" if other == name else f"has an unknown fallback {other!r}"
                self._document.problem(place, f"model {name!r} {what}{nearest(other, known)}")

    def _models_from(self, changes: list[tuple[str, str]]) -> dict[str, ModelSpec]:
        """Models of a goal file that names none: those of the command line."""
        for name, spec in changes:
            if name in ("", "main"):
                return {"main": parse_spec("main", spec, Path.cwd())}
        self._document.problem(
            ("models",), "no model: write `models: {main: anthropic:claude-sonnet-5-5}` or give --model PROVIDER:MODEL"
        )
        return {}

    # ---- the rest

    def _read_workspace(self, written: str | WorkspaceEntry) -> Workspace:
        entry = WorkspaceEntry(path=written) if isinstance(written, str) else written
        path = self._workspace.absolute() if self._workspace else beside(self._folder, entry.path)
        place: Place = ("workspace", "path")
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            if self._workspace:
                raise InputError(f"the workspace {self._workspace} {what}")
            self._document.problem(place, f"the workspace {path} {what}")
        for where, name in self._document.items(("workspace", "protect"), entry.protect):
            self._inside(where, name, path, must_exist=False)
        for where, host in self._document.items(("workspace", "hosts"), entry.hosts):
            if not re.fullmatch(r"[A-Za-z0-9*_.:\[\]-]+", host):
                self._document.problem(where, f"{host!r} is no host name; write e.g. example.org (no scheme, no path)")
        return Workspace(
            path=path.resolve(),
            exclude=entry.exclude,
            protect=entry.protect,
            hosts=entry.hosts,
            deliver=entry.deliver,
            at=self._at(entry),
            sandbox=entry.sandbox,
        )

    def _at(self, entry: WorkspaceEntry) -> str | None:
        """A place in the sandbox that nothing else has."""
        place: Place = ("workspace", "at")
        if entry.at is not None and not re.fullmatch(r"(/[\w.-]+)+", entry.at):
            self._document.problem(place, f"{entry.at!r} is no absolute path such as /app")
        elif entry.at is not None and TAKEN.fullmatch(entry.at):
            self._document.problem(place, f"{entry.at} belongs to the sandbox; choose another place, such as /app")
        elif entry.at is not None and entry.protect:
            self._document.problem(
                place, "protected paths cannot be kept at a second place; leave 'at' or 'protect' out"
            )
        return entry.at

    def _check_names(self, front: FrontMatter) -> None:
        """Names stand in tables and on command lines: one line each, not too long, not empty."""
        roles = front.team.roles if isinstance(front.team.roles, dict) else {}
        named: list[tuple[Place, str]] = [(("models", name), name) for name in front.models]
        named += [(("team", "roles", name), name) for name in roles]
        named += [((*place, "name"), check.name) for place, check in self._document.items(("checks",), front.checks)]
        named += [(("name",), front.name)] if front.name is not None else []
        for place, name in named:
            if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
                self._document.problem(place, f"{name!r} is no name: one line of at most {LONGEST_NAME} characters")

    def _check_checks(self, checks: tuple[Check, ...]) -> None:
        seen: set[str] = set()
        for place, check in self._document.items(("checks",), checks):
            if not check.command.strip():
                self._document.problem((*place, "command"), f"the check {check.name!r} has an empty command")
            if check.name in seen:
                self._document.problem((*place, "name"), f"a second check {check.name!r}")
            seen.add(check.name)
            self._check_rule((*place, "pass"), check)

    def _check_gates(self, front: FrontMatter) -> None:
        checks = [check.name for check in front.checks]
        seen: dict[str, str] = {}
        for place, gate in self._document.items(("gates",), front.gates):
            if not gate.checks:
                self._document.problem((*place, "checks"), f"the gate {gate.name!r} has no checks")
            for where, name in self._document.items((*place, "checks"), gate.checks):
                if name not in checks:
                    self._document.problem(where, f"no check {name!r} for the gate{nearest(name, checks)}")
                elif name in seen:
                    self._document.problem(where, f"the check {name!r} stands in the gate {seen[name]!r} already")
                seen[name] = gate.name

    def _check_delegation(self, front: FrontMatter, team: Team) -> None:
        rules = front.delegation
        review, others = rules.review, [name for name in team.roles if name != team.main]
        if review is not None and review.role not in others:
            place: Place = ("delegation", "review", "role")
            self._document.problem(place, f"no role {review.role!r} to review{nearest(review.role, others)}")
        if team.shape != "lead" and (rules.delegate == "all" or rules.least_share or rules.most_edits is not None):
            self._document.problem(("delegation",), f"a team of shape {team.shape!r} has no main agent that delegates")

    def _check_rule(self, place: Place, check: Check) -> None:
        rule = check.rule
        if rule.pattern is not None:
            where: Place = (*place, "pattern")
            if not {"at_least", "at_most"} & set(self._document.keys.get(place, ())):
                self._document.problem(where, "a pattern needs a bound beside it: at_least or at_most")
            try:
                if re.compile(rule.pattern).groups > 1:
                    self._document.problem(where, "the pattern has several groups; one must hold the number")
            except re.error as error:
                self._document.problem(where, f"the pattern is no regular expression: {error}")
        if rule.at_least is not None and rule.at_most is not None and rule.at_least > rule.at_most:
            self._document.problem(place, f"at_least {rule.at_least:g} is above at_most {rule.at_most:g}")

    def _check_mcp(self, front: FrontMatter) -> None:
        for name, server in front.mcp.items():
            if (server.command is None) == (server.url is None):
                self._document.problem(("mcp", name), f"the server {name!r} needs either 'command' or 'url'")
            elif server.url is not None and not re.match(r"https?://", server.url):
                self._document.problem(("mcp", name, "url"), f"{server.url!r} is no http URL")

    def _skills(self, names: tuple[str, ...]) -> tuple[Path, ...]:
        folders = []
        for place, name in self._document.items(("skills",), names):
            folder = self._existing(place, name, "skills folder")
            if folder is None:
                continue
            if not (folder / "SKILL.md").is_file() and not any(folder.glob("*/SKILL.md")):
                self._document.problem(place, f"no SKILL.md in {name} or in a folder inside it")
            folders.append(folder)
        return tuple(folders)

    def _existing(self, place: Place, name: str | None, what: str) -> Path | None:
        if name is None:
            return None
        path = beside(self._folder, name)
        if not path.exists():
            self._document.problem(place, f"no {what} {name} in {self._folder}")
            return None
        return path.resolve()

    def _inside(self, place: Place, name: str, workspace: Path, *, must_exist: bool) -> None:
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not name.strip():
            self._document.problem(place, f"{name!r} must be a path inside the workspace, written from its top")
        elif must_exist and not (workspace / path).is_file():
            self._document.problem(place, f"no file {name} in the workspace {workspace}")


def _split_override(override: str) -> tuple[str, str]:
    """Name ('' when none is given) and spec of `--model NAME=SPEC`."""
    name, equals, spec = override.partition("=")
    return (name, spec) if equals and ":" not in name and "/" not in name else ("", override)


def _override(
    models: dict[str, ModelSpec], roles: dict[str, Role], main: str, changes: list[tuple[str, str]]
) -> tuple[dict[str, ModelSpec], dict[str, Role]]:
    """Models and roles with the changes of the command line. Relative paths start at the current folder.

    Raises InputError for a name that is neither a role nor a model.
    """
    models, roles = dict(models), dict(roles)
    for name, spec in changes:
        if not name:
            model = roles[main].model
            models[model] = parse_spec(model, spec, Path.cwd())
        elif name in roles:
            model = spec if spec in models else name
            if spec not in models:
                if any(role.model == name or name in role.models for role in roles.values() if role.name != name):
                    model = f"{name}-override"
                models[model] = parse_spec(model, spec, Path.cwd())
            menu = (model, *(other for other in roles[name].models if other not in (model, roles[name].model)))
            roles[name] = msgspec.structs.replace(roles[name], model=model, models=menu)
        elif name in models:
            models[name] = parse_spec(name, spec, Path.cwd())
        else:
            raise InputError(f"--model {name}={spec}: no role or model {name!r}{nearest(name, [*roles, *models])}")
    return models, roles


def _doubts(goal: Goal) -> list[str]:
    """What is allowed but hardly meant."""
    doubts = []
    if not goal.checks:
        doubts.append("no checks: `outlay run` wants at least one, which decides whether the goal is reached")
    if not goal.limits.bounded:
        doubts.append("no limit on money, tokens, turns or time: the run may go on for ever")
    doubts += [
        f"protected path {name} does not exist in the workspace (it cannot be created by agents)"
        for name in goal.workspace.protect
        if not (goal.workspace.path / name).exists()
    ]
    if goal.mcp and not any("mcp" in role.tools for role in goal.team.roles.values()):
        doubts.append("MCP servers are given, but no role has the tool 'mcp'")
    return doubts


def _name_of(path: Path) -> str:
    """The file's name, or its folder's when the file is just called GOAL.md."""
    stem = path.absolute().parent.name if path.stem.lower() == "goal" else path.stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-") or "goal"
