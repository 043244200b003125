"""Budgets that cannot be overspent: the worst case is reserved before a call and settled after it.

Twenty parallel subagents on one budget stay within it, because what is reserved counts as spent until it is known.
A call that does not fit while others are under way waits for them to settle; alone it is refused.

Accounts form a chain: a session, those that started it, its team (a main agent with all its subagents), the run. Each
holds what those below it use, so a child cannot spend what its parent has not. The day stands above all runs of a
ledger, in several processes at once: see `gateway/day.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from outlay import money
from outlay.errors import LimitReached

SMALLEST_OUTPUT_TOKENS = 256
"""Below this a call is not worth sending: the limit counts as reached."""


class Bounds(msgspec.Struct, frozen=True):
    """What may be used; None: no bound."""

    usd_pico: int | None = None
    net_tokens: int | None = None
    turns: int | None = None
    output_tokens: int | None = None


UNBOUNDED = Bounds()


class Ask(msgspec.Struct, frozen=True):
    """The worst that a call may use."""

    input_pico: int | None
    """Dearest price of the whole input; None when the model has no price."""
    output_token_pico: int | None
    """Price of one output token."""
    net_input_tokens: int
    max_output_tokens: int

    def grant(self, output_tokens: int) -> Grant:
        """What is to be reserved when so much output is allowed."""
        usd = (self.input_pico or 0) + output_tokens * (self.output_token_pico or 0)
        return Grant(output_tokens, usd, self.net_input_tokens + output_tokens, self.input_pico is not None)

    def fits(self, output_tokens: int) -> bool:
        """Whether a call with so much output is worth sending."""
        return output_tokens >= min(SMALLEST_OUTPUT_TOKENS, self.max_output_tokens)


class Grant(msgspec.Struct, frozen=True):
    """What was reserved for a call."""

    max_output_tokens: int
    usd_pico: int
    net_tokens: int
    priced: bool = True
    """False: the model has no price, and `usd_pico` is 0 for want of one."""

    @property
    def most_pico(self) -> int | None:
        """The most that the call can cost; None when that is unknown."""
        return self.usd_pico if self.priced else None


@dataclass
class Account:
    """What a session, a team or a run has used, and what is reserved for calls under way."""

    name: str
    bounds: Bounds
    parent: Account | None = None
    """The account that holds this one, and whose bounds hold for it too."""
    beside: Account | None = None
    """The account of its role, which holds sessions of several parents."""
    spent_pico: int = 0
    spent_net: int = 0
    spent_output: int = 0
    turns: int = 0
    reserved_pico: int = 0
    reserved_net: int = 0
    reserved_output: int = 0
    under_way: int = 0

    @property
    def chain(self) -> Iterator[Account]:
        """This account and those that hold it, inside out."""
        account: Account | None = self
        while account is not None:
            yield account
            if account.beside is not None:
                yield account.beside
            account = account.parent

    def used(self) -> Iterator[tuple[str, int, int]]:
        """Limit, what is used of it, and the bound, for every bound that there is."""
        spent = {"usd": self.spent_pico, "net_tokens": self.spent_net, "turns": self.turns}
        bounds = {"usd": self.bounds.usd_pico, "net_tokens": self.bounds.net_tokens, "turns": self.bounds.turns}
        spent["output_tokens"], bounds["output_tokens"] = self.spent_output, self.bounds.output_tokens
        for limit, bound in bounds.items():
            if bound is not None:
                yield limit, spent[limit], bound

    def hold(self, grant: Grant, sign: int = 1) -> None:
        """Reserve what was granted; with `sign` -1, no longer."""
        self.reserved_pico += sign * grant.usd_pico
        self.reserved_net += sign * grant.net_tokens
        self.reserved_output += sign * grant.max_output_tokens

    def spend(self, pico: int, net: int, output: int) -> None:
        """Count what was used."""
        self.spent_pico += pico
        self.spent_net += net
        self.spent_output += output

    def affordable_output(self, ask: Ask) -> tuple[int, str]:
        """How many output tokens fit, and the limit that binds."""
        fits, limit = ask.max_output_tokens, ""
        if self.bounds.usd_pico is not None:
            assert ask.input_pico is not None and ask.output_token_pico is not None
            left = self.bounds.usd_pico - self.spent_pico - self.reserved_pico - ask.input_pico
            by_money = max(left, -1) // ask.output_token_pico if ask.output_token_pico else (fits if left >= 0 else -1)
            if by_money < fits:
                fits, limit = by_money, "usd"
        if self.bounds.net_tokens is not None:
            by_tokens = self.bounds.net_tokens - self.spent_net - self.reserved_net - ask.net_input_tokens
            if by_tokens < fits:
                fits, limit = by_tokens, "net_tokens"
        if self.bounds.output_tokens is not None:
            by_output = self.bounds.output_tokens - self.spent_output - self.reserved_output
            if by_output < fits:
                fits, limit = by_output, "output_tokens"
        return fits, limit

    def describe(self, limit: str) -> str:
        used = next(show_used(*found) for found in self.used() if found[0] == limit)
        return f"limit {limit} of {self.name} reached: {used} used, and the next call would not fit"


def show_used(limit: str, used: int, bound: int) -> str:
    """What is used of a bound, for people: `$0.41 of $1.00`."""
    return f"{money.show(used)} of {money.show(bound)}" if limit == "usd" else f"{used:,} of {bound:,}"


@dataclass
class Budget:
    """The accounts of a run, of its teams and of its sessions."""

    run: Account
    session_bounds: Bounds = field(default_factory=Bounds)
    """On money and tokens of a session with the subagents that it started; on the turns of a session alone."""
    team_bounds: Bounds = field(default_factory=Bounds)
    role_bounds: Mapping[str, Bounds] = field(default_factory=dict)
    """On all sessions of a role together."""
    sessions: dict[str, Account] = field(default_factory=dict)
    """What every session used itself, by its id."""
    _trees: dict[str, Account] = field(default_factory=dict)
    _roles: dict[str, Account] = field(default_factory=dict)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def all_bounds(self) -> tuple[Bounds, ...]:
        """Every bound that a call may meet in this process."""
        return (self.run.bounds, self.team_bounds, self.session_bounds, *self.role_bounds.values())

    def session(self, name: str, parent: str | None = None, role: str = "") -> Account:
        """The account of a session, opened on first use below that of its parent and beside that of its role."""
        account = self.sessions.get(name)
        if account is None:
            turns = Bounds(turns=self.session_bounds.turns)
            account = self.sessions[name] = Account(
                f"session {name}", turns, self._tree(name, parent), self._role(role)
            )
        return account

    def _role(self, role: str) -> Account | None:
        if role not in self.role_bounds:
            return None
        if role not in self._roles:
            self._roles[role] = Account(f"role {role}", self.role_bounds[role])
        return self._roles[role]

    def _tree(self, name: str, parent: str | None) -> Account:
        """The account of a session together with the subagents that it started."""
        tree = self._trees.get(name)
        if tree is None:
            above = self._tree(parent, None) if parent else Account(f"team {name}", self.team_bounds, self.run)
            bounds = msgspec.structs.replace(self.session_bounds, turns=None)
            tree = self._trees[name] = Account(f"session {name}", bounds, above)
        return tree

    async def reserve(
        self,
        session: str,
        ask: Ask,
        on_wait: Callable[[], None] = lambda: None,
        parent: str | None = None,
        role: str = "",
    ) -> Grant:
        """Reserve the worst case of a call, its output lowered to what is left.

        Waits while calls under way may still free enough. Raises LimitReached when nothing can.
        """
        accounts = tuple(self.session(session, parent, role).chain)
        bounded = tuple(account for account in accounts if account.bounds != UNBOUNDED)
        while (refusal := _refusal(bounded, ask)) is not None:
            account, limit = refusal
            if account.under_way == 0 or limit == "turns":
                raise LimitReached(limit, account.describe(limit))
            on_wait()
            settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(settled)
            await settled
        fits = min((account.affordable_output(ask)[0] for account in bounded), default=ask.max_output_tokens)
        grant = ask.grant(min(ask.max_output_tokens, fits))
        for account in accounts:
            account.hold(grant)
            account.turns += 1
            account.under_way += 1
        return grant

    def lower(self, session: str, grant: Grant, lower: Grant) -> None:
        """Reserve less for a call than was granted."""
        for account in self.session(session).chain:
            account.hold(grant, -1)
            account.hold(lower)
        self._wake()

    def settle(
        self, session: str, grant: Grant, spent_pico: int, spent_net: int, spent_output: int = 0, *, turn: bool = True
    ) -> None:
        """Replace what was reserved by what was used. `turn` is False for an attempt that brought no answer."""
        for account in self.session(session).chain:
            account.hold(grant, -1)
            account.spend(spent_pico, spent_net, spent_output)
            account.turns -= 0 if turn else 1
            account.under_way -= 1
        self._wake()

    def _wake(self) -> None:
        """Let those that wait for money try again, in the order in which they came."""
        waiting, self._waiting = self._waiting, []
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)

    def restore(
        self,
        session: str,
        spent_pico: int,
        spent_net: int,
        turns: int,
        parent: str | None = None,
        role: str = "",
        spent_output: int = 0,
    ) -> None:
        """Count what a session had used before a resume."""
        for account in self.session(session, parent, role).chain:
            account.spend(spent_pico, spent_net, spent_output)
            account.turns += turns


def _refusal(accounts: tuple[Account, ...], ask: Ask) -> tuple[Account, str] | None:
    """The first account into which the call does not fit, and the limit."""
    for account in accounts:
        if account.bounds.turns is not None and account.turns >= account.bounds.turns:
            return account, "turns"
        fits, limit = account.affordable_output(ask)
        if not ask.fits(fits):
            return account, limit
    return None
