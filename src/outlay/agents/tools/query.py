"""`query`: ask a database of the goal, read-only. Rows carry the labels of the tables and columns they are from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from outlay.agents.databases import open_database, table_of
from outlay.agents.tool import Outcome, Refused, Tool, tool
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session


class Query(msgspec.Struct, frozen=True):
    database: str
    sql: str


async def _query(session: Session, asked: tuple[ToolCall, Query]) -> Outcome:
    arguments = asked[1]
    databases = session.crew.rules.databases
    if arguments.database not in databases:
        raise Refused(f"there is no database {arguments.database!r}; there are {', '.join(sorted(databases))}")
    database = open_database(arguments.database, databases[arguments.database])
    answer = await asyncio.to_thread(database.ask, arguments.sql)
    guard = session.crew.guard
    label = guard.label_of_rows(arguments.database, answer.reads) if guard is not None else frozenset()
    return Outcome(text=table_of(answer), is_error=bool(answer.error), label=label)


def query_tool(names: tuple[str, ...]) -> Tool:
    text = "Ask a database with one SQL statement that reads."
    return tool("query", text, Query, _query, choices={"database": names})
