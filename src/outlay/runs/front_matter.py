"""What may be written in the front matter of a goal file. These types are the one definition: the reader, its error
messages and the JSON schema follow from them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from outlay.agents.context.settings import Handoff, Written
from outlay.agents.delegation import Delegation
from outlay.agents.written import Count, Seconds, Tokens
from outlay.runs.goal_types import (
    Check,
    Deliver,
    Gate,
    LeastSandbox,
    Limits,
    McpServer,
    NextTier,
    Price,
    Reasoning,
    Shape,
)
from outlay.runs.notify import Notify

_SPEC = (
    "`provider:model[@base_url]`; providers: anthropic, openai, openai-chat, openai-responses, google, recorded, manual"
)


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model with more than its spec."""

    spec: Annotated[str, Meta(description=_SPEC)]
    window: Annotated[Tokens | None, Meta(description="Context window in tokens.")] = None
    price: Annotated[Price | None, Meta(description="Own price, USD per million tokens.")] = None
    max_output: Annotated[Tokens | None, Meta(description="Most tokens that one call may generate.")] = None
    fallback: Annotated[tuple[str, ...], Meta(description="Models to turn to, in order, when this one fails.")] = ()
    reasoning: Annotated[Reasoning, Meta(description="Effort asked of a reasoning model.")] = ""
    key_env: Annotated[str | None, Meta(description="Environment variable that holds the key.")] = None


class RoleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role written in the goal file, or a role file with parts of it changed."""

    name: Annotated[str | None, Meta(description="Its name; needed in a list, the key in a mapping.")] = None
    file: Annotated[str | None, Meta(description="Role file (Markdown with front matter) to start from.")] = None
    description: Annotated[str | None, Meta(description="When to use it; the main agent reads this.")] = None
    prompt: Annotated[str | None, Meta(description="System prompt.")] = None
    model: Annotated[str | None, Meta(description="A name under `models`, or `inherit`.")] = None
    models: Annotated[tuple[str, ...], Meta(description="Names of the models it may be started with.")] = ()
    tools: Annotated[
        list[str] | str | None,
        Meta(description="Tools it has (read, write, edit, glob, grep, shell, todo, agents, mcp); default: all."),
    ] = None
    handoff: Written | None = None


class TeamEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who works, and in what shape."""

    shape: Annotated[
        Shape | None,
        Meta(
            description="`solo`: one agent; `lead`: a main agent with subagents; `pipeline`: architect, developer, "
            "reviewer; `council`: personas and a chair; `relay`: cheap first. Default: lead when roles are given."
        ),
    ] = None
    main: Annotated[str, Meta(description="Name of the main agent's role.")] = "main"
    roles: Annotated[
        list[str | RoleEntry] | dict[str, str | RoleEntry],
        Meta(description="Roles: inline, or the path of a role file, or the name of a file in `.outlay/agents`."),
    ] = field(default_factory=dict)
    reviews: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="`pipeline`: how often the reviewer may send work back; default 2."),
    ] = None
    rounds: Annotated[Count | None, Meta(description="`council`: how often each persona speaks; default 2.")] = None
    next_tier: Annotated[
        NextTier | None,
        Meta(description="`relay`: where a tier begins: `continues` the last one's work (default), or `starts_over`."),
    ] = None


class WorkspaceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the work is done."""

    path: Annotated[str, Meta(description="Folder or git repository, relative to the goal file.")] = "."
    exclude: Annotated[tuple[str, ...], Meta(description="Patterns, as in .gitignore, of what is left out.")] = ()
    protect: Annotated[tuple[str, ...], Meta(description="Paths in the workspace that agents may not change.")] = ()
    hosts: Annotated[tuple[str, ...], Meta(description="Hosts that commands may reach. Default: no network.")] = ()
    deliver: Annotated[Deliver, Meta(description="When the result is written back to the workspace.")] = "success"
    at: Annotated[
        str | None, Meta(description="Where commands see it besides /workspace, such as /app; not with `protect`.")
    ] = None
    sandbox: Annotated[LeastSandbox, Meta(description="Weakest sandbox; without it the run does not start.")] = "strict"


class FrontMatter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The front matter of a goal file."""

    name: Annotated[str | None, Meta(description="Name of its runs. Default: the name of the file.")] = None
    models: Annotated[dict[str, str | ModelEntry], Meta(description="Models by name. " + _SPEC)] = field(
        default_factory=dict
    )
    team: Annotated[TeamEntry, Meta(description="Roles and shape.")] = TeamEntry()
    checks: Annotated[tuple[Check, ...], Meta(description="Acceptance commands; all must pass.")] = ()
    gates: Annotated[
        tuple[Gate, ...], Meta(description="Checks in groups; the next opens when the last is green.")
    ] = ()
    delegation: Annotated[
        Delegation, Meta(description="What the main agent must leave to others, and who must approve the result.")
    ] = Delegation()
    limits: Annotated[Limits, Meta(description="Bounds on the run.")] = Limits()
    handoff: Written = Handoff()
    notify: Annotated[Notify, Meta(description="Who is told how the run goes.")] = Notify()
    workspace: Annotated[str | WorkspaceEntry, Meta(description="Where the work is done.")] = WorkspaceEntry()
    context: Annotated[tuple[str, ...], Meta(description="Files of the workspace to show to the main agent.")] = ()
    mcp: Annotated[dict[str, McpServer], Meta(description="MCP servers by name.")] = field(default_factory=dict)
    databases: Annotated[
        dict[str, str],
        Meta(description="Databases that agents may read: name, and the environment variable that holds its URL."),
    ] = field(default_factory=dict)
    skills: Annotated[tuple[str, ...], Meta(description="Folders that hold skills (SKILL.md).")] = ()
    policy: Annotated[str | None, Meta(description="Policy file.")] = None


_WRITTEN: dict[str, dict[str, Any]] = {
    "duration": {"type": ["number", "string"], "pattern": r"^(\d+(\.\d+)?(s|m|h|d))+$"},
    "tokens": {"type": ["integer", "string"], "pattern": r"^\d+(\.\d+)?[kM]?$"},
    "usd": {"type": "number", "minimum": 0},
}


def json_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of the front matter, for editors."""
    schema = msgspec.json.schema(FrontMatter)
    _units(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Front matter of an Outlay goal file",
        **schema,
    }


def _units(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("format") in _WRITTEN:
            node.update(_WRITTEN[node.pop("format")])
        for child in node.values():
            _units(child)
    elif isinstance(node, list):
        for child in node:
            _units(child)


__all__ = [
    "FrontMatter", "ModelEntry", "RoleEntry", "Seconds", "TeamEntry", "WorkspaceEntry", "json_schema",
]  # fmt: skip
