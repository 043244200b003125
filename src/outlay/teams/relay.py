"""Relay: a cheap model tries, the checks decide, and only where they fail the next tier goes on or starts over."""

from __future__ import annotations

from outlay.agents.session import Ending
from outlay.teams.conductor import Conductor, failed

CONTINUE = """\
Another agent has tried before you and the checks do not pass. Its work stands in the workspace; keep what is right.

## It says
{answer}

## The checks say
{checks}"""


async def relay(team: Conductor) -> Ending:
    """The end of the tier with which the checks pass, or of the last one, which the checks judge as it works."""
    tiers = list(team.team.roles.values())
    over = team.team.next_tier == "starts_over"
    brief = ""
    for role, following in zip(tiers, [*tiers[1:], None], strict=True):
        start = team.crew.hub.base if over else ""
        tried = await team.work(role.name, role, f"{team.goal}{brief}", start)
        if following is None:
            return tried if tried.status == "done" else failed(role.name, tried)
        if team.find(following.name) is not None:  # the checks were asked before a crash
            continue
        checks = await team.crew.judge(team.main, tried.answer)
        if checks is None:
            return Ending("done", tried.answer)
        said = tried.answer or f"(nothing: {tried.reason or tried.status})"
        brief = "" if over else "\n\n" + CONTINUE.format(answer=said, checks=checks)
    raise AssertionError("a relay has tiers")
