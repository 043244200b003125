"""The gateway's one function: identify -> limits -> upstream -> meter -> ledger.

Before every attempt an intent is written, after it the exact counters, in one transaction fenced by the session's
lease. What happened to every attempt is a row in `calls`: answered, failed, cut, or (found at a resume) lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from outlay.clock import Clock
from outlay.errors import DiskProblem, InputError, Paused
from outlay.gateway.budget import Ask, Budget, Grant
from outlay.gateway.day import RETRY_S, Day, DayFull
from outlay.gateway.endpoint import Endpoint
from outlay.gateway.upstream import Answer, CutShort, Upstream
from outlay.ledger import Call, Entry, Ledger, Transaction
from outlay.prices.book import PriceBook
from outlay.prices.rates import dearest
from outlay.tokens import ZERO, Usage
from outlay.wires.types import Fault, Part, Reply, Request, Text, ToolCall, ToolResult

T = TypeVar("T")
ATTEMPTS = 6
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LONGEST_RETRY_AFTER_S = 900.0
BYTES_PER_TOKEN = 1
"""What is reserved must not be under the truth: no token of a text is shorter than a byte (English has about 4)."""


_BROKEN = ("timeout", "cut", "bad_answer", "overloaded", "server", "rate_limit")
"""Kinds of faults that may end an answer which the provider had begun."""


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the session, as the ledger knows it."""

    run: str
    session: str
    name: str
    role: str
    parent: str | None
    epoch: int
    label: frozenset[str] = frozenset()
    """Data names of what its conversation holds; empty without a policy."""


Gate = Callable[[Caller, Endpoint, Request], "tuple[Entry, str] | None"]
"""Asked before every attempt: None to send it, else the denial as an event and in words."""


class Gateway:
    """All model calls of a run leave through `call`."""

    def __init__(
        self,
        ledger: Ledger,
        endpoints: Mapping[str, Endpoint],
        upstreams: Mapping[str, Upstream],
        budget: Budget,
        book: PriceBook,
        clock: Clock,
        project: Path,
        day: Day | None = None,
        gate: Gate | None = None,
    ) -> None:
        """day: the limit on all runs of this ledger together; None: there is none.
        gate: the policy's; without one every model of the goal may be called with everything."""
        self.ledger = ledger
        self.gate = gate
        self.endpoints = endpoints
        self.budget = budget
        self.book = book
        self.day = day
        self.pausing = asyncio.Event()
        """Set when the run is to pause at the next safe point."""
        self.on_answer: Callable[[str, Reply, Sequence[Entry]], None] = lambda *_: None
        """Told of every answer before it is written: session, reply, and the events that are written with it."""
        self._upstreams = upstreams
        self._clock = clock
        self._project = str(project)
        self._not_before: dict[str, float] = {}

    async def close(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.close()

    async def call(
        self,
        caller: Caller,
        model: str,
        request: Request,
        before: list[Entry],
        *,
        then: Callable[[Reply], Sequence[Entry]] = lambda _: (),
        known_tokens: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> Reply:
        """One answer for `request` from the model of that name in the goal file, or from its fallbacks in order.

        before: events of the session that are written together with the first intent; emptied once they are.
        then: events that are written together with the result.
        known_tokens: tokens of the conversation up to the last answer, as the provider counted them; 0 at the start.
        note: told in a few words what is being waited for.
        Raises Fault when every attempt failed, LimitReached when a budget is used up, Fenced when another process
        owns the session.
        """
        fault: Fault | None = None
        attempt = 0
        for name in (model, *self.endpoints[model].fallback):
            endpoint = self.endpoints[name]
            for failed in range(ATTEMPTS):
                attempt += 1
                await self._turn_of(endpoint, note)
                try:
                    return await self._attempt(caller, endpoint, request, before, then, attempt, known_tokens, note)
                except Fault as error:
                    fault = error
                if not fault.retryable:
                    break
                pause = _pause_s(fault, failed, self._clock)
                note(f"{fault.kind}, again in {pause:.0f} s")
                if fault.kind == "rate_limit":
                    self._not_before[endpoint.name] = self._clock.monotonic() + pause
                else:
                    await self._sleep(pause)
        assert fault is not None
        raise fault

    async def _turn_of(self, endpoint: Endpoint, note: Callable[[str], None]) -> None:
        """Wait while the provider has asked for a pause: one session's 429 holds all of them back."""
        while (left := self._not_before.get(endpoint.name, 0.0) - self._clock.monotonic()) > 0:
            note(f"rate limit, {left:.0f} s left")
            await self._sleep(left * (1 + 0.1 * self._clock.jitter()))

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not through a pause of the run: nothing is under way here, so this is a safe point."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.pausing.wait(), seconds)
        if self.pausing.is_set():
            raise Paused("paused while waiting for the provider")

    async def _attempt(
        self,
        caller: Caller,
        endpoint: Endpoint,
        request: Request,
        before: list[Entry],
        then: Callable[[Reply], Sequence[Entry]],
        attempt: int,
        known_tokens: int,
        note: Callable[[str], None],
    ) -> Reply:
        if self.gate is not None and (denied := self.gate(caller, endpoint, request)) is not None:
            before.append(denied[0])
            raise Fault("policy", denied[1])
        new_tokens = _new_bytes(request, whole=known_tokens == 0) // BYTES_PER_TOKEN + 64
        output = min(request.max_output_tokens, endpoint.max_output_tokens)
        ask = self.worst(endpoint, known_tokens + new_tokens, new_tokens, output)
        meter = await self.admit(caller, endpoint, ask, before, attempt=attempt, note=note)
        grant = meter.grant
        sent = msgspec.structs.replace(request, model=endpoint.model, max_output_tokens=grant.max_output_tokens)
        try:
            answer = await self._upstreams[endpoint.name].send(caller.name, sent)
        except Fault as fault:
            await meter.failed(fault)
            raise
        except InputError as error:
            await meter.failed(Fault("bad_request", str(error).splitlines()[0]))
            raise
        except OSError as error:  # a recording or a folder of requests that cannot be written
            await meter.failed(Fault("cut", str(error)))
            raise DiskProblem(f"model {endpoint.name}: {error}; mend that, then resume") from None
        except asyncio.CancelledError as stop:
            usage = stop.usage if isinstance(stop, CutShort) else None
            await through(meter.failed(Fault("cut", "cancelled by us", usage=usage)))
            raise
        _, cancelled = await through(meter.answered(answer, then(answer.reply)))
        if cancelled:
            raise asyncio.CancelledError
        return answer.reply

    def worst(self, endpoint: Endpoint, input_tokens: int, new_tokens: int, output_tokens: int) -> Ask:
        """The worst that a call may use.

        input_tokens: an upper estimate of the whole input; new_tokens: of what no cache holds; output_tokens: the most
        it may generate.
        """
        now = self._clock.now_ms()
        card = self.book.rates(endpoint.model, endpoint.priced_as, now)
        bare = dearest(card, input_tokens, 0) if card else None
        full = dearest(card, input_tokens, output_tokens) if card else None
        if bare is None or full is None:
            return Ask(None, None, new_tokens, output_tokens)
        return Ask(bare, -(-(full - bare) // max(output_tokens, 1)), new_tokens, output_tokens)

    async def admit(
        self,
        caller: Caller,
        endpoint: Endpoint,
        ask: Ask,
        before: list[Entry],
        *,
        attempt: int = 1,
        note: Callable[[str], None] = lambda _: None,
    ) -> Meter:
        """Reserve a call's worst case and write its intent; what becomes of it is told to the meter, once.

        before: events of the session that are written together with the intent; emptied once they are.
        Raises LimitReached when the budget is used up, Fenced when another process owns the session.
        """

        def waits() -> None:
            note("waiting for budget")

        grant = await self.budget.reserve(caller.session, ask, waits, caller.parent, caller.role)
        try:
            granted, place, cancelled = await self._intend(caller, endpoint, ask, grant, before, attempt, waits)
            if granted is not grant:
                self.budget.lower(caller.session, grant, granted)
                grant = granted
            before.clear()
        except BaseException:
            self.budget.settle(caller.session, grant, 0, 0, turn=False)
            raise
        key = f"{caller.session}#{place}"
        meter = Meter(self, caller, endpoint, grant, key, attempt, self._clock.now_ms())
        if cancelled:
            await through(meter.failed(Fault("bad_request", "cancelled before it was sent")))
            raise asyncio.CancelledError
        return meter

    async def _intend(
        self,
        caller: Caller,
        endpoint: Endpoint,
        ask: Ask,
        grant: Grant,
        before: list[Entry],
        attempt: int,
        waits: Callable[[], None],
    ) -> tuple[Grant, int, bool]:
        """Write the intent; what is reserved by then, the intent's place, and whether the task was cancelled meanwhile.
        A day's limit is looked at in the same transaction, where no other process can come between."""
        day = self.day

        def work(t: Transaction) -> tuple[Grant, int]:
            granted = day.admit(t.conn, ask, grant) if day else grant
            head = {
                "model": endpoint.name,
                "attempt": attempt,
                "reserved_pico": granted.most_pico,
                "reserved_net": granted.net_tokens,
                "max_output_tokens": granted.max_output_tokens,
            }
            entries = [*before, Entry("call.intent", head)]
            return granted, t.append(caller.run, caller.session, caller.epoch, entries)[-1]

        while True:
            try:
                (granted, place), cancelled = await through(self.ledger.entrust(work))
                return granted, place, cancelled
            except DayFull as full:
                if not full.may_pass:
                    raise
            waits()
            await self._sleep(RETRY_S)

    def call_row(
        self,
        caller: Caller,
        endpoint: Endpoint,
        key: str,
        usage: Usage,
        quality: str,
        status: str,
        started_ms: int,
        attempt: int,
        reply: Reply | None = None,
        possible_cost_pico: int | None = None,
        raw_usage: str | None = None,
    ) -> Call:
        """The row of `calls` for one attempt."""
        asked = [part.name for part in reply.message.parts if isinstance(part, ToolCall)] if reply else []
        return Call(
            source="outlay",
            key=key,
            run=caller.run,
            session=caller.session,
            parent=caller.parent,
            agent=caller.name,
            role=caller.role,
            project=self._project,
            model=endpoint.model,
            answered_model=reply.model if reply and reply.model != endpoint.model else None,
            provider=endpoint.priced_as,
            tier=reply.tier if reply else "",
            started_ms=started_ms,
            ended_ms=self._clock.now_ms(),
            usage=usage,
            tools=",".join(asked),
            quality=quality,
            status=status,
            attempt=attempt,
            possible_cost_pico=possible_cost_pico,
            raw_usage=raw_usage,
        )


class Meter:
    """Writes what became of one attempt: budget and ledger together."""

    def __init__(
        self, gateway: Gateway, caller: Caller, endpoint: Endpoint, grant: Grant, key: str, attempt: int, started: int
    ) -> None:
        self._gateway = gateway
        self._caller = caller
        self._endpoint = endpoint
        self.grant = grant
        self._key = key
        self._attempt = attempt
        self._started_ms = started

    def answered(self, answer: Answer, following: Sequence[Entry]) -> asyncio.Future[None]:
        """Counters, reply and intent's end in one transaction, done when it is on disk.

        An answer without usage is flagged unmeasured.
        """
        reply = answer.reply
        self._gateway.on_answer(self._caller.session, reply, following)
        usage = reply.usage or ZERO
        quality = answer.quality if reply.usage else "unmeasured"
        possible = None if reply.usage else self.grant.most_pico
        row = self._row(usage, quality, "ok", reply=reply, possible=possible, raw=reply.raw_usage)
        tokens = usage.input + usage.output
        read = {"input": usage.input, "cache_read": usage.cache_read}
        head = {"key": self._key, "stop": reply.stop, "model": reply.model, "tokens": tokens} | read
        entry = Entry("call.result", head, msgspec.json.encode(reply.message))
        spent = self._gateway.book.price(row).cost_pico if reply.usage else self.grant.usd_pico
        net = usage.net if reply.usage else self.grant.net_tokens
        return self._write(row, [entry, *following], spent or 0, net, turn=True, context=tokens)

    def failed(self, fault: Fault) -> asyncio.Future[None]:
        """A refusal costs nothing; an answer that had begun may be billed: what came of its usage is a lower bound."""
        begun = (fault.status is None or fault.status < 300) and fault.kind in _BROKEN
        may_be_billed = begun or fault.usage is not None
        usage = fault.usage or ZERO
        quality = "exact" if not may_be_billed else "lower_bound" if fault.usage else "unmeasured"
        possible = self.grant.most_pico if may_be_billed else None
        status = "cut" if may_be_billed else "failed"
        row = self._row(usage, quality, status, possible=possible, raw=fault.raw_usage)
        head = {"key": self._key, "kind": fault.kind, "status": fault.status, "attempt": self._attempt}
        entry = Entry("call.failed", head, str(fault).encode())
        net = self.grant.net_tokens if may_be_billed else 0
        return self._write(row, [entry], possible or 0, net, turn=False, context=None)

    def _row(
        self,
        usage: Usage,
        quality: str,
        status: str,
        reply: Reply | None = None,
        possible: int | None = None,
        raw: str | None = None,
    ) -> Call:
        return self._gateway.call_row(
            self._caller, self._endpoint, self._key, usage, quality, status, self._started_ms, self._attempt,
            reply, possible, raw,
        )  # fmt: skip

    def _write(
        self, row: Call, entries: list[Entry], pico: int, net: int, *, turn: bool, context: int | None
    ) -> asyncio.Future[None]:
        caller = self._caller

        def work(transaction: Transaction) -> None:
            transaction.append(caller.run, caller.session, caller.epoch, entries)
            transaction.record_calls([row])
            if turn:
                transaction.conn.execute(
                    "UPDATE sessions SET turns = turns + 1, context_tokens = ? WHERE id = ?", (context, caller.session)
                )

        def settle(_: asyncio.Future[None]) -> None:
            self._gateway.budget.settle(caller.session, self.grant, pico, net, row.usage.output, turn=turn)

        written = self._gateway.ledger.entrust(work)
        written.add_done_callback(settle)
        return written


async def through(work: Awaitable[T]) -> tuple[T, bool]:
    """Do `work` to its end though the task be cancelled meanwhile; its result, and whether that was so.

    A future costs no task of its own.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:  # noqa: BLE001 - raised below
            break
    return task.result(), cancelled


def _pause_s(fault: Fault, failed: int, clock: Clock) -> float:
    """Seconds to wait after an attempt when `failed` others had failed before it: as the provider says, else doubling,
    with jitter."""
    if fault.retry_after_s is not None:
        return min(fault.retry_after_s, LONGEST_RETRY_AFTER_S)
    return min(FIRST_WAIT_S * 2.0**failed, LONGEST_WAIT_S) * (0.5 + 0.5 * clock.jitter())


def _new_bytes(request: Request, *, whole: bool) -> int:
    """Size of what the provider has not counted yet: everything, or the messages since the last answer."""
    size = 0
    for message in reversed(request.messages):
        if message.role == "assistant" and not whole:
            break
        size += sum(_size(part) for part in message.parts) + 64
    if whole:
        size += len(request.system.encode())
        size += sum(len(tool.description) + len(bytes(tool.schema)) + 64 for tool in request.tools)
    return size


def _size(part: Part) -> int:
    """Bytes of a part's text. JSON escapes do not reach the model."""
    match part:
        case Text(text):
            return len(text.encode("utf-8", "replace"))
        case ToolCall(_, name, arguments):
            return len(name) + len(arguments.encode("utf-8", "replace"))
        case ToolResult(_, name, content):
            return len(name) + len(content.encode("utf-8", "replace"))
