"""A run as it stands right now, kept up to date by reading what the ledger gained since the last look."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from outlay.agents.history import last_words
from outlay.agents.watch.words import symptom
from outlay.economics.spend import NOTHING, Spend, spend_of
from outlay.ledger import Event, Ledger
from outlay.ledger.store import unpack
from outlay.money import show
from outlay.prices.book import PriceBook
from outlay.runs.goal_types import Limits
from outlay.runs.model_spec import played_by
from outlay.views.facts import CheckFacts, SessionFacts, is_live, sessions_of
from outlay.views.wording import plural


class Notice(msgspec.Struct, frozen=True):
    """Something that a person wants to hear about."""

    at_ms: int
    session: str
    """Name of the session; empty for the run."""
    text: str
    good: bool | None = None
    """Whether it is good or bad news; None: neither."""


class Gauge(msgspec.Struct, frozen=True):
    """A limit of the run and how much of it is used."""

    name: str
    used: float
    bound: float

    @property
    def share(self) -> float:
        return self.used / self.bound if self.bound else 1.0


RATE_MS = 300_000
"""The time whose calls say how fast a run at work uses tokens and money."""


class Rate(msgspec.Struct, frozen=True):
    """How fast tokens and money are used: in the last minutes of a run at work, else over its whole time."""

    net_tokens_per_min: float
    usd_pico_per_h: float


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """What a view shows."""

    id: str
    name: str
    status: str
    """`running`, `paused`, `ended`, or `interrupted`: no process works on it."""
    outcome: str | None
    reason: str
    goal: str
    workspace: str
    started_ms: int
    ended_ms: int | None
    wall_ms: int
    sessions: list[SessionFacts]
    """Every parent before its children."""
    spends: dict[str, Spend]
    """By session."""
    checks: list[CheckFacts]
    gauges: list[Gauge]
    total: Spend
    turns: int
    rate: Rate
    played: str = ""
    """As in RunFacts: `recorded`, `by hand`, or empty."""

    @property
    def state(self) -> str:
        """The outcome, or the status when there is none."""
        return self.outcome or self.status


class RunWatch:
    """Follows one run. `look` is cheap: it reads only what is new, and prices each call once."""

    def __init__(self, ledger: Ledger, run_id: str, book: PriceBook) -> None:
        self._ledger = ledger
        self._run = run_id
        self._book = book
        self._seen = self._first_seq() - 1
        self._names: dict[str, str] = {}
        self._spends: dict[str, Spend] = {}
        self._checks: dict[str, CheckFacts] = {}
        self._limits = Limits()
        self._specs: set[str] = set()
        self._worked_ms = 0
        self._begun_ms: int | None = None
        self._last_ms = 0
        self._lately: deque[tuple[int, int, int]] = deque()
        """Calls of the last minutes: when they ended, net tokens, picodollars."""

    def look(self) -> tuple[RunView, list[Notice]]:
        """The run as it is, and what happened since the last look."""
        notices = [notice for event in self._news() if (notice := self._take(event))]
        return self._view(), notices

    def _first_seq(self) -> int:
        query = "SELECT min(seq) FROM events WHERE run = ? AND type = 'run.started'"
        found = self._ledger.reader.execute(query, (self._run,)).fetchone()[0]
        return int(found or 1)

    def _news(self) -> Iterator[Event]:
        # `+run` keeps SQLite from walking the whole run by its index: what is new stands at the end of the table.
        rows = self._ledger.reader.execute(
            "SELECT seq, at_ms, stream, n, type, head, body FROM events LEFT JOIN vault ON vault.id = payload "
            "AND type IN ('run.ended', 'session.ended') WHERE seq > ? AND +run = ? ORDER BY seq",
            (self._seen, self._run),
        ).fetchall()
        events = [
            Event(seq, at, self._run, stream, n, kind, msgspec.json.decode(head), unpack(body) if body else None)
            for seq, at, stream, n, kind, head, body in rows
        ]
        self._price([event.head["key"] for event in events if event.type in _ENDS_OF_CALLS and "key" in event.head])
        for event in events:
            self._seen, self._last_ms = event.seq, event.at_ms
            yield event

    def _price(self, keys: list[str]) -> None:
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ", ".join("?" * len(part))
            for call in self._ledger.calls(f"source = 'outlay' AND key IN ({marks})", tuple(part)):
                before, spend = self._spends.get(call.session, NOTHING), spend_of(call, self._book)
                self._spends[call.session] = before + spend
                self._lately.append((call.ended_ms, spend.usage.net, spend.known.total))

    # ---- events

    def _take(self, event: Event) -> Notice | None:
        head = event.head
        if event.type in ("run.started", "run.resumed"):
            self._specs |= set((head.get("models") or {}).values())
        match event.type:
            case "run.started":
                self._limits = msgspec.convert(head.get("limits") or {}, Limits)
                self._checks = {name: CheckFacts(name=name, passed=None) for name in head.get("checks") or []}
                self._begin(event)
                return self._notice(event, "run started")
            case "run.resumed":
                if head.get("limits"):
                    self._limits = msgspec.convert(head["limits"], Limits)
                self._stop(self._last_ms)
                self._begin(event)
                return self._notice(event, "run resumed")
            case "run.paused":
                self._stop(event.at_ms)
                return self._notice(event, "run paused")
            case "run.ended":
                self._stop(event.at_ms)
                reason = f": {event.payload.decode()}" if event.payload else ""
                return self._notice(event, f"run {head['outcome']}{reason}", good=head["outcome"] == "succeeded")
            case "check.finished":
                return self._check(event)
            case "session.started":
                self._names[event.stream] = head.get("name") or event.stream
                return self._notice(event, f"started ({head.get('role')}, {head.get('model')})")
            case _:
                return self._said(event)

    def _said(self, event: Event) -> Notice | None:
        """Events that change nothing but are worth a line."""
        head = event.head
        match event.type:
            case "message.added" if head.get("kind") == "instructions":
                return self._notice(event, "given new instructions")
            case "session.ended":
                why = last_words(event).reason
                reason = f": {why}" if why else ""
                status = str(head["status"])
                return self._notice(event, f"{status.replace('_', ' ')}{reason}", good=status == "done" or None)
            case "call.failed":
                http = f" {head['status']}" if head.get("status") else ""
                return self._notice(event, f"call failed: {str(head.get('kind')).replace('_', ' ')}{http}", good=False)
            case "call.lost":
                possible = head.get("possible_cost_pico")
                return self._notice(event, f"call lost, may have cost {show(possible)}", good=False)
            case "limit.reached":
                return self._notice(event, f"limit {head.get('limit')} reached", good=False)
            case "merge" if head.get("conflicts"):
                return self._notice(
                    event, f"{plural(head['conflicts'], 'conflict')} merging {head.get('agent')}", good=False
                )
            case _ if event.type in _RULES:
                return self._notice(event, _rule_words(event), good=False)
            case "approval.asked":
                words = f"waits for approval {head['id']}: release {head['release']} to {head['to']}"
                return msgspec.structs.replace(self._notice(event, words, good=False), session=head["session"])
            case "approval.decided":
                return self._notice(event, f"{head['id']} {'approved' if head['approved'] else 'denied'}")
            case "context.replaced" | "model.replaced":
                return self._notice(event, f"went on with {head.get('to', 'a fresh context')}")
            case "context.cleaned":
                return self._notice(event, f"took {plural(head['results'], 'old result')} out of its context")
            case "agent.told":
                return self._notice(event, "told something")
            case "run.delivered":
                files = head.get("files")
                count = len(files) if isinstance(files, list) else files
                return self._notice(event, f"delivered {plural(count, 'file')}" if count else "delivered", good=True)
        return None

    def _check(self, event: Event) -> Notice:
        head = event.head
        before = self._checks.get(head["name"])
        check = CheckFacts(
            name=head["name"],
            passed=head["passed"],
            rounds=(before.rounds if before else 0) + 1,
            failed_rounds=(before.failed_rounds if before else 0) + (not head["passed"]),
            exit_code=head.get("exit_code"),
            ended=head.get("ended", ""),
            value=head.get("value"),
            wanted=str(head.get("wanted") or ""),
        )
        self._checks[check.name] = check
        return self._notice(event, f"check {check_words(check)}", good=check.passed)

    def _notice(self, event: Event, text: str, good: bool | None = None) -> Notice:
        return Notice(event.at_ms, self._names.get(event.stream, ""), text, good)

    def _begin(self, event: Event) -> None:
        self._begun_ms = event.at_ms

    def _stop(self, at_ms: int) -> None:
        if self._begun_ms is not None:
            self._worked_ms += at_ms - self._begun_ms
            self._begun_ms = None

    # ---- state

    def _view(self) -> RunView:
        row = self._ledger.rows("SELECT * FROM runs WHERE id = ?", (self._run,))[0]
        status = str(row["status"])
        if status == "running" and not is_live(self._ledger, self._run):
            status = "interrupted"
        sessions = sessions_of(self._ledger, self._run, status)
        total = sum(self._spends.values(), NOTHING)
        turns = sum(session.turns for session in sessions)
        wall_ms = self._wall_ms(status)
        return RunView(
            id=self._run,
            name=row["name"],
            status=status,
            outcome=row["outcome"],
            reason=row["reason"] or "",
            goal=row["goal_path"],
            workspace=row["workspace"],
            started_ms=row["started_ms"],
            ended_ms=row["ended_ms"],
            wall_ms=wall_ms,
            sessions=sessions,
            spends=dict(self._spends),
            checks=list(self._checks.values()),
            gauges=_gauges(self._limits, total, turns, wall_ms),
            total=total,
            turns=turns,
            rate=self._rate(status, total, wall_ms),
            played=played_by(self._specs),
        )

    def _rate(self, status: str, total: Spend, wall_ms: int) -> Rate:
        now = self._ledger.clock.now_ms()
        while self._lately and self._lately[0][0] < now - RATE_MS:
            self._lately.popleft()
        if status != "running":
            return _rate(total.usage.net, total.known.total, wall_ms)
        tokens, pico = sum(net for _, net, _ in self._lately), sum(cost for _, _, cost in self._lately)
        return _rate(tokens, pico, min(wall_ms, RATE_MS))

    def _wall_ms(self, status: str) -> int:
        if self._begun_ms is None:
            return self._worked_ms
        until = self._ledger.clock.now_ms() if status == "running" else self._last_ms
        return self._worked_ms + max(until - self._begun_ms, 0)


_ENDS_OF_CALLS = ("call.result", "call.failed", "call.lost")


_RULES = ("breaker.tripped", "policy.denied", "limit.refused", "rule.refused")
"""Events in which a rule of the goal or the policy kept something from happening."""


def _rule_words(event: Event) -> str:
    head = event.head
    match event.type:
        case "breaker.tripped":
            return f"breaker {head['breaker']}: {symptom(head['breaker'], head['numbers'])}; {head['action']}"
        case "policy.denied":
            data = ", ".join(head["forbidden"])
            return f"policy denied {head['point']}: {data} may not go to {head['recipient']}"
    return f"refused: {head.get('limit') or head['rule']}, bound {head['bound']:g}".replace("_", " ")


def _rate(tokens: int, pico: int, ms: int) -> Rate:
    return Rate(tokens * 60_000 / ms, pico * 3_600_000 / ms) if ms > 0 else Rate(0.0, 0.0)


def check_words(check: CheckFacts) -> str:
    """`tests passed`, `score failed: 571 (at least 600)`, `tests failed: timed out`, `tests not run`."""
    if check.passed is None:
        return f"{check.name} not run"
    if check.ended not in ("", "exited"):
        came = f": {check.ended.replace('_', ' ')}"
    elif check.value is not None:
        came = f": {check.value:g} ({check.wanted})"
    else:
        came = "" if check.passed else f": exit {check.exit_code}"
    return f"{check.name} {'passed' if check.passed else 'failed'}{came}"


def _gauges(limits: Limits, total: Spend, turns: int, wall_ms: int) -> list[Gauge]:
    used = (
        ("money", total.known.total + (total.possible_pico or 0), limits.usd_pico),
        ("net tokens", total.usage.net, limits.net_tokens),
        ("turns", turns, limits.turns),
        ("time", wall_ms / 1000, limits.wall_s),
    )
    return [Gauge(name, float(amount), float(bound)) for name, amount, bound in used if bound is not None]
