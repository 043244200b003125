"""Decides whether a label may go to a recipient: every name must be cleared for every hop.

No rule means no; what the policy does not know is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from outlay.errors import InputError
from outlay.policy.selector import fitting
from outlay.policy.source import join, or_unlabelled
from outlay.policy.toml_lines import nearest
from outlay.policy.types import Because, Data, Decision, Hop, Label, Policy, Recipient, Release

Kind = Literal["", "model", "tool"]


def find_recipient(policy: Policy, name: str, kind: Kind = "") -> Recipient | None:
    """A model, or a tool by the pattern that fits it best (its own name, else the longest). None: unknown.

    Say the kind wherever it is known: a tool of an MCP server may have the name of a model.
    """
    if kind != "tool" and (model := policy.models.get(name)):
        return model
    return None if kind == "model" else _find_tool(policy, name)


def _find_tool(policy: Policy, name: str) -> Recipient | None:
    pattern = name if name in policy.tools else None
    if pattern is None:
        fitting_patterns = [p for p in policy.tools if fnmatchcase(name, p)]
        pattern = max(fitting_patterns, key=lambda p: (len(p), p), default=None)
    if pattern is None:
        return None
    tool = policy.tools[pattern]
    if pattern == name:
        return tool
    own, *between = tool.hops
    return msgspec.structs.replace(tool, name=name, hops=(msgspec.structs.replace(own, name=name), *between))


def decide_parts(
    policy: Policy, labels: Iterable[Label], recipient: str, purpose: str | None = None, kind: Kind = ""
) -> Decision:
    """Whether all the parts of a request, each with its label, may go to a recipient together.

    A part with an empty label is unlabelled data.
    """
    distinct = set(labels)
    label = join(distinct)
    if frozenset() in distinct:
        label |= {policy.defaults.unlabelled}
    return decide(policy, label, recipient, purpose, kind)


def decide(policy: Policy, label: Label, recipient: str, purpose: str | None = None, kind: Kind = "") -> Decision:
    """Whether what carries the label may go to a model or tool, by name, for a purpose (default: the policy's).

    An empty label is unlabelled data.
    """
    label = or_unlabelled(policy, label)
    purpose = policy.purpose if purpose is None else purpose
    names = tuple(sorted(label))
    found = find_recipient(policy, recipient, kind)
    if found is None:
        says = f"the policy knows no model and no tool {recipient!r}"
        why = tuple(Because(name, recipient, 0, "no such recipient", says) for name in names)
        return Decision(False, names, recipient, (), why, (), purpose)
    allowing: list[Because] = []
    refusing: list[Because] = []
    for name in names:
        data = policy.data.get(name)
        if data is None:
            refusing.append(Because(name, found.name, 0, "no such data", f"the policy knows no data {name!r}"))
            continue
        if bad := _purpose(data, purpose):
            refusing.append(bad)
        for hop in found.hops:
            allowed, why_hop = _hop(data, hop)
            (allowing if allowed else refusing).append(why_hop)
    hops = tuple(hop.name for hop in found.hops)
    if not refusing:
        return Decision(True, names, found.name, hops, tuple(allowing), (), purpose)
    forbidden = {why.data for why in refusing}
    releases = tuple(r.name for r in ways_out(policy, forbidden, found, purpose))
    return Decision(False, names, found.name, hops, tuple(refusing), releases, purpose)


def _purpose(data: Data, purpose: str) -> Because | None:
    if not data.purposes or purpose in data.purposes:
        return None
    wanted = ", ".join(sorted(data.purposes))
    says = f"{data.name} is for {wanted} only, and the purpose is {purpose or 'not said'}"
    return Because(data.name, "", data.purposes_line, f"purposes {wanted}", says)


def _hop(data: Data, hop: Hop) -> tuple[bool, Because]:
    """The rule that lets data of one name through to one hop, or what forbids it."""
    seen_by = f"{hop.name}, on the way," if hop.kind == "via" else hop.name
    if never := fitting(data.never, hop):
        says = f"{data.name} never goes to {never.text}, and {seen_by} is that"
        return False, Because(data.name, hop.name, never.line, f"never {never.text}", says)
    if rule := fitting(data.may_go_to, hop):
        says = f"{data.name} may go to {rule.text}, and {seen_by} is that"
        return True, Because(data.name, hop.name, rule.line, f"may_go_to {rule.text}", says)
    if not data.may_go_to:
        says = f"nobody may see {data.name}"
    else:
        says = f"{data.name} may go to {' or '.join(r.text for r in data.may_go_to)}; {seen_by} is not that"
    return False, Because(data.name, hop.name, data.may_line, "no rule in may_go_to", says)


def ways_out(policy: Policy, names: Iterable[str], recipient: Recipient, purpose: str) -> list[Release]:
    """The releases, sorted by name, that take at least one of the names off for this recipient."""
    wanted = frozenset(names)
    fit = [r for r in policy.releases.values() if r.data & wanted and release_fits(policy, r, recipient, purpose)]
    return sorted(fit, key=lambda release: release.name)


def release_fits(policy: Policy, release: Release, recipient: Recipient, purpose: str) -> bool:
    """Whether a release may be used for a recipient and a purpose.

    Purposes bind every release. `never` binds what goes to one recipient, approved or redacted, and `to` what is
    redacted; a fact goes to nobody in particular.
    """
    if not purpose_fits(policy, release, purpose):
        return False
    if release.how == "schema":
        return True
    if any(fitting(policy.data[name].never, hop) for name in release.data for hop in recipient.hops):
        return False
    return release.how == "human" or all(fitting(release.to, hop) for hop in recipient.hops)


def purpose_fits(policy: Policy, release: Release, purpose: str) -> bool:
    """Whether all data of a release may be used for the purpose at all."""
    return not any(_purpose(policy.data[name], purpose) for name in release.data)


def cleared(policy: Policy, label: Label, purpose: str | None = None) -> list[str]:
    """Names of the models, then of the tools, to which the label may go."""
    return [name for name in (*policy.models, *policy.tools) if decide(policy, label, name, purpose).allowed]


def need_recipient(policy: Policy, name: str) -> Recipient:
    """A recipient that a person named. Raises InputError with the nearest right name."""
    if found := find_recipient(policy, name):
        return found
    raise InputError(f"{policy.file}: no model or tool {name!r}{nearest(name, [*policy.models, *policy.tools])}")


def need_data(policy: Policy, names: Iterable[str]) -> Label:
    """A label that a person named. Raises InputError with the nearest right name."""
    names = list(names)
    for name in names:
        if name not in policy.data:
            raise InputError(f"{policy.file}: no data {name!r}{nearest(name, policy.data)}")
    return frozenset(names)
