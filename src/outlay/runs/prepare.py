"""Everything a run needs before anything is created: endpoints, keys, prices. Bad input is found here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from outlay.agents.databases import open_database
from outlay.agents.delegation import without_writing
from outlay.agents.mcp_server import VARIABLE, McpServer
from outlay.agents.role import Role
from outlay.agents.rules import Rules
from outlay.agents.skill import Skill, read_skill
from outlay.clock import Clock
from outlay.drivers.model import DrivenModel
from outlay.drivers.registry import AGENTS, provider_of
from outlay.errors import EnvironmentProblem, InputError
from outlay.gateway.budget import Account, Bounds, Budget
from outlay.gateway.day import Day
from outlay.gateway.endpoint import PROVIDERS, Endpoint, find_key
from outlay.gateway.http import STALL_S, Http, open_client
from outlay.gateway.manual import Manual
from outlay.gateway.recording import Recorded, Recorder
from outlay.gateway.upstream import Upstream
from outlay.policy.types import Policy
from outlay.prices import book as price_book
from outlay.prices.book import PriceBook
from outlay.runs.acceptance import reviewer
from outlay.runs.driving import driven_models, is_driven
from outlay.runs.goal_types import Goal, Limits, ModelSpec, SessionLimits, SharedLimits
from outlay.runs.notify import Target, targets
from outlay.runs.policing import policy_of

if TYPE_CHECKING:
    from aiohttp import ClientSession

ALWAYS_LEFT_OUT = ("__pycache__/", "*.pyc", ".pytest_cache/")
"""What tools write as they run, and nobody wants merged."""
SKILL_FOLDERS = (".claude/skills", ".outlay/skills")
DEFAULT_WINDOW_TOKENS = 200_000
DEFAULT_MAX_OUTPUT_TOKENS = 16_000


class Prepared(msgspec.Struct, frozen=True):
    """A goal that can be run."""

    goal: Goal
    endpoints: dict[str, Endpoint]
    keys: dict[str, str | None]
    book: PriceBook
    driven: dict[str, DrivenModel] = {}
    """The models that are other agents."""
    policy: Policy | None = None
    notify: tuple[Target, ...] = ()
    """Who is told how the run goes."""


def prepare(
    goal: Goal,
    record: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    checked: bool = True,
    listed: PriceBook | None = None,
) -> Prepared:
    """Check all that can be checked without creating anything. `record`: where answers are to be recorded.
    `checked`: whether checks decide about its success, so that there must be some. `listed`: the price book in force,
    when it is at hand.

    Raises InputError: no checks, no key, a money limit on a model without a price, a recording that is none;
    EnvironmentProblem: a workspace or a recording that cannot be written.
    """
    if checked and not goal.checks:
        raise InputError(f"{goal.path}: no checks; a run succeeds only when its checks pass, so name at least one")
    reviewer(goal)
    used = _models_in_use(goal)
    endpoints = {name: endpoint_of(goal.models[name]) for name in used}
    keys = {name: find_key(endpoint, environ) for name, endpoint in endpoints.items()}
    book = book_for(goal, listed)
    for name, endpoint in endpoints.items():
        if is_driven(goal, name) and not endpoint.own_server:
            continue  # it asks for several models, by names of its own; the gateway refuses those without a price
        if goal.limits.in_usd and book.rates(endpoint.model, endpoint.priced_as, Clock().now_ms()) is None:
            raise InputError(
                f"{goal.path}: model {name!r} ({endpoint.model}) has no price, so the limit in USD cannot be kept; "
                f"give it one (models: {name}: price: {{input: ..., output: ...}}) or drop the limit (--limit usd=none)"
            )
    _seconds(environ.get("OUTLAY_STALL_S", ""), STALL_S)
    _check_workspace(goal)
    _check_files(endpoints.values(), record)
    _check_servers(goal, environ)
    _check_databases(goal, environ)
    driven = driven_models(goal, endpoints, keys, environ)
    if driven and record is not None:
        raise InputError(f"{goal.path}: {', '.join(driven)}: what other agents are told cannot be recorded")
    told = targets(goal.notify, environ) if checked else ()
    return Prepared(goal, endpoints, keys, book, driven, policy_of(goal, endpoints), told)


def _check_files(endpoints: Iterable[Endpoint], record: Path | None) -> None:
    """Recordings that are played are recordings; what is to be written can be written."""
    written = [] if record is None else [record]
    for endpoint in endpoints:
        if endpoint.provider == "recorded":
            Recorded(Path(endpoint.base_url))
        elif endpoint.provider == "manual":
            written.append(Path(endpoint.base_url) / "request")
    for path in written:
        folder = next(parent for parent in path.parents if parent.exists())
        if not folder.is_dir() or (path == record and folder != path.parent):
            raise InputError(f"{path.parent} is not a folder; choose another place for {path.name}")
        if not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise EnvironmentProblem(f"{folder} is read-only; choose another place for {path.name}")
    if record is not None and record.exists() and record.stat().st_size:
        Recorded(record)  # it goes on with a recording, and with nothing else


def _check_servers(goal: Goal, environ: Mapping[str, str]) -> None:
    """What the servers need: the SDK, and the variables that their environments name."""
    if goal.mcp and importlib.util.find_spec("mcp") is None:
        raise InputError(f"{goal.path}: MCP servers need the package mcp; install it with: pip install 'outlay[mcp]'")
    for name, server in goal.mcp.items():
        for key, value in server.env.items():
            for variable in VARIABLE.findall(value):
                if variable not in environ:
                    raise InputError(f"{goal.path}: mcp: {name}: {key} names ${{{variable}}}, which is not set")


def _check_databases(goal: Goal, environ: Mapping[str, str]) -> None:
    for name, variable in goal.databases.items():
        if not environ.get(variable):
            raise InputError(f"{goal.path}: databases: {name}: the variable {variable} holds no URL; set it")
        open_database(name, environ[variable])


def _check_workspace(goal: Goal) -> None:
    path = goal.workspace.path
    if not path.is_dir():
        raise InputError(f"{goal.path}: the workspace {path} is not a folder")
    if goal.workspace.deliver != "never" and not (
        os.access(path, os.W_OK) and not os.statvfs(path).f_flag & os.ST_RDONLY
    ):
        raise EnvironmentProblem(
            f"the workspace {path} is read-only, so a result cannot be delivered into it; "
            f"choose another with --workspace, or set workspace: deliver: never"
        )


def _models_in_use(goal: Goal) -> list[str]:
    """The models of the roles in play, their menus and the fallbacks of all of these."""
    names = [name for role in goal.team.in_play for name in (role.model, *role.models)]
    for name in names:  # grows while fallbacks of fallbacks are found
        names += [other for other in goal.models[name].fallback if other not in names]
    return list(dict.fromkeys(names))


def endpoint_of(model: ModelSpec) -> Endpoint:
    """Where a model of the goal is called."""
    window = model.window or DEFAULT_WINDOW_TOKENS
    shared: dict[str, Any] = {
        "window_tokens": window,
        "max_output_tokens": model.max_output or min(DEFAULT_MAX_OUTPUT_TOKENS, window // 4),
        "reasoning": model.reasoning,
        "fallback": model.fallback,
    }
    if model.provider in ("recorded", "manual"):
        return Endpoint(model.name, model.provider, model.name, model.provider, base_url=model.model, **shared)
    agent = AGENTS.get(model.provider)
    provider = provider_of(agent, model.model) if agent else model.provider
    codec, base_url, key_env = PROVIDERS[provider]
    if model.base_url and model.provider == "openai":  # what calls itself OpenAI-compatible speaks chat completions
        codec = "openai-chat"
    return Endpoint(
        model.name,
        provider,
        model.model,
        codec,
        (model.base_url or base_url).rstrip("/"),
        # A key goes to its own provider, and to another server only when the goal says so.
        model.key_env or ("" if model.base_url else key_env),
        own_server=model.base_url is not None,
        **shared,
    )


def own_prices(goal: Goal) -> dict[str, dict[str, float]]:
    """Model id as it stands in `calls` -> the goal's own price for it, USD per million tokens."""
    prices: dict[str, dict[str, float]] = {}
    for model in goal.models.values():
        if model.price is not None:
            given = msgspec.structs.asdict(model.price)
            prices[endpoint_of(model).model] = {k: v for k, v in given.items() if v is not None}
    return prices


def book_for(goal: Goal, listed: PriceBook | None = None) -> PriceBook:
    """The price book (`listed`, when it is at hand) with the goal's own prices on top."""
    book = listed or price_book.load()
    for model, price in own_prices(goal).items():
        book = book.with_price(model, **price)  # type: ignore[arg-type]
    return book


def open_upstreams(
    prepared: Prepared,
    record: Path | None,
    environ: Mapping[str, str] = os.environ,
    client: ClientSession | None = None,
) -> dict[str, Upstream]:
    """Model name -> where its calls go. With `record` every answer is also written to that file.

    client: the pool of connections of a process that opens many such sets and closes it itself; None: one of their own.
    `OUTLAY_STALL_S` in the environment: seconds of silence after which an answer counts as broken.
    """
    stall_s = _seconds(environ.get("OUTLAY_STALL_S", ""), STALL_S)
    recordings: dict[str, Recorded] = {}
    upstreams: dict[str, Upstream] = {}
    for name, endpoint in prepared.endpoints.items():
        upstream: Upstream
        if name in prepared.driven:
            continue  # its calls come by HTTP
        if endpoint.provider == "recorded":
            upstream = recordings.setdefault(endpoint.base_url, Recorded(Path(endpoint.base_url)))
        elif endpoint.provider == "manual":
            upstream = Manual(Path(endpoint.base_url))
        else:
            client = client or open_client()
            upstream = Http(endpoint, prepared.keys[name], client, stall_s)
        if record is not None:
            upstream = Recorder(upstream, record, _how(endpoint))
        upstreams[name] = upstream
    return upstreams


def _seconds(text: str, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        raise InputError(f"OUTLAY_STALL_S is {text!r}, not a number of seconds") from None


def _how(endpoint: Endpoint) -> str:
    """How a recording's answers come about, for its header."""
    if endpoint.provider == "manual":
        return (
            "by working the goal through manual: (answers in files, no model API); "
            "token counts are estimated from their texts"
        )
    return f"by a run with {endpoint.provider}:{'' if endpoint.offline else endpoint.model}"


def budget_of(limits: Limits, name: str = "the run") -> Budget:
    """The budgets of a run, its teams and its sessions."""
    roles = {role: _bounds(bounds) for role, bounds in limits.roles.items()}
    return Budget(Account(name, _bounds(limits)), _bounds(limits.session), _bounds(limits.team), roles)


def day_of(limits: Limits, book: PriceBook, clock: Clock) -> Day | None:
    """The limit on all runs of a day; None: there is none."""
    return Day(_bounds(limits.day), book, clock) if limits.day.bounded else None


def _bounds(limits: Limits | SessionLimits | SharedLimits) -> Bounds:
    return Bounds(
        usd_pico=limits.usd_pico,
        net_tokens=limits.net_tokens,
        turns=limits.turns,
        output_tokens=limits.output_tokens,
    )


def roles_of(goal: Goal) -> tuple[Role, dict[str, Role]]:
    """The main agent's role, and the roles it may start."""
    main = goal.team.main_role
    return without_writing(main) if goal.delegation.delegate == "all" else main, {
        role.name: role for role in goal.team.subagents
    }


def rules_of(goal: Goal) -> Rules:
    """What holds for every session."""
    return Rules(
        concurrent=goal.limits.subagents,
        depth=goal.limits.depth,
        session_wall_s=goal.limits.session.wall_s,
        spawns=goal.limits.spawns,
        session_spawns=goal.limits.session.spawns,
        breakers=goal.limits.breakers,
        handoff=goal.handoff,
        delegation=goal.delegation,
        hosts=goal.workspace.hosts,
        protected=goal.workspace.protect,
        judged=goal.team.main if goal.team.conducted else "",
        skills=_skills(goal),
        mcp={name: McpServer(command=s.command or "", args=s.args, env=s.env, url=s.url or "")
             for name, s in goal.mcp.items()},
        databases={name: os.environ[variable] for name, variable in goal.databases.items()},
    )  # fmt: skip


def _skills(goal: Goal) -> dict[str, Skill]:
    """Every `SKILL.md` of the workspace's own folders and of the goal's; of two with one name the goal's holds.

    A folder of the workspace comes from wherever the workspace comes from: links that lead out of it are left out.
    """
    skills: dict[str, Skill] = {}
    own = [goal.workspace.path / folder for folder in SKILL_FOLDERS]
    for folder in (*own, *goal.skills):
        for file in [*([folder / "SKILL.md"] if folder not in own else []), *sorted(folder.glob("*/SKILL.md"))]:
            inside = folder not in own or file.resolve().is_relative_to(goal.workspace.path)
            if file.is_file() and inside:
                skill = read_skill(file)
                skills[skill.name] = skill
    return skills
