"""What `outlay agent` prints: one JSON line per command, a table where a person looks, stable codes for errors."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from outlay.clock import Clock
from outlay.errors import OutlayError
from outlay.service.agent import NOT_ENDED, Agent, Waited
from outlay.service.client import Client
from outlay.service.errors import ServiceError

T = TypeVar("T")
WAIT_EXIT_CODE = 5
FOLLOW_S = 0.3


def tell(**facts: object) -> None:
    """One line of JSON on standard output."""
    click.echo(msgspec.json.encode({"ok": True, **facts}).decode())


def refuse(code: str, message: str) -> None:
    """The line of a command that could not be done; nothing was changed by it."""
    click.echo(msgspec.json.encode({"ok": False, "code": code, "error": message}).decode())


def do(project: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Let `work` talk to the service. An error is printed with its code; the exit code is 2."""
    try:
        if project is not None and not project.is_dir():
            raise ServiceError("E_CWD_INVALID", f"{project} is not a folder")
        return asyncio.run(_with_client(project, work))
    except ServiceError as error:
        refuse(error.code, str(error))
    except OutlayError as error:
        refuse("E_UNEXPECTED", str(error))
    except KeyboardInterrupt:
        click.echo("no longer waiting; the agents go on: outlay agent status", err=True)
        raise SystemExit(NOT_ENDED) from None
    raise SystemExit(2)


async def _with_client(project: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    async with Client(project) as client:
        return await work(client)


def read_text(words: Sequence[str], given: str) -> str:
    """The text of a command: its words, or `--prompt`, or standard input for `-`."""
    text = given or " ".join(words)
    return sys.stdin.read() if text == "-" else text


def show_table(agents: Sequence[Agent]) -> None:
    """The agents as people read them."""
    from rich.console import Console

    from outlay.views.agent_table import agent_tables
    from outlay.views.tables import draw

    console = Console(highlight=False)
    for table in agent_tables(agents, console.width, Clock().now_ms()):
        console.print(f"[bold]{table.title}[/bold]" + ("" if table.rows else "  none"))
        if table.rows:
            console.print(draw(table, console.width))
    for agent in agents:
        if agent.question:
            console.print(f"{agent.name} asks: {agent.question}", markup=False)
            console.print(f"  answer with: outlay agent send {agent.name} TEXT", markup=False)


def tell_waited(waited: Waited) -> int:
    """What a wait ended with; the exit code is 5 when something has not ended, else that of the worst end."""
    tell(wait=waited.wait, timed_out=waited.wait == "timeout", pending=waited.pending, agents=waited.agents)
    if waited.wait in ("timeout", "question"):
        return WAIT_EXIT_CODE
    return max((agent.exit_code for agent in waited.agents if not agent.live), default=0)


def progress_lines(seen: dict[str, tuple[str, int]]) -> Callable[[list[Agent]], None]:
    """Lines on standard error as agents get on, for a person who waits."""

    def tell_progress(agents: list[Agent]) -> None:
        for agent in agents:
            now = (agent.status, agent.turns)
            if seen.get(agent.name) != now:
                seen[agent.name] = now
                click.echo(f"{agent.name}: {agent.status}, {agent.turns} turns  {agent.doing}", err=True)

    return tell_progress


async def logs(client: Client, name: str, *, follow: bool, unfold: bool, as_json: bool) -> None:
    """An agent's dialog, its children's after it; with `follow` as it comes, until it has ended."""
    from outlay.agents.dialog import Said
    from outlay.views.dialog import dialog_lines

    shown: dict[str, int] = {}
    while True:
        agent = (await client.status([name]))[0]
        for speaker, said in client.dialogs(agent, shown):
            if as_json:
                click.echo(msgspec.json.encode({"name": speaker, **msgspec.structs.asdict(said)}).decode())
                continue
            if isinstance(said, Said):
                for line, style in dialog_lines(said, unfold=unfold):
                    click.echo(click.style(line, bold="bold" in style, dim="dim" in style))
        if not follow or not agent.live:
            return
        await asyncio.sleep(FOLLOW_S)


def print_answer(answer: Any, agent: Agent) -> int:
    """The answer on standard output, its cost line on standard error."""
    from outlay.views.agent_table import cost_line

    if answer.answer:
        click.echo(answer.answer)
    if answer.reason:
        click.echo(f"outlay: {answer.name} {answer.status.replace('_', ' ')}: {answer.reason}", err=True)
    if not answer.ended:
        click.echo(f"outlay: {answer.name} goes on; outlay agent wait {answer.name}", err=True)
    click.echo(cost_line(agent), err=True)
    if answer.take_with:
        click.echo(f"changed {answer.changed_files} files in its clone; take them with: {answer.take_with}", err=True)
    return agent.exit_code


async def result_of(client: Client, name: str) -> tuple[Any, Agent]:
    """An agent's result, and how it stands."""
    agent = (await client.status([name] if name else [""]))[0]
    return await client.result(agent.name), agent


def list_roles(project: Path | None) -> list[dict[str, Any]]:
    """The roles that agents can have in a project."""
    from outlay.service.order import roles_for

    return [
        {"role": role.name, "reads_only": not role.writes, "tools": role.tools, "description": role.description}
        for role in roles_for((project or Path.cwd()).absolute())
    ]
