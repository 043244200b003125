"""An agent is told before a budget is used up, once for each, at the end of its conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from outlay.gateway.budget import Account, show_used

if TYPE_CHECKING:
    from outlay.agents.session import Session

NOTICE_AT = 0.8
"""Share of a budget at which the agent is told."""


async def tell_budgets(session: Session) -> None:
    """Tell the agent which budgets are nearly used up, each once."""
    known = session.crew.watch.noticed(session.plan.id)
    near = {key: text for key, text in _near(session) if key not in known}
    if near:
        text = f"Nearly used up: {'; '.join(near.values())}. Where a budget ends the work ends: bring it into a good "
        await session.say("budget", f"{text}state and finish.", told=list(near))


def _near(session: Session) -> Iterator[tuple[str, str]]:
    """Key and words of every budget at its threshold."""
    crew = session.crew
    own = crew.gateway.budget.sessions.get(session.plan.id)
    for account in [*(own.chain if own else ()), *([crew.gateway.day.account] if crew.gateway.day else [])]:
        for limit, used, bound in account.used():
            if is_near(used, bound):
                whose = _whose(session, account)
                yield f"{limit} of {account.name}", f"{limit} of {whose}: {show_used(limit, used, bound)}"
    for whose, used_s, bound_s in crew.walls(session):
        if is_near(used_s, bound_s):
            yield f"wall of {whose}", f"wall time of {whose}: {used_s:.0f} of {bound_s:.0f} s"


def is_near(used: float, bound: float) -> bool:
    """Whether it is time to tell: four fifths are used, and not yet all."""
    return 0 < used < bound and used >= int(bound * NOTICE_AT)


def _whose(session: Session, account: Account) -> str:
    if account.name == f"session {session.plan.id}":
        return "this session"
    return "the one who started you" if account.name.startswith("session ") else account.name
