"""Sessions of agents that come by HTTP: a token is a seat, and what an agent says of itself tells its conversations
apart. Each is a session in the ledger from its first call on."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import msgspec

from outlay.clock import Clock
from outlay.errors import LimitReached
from outlay.gateway.door import Caller
from outlay.gateway.identify import Claim, cleaned
from outlay.gateway.refusals import Refused
from outlay.ledger import Entry, Ledger, Transaction

MAIN = "main"
Label = frozenset[str]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Seat:
    """The place of a session that exists already: what is under way there, and whether a limit stopped it."""

    def __init__(self, caller: Caller, label: Callable[[], Label]) -> None:
        """label: what the session holds, asked for each call; its own subagents hold the same."""
        self.caller = caller
        self.label = label
        self.limit: LimitReached | None = None
        """Why its last call was refused, where a limit was the reason."""
        self.limited = asyncio.Event()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextmanager
    def calling(self, caller: Caller) -> Iterator[None]:
        """While a call of this seat, or of a subagent in it, is under way."""
        self._under_way += 1
        self._quiet.clear()
        try:
            yield
        except LimitReached as limit:
            if caller.session == self.caller.session:
                self.limit = limit
                self.limited.set()
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._under_way > 0

    async def quiet(self) -> None:
        """Wait until every call has its end in the ledger."""
        await self._quiet.wait()


class Seats:
    """Who may call, and as whom."""

    def __init__(self, ledger: Ledger, run: str, owner: str, clock: Clock, *, tokens: tuple[str, ...] = (),
                 taken: Iterable[str] = ()) -> None:  # fmt: skip
        """tokens: the only ones that are let in; none given, and nothing issued: anybody is, under the name that the
        token says. taken: names that sessions of the run have already."""
        self._ledger = ledger
        self._run = run
        self._owner = owner
        self._clock = clock
        self._names: dict[str, str] = dict.fromkeys(tokens, MAIN)
        self._anybody = not tokens
        self._issued: dict[str, Seat] = {}
        self._opened: dict[tuple[str, str], asyncio.Task[Caller]] = {}
        self._first: dict[str, str] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set(taken)
        self._by_hidden_call: set[str] = set()
        """Sessions that a title or a router opened: their model is known with the first call of their own."""

    def issue(self, caller: Caller, label: Callable[[], Label] = frozenset) -> str:
        """A fresh token for a session that exists already; from then on only known tokens are let in.

        label: see `Seat`."""
        token = secrets.token_urlsafe(24)
        self._anybody = False
        self._names[token] = caller.name
        self._issued[token] = Seat(caller, label)
        self._taken.add(caller.name)
        return token

    def seat(self, token: str) -> Seat | None:
        """The seat of an issued token."""
        return self._issued.get(token)

    def calling(self, token: str, caller: Caller) -> AbstractContextManager[None]:
        """While a call under this token is under way."""
        seat = self._issued.get(token)
        return seat.calling(caller) if seat is not None else nullcontext()

    async def introduce(self, token: str, native: str, kind: str) -> None:
        """What sort of subagent will call, or calls already, with this id; its requests do not always say it."""
        kind = cleaned(kind)
        self._kinds[token, native] = kind
        caller = self.child(token, native)
        if caller is not None and kind:
            await self._ledger.commit(lambda t: t.update("sessions", caller.session, role=kind))

    def children(self, token: str) -> list[Caller]:
        """The sessions of all subagents that called under a token."""
        natives = [native for seat, native in self._opened if seat == token and native]
        return [caller for native in natives if (caller := self.child(token, native)) is not None]

    def child(self, token: str, native: str) -> Caller | None:
        """The session of a subagent, by the agent's own id of it; None when it has not called yet."""
        task = self._opened.get((token, native))
        return task.result() if task is not None and task.done() and not task.exception() else None

    def withdraw(self, token: str) -> None:
        """The token opens nothing any more."""
        self._names.pop(token, None)
        self._issued.pop(token, None)

    def name_of(self, token: str) -> str:
        """The seat's name. Raises Refused when the token is none."""
        if not self._anybody:
            name = self._names.get(token)
            if name is None:
                raise Refused(401, "no such token here; use the address or the key that Outlay gave you", "token")
            return name
        if not token:
            return MAIN
        if not _NAME.fullmatch(token):
            raise Refused(401, "a token is up to 64 letters, digits, dots, dashes and underscores", "token")
        return token

    async def caller(self, token: str, claim: Claim, model: str) -> Caller:
        """The session that calls, opened on its first call. Raises Refused when the token is none."""
        base = self.name_of(token)
        session = claim.session
        if session and not claim.parent and session == self._first.setdefault(token, session):
            session = ""  # the seat's own conversation
        parent = claim.parent if claim.parent != self._first.get(token) else ""
        key = (token, session)
        task = self._opened.get(key)
        if task is None:
            task = asyncio.ensure_future(self._open(token, base, session, parent, claim, model))
            self._opened[key] = task
            task.add_done_callback(lambda done: self._forget_failed(key, done))
        caller = await asyncio.shield(task)
        if not claim.label and caller.session in self._by_hidden_call:
            self._by_hidden_call.discard(caller.session)
            await self._ledger.commit(lambda t: t.update("sessions", caller.session, model=model))
        label = self._held(token)
        return msgspec.structs.replace(caller, label=label) if label else caller

    def _held(self, token: str) -> Label:
        """What the session of an issued token holds now."""
        seat = self._issued.get(token)
        return seat.label() if seat is not None else frozenset()

    def _forget_failed(self, key: tuple[str, str], task: asyncio.Task[Caller]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._opened.pop(key, None)

    async def _open(self, token: str, base: str, session: str, parent: str, claim: Claim, model: str) -> Caller:
        if not session:
            if token in self._issued:
                return self._issued[token].caller
            caller = await self._create(token, self._free(base), MAIN, None, model)
            if claim.label:
                self._by_hidden_call.add(caller.session)
            return caller
        if not claim.parent:  # another conversation under the same token
            number = sum(key[0] == token for key in self._opened)
            return await self._create(token, self._free(f"{base}-{number}"), MAIN, None, model)
        above = await self.caller(token, Claim(session=parent), model)
        short = re.sub(r"[^A-Za-z0-9]", "", session)[-8:] or "child"
        kind = claim.kind or self._kinds.get((token, session), "")
        name = f"{above.name}/{kind or short}"
        name = f"{name}-{short}" if name in self._taken else name
        return await self._create(token, self._free(name), kind or "subagent", above.session, model)

    def _free(self, name: str) -> str:
        """The name, or the first of its numbered kind that nobody has."""
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free)
        return free

    async def _create(self, token: str, name: str, role: str, parent: str | None, model: str) -> Caller:
        session, now = f"{self._run}:{name}", self._clock.now_ms()
        label = self._held(token)

        def work(t: Transaction) -> int:
            t.open_stream(session, "session")
            epoch = t.claim(session, self._owner)
            head: dict[str, Any] = {
                "name": name,
                "role": role,
                "model": model,
                "parent": parent,
                "window_tokens": None,
                "commit": None,
            }
            head |= {"label": sorted(label)} if label else {}
            t.append(self._run, session, epoch, [Entry("session.started", head)])
            t.put(
                "sessions", id=session, run=self._run, parent=parent, name=name, role=role, model=model,
                status="running", started_ms=now,
            )  # fmt: skip
            t.conn.execute("UPDATE runs SET main = ? WHERE id = ? AND main IS NULL", (session, self._run))
            return epoch

        epoch = await self._ledger.commit(work)
        return Caller(self._run, session, name, role, parent, epoch)
