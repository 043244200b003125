"""Subagents as tools: start, wait, look, send, cancel; and `ask` for a subagent that needs a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from outlay.agents.role import Role
from outlay.agents.tool import Merged, Outcome, Refused, Tool, tool
from outlay.agents.tools.files import read_text
from outlay.ledger import Entry
from outlay.sandbox.files import FileProblem
from outlay.wires.types import Text, ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session

CHARS_PER_TOKEN = 4
HANDED_CHARS = 24_000
"""Most that the contents of handed files may take of a subagent's first message; further ones are only named."""


class NewAgent(msgspec.Struct, frozen=True):
    name: str
    role: str
    task: str
    model: str | None = None
    files: list[str] = []


class Start(msgspec.Struct, frozen=True):
    agents: list[NewAgent]
    wait: Annotated[bool, Meta(description="wait for all of them at once")] = False


class Wait(msgspec.Struct, frozen=True):
    names: Annotated[list[str], Meta(description="default: all at work")] = []
    any: Annotated[bool, Meta(description="return when one has ended")] = False
    timeout_s: int | None = None


class Named(msgspec.Struct, frozen=True):
    name: str


class Send(msgspec.Struct, frozen=True):
    name: str
    message: str


class Ask(msgspec.Struct, frozen=True):
    question: str


# ---- start


async def _start(session: Session, asked: tuple[ToolCall, Start]) -> Outcome:
    call, arguments = asked
    crew = session.crew
    names = [agent.name for agent in arguments.agents]
    if not names or len(set(names)) < len(names):
        raise Refused("give each agent a name of its own")
    for agent in arguments.agents:
        _check(session, agent, call.id)
        if crew.guard is not None:
            await crew.guard.may_start(session, agent.model or crew.roles[agent.role].model)
    _check_spawns(session, [name for name in names if name not in crew.children(session)])
    commit = await session.snapshot() if session.own_clone else session.history.commit
    for agent in arguments.agents:
        existing = crew.children(session).get(agent.name)
        if existing is not None:  # started by this very call before a crash
            if existing.history.status == "running" and not crew.at_work(existing):
                crew.launch(existing)
            continue
        role = crew.roles[agent.role]
        task, label = agent.task + _handed(session, agent.files), _label_of(session, agent.files)
        name = f"{session.name}/{agent.name}"
        child = await crew.open(name, role, agent.model or role.model, session, task, commit, call.id, label)
        crew.launch(child)
    kept = commit if session.own_clone else None
    if not arguments.wait:
        return Outcome(text=f"started: {', '.join(names)}", commit=kept)
    outcome = await _gather(session, Wait(names))
    return outcome if outcome.commit else msgspec.structs.replace(outcome, commit=kept)


def _check(session: Session, agent: NewAgent, call_id: str) -> None:
    from outlay.agents.crew import child_name

    crew = session.crew
    child_name(session, agent.name)
    role = crew.roles.get(agent.role)
    if role is None:
        raise Refused(f"there is no role {agent.role!r}; there are {', '.join(crew.roles)}")
    menu = (role.model, *role.models)
    if agent.model is not None and agent.model not in menu:
        raise Refused(f"role {role.name} may use {', '.join(menu)}, not {agent.model!r}")
    existing = crew.children(session).get(agent.name)
    if existing is not None and existing.plan.started_by != call_id:
        raise Refused(f"there is a subagent {agent.name!r} already; use send to go on with it, or another name")


def _check_spawns(session: Session, names: list[str]) -> None:
    """Raises Refused when more subagents would be started than may be."""
    crew = session.crew
    started = {"the run": len(crew.sessions) - 1, "this session": len(crew.children(session))}
    bounds = {"the run": crew.rules.spawns, "this session": crew.rules.session_spawns}
    for whose, bound in bounds.items():
        if names and bound is not None and started[whose] + len(names) > bound:
            head = {"limit": "spawns", "bound": bound, "used": started[whose], "asked": len(names)}
            session.write(Entry("limit.refused", head))
            raise Refused(
                f"{whose} may start {bound} subagents and has started {started[whose]}; go on with those (send), or do "
                "the work yourself"
            )


def _handed(session: Session, paths: list[str]) -> str:
    """The files that go along: their contents while there is room, then their names."""
    text, room = "", HANDED_CHARS
    for path in paths:
        try:
            content = read_text(session.workspace, path)
        except FileProblem as problem:
            raise Refused(str(problem)) from None
        if len(content) <= room:
            text += f"\n\n<file path={path!r}>\n{content}\n</file>"
            room -= len(content)
        else:
            text += f"\n\nRead also {path} ({len(content)} characters)."
    return text


def _label_of(session: Session, paths: list[str]) -> frozenset[str]:
    """The label of handed files; they are a part of what the parent has said."""
    guard, place = session.crew.guard, session.crew.place(session.name)
    return frozenset().union(*(guard.sight.label_at(place, path) for path in paths)) if guard else frozenset()


# ---- wait


async def _wait(session: Session, asked: tuple[ToolCall, Wait]) -> Outcome:
    return await _gather(session, asked[1])


async def _gather(session: Session, arguments: Wait) -> Outcome:
    crew = session.crew
    children = crew.children(session)
    wanted = {name: _child(session, name) for name in arguments.names} or {
        name: child for name, child in children.items() if crew.at_work(child) or _unseen(session, child)
    }
    if not wanted:
        raise Refused("no subagent is at work; start some, or send one new instructions")
    deadline = None if arguments.timeout_s is None else crew.clock.monotonic() + arguments.timeout_s
    crew.doing(session, f"waiting for {', '.join(wanted)}")
    async with crew.slots.off_duty(session.name):
        while not _enough(session, wanted, arguments.any):
            left = None if deadline is None else deadline - crew.clock.monotonic()
            if left is not None and left <= 0:
                break
            await crew.change(left)
    merges: list[Merged] = []
    texts = [await _tell(session, name, child, merges) for name, child in wanted.items()]
    return Outcome(
        text="\n\n".join(texts),
        merges=tuple(merges),
        commit=merges[-1].result if merges else None,
    )


def _child(session: Session, name: str) -> Session:
    child = session.crew.children(session).get(name)
    if child is None:
        known = ", ".join(session.crew.children(session)) or "none yet"
        raise Refused(f"there is no subagent {name!r}; there are: {known}")
    return child


def _unseen(session: Session, child: Session) -> bool:
    return child.own_clone and child.history.commit not in (
        child.history.synced,
        session.history.merged.get(child.name),
    )


def _enough(session: Session, wanted: dict[str, Session], any_one: bool) -> bool:
    ended = [not session.crew.at_work(child) for child in wanted.values()]
    asking = any(child.question is not None for child in wanted.values())
    return asking or all(ended) or (any_one and any(ended))


async def _tell(session: Session, name: str, child: Session, merges: list[Merged]) -> str:
    """What the parent learns of a subagent: its state, bounded answer, and the changes that were merged."""
    if child.question is not None:
        return f"## {name} asks\n{await _heard(session, child, child.question)}\n(answer with send)"
    if session.crew.at_work(child):
        return f"## {name}: still at work"
    text = f"## {name}: {child.history.status}"
    reason = f" ({child.ending.reason})" if child.ending and child.ending.reason else ""
    answer = await _heard(session, child, child.history.answer) if child.history.answer or not reason else ""
    reason = await _heard(session, child, reason) if reason else ""
    text += f"{reason}\n{_bounded_answer(session, name, child, answer)}"
    if child.own_clone and session.own_clone and _unseen(session, child):
        merged = await _merge(session, child)
        merges.append(merged)
        session.history.merged[child.name] = merged.theirs
        text += await _changes(session, merged)
    return text.rstrip()


async def _heard(session: Session, child: Session, text: str) -> str:
    """What a subagent says, as its parent may have it."""
    guard = session.crew.guard
    return text if guard is None else await guard.shown(session, text, child.history.label, f"what {child.name} said")


def _bounded_answer(session: Session, name: str, child: Session, answer: str) -> str:
    room = session.crew.rules.answer_tokens * CHARS_PER_TOKEN
    if len(answer) <= room:
        return answer
    kept = session.crew.output_folder(session) / f"answer-{name}-{child.history.ends}.md"
    kept.write_text(answer)
    return f"{answer[:room]}\n... shortened; the whole answer is in /output/{kept.name}"


async def _merge(session: Session, child: Session) -> Merged:
    """Bring a subagent's work into its parent's workspace; conflicts stand as markers in the files."""
    hub = session.crew.hub
    ours = await session.snapshot()
    theirs, base = child.history.commit, child.history.synced
    merge = await hub.merge(ours, theirs, base)
    await hub.restore(session.crew.place(session.name), merge.commit)
    session.history.commit = merge.commit
    return Merged(child.name, base, ours, theirs, merge.commit, merge.conflicts)


async def _changes(session: Session, merged: Merged) -> str:
    changes = await session.crew.hub.diff(merged.base, merged.theirs)
    if (guard := session.crew.guard) is not None:
        changes, all_told = guard.told_changes(session, changes)
        if not all_told:
            names = ", ".join(change.path for change in changes[:20])
            return "\nits changes are merged" + (f"; of those you see: {names}" if names else "")
    names = ", ".join(change.path for change in changes[:20]) + (" ..." if len(changes) > 20 else "")
    text = f"\nchanged and merged: {names}"
    if merged.conflicts:
        text += (
            f"\nCONFLICTS in {', '.join(merged.conflicts)}: both versions stand between markers in the file; resolve "
            f"them. Its own version: git show {merged.theirs}:PATH"
        )
    return text


# ---- look, send, cancel, ask


async def _look(session: Session, asked: tuple[ToolCall, Named]) -> Outcome:
    child = _child(session, asked[1].name)
    state = "at work" if session.crew.at_work(child) else child.history.status
    said = [
        part.text
        for message in child.history.messages[-6:]
        if message.role == "assistant"
        for part in message.parts
        if isinstance(part, Text)
    ]
    turns = sum(message.role == "assistant" for message in child.history.messages)
    last = said[-1][:1000] if said else "(nothing yet)"
    if (guard := session.crew.guard) is not None and not guard.sees(session, child):
        return Outcome(text=f"{asked[1].name}: {state}. {await _heard(session, child, last)}")
    return Outcome(text=f"{asked[1].name}: {state}, {turns} turns. It last said:\n{last}")


async def _send(session: Session, asked: tuple[ToolCall, Send]) -> Outcome:
    crew, arguments = session.crew, asked[1]
    child = _child(session, arguments.name)
    message = arguments.message
    if crew.guard is not None:
        message = await crew.guard.message(session, child, message)
    if child.question is not None:
        await crew.answer(child, message)
        return Outcome(text="answered")
    if crew.at_work(child):
        await crew.tell(child, message)
        return Outcome(text="it will read this before its next step")
    commit = None
    if child.own_clone and session.own_clone and not _unseen(session, child):
        commit = await session.snapshot()
        await crew.hub.restore(crew.place(child.name), commit)
    if commit is None:
        await crew.resume(child, message, None)
        return Outcome(text="resumed with your message")
    note = "\n\n(Your files are now those of the one who asks; they hold what you had changed.)"
    await crew.resume(child, message + note, commit)
    return Outcome(text="resumed with your message; it starts from your files as they are now")


async def _cancel(session: Session, asked: tuple[ToolCall, Named]) -> Outcome:
    child = _child(session, asked[1].name)
    if not session.crew.at_work(child):
        return Outcome(text=f"{asked[1].name} had ended: {child.history.status}")
    await session.crew.stop(child)
    return Outcome(text="cancelled")


async def _ask(session: Session, asked: tuple[ToolCall, Ask]) -> Outcome:
    crew = session.crew
    session.question = asked[1].question
    await crew.set_status(session, "waiting")
    crew.stir()
    async with crew.slots.off_duty(session.name):
        while session.history.answered is None:
            await crew.change(None)
    answer, session.history.answered, session.question = session.history.answered, None, None
    await crew.set_status(session, "running")
    return Outcome(text=answer)


def tools(roles: tuple[Role, ...], models: tuple[str, ...]) -> list[Tool]:
    """The subagent tools of a session that may start these roles."""
    menu = "; ".join(f"{role.name}: {role.description.strip()[:160]}" for role in roles)
    choices = {"role": tuple(role.name for role in roles)} | ({"model": models} if len(models) > 1 else {})
    start = f"Start subagents; they work at the same time. Roles: {menu}"
    send = "Answer a subagent's question, steer one at work, or resume one that ended with new instructions."
    return [
        tool("start", start, Start, _start, "workspace", choices=choices),
        tool("wait", "Wait for subagents; gives their answers and merges their changes.", Wait, _wait, "workspace"),
        tool("look", "See what a subagent is doing.", Named, _look),
        tool("send", send, Send, _send, "outside"),
        tool("cancel", "Cancel a subagent.", Named, _cancel),
    ]


def ask_tool() -> Tool:
    return tool("ask", "Ask the one who gave you the task; waits for the answer.", Ask, _ask)
