"""Pipeline: an architect plans, a developer builds, a reviewer accepts or sends back. Each begins with a fresh context;
the work and a bounded brief are all that is handed on."""

from __future__ import annotations

from outlay.agents.session import Ending
from outlay.teams.conductor import Conductor, failed

ARCHITECT = """\
Plan how to reach the goal below; change nothing. Read what is there. Your answer is all that the developer gets \
besides the goal: which files to make or change, what each part does, what is easily overlooked, how to test it."""

DEVELOPER = """\
Reach the goal below. Follow the architect's plan where it is right. Call finish when it is reached; the checks run \
then, and failures come back to you."""

REVIEWER = """\
Review the work in the workspace against the goal below: read it, run it, look for what the checks miss. Change \
nothing. Begin your answer with the one word ACCEPT or REVISE; after REVISE say what must change and where."""


async def pipeline(team: Conductor) -> Ending:
    """The developer's last end. Its work is judged by the checks each time that it says it is done."""
    roles, goal = team.team.roles, team.goal
    plan = await team.consult("architect", roles["architect"], f"{ARCHITECT}\n\n{goal}")
    brief = f"## The architect's plan\n{plan.answer or '(none)'}"
    for number in range(1, team.team.reviews + 2):
        name = f"developer-{number}"
        built = await team.work(name, roles["developer"], f"{DEVELOPER}\n\n{goal}\n\n{brief}")
        if built.status != "done":
            return failed(name, built)
        if number > team.team.reviews:
            break
        told = f"{REVIEWER}\n\n{goal}\n\n## The developer says\n{built.answer}"
        review = await team.consult(f"reviewer-{number}", roles["reviewer"], told)
        if not review.answer.lstrip("*# ").upper().startswith("REVISE"):
            break
        brief = f"## The architect's plan\n{plan.answer}\n\n## The reviewer sent your predecessor's work back\n"
        brief += f"It stands in the workspace.\n{review.answer}"
    return Ending("done", built.answer)
