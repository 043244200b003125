"""Which code a shape is."""

from __future__ import annotations

from outlay.agents.crew import Crew
from outlay.agents.session import Ending, Session
from outlay.errors import DiskProblem, EnvironmentProblem, InputError, LimitReached
from outlay.teams.conductor import Conductor
from outlay.teams.team import Team


async def play(crew: Crew, main: Session, team: Team) -> Ending:
    """Let the team work until its main session has ended, and write that end. Raises Paused and Cancelled."""
    if not team.conducted:
        return await main.run()
    try:
        await main.flush()
        ending = await _conducted(Conductor(crew, main, team))
    except LimitReached as limit:
        ending = Ending("stopped", reason=str(limit), limit=limit.limit)
    except DiskProblem:
        raise
    except (InputError, EnvironmentProblem) as problem:
        ending = Ending("failed", reason=str(problem))
    return await main.end(ending)


async def _conducted(conductor: Conductor) -> Ending:
    match conductor.team.shape:
        case "pipeline":
            from outlay.teams.pipeline import pipeline as shape
        case "council":
            from outlay.teams.council import council as shape
        case _:
            from outlay.teams.relay import relay as shape
    return await shape(conductor)
