"""Models of a goal that are other agents: `claude-code:sonnet`, or `claude-code:MODEL@BASE_URL`."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from outlay.drivers.installed import program_of
from outlay.drivers.model import SILENCE_S, DrivenModel
from outlay.drivers.registry import AGENTS
from outlay.errors import InputError
from outlay.gateway.endpoint import Endpoint
from outlay.gateway.routes import ANY_MODEL
from outlay.runs.goal_types import Goal


def is_driven(goal: Goal, name: str) -> bool:
    """Whether a model of the goal is another agent."""
    return goal.models[name].provider in AGENTS


def driven_models(
    goal: Goal,
    endpoints: Mapping[str, Endpoint],
    keys: Mapping[str, str | None],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, DrivenModel]:
    """The agents among the models in use. Raises InputError for one that is not installed, with what to type."""
    agents = [name for name in endpoints if is_driven(goal, name)]
    return {
        name: _driven(goal, endpoint, keys[name], environ) for name, endpoint in endpoints.items() if name in agents
    }


def _driven(goal: Goal, endpoint: Endpoint, key: str | None, environ: Mapping[str, str]) -> DrivenModel:
    spec = goal.models[endpoint.name]
    agent = AGENTS[spec.provider]
    if endpoint.fallback:
        raise InputError(f"{goal.path}: model {endpoint.name!r}: {agent.title} takes no fallback; name one model")
    try:
        program = program_of(agent, environ.get("PATH"), spec.model)
    except InputError as problem:
        raise InputError(f"{goal.path}: model {endpoint.name!r}: {problem}") from None
    # An agent asks its own provider for several models, small ones for titles among them: each is passed on as asked.
    # Another server has the one that is named, and everything goes there.
    # An agent without a program of its own chooses its model by its own options, so that nothing is named here.
    named = endpoint.own_server and agent.program
    route = endpoint if named else msgspec.structs.replace(endpoint, model=ANY_MODEL)
    return DrivenModel(
        agent=agent, model=spec.model, endpoint=route, key=key, program=program, silence_s=silence_s(environ)
    )


def silence_s(environ: Mapping[str, str]) -> float:
    """Seconds without a sign of life after which an agent hangs; `OUTLAY_SILENCE_S` changes it."""
    text = environ.get("OUTLAY_SILENCE_S", "")
    try:
        return float(text) if text else SILENCE_S
    except ValueError:
        raise InputError(f"OUTLAY_SILENCE_S is {text!r}, not a number of seconds") from None
