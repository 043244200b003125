"""Stepping in: what a person tells a run or an agent, by the functions that the commands use."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.service import registry
from outlay.service.client import Client
from outlay.service.registry import Registered

WAIT_S = 60.0
"""Longest wait for a run to reach the point at which it can end: as long as `outlay cancel` waits."""


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted of a run."""

    do: Literal["cancel", "pause", "resume", "send", "approve", "deny"]
    text: str = ""
    """Of `send` and `resume`: the message, the new instructions."""
    id: str = ""
    """Of `approve` and `deny`: which release."""
    limits: tuple[str, ...] = ()
    """Of `resume`: other limits, as `KEY=VALUE`."""


def agent_of(ledger: Ledger, run: str) -> Registered | None:
    """The agent in the background that a run is; None for an ordinary run."""
    found = registry.select(ledger, "run = ?", (run,))
    return found[0] if found else None


async def fulfil(ledger: Ledger, run: str, wish: Wish) -> str:
    """Do it; how things stand then, for people. Raises OutlayError when it cannot be done; then nothing was changed."""
    if wish.do in ("approve", "deny"):
        return await asyncio.to_thread(_decide, run, wish)
    agent = agent_of(ledger, run)
    if agent is not None:
        return await _tell_agent(agent, wish)
    return await asyncio.to_thread(_tell_run, ledger, run, wish)


def _decide(run: str, wish: Wish) -> str:
    from outlay.views.approve import decide_on

    return decide_on(run, wish.id, wish.do == "approve", as_json=False)


def _tell_run(ledger: Ledger, run: str, wish: Wish) -> str:
    from outlay.views.attend import ask_in, resume_apart
    from outlay.views.send import send_in

    match wish.do:
        case "cancel" | "pause":
            return ask_in(ledger, run, wish.do, WAIT_S)
        case "resume":
            resume_apart(run, wish.text.strip() or None, (), wish.limits)
            return "running"
    return send_in(ledger, run, "", wish.text).status


async def _tell_agent(agent: Registered, wish: Wish) -> str:
    async with Client(agent.project) as client:
        if (await client.status([agent.name]))[0].run != agent.run:
            raise InputError(f"{agent.name} was replaced: the name means a later agent now")
        match wish.do:
            case "cancel":
                await client.cancel([agent.name], wait_s=WAIT_S)
            case "send":
                await client.send(agent.name, wish.text)
            case "resume":
                await client.resume(agent.name, wish.text, limits=wish.limits)
            case _:
                raise InputError("an agent in the background cannot be paused; send it a message, or cancel it")
        return str((await client.status([agent.name]))[0].status)
