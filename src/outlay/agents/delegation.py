"""Rules of delegation that hold for the main agent: what it may not do itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from outlay.agents.role import WRITING, Role
from outlay.agents.tool import Outcome, Refused
from outlay.agents.watch.facts import EDITS
from outlay.agents.written import Spawns
from outlay.ledger import Entry
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reviewer who must approve the final state before the run succeeds."""

    role: Annotated[str, Meta(description="Role of the reviewer.")]
    other: Annotated[
        Literal["model", "vendor"], Meta(description="In what its model differs from those that did the work.")
    ] = "model"


class Delegation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the main agent must leave to others."""

    delegate: Annotated[
        Literal["free", "all"], Meta(description="all: the main agent has no tool that changes the workspace.")
    ] = "free"
    least_share: Annotated[
        float, Meta(ge=0, le=1, description="Least share of net tokens that subagents must have used at the end.")
    ] = 0.0
    most_edits: Annotated[
        Spawns | None, Meta(description="Most changes of the workspace that the main agent may make itself.")
    ] = None
    review: Annotated[Review | None, Meta(description="Who must approve the final state.")] = None

    def said(self) -> list[str]:
        """The rules as the main agent is told."""
        lines = ["you cannot change files yourself: subagents do"] if self.delegate == "all" else []
        if self.most_edits is not None:
            lines.append(f"you may change the workspace yourself {self.most_edits} times: subagents do the rest")
        if self.least_share:
            lines.append(f"subagents must have used at least {self.least_share:.0%} of all net tokens at the end")
        if self.review is not None:
            lines.append("when the checks pass a reviewer with another model judges the result")
        return lines


def without_writing(role: Role) -> Role:
    """The role without the tools that can change a workspace."""
    return msgspec.structs.replace(role, tools=tuple(tool for tool in role.tools if tool not in WRITING))


async def guarded(session: Session, call: ToolCall, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """A tool's outcome under the rules: a change that the main agent may no longer make is refused (Refused), what a
    command changes then is undone."""
    if not _used_up(session) or call.name not in (*EDITS, "shell"):
        return await work()
    if call.name != "shell":
        raise Refused(_refuse(session))
    before = await session.snapshot()
    outcome = await work()
    if outcome.commit in (None, before):
        return outcome
    await session.crew.hub.restore(session.crew.place(session.name), before)
    text = f"{outcome.text}\nWhat this command changed was undone: {_refuse(session)}"
    return msgspec.structs.replace(outcome, text=text, commit=before)


def _used_up(session: Session) -> bool:
    most = session.crew.rules.delegation.most_edits
    return session.is_main and most is not None and session.crew.watch.edits(session.plan.id) >= most


def _refuse(session: Session) -> str:
    most, used = session.crew.rules.delegation.most_edits, session.crew.watch.edits(session.plan.id)
    session.write(Entry("rule.refused", {"rule": "most_edits", "bound": most, "used": used}))
    return f"you may change the workspace yourself {most} times and did; give the rest to subagents"
