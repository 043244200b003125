"""Outlay's own loop: real crew, sessions, gateway and budgets, and a ledger on disk with synchronous=FULL.

The sessions are subagents of one main agent that read its workspace, so that no command runs in the sandbox and its
cost is not mixed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from job import MODEL, Job, run, task

from outlay.agents.crew import Crew
from outlay.agents.session import Ending, Session
from outlay.clock import Clock
from outlay.gateway import Gateway
from outlay.ledger import Ledger, Transaction
from outlay.runs.goal import parse
from outlay.runs.prepare import budget_of, open_upstreams, prepare, roles_of, rules_of
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.workspace import Hub

RUN = "benchmark"
GOAL = """\
---
models:
  main: {{spec: "openai-chat:{model}@{base_url}", price: {{input: 3, output: 15, cache_read: 0.3}}}}
team:
  shape: lead
  main: lead
  roles:
    - {{name: lead, model: main, tools: [read, write, edit, glob, grep, shell, todo, agents]}}
    - {{name: reader, description: reads, model: main, tools: [read, todo]}}
checks:
  - {{name: done, command: "true"}}
limits: {{usd: 100000, turns: 1000000, subagents: {sessions}, session: {{usd: 100, turns: 1000}}}}
workspace: {{path: workspace, deliver: never}}
---
Read.
"""


async def set_up(job: Job) -> Callable[[int, int], Awaitable[None]]:
    folder = Path(job.folder)
    text = GOAL.format(model=MODEL, base_url=job.base_url, sessions=job.sessions)
    goal = parse(text, folder / "GOAL.md")
    prepared = prepare(goal)
    clock = Clock()
    sandbox = open_sandbox()
    ledger = Ledger(folder / "ledger.db", clock)
    hub = await Hub.create(sandbox, folder / "run", goal.workspace.path, goal.workspace.exclude)
    upstreams = open_upstreams(prepared, None)
    gateway = Gateway(
        ledger, prepared.endpoints, upstreams, budget_of(goal.limits), prepared.book, clock, goal.workspace.path
    )
    lead, readers = roles_of(goal)

    async def accept(_: Session, __: str) -> None:
        return None

    crew = Crew(
        run=RUN, owner=RUN, ledger=ledger, gateway=gateway, sandbox=sandbox, hub=hub, roles=readers,
        rules=rules_of(goal), clock=clock, judge=accept,
    )  # fmt: skip

    def begin(t: Transaction) -> None:
        t.open_stream(RUN, "run")
        t.claim(RUN, RUN)

    await ledger.commit(begin)
    main = await crew.open("main", lead, lead.model, None, "Read.", hub.base)
    return _Sessions(crew, main)


class _Sessions:
    def __init__(self, crew: Crew, main: Session) -> None:
        self._crew = crew
        self._main = main
        self._opened = 0
        self._heartbeat = asyncio.create_task(crew.heartbeat())

    async def __call__(self, sessions: int, turns: int) -> None:
        tasks = await asyncio.gather(*(self._start(turns) for _ in range(sessions)))
        for ending in await asyncio.gather(*tasks):
            if ending.status != "done":
                raise RuntimeError(f"a session ended {ending.status}: {ending.reason}")

    async def _start(self, turns: int) -> asyncio.Task[Ending]:
        crew, number = self._crew, self._opened
        self._opened += 1
        role = crew.roles["reader"]
        name = f"main/reader-{number}"
        session = await crew.open(name, role, role.model, self._main, task(number, turns), crew.hub.base)
        crew.launch(session)
        return crew.tasks[name]


if __name__ == "__main__":
    run(set_up)
