"""`finish`: the session says that it is done; for the main agent the checks decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from outlay.agents.tool import Outcome, Tool, tool
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session


class Finish(msgspec.Struct, frozen=True):
    answer: str


async def _finish(session: Session, asked: tuple[ToolCall, Finish]) -> Outcome:
    answer = asked[1].answer
    refusal = await session.crew.may_end(session, answer)
    return Outcome(text="done", answer=answer) if refusal is None else Outcome(text=refusal)


def finish_tool() -> Tool:
    return tool("finish", "Say that you are done, with your answer.", Finish, _finish)
