"""The breakers of a goal: which symptom trips each, and what is done then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from outlay.agents.written import Count, Seconds, Tokens

Action = Literal["warn", "handover", "replace", "stop"]
"""warn: a message that names the symptom and asks for another approach. handover: a fresh context with a summary.
replace: another model from the role's menu. stop: the session ends."""
Off = Literal["off"]

_ACTION = "What is done: warn, handover, replace or stop. A list: the first time, the second time, and so on."
Actions = Annotated[Action | tuple[Action, ...], Meta(description=_ACTION)]


class Breaker(msgspec.Struct, frozen=True):
    """What every breaker has."""

    action: Actions = ("warn", "handover", "stop")

    def nth(self, earlier: int) -> Action:
        """The action when it has tripped `earlier` times before; the last one of a list repeats."""
        return self.actions[min(earlier, len(self.actions) - 1)]

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions in turn, at least one."""
        return (self.action,) if isinstance(self.action, str) else self.action or ("warn",)


class Rereading(Breaker, frozen=True, forbid_unknown_fields=True):
    """Money goes into reading the context again and again."""

    ratio: Annotated[float, Meta(ge=0, description="Most cache reads per net token in a stretch of turns.")] = 10.0
    turns: Annotated[Count, Meta(description="Turns between two checkpoints.")] = 20
    checkpoints: Annotated[Count, Meta(description="Consecutive checkpoints above the ratio that trip it.")] = 2
    action: Actions = ("warn", "handover")


class NoProgress(Breaker, frozen=True, forbid_unknown_fields=True):
    """No new passed check, changed file or finished subagent."""

    turns: Annotated[Count, Meta(description="Turns without any of these that trip it.")] = 40


class SameFailure(Breaker, frozen=True, forbid_unknown_fields=True):
    """The same failure came back without a change in approach."""

    times: Annotated[Count, Meta(description="How often the same failure trips it.")] = 3


class SameCall(Breaker, frozen=True, forbid_unknown_fields=True):
    """The same tool call with the same arguments, and nothing changed between."""

    times: Annotated[Count, Meta(description="How often the same call trips it.")] = 5


class Polling(Breaker, frozen=True, forbid_unknown_fields=True):
    """Looking at subagents that work on, again and again."""

    times: Annotated[Count, Meta(description="Looks without a subagent ending between them that trip it.")] = 10


class Silent(Breaker, frozen=True, forbid_unknown_fields=True):
    """A subagent from which nothing came for long."""

    after_s: Annotated[Seconds, Meta(description="Silence that trips it; longer than the longest command.")] = field(
        default=2_400.0, name="after"
    )
    action: Actions = "stop"


class Talk(Breaker, frozen=True, forbid_unknown_fields=True):
    """Output grows and no tool is used."""

    turns: Annotated[Count, Meta(description="Turns in a row without a tool call that trip it, with ...")] = 3
    tokens: Annotated[Tokens, Meta(description="... more than so many output tokens in them.")] = 10_000


class Breakers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop-loss on symptoms; `off` switches one off."""

    rereading: Annotated[Off | Rereading, Meta(description="Cache reads far above new tokens.")] = Rereading()
    no_progress: Annotated[Off | NoProgress, Meta(description="Nothing changes, passes or ends.")] = NoProgress()
    same_failure: Annotated[Off | SameFailure, Meta(description="The same failure again and again.")] = SameFailure()
    same_call: Annotated[Off | SameCall, Meta(description="The same tool call again and again.")] = SameCall()
    polling: Annotated[Off | Polling, Meta(description="Looking at subagents instead of waiting.")] = Polling()
    silent: Annotated[Off | Silent, Meta(description="A subagent that says nothing.")] = Silent()
    talk: Annotated[Off | Talk, Meta(description="Long answers without tool use.")] = Talk()

    def all(self) -> Iterator[tuple[str, Breaker | None]]:
        """Name and settings of every breaker; None: it is off."""
        for name in self.__struct_fields__:
            breaker = getattr(self, name)
            yield name, breaker if isinstance(breaker, Breaker) else None
