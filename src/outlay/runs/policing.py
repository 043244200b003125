"""A goal's policy: held against the goal before anything is created, and put to work when the run begins."""

from __future__ import annotations

import hashlib
import posixpath
import sys
from collections.abc import Iterable, Mapping

from outlay.agents.guard import Guard
from outlay.agents.labels import Labels
from outlay.agents.sight import Sight
from outlay.errors import InputError
from outlay.gateway.endpoint import Endpoint
from outlay.ledger import Entry, Ledger
from outlay.policy.clearance import Clearance
from outlay.policy.decide import find_recipient
from outlay.policy.load import load_text
from outlay.policy.source import join, label_path, label_text
from outlay.policy.types import Label, Policy
from outlay.runs.goal_types import Goal
from outlay.sandbox.workspace import Hub


def policy_of(goal: Goal, endpoints: Mapping[str, Endpoint]) -> Policy | None:
    """The goal's policy, when it has one. Raises InputError for one that this goal cannot keep: a model or a tool that
    it does not know, a main agent that may not read the goal, a secret in the goal."""
    if goal.policy is None:
        return None
    try:
        policy = load_text(goal.policy.read_text("utf-8-sig"), str(goal.policy))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{goal.path}: cannot read the policy {goal.policy}: {error}") from None
    clearance = Clearance(policy)
    names = model_names(clearance, endpoints.values())
    for model, name in names.items():
        if not clearance.unlabelled <= clearance.names(name):
            raise InputError(
                f"{goal.path}: model {model!r} may not see unlabelled data ({policy.defaults.unlabelled}), so it "
                f"cannot be given a task; allow it in {policy.file}, or use another model"
            )
    main = goal.team.roles[goal.team.main].model
    label = task_label(goal, policy)
    if not label <= clearance.names(names[main]):
        raise InputError(f"{goal.path}: context: {clearance.denial(label, names[main])}")
    if found := label_text(policy, goal.body):
        raise InputError(f"{goal.path}: the goal's text holds {', '.join(sorted(found))}; take it out of the file")
    for server in goal.mcp:
        if not any(pattern.startswith(f"{server}/") for pattern in policy.tools) and not _knows(policy, f"{server}/x"):
            raise InputError(f'{policy.file}: no tool of the MCP server {server!r}; write "{server}/*" under [tools]')
    for database in goal.databases:
        if not _knows(policy, f"query/{database}"):
            raise InputError(f'{policy.file}: agents may ask {database}, and no tool says so; write "query/{database}"')
    for host in goal.workspace.hosts:
        if not _knows(policy, f"net/{host}"):
            raise InputError(f'{policy.file}: commands may reach {host}, and no tool says so; write "net/{host}"')
    return policy


def _knows(policy: Policy, tool: str) -> bool:
    return find_recipient(policy, tool, "tool") is not None


def model_names(clearance: Clearance, endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Model of the goal -> the policy's name of it. Raises InputError for one that it does not know, or knows at
    another endpoint."""
    found = {}
    for endpoint in endpoints:
        url = "" if endpoint.offline else endpoint.base_url
        found[endpoint.name] = clearance.model([endpoint.name, endpoint.model], url)
    return found


def task_label(goal: Goal, policy: Policy) -> Label:
    """The label of what the main agent is told at the start: the goal, and the files that are shown with it."""
    shown = (label_path(policy, posixpath.join(str(goal.workspace.path), path)) for path in goal.context)
    return join(shown) | {policy.defaults.unlabelled}


async def open_guard(
    goal: Goal, policy: Policy, endpoints: Mapping[str, Endpoint], run: str, ledger: Ledger, owner: str, hub: Hub
) -> Guard:
    """The policy at work in a run, with what earlier activations knew."""
    clearance = Clearance(policy)
    names = model_names(clearance, endpoints.values())
    labels = Labels(run, ledger, policy)
    await labels.open(owner)
    text = goal.policy.read_bytes() if goal.policy else b""
    head = {"sha256": hashlib.sha256(text).hexdigest(), "models": names}
    await labels.write(Entry("policy.loaded", head, text))
    brought = {d.name for d in policy.data.values() if any(s.kind in ("mcp", "sql") for s in d.sources)}
    seen = join(clearance.names(name) for name in names.values())
    outside = bool(goal.mcp or goal.databases)
    may_come = clearance.unlabelled | (brought & seen if outside else frozenset())
    sight = Sight(hub, labels, goal.workspace.path, may_come)
    await sight.prepare()
    return Guard(clearance, labels, sight, names, task_label(goal, policy), attended=sys.stdin.isatty())
