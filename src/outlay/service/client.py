"""The service's one door for programs: the command line, the MCP server and Python all come through it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from outlay import home
from outlay.agents.dialog import Said, dialog
from outlay.clock import Clock
from outlay.errors import InputError, LedgerError
from outlay.gateway.endpoint import key_named
from outlay.ledger import Ledger, Transaction
from outlay.prices.book import PriceBook
from outlay.runs.limits import change
from outlay.service import config, keeper, look, registry
from outlay.service.agent import Agent, Answer, Match, Waited
from outlay.service.errors import ServiceError
from outlay.service.keys import hand_over
from outlay.service.order import Order, check_name, project_of, wall, write_goal
from outlay.service.registry import Registered

T = TypeVar("T")
POLL_S = 0.1
LOOK_AFTER_S = 2.0
"""How often one who waits looks whether there still is a worker."""


class Client:
    """Agents of one project: start, steer, wait for and read them.

    ```python
    async with outlay.Client() as client:
        await client.start("Where are dates parsed?", role="scout", name="dates")
        await client.wait(["dates"])
        print((await client.result("dates")).answer)
    ```

    project: a folder; names of agents are unique within the git work tree that it is in (default: the current folder).
    Every method raises ServiceError, whose `code` stays the same from version to version.
    """

    def __init__(self, project: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self.folder = Path(project) if project is not None else Path.cwd()
        self.project = project_of(self.folder)
        self._environ = environ
        self._opened: Ledger | None = None
        self._book: PriceBook | None = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # ---- starting and steering

    async def start(
        self,
        prompt: str,
        *,
        name: str = "",
        role: str = "worker",
        model: str = "",
        folder: str | Path | None = None,
        files: Sequence[str | Path] = (),
        limits: Sequence[str] = (),
        timeout: str = "",
        subagents: bool = False,
        deliver: Literal["never", "success", "always"] = "never",
        replace: bool = False,
    ) -> Agent:
        """Start an agent and return at once. The arguments are those of `Order`."""
        if name:
            check_name(name)
        place = Path(folder) if folder is not None else self.folder
        order = Order(
            prompt=prompt, name=name, role=role, model=model, folder=place, files=tuple(Path(file) for file in files),
            limits=tuple(limits), timeout=timeout, subagents=subagents, deliver=deliver, replace=replace,
        )  # fmt: skip
        goal = write_goal(order, config.load(self._environ), self._environ)
        shown = Path(role).stem if role.endswith(".md") else role
        run = Clock().new_id()
        given = await self._write(lambda t: registry.register(t, run, self.project, name, shown, goal, replace=replace))
        await self._have_worker(run)
        return self._agent(given)

    async def send(self, name: str, text: str) -> Agent:
        """Tell an agent at work something: the answer to its question, or what it reads before its next turn."""
        self._need_text(text, "say what it is to be told")
        row = self._find(name)
        await self._write(lambda t: registry.tell(t, row, text))
        await self._have_worker(row.run)
        return self._agent(name)

    async def resume(self, name: str, text: str, *, limits: Sequence[str] = (), timeout: str = "") -> Agent:
        """Set an agent that has ended to work again; it knows what it did. limits: others than before, by key."""
        self._need_text(text, "say what it is to do now")
        changed = [*limits, *([wall(timeout)] if timeout else [])]
        try:
            change(changed)
        except InputError as error:
            raise ServiceError("E_LIMIT_INVALID", str(error)) from None
        row = self._find(name)
        await self._write(lambda t: registry.set_to_work(t, row, text, changed))
        await self._have_worker(row.run)
        return self._agent(name)

    async def cancel(self, names: Collection[str] = (), *, wait_s: float = 30.0) -> list[Agent]:
        """End agents at work, all of the project for no names. Raises ServiceError (E_NOT_RUNNING) for a named one
        that has ended before."""
        rows = [self._find(name) for name in names] if names else [row for row in self._rows() if row.live]

        def work(t: Transaction) -> None:
            for row in rows:
                if not registry.want_cancel(t, row.run) and names:
                    raise ServiceError("E_NOT_RUNNING", f"{row.name} has ended: {row.ended}")

        await self._write(work)
        if rows:
            await self._have_worker()
            await self.wait([row.name for row in rows], timeout_s=wait_s, questions=False)
        return self._agents([self._find(row.name) for row in rows])

    # ---- looking

    async def status(self, names: Collection[str] = ()) -> list[Agent]:
        """How agents stand, all of the project for no names; oldest first."""
        await self._have_worker(wait=False)
        return self._agents([self._find(name) for name in names] if names else self._rows())

    async def wait(
        self,
        names: Collection[str] = (),
        *,
        any_one: bool = False,
        timeout_s: float | None = None,
        questions: bool = True,
        progress: Callable[[list[Agent]], Any] | None = None,
    ) -> Waited:
        """Wait until all of them (for no names: all that are at work now) have ended, or any one; or one asks something
        (`questions`); or `timeout_s` seconds have passed, which the result says. progress: told of every change.
        Raises ServiceError (E_WAIT_NAME_REQUIRED) for no names in a project that never had an agent."""
        rows = [self._find(name) for name in names] if names else self._rows()
        if not rows:
            raise ServiceError("E_WAIT_NAME_REQUIRED", f"no agents in {self.project}; start one, or give --project")
        if not names:
            rows = [row for row in rows if row.live]
        clock = self._ledger.clock
        begun = looked = clock.monotonic()
        version = None
        while True:
            now = clock.monotonic()
            changed = self._ledger.reader.execute("PRAGMA data_version").fetchone()[0]
            if changed != version:
                version = changed
                standing = self._agents(self._again(rows))
                if progress is not None:
                    progress(standing)
                if (why := _enough(standing, any_one=any_one, questions=questions)) is not None:
                    return _waited(why, standing)
            if timeout_s is not None and now - begun >= timeout_s:
                return _waited("timeout", self._agents(self._again(rows)))
            if now - looked > LOOK_AFTER_S:
                looked = now
                await self._have_worker()
            await asyncio.sleep(POLL_S)

    async def result(self, name: str) -> Answer:
        """What an agent found or did; `ended` false while it has not ended."""
        return look.answer(self._ledger, self._agent(name))

    async def ask(
        self, prompt: str, *, role: str = "scout", timeout_s: float | None = None, **order: Any
    ) -> tuple[Answer, Agent]:
        """Start an agent, wait for it, and give its result."""
        agent = await self.start(prompt, role=role, **order)
        await self.wait([agent.name], timeout_s=timeout_s)
        return await self.result(agent.name), self._agent(agent.name)

    async def search(self, pattern: str, names: Collection[str] = (), *, kinds: Collection[str] = ()) -> list[Match]:
        """Places in the dialogs of agents that fit a regular expression. kinds: only these, such as `model`."""
        if not pattern:
            raise ServiceError("E_PATTERN_REQUIRED", "no pattern; give a regular expression")
        try:
            wanted = re.compile(pattern)
        except re.error as error:
            raise ServiceError("E_PATTERN_INVALID", f"{pattern!r} is no regular expression: {error}") from None
        from outlay.service.search import matches

        rows = [self._find(name) for name in names] if names else self._rows()
        return [match for row in rows for match in matches(self._ledger, row, wanted, kinds)]

    def dialogs(self, agent: Agent, shown: dict[str, int]) -> Iterator[tuple[str, Said]]:
        """What was said in an agent's sessions, each with its name. shown: how much of each was given before; kept."""
        for session in self._ledger.rows("SELECT id, name FROM sessions WHERE run = ? ORDER BY id", (agent.run,)):
            speaker = agent.name + session["name"].removeprefix("main")
            said = list(dialog(self._ledger, session["id"]))
            yield from ((speaker, each) for each in said[shown.get(speaker, 0) :])
            shown[speaker] = len(said)

    async def deliver(self, name: str, to: Path | None = None) -> tuple[int, Path]:
        """Bring an agent's changes into its folder, or the whole into another; number of files, and where."""
        from outlay.runs.delivery import deliver

        row = self._find(name)
        if row.live:
            raise ServiceError("E_NOT_ENDED", f"{name} is at work; wait for it first")
        if row.changed_files is None:
            raise ServiceError("E_DELIVERY", f"{name} ({row.role}) changed nothing: it only reads")
        try:
            files, place = await deliver(row.run, self._ledger, to)
        except InputError as error:
            raise ServiceError("E_DELIVERY", str(error)) from None
        if to is None:
            await self._write(
                lambda t: t.conn.execute("UPDATE agents SET delivered = 1 WHERE run = ?", (row.run,)) and None
            )
        return files, place

    # ---- the ledger

    @property
    def _ledger(self) -> Ledger:
        if self._opened is None:
            self._opened = Ledger(home.ensure(home.home()) / "ledger.db")
        return self._opened

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        try:
            return await self._ledger.commit(work)
        except LedgerError as error:
            raise ServiceError("E_UNEXPECTED", str(error)) from None

    async def _have_worker(self, run: str = "", *, wait: bool = True) -> None:
        """A worker for whatever is to be done, with the keys that it lacks. run: it gets its keys in any case."""
        anew = not keeper.is_held("worker") and self._waiting()
        if anew:
            await asyncio.to_thread(keeper.ensure_worker, wait=wait)
        given = {
            each: {name: key for name in names if (key := key_named(name, self._environ))}
            for each, names in registry.keys_wanted(self._ledger, self.project, run, every=anew).items()
        }
        if given := {each: found for each, found in given.items() if found}:
            await asyncio.to_thread(hand_over, given)

    def _waiting(self) -> bool:
        query = (
            "SELECT 1 FROM agents a JOIN runs r ON r.id = a.run "
            "WHERE a.live AND (r.status != 'paused' OR r.wanted IS NOT NULL)"
        )
        return self._ledger.reader.execute(query).fetchone() is not None

    def _rows(self) -> list[Registered]:
        return registry.select(self._ledger, "project = ? AND current", (str(self.project),))

    def _again(self, rows: list[Registered]) -> list[Registered]:
        runs = [row.run for row in rows]
        return registry.select(self._ledger, f"run IN ({', '.join('?' * len(runs))})", tuple(runs))

    def _find(self, name: str) -> Registered:
        return registry.find(self._ledger, self.project, name)

    def _agent(self, name: str) -> Agent:
        return self._agents([self._find(name)])[0]

    def _agents(self, rows: list[Registered]) -> list[Agent]:
        from outlay.prices import book

        self._book = self._book or book.load()
        return look.agents(self._ledger, rows, self._book)

    def _need_text(self, text: str, what: str) -> None:
        if not text.strip():
            raise ServiceError("E_PROMPT_REQUIRED", f"no text; {what}")


def _enough(agents: list[Agent], *, any_one: bool, questions: bool) -> Literal["all", "any", "question"] | None:
    ended = [not agent.live for agent in agents]
    if all(ended):
        return "all"
    if any_one and any(ended):
        return "any"
    return "question" if questions and any(agent.question for agent in agents) else None


def _waited(why: Literal["all", "any", "question", "timeout"], agents: list[Agent]) -> Waited:
    return Waited(wait=why, agents=tuple(agents), pending=tuple(agent.name for agent in agents if agent.live))
