"""Which tools a session has, from its role and its place in the team."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from outlay.agents.role import Role
from outlay.agents.tool import Tool
from outlay.agents.tools import commands, delegation, ending, external, files, planning, query


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about a session's tools."""

    names: tuple[str, ...]
    main: bool
    roles: tuple[Role, ...]
    """Roles that it may start as subagents; empty: it has none."""
    models: tuple[str, ...]
    skills: tuple[str, ...]
    mcp: tuple[str, ...]
    databases: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()


PLAIN: Mapping[str, Callable[[], Tool]] = {
    "read": files.read_tool,
    "write": files.write_tool,
    "edit": files.edit_tool,
    "glob": files.glob_tool,
    "grep": commands.grep_tool,
    "shell": commands.shell_tool,
    "todo": planning.todo_tool,
}
"""Tools for files and commands, which another agent that is driven has itself."""


def toolbox(offer: Offer) -> dict[str, Tool]:
    """The tools of a session by name, always in the same order (the order is part of the fixed prompt)."""
    tools = [make() for name, make in PLAIN.items() if name in offer.names]
    if offer.roles:
        tools += delegation.tools(offer.roles, offer.models)
    if offer.skills:
        tools.append(external.skill_tool(offer.skills))
    if offer.mcp and "mcp" in offer.names:
        tools.append(external.mcp_tool(offer.mcp))
    if offer.databases:
        tools.append(query.query_tool(offer.databases))
    if offer.releases:
        from outlay.agents.releasing import release_tool  # here: only runs with a policy need it

        tools.append(release_tool(offer.releases))
    if not offer.main:
        tools.append(delegation.ask_tool())
    tools.append(ending.finish_tool())
    return {each.spec.name: each for each in tools}
