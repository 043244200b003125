"""`todo`: the agent's own list, kept in its conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from outlay.agents.tool import Outcome, Tool, tool
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session


class Item(msgspec.Struct, frozen=True):
    text: str
    done: bool = False


class Todo(msgspec.Struct, frozen=True):
    items: list[Item]


async def _todo(_: Session, asked: tuple[ToolCall, Todo]) -> Outcome:
    left = sum(not item.done for item in asked[1].items)
    return Outcome(text=f"{left} of {len(asked[1].items)} left")


def todo_tool() -> Tool:
    return tool("todo", "Write down the whole list of what is to be done.", Todo, _todo)
