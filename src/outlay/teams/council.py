"""Council: personas discuss in rounds, each in its own context and with its own model; a chair decides and acts."""

from __future__ import annotations

from collections.abc import Mapping

from outlay.agents.role import Role
from outlay.agents.session import Ending, Session
from outlay.teams.conductor import Conductor, failed

PERSONA = """\
You sit on a council as {name}; {others} sit there too, and a chair decides afterwards. Say how to reach the goal \
below, from your own point of view: facts with file names, what you propose, what you would not do. Change nothing."""

AGAIN = """\
The others have spoken. Say where they are right, where they are wrong and why, and what you propose now. Do not \
repeat what stands."""

CHAIR = """\
You chair a council that has discussed the goal below. Decide, and reach the goal yourself; where members disagree \
judge by the evidence, not by their number. Call finish when it is reached; the checks run then, and failures come \
back to you."""


async def council(team: Conductor) -> Ending:
    """The chair's end. Its work is judged by the checks."""
    roles = team.team.roles
    personas = [role for name, role in roles.items() if name != team.team.main]
    seats: dict[str, Session] = {}
    for role in personas:
        others = ", ".join(other.name for other in personas if other.name != role.name)
        name = f"{role.name} ({role.description})" if role.description else role.name
        told = PERSONA.format(name=name, others=others)
        seats[role.name] = await team.begin(role.name, role, f"{told}\n\n{team.goal}")
    await team.ended(*seats.values())
    for spoken in range(1, team.team.rounds):
        await _speak_again(team, seats, spoken)
    said = _minutes({name: team.statements(seat)[-1] for name, seat in seats.items()})
    chair: Role = roles[team.team.main]
    decided = await team.work(chair.name, chair, f"{CHAIR}\n\n{team.goal}\n\n{said}")
    return decided if decided.status == "done" else failed(chair.name, decided)


async def _speak_again(team: Conductor, seats: Mapping[str, Session], spoken: int) -> None:
    """One more round: every persona reads what the others said in the round before. One that failed stays silent."""
    words = {name: team.statements(seat)[:spoken][-1] for name, seat in seats.items()}
    for name, seat in seats.items():
        if seat.history.status == "done" and len(team.statements(seat)) == spoken:
            heard = _minutes({other: text for other, text in words.items() if other != name})
            await team.tell_again(seat, f"{AGAIN}\n\n{heard}")
    await team.ended(*seats.values())


def _minutes(said: Mapping[str, str]) -> str:
    return "\n\n".join(f"## {name}\n{text or '(said nothing)'}" for name, text in said.items())
