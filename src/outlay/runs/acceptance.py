"""What must hold besides the checks before a run succeeds: the rules of delegation, and a review by another model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from outlay.agents.crew import Crew
from outlay.agents.role import Role
from outlay.agents.session import Session
from outlay.errors import InputError
from outlay.ledger import Entry, Ledger
from outlay.runs.goal_types import Goal, ModelSpec

APPROVED = "APPROVE"
TASK = """\
Review the result of a run in the workspace as it is. Change nothing. Its goal was:

{goal}

Its checks pass. Look whether the goal is really reached: read what was changed, run what helps. Begin your answer \
with the one word APPROVE or REJECT, then say why, with file names; on REJECT say what must change."""


def reviewer(goal: Goal) -> tuple[Role, str] | None:
    """The reviewer's role and the model it reviews with; None when no review is asked for.

    Raises InputError when the role has no model that differs from those of the others as the rule wants.
    """
    review = goal.delegation.review
    if review is None:
        return None
    role = goal.team.roles[review.role]
    others = [each for each in goal.team.roles.values() if each.name != role.name]
    taken = {_kind(goal.models[name], review.other) for each in others for name in (each.model, *each.models)}
    for name in dict.fromkeys((role.model, *role.models)):
        if _kind(goal.models[name], review.other) not in taken:
            return role, name
    raise InputError(
        f"{goal.path}: delegation.review: role {role.name!r} has no model of another {review.other} than those that do "
        f"the work ({', '.join(sorted(taken))}); give it one under models"
    )


def _kind(model: ModelSpec, other: str) -> str:
    return model.model if other == "model" else f"{model.provider.partition('-')[0]}{model.base_url or ''}"


class Acceptance:
    """What is known about the keeping of a run's rules; rebuilt from the run's events."""

    def __init__(self, goal: Goal, run: str, ledger: Ledger, log: Callable[[Entry], Awaitable[None]]) -> None:
        self._goal = goal
        self._log = log
        self._verdicts: dict[str, str] = {}
        """Commit -> empty when it was approved, else what the reviewer said."""
        self._reviews = 0
        for event in ledger.events(run, types=["review.finished"]):
            self._verdicts[event.head["commit"]] = "" if event.head["approved"] else (event.payload or b"-").decode()
            self._reviews += 1

    async def objection(self, crew: Crew, main: Session, commit: str) -> str | None:
        """What stands against success though the checks pass: None, or what the main agent is told."""
        if (share := self._short_share(crew)) is not None:
            await self._log(Entry("rule.refused", share))
            return (
                f"The checks pass, but subagents used {share['share']:.0%} of all net tokens and must have used "
                f"{share['bound']:.0%}. Give them work that is left: tests, review, clean-up."
            )
        found = reviewer(self._goal)
        if found is None:
            return None
        if commit not in self._verdicts:
            await self._review(crew, main, commit, *found)
        verdict = self._verdicts[commit]
        return f"The checks pass, but the reviewer did not approve:\n{verdict}" if verdict else None

    def broken(self, crew: Crew, commit: str) -> str:
        """The rule that keeps the final state from being a success; empty when all are kept."""
        if (share := self._short_share(crew)) is not None:
            return f"rule least_share broken: subagents used {share['share']:.0%} of net tokens"
        if self._goal.delegation.review is not None and self._verdicts.get(commit) != "":
            return "rule review broken: " + ("rejected" if commit in self._verdicts else "the result was not reviewed")
        return ""

    def _short_share(self, crew: Crew) -> dict[str, Any] | None:
        least = self._goal.delegation.least_share
        accounts = crew.gateway.budget.sessions
        whole = sum(account.spent_net for account in accounts.values())
        main = sum(account.spent_net for id, account in accounts.items() if id == f"{crew.run}:main")
        share = (whole - main) / whole if whole else 0.0
        if share >= least:
            return None
        return {"rule": "least_share", "bound": least, "share": round(share, 4), "main_net": main, "net": whole}

    async def _review(self, crew: Crew, main: Session, commit: str, role: Role, model: str) -> None:
        """Let the reviewer look at a commit, and write down its verdict."""
        self._reviews += 1
        name = f"{main.name}/review-{self._reviews}"
        session = crew.sessions.get(name)
        if session is None:
            task = TASK.format(goal=self._goal.body)
            session = await crew.open(name, role, model, main, task, commit)
        if session.ending is None and not crew.at_work(session):
            crew.launch(session)
        async with crew.slots.off_duty(main.name):
            while crew.at_work(session):
                await crew.change(None)
        answer = session.history.answer.strip()
        approved = session.history.status == "done" and answer.upper().startswith(APPROVED)
        verdict = "" if approved else answer or f"the reviewer {session.history.status}, without a verdict"
        self._verdicts[commit] = verdict
        head = {"commit": commit, "approved": approved, "session": name, "model": model}
        await self._log(Entry("review.finished", head, verdict.encode() or None))
