"""Releases that an agent asks for: a handle's text approved by a person, redacted, or as a fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from outlay.agents.guard import Guard
from outlay.agents.labels import Handle, decision
from outlay.agents.tool import Outcome, Refused, Tool, tool
from outlay.errors import InputError
from outlay.ledger import Entry
from outlay.policy.decide import need_recipient, release_fits
from outlay.policy.release import Approval, Released, ask, release_approved, release_fact, release_redacted
from outlay.policy.types import Policy
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session

POLL_S = 0.5
"""Time between two looks for a person's decision."""


class Wanted(msgspec.Struct, frozen=True):
    handle: str
    release: str


async def _release(session: Session, asked: tuple[ToolCall, Wanted]) -> Outcome:
    call, wanted = asked
    guard = session.crew.guard
    if guard is None:
        raise Refused("this run has no policy, so there is nothing to release")
    labels, policy = guard.labels, guard.clearance.policy
    handle = labels.handles.get(wanted.handle.removeprefix("handle:"))
    if handle is None or handle.text is None:
        raise Refused(f"there is no {wanted.handle!r}")
    if wanted.release not in policy.releases:
        raise Refused(f"there is no release {wanted.release!r}; there are {', '.join(policy.releases) or 'none'}")
    left = handle.label - policy.releases[wanted.release].data
    if not left <= guard.cleared(session.plan.model):
        raise await guard.refuse("release", session.name, left, guard.models[session.plan.model], "model")
    try:
        released = await _by(guard, session, call.id, handle, wanted.release)
    except InputError as problem:
        raise Refused(f"{problem}. Do not retry.") from None
    await labels.note_release(wanted.release, released, handle.label, session.name)
    return Outcome(text=released.content.decode(), label=released.label)


async def _by(guard: Guard, session: Session, call: str, handle: Handle, name: str) -> Released:
    labels, policy = guard.labels, guard.clearance.policy
    text, to = handle.text or "", guard.models[session.plan.model]
    match policy.releases[name].how:
        case "schema":
            return release_fact(policy, name, text, handle.label, labels.spent)
        case "redact":
            return release_redacted(policy, name, text, handle.label, labels.spent, to)
    content = text.encode()
    approval = await _approval(guard, session, call, name, content, to)
    return release_approved(policy, name, content, handle.label, labels.spent, approval)


async def _approval(guard: Guard, session: Session, call: str, name: str, content: bytes, to: str) -> Approval:
    """A person's consent. The session waits without a slot; after a crash it waits for the same one."""
    labels, policy, crew = guard.labels, guard.clearance.policy, session.crew
    known = next((a for a in labels.asked.values() if (a.session, a.call) == (session.name, call)), None)
    approval = ask(policy.releases[name], content, to, known.id if known else f"a{len(labels.asked) + 1}")
    if known is None:
        _check(policy, name, to)
        if not guard.attended and policy.defaults.unattended == "deny":
            raise InputError(f"release {name} needs a person, and nobody is there (unattended = deny)")
        head = {"id": approval.id, "release": name, "to": to, "session": session.name, "call": call}
        await labels.write(Entry("approval.asked", head | {"sha256": approval.sha256}, content))
    crew.doing(session, f"waits for a person: outlay approve {crew.run} {approval.id}")
    await crew.set_status(session, "waiting")
    async with crew.slots.off_duty(session.name):
        while (said := decision(crew.ledger, crew.run, approval.id)) is None:
            await crew.change(POLL_S)
    await crew.set_status(session, "running")
    if not said:
        raise InputError(f"release {name}: a person said no")
    return approval


def _check(policy: Policy, name: str, to: str) -> None:
    release = policy.releases[name]
    if not release_fits(policy, release, need_recipient(policy, to), policy.purpose):
        raise InputError(f"release {name} (line {release.line}): not for {to}")


def release_tool(releases: tuple[str, ...]) -> Tool:
    text = "Ask for what a handle stands for, by a release of the policy; one by a person waits for that person."
    return tool("release", text, Wanted, _release, choices={"release": releases})
