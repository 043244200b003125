"""Facts of one run, gathered from the ledger: what a report is computed from. Readers of other agents' transcripts
build the same `Facts`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.ledger import Call, Event, Ledger
from outlay.ledger.store import unpack
from outlay.prices.book import PriceBook
from outlay.runs.goal_types import Limits
from outlay.runs.model_spec import played_by
from outlay.runs.owner import is_dead
from outlay.views.report_breakers import TripFacts
from outlay.views.report_commands import CommandLine, command_lines

WORKING = ("running", "waiting", "queued")
"""States of a session that has not ended."""


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The run as a whole."""

    id: str
    name: str
    status: str
    """`running`, `paused`, `ended`, or `interrupted`: said to be running, but no process works on it."""
    outcome: str | None = None
    reason: str = ""
    goal: str = ""
    """Path of the goal file; empty for imported sessions."""
    workspace: str = ""
    started_ms: int
    ended_ms: int | None = None
    wall_ms: int = 0
    """Time in which it was worked on: pauses and interruptions are left out."""
    sandbox: str = ""
    limits: Limits | None = None
    played: str = ""
    """`recorded` when answers came from a recording, `by hand` when a person gave them: nothing was paid for these."""
    own_prices: dict[str, dict[str, float]] = {}
    """USD per million tokens, by model id; as given in the goal file."""

    @property
    def state(self) -> str:
        """The outcome, or the status when there is none."""
        return self.outcome or self.status


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One session."""

    id: str
    name: str
    parent: str | None
    role: str
    model: str
    status: str
    resumed: int = 0
    turns: int = 0
    context_tokens: int = 0
    window_tokens: int | None = None
    last_action: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None
    idle_ms: int = 0
    """Time between its ends and its resumptions."""


class Brought(msgspec.Struct, frozen=True):
    """Something that entered a session's context after an answer: a tool's result, or a message of ours."""

    session: str
    after: str
    """Key of the call whose answer it followed; empty before the first."""
    tool: str
    """Name of the tool; empty for a message."""
    chars: int
    is_error: bool = False


class CheckFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A check, as it stood the last time it ran."""

    name: str
    passed: bool | None
    """None: it never ran."""
    rounds: int = 0
    failed_rounds: int = 0
    exit_code: int | None = None
    ended: str = ""
    value: float | None = None
    wanted: str = ""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was not answered well."""

    session: str
    key: str
    status: str
    """`failed` (nothing billed), `cut` (a lower bound), `lost` (a crash hid the answer), `unmeasured` (no usage)."""
    kind: str = ""
    http_status: int | None = None
    model: str = ""
    possible_cost_pico: int | None = None


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy refused, and how often."""

    session: str
    """Its name."""
    point: str
    """`model`, `spawn`, `read`, `tool`, `effect`, `result`, `release`."""
    data: tuple[str, ...]
    """The names that may not go there."""
    to: str
    times: int = 1


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report needs."""

    run: RunFacts
    sessions: list[SessionFacts]
    """The main agent first, every parent before its children."""
    calls: list[Call]
    """In order of completion."""
    brought: list[Brought] = []
    """In order; empty when it is not known."""
    checks: list[CheckFacts] = []
    kinds: dict[str, tuple[str, int | None]] = {}
    """Key of a failed call -> kind of fault, HTTP status."""
    trips: list[TripFacts] = []
    refused: dict[str, int] = {}
    """Rule or limit -> how often it refused something."""
    denials: list[Denial] = []
    commands: list[CommandLine] = []


def gather(ledger: Ledger, run_id: str) -> Facts:
    """The facts of one run. Raises InputError if the ledger has no such run."""
    rows = ledger.rows("SELECT * FROM runs WHERE id = ?", (run_id,))
    if not rows:
        raise InputError(f"no run {run_id}; `outlay runs` lists them")
    events = list(_heads(ledger, run_id))
    started = next((event.head for event in events if event.type == "run.started"), {})
    names = started.get("checks") or []
    run = _run(rows[0], events, started, is_live(ledger, run_id), ledger.clock.now_ms())
    return Facts(
        run=run,
        sessions=_with_idle(sessions_of(ledger, run_id, run.status), events),
        calls=list(ledger.calls("run = ?", (run_id,))),
        brought=_brought(events),
        checks=_checks(events, names),
        trips=[_trip(event) for event in events if event.type == "breaker.tripped"],
        refused=dict(Counter(e.head.get("rule") or e.head["limit"] for e in events if e.type.endswith(".refused"))),
        kinds={
            event.head["key"]: (event.head.get("kind", ""), event.head.get("status"))
            for event in events
            if event.type == "call.failed" and "key" in event.head
        },
        denials=_denials(events),
        commands=command_lines(events),
    )


def _denials(events: Iterable[Event]) -> list[Denial]:
    heads = (event.head for event in events if event.type == "policy.denied")
    counted = Counter((h["session"], h["point"], tuple(h["forbidden"]), h["recipient"]) for h in heads)
    return [
        Denial(session=session, point=point, data=data, to=to, times=times)
        for (session, point, data, to), times in counted.items()
    ]


def _with_idle(sessions: list[SessionFacts], events: list[Event]) -> list[SessionFacts]:
    """A session that was resumed did nothing between its end and the event that follows."""
    idle: dict[str, int] = {}
    ended: dict[str, int] = {}
    for event in events:
        if event.stream in ended:
            idle[event.stream] = idle.get(event.stream, 0) + event.at_ms - ended.pop(event.stream)
        if event.type == "session.ended":
            ended[event.stream] = event.at_ms
    return [msgspec.structs.replace(session, idle_ms=idle.get(session.id, 0)) for session in sessions]


def run_of(ledger: Ledger, run_id: str) -> RunFacts:
    """The run as a whole, without its sessions and calls."""
    row = ledger.rows("SELECT * FROM runs WHERE id = ?", (run_id,))[0]
    events: list[Event] = []
    for event in _heads(ledger, run_id, ("run.started", "run.resumed", "run.paused", "run.ended")):
        if event.type == "run.resumed":
            events += _last_before(ledger, run_id, event.seq)
        events.append(event)
    started = next((event.head for event in events if event.type == "run.started"), {})
    events += _last_before(ledger, run_id, 2**62)
    return _run(row, events, started, is_live(ledger, run_id), ledger.clock.now_ms())


def _last_before(ledger: Ledger, run_id: str, seq: int) -> list[Event]:
    """The last event of a run before a place: when a process that died was last heard of."""
    rows = ledger.rows(
        "SELECT seq, at_ms, stream, n, type FROM events "
        "WHERE seq = (SELECT max(seq) FROM events WHERE run = ? AND seq < ?)",
        (run_id, seq),
    )
    return [Event(row["seq"], row["at_ms"], run_id, row["stream"], row["n"], "", {}) for row in rows]


def price_book(book: PriceBook, of: RunFacts | Facts) -> PriceBook:
    """The book with the run's own prices on top."""
    run = of.run if isinstance(of, Facts) else of
    for model, prices in run.own_prices.items():
        book = book.with_price(model, **{name: price for name, price in prices.items() if price is not None})  # type: ignore[arg-type]
    return book


def is_live(ledger: Ledger, stream: str) -> bool:
    """Whether a process holds the lease of a run or session right now."""
    row = ledger.reader.execute("SELECT owner, lease_until_ms FROM streams WHERE id = ?", (stream,)).fetchone()
    return row is not None and row[1] > ledger.clock.now_ms() and not is_dead(row[0])


def sessions_of(ledger: Ledger, run_id: str, run_status: str) -> list[SessionFacts]:
    """Sessions of a run as a tree: every parent before its children, siblings by start. In a run that is paused or
    interrupted those that were at work are so, too."""
    wanted = ", ".join(name for name in SessionFacts.__struct_fields__ if name != "idle_ms")
    rows = ledger.rows(f"SELECT {wanted} FROM sessions WHERE run = ? ORDER BY started_ms, id", (run_id,))
    if run_status in ("paused", "interrupted"):
        for row in rows:
            row["status"] = run_status if row["status"] in WORKING else row["status"]
    return in_tree_order([SessionFacts(**row) for row in rows])


def in_tree_order(sessions: list[SessionFacts]) -> list[SessionFacts]:
    """Parents before their children, in the given order otherwise; orphans count as roots."""
    known = {session.id for session in sessions}
    children: dict[str | None, list[SessionFacts]] = {}
    for session in sessions:
        children.setdefault(session.parent if session.parent in known else None, []).append(session)
    ordered: list[SessionFacts] = []
    waiting = list(reversed(children.get(None, [])))
    while waiting:
        session = waiting.pop()
        ordered.append(session)
        waiting.extend(reversed(children.get(session.id, [])))
    return ordered


_TYPES = (
    "run.started", "run.resumed", "run.paused", "run.ended", "check.finished", "call.intent", "call.result",
    "call.failed", "call.lost", "tool.result", "message.added", "session.ended", "breaker.tripped", "limit.refused",
    "rule.refused", "policy.denied",
)  # fmt: skip


def _heads(ledger: Ledger, run_id: str, types: tuple[str, ...] = _TYPES) -> Iterable[Event]:
    """Events without their payloads (which are large, and none of a report's business)."""
    marks = ", ".join("?" * len(types))
    rows = ledger.reader.execute(
        "SELECT seq, at_ms, run, stream, n, type, head, CASE type WHEN 'message.added' THEN body END "
        "FROM events LEFT JOIN vault ON vault.id = payload "
        f"WHERE run = ? AND type IN ({marks}) ORDER BY seq",
        (run_id, *types),
    )
    for seq, at_ms, run, stream, n, kind, head, body in rows:
        decoded = msgspec.json.decode(head)
        if kind == "message.added":
            decoded["chars"] = len(unpack(body)) if body else 0
        yield Event(seq, at_ms, run, stream, n, kind, decoded)


def _run(row: dict[str, Any], events: list[Event], started: dict[str, Any], live: bool, now_ms: int) -> RunFacts:
    status = "interrupted" if row["status"] == "running" and not live else row["status"]
    limits: dict[str, Any] | None = None
    own_prices: dict[str, dict[str, float]] = {}
    specs: set[str] = set()
    for event in events:  # a resume may change them
        if event.type in ("run.started", "run.resumed"):
            specs |= set((event.head.get("models") or {}).values())
            limits = event.head.get("limits") or limits
            own_prices |= event.head.get("own_prices") or {}
    return RunFacts(
        id=row["id"],
        name=row["name"],
        status=status,
        outcome=row["outcome"],
        reason=row["reason"] or "",
        goal=row["goal_path"],
        workspace=row["workspace"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        wall_ms=_worked_ms(events, now_ms if status == "running" else None),
        sandbox=started.get("sandbox_tier", ""),
        limits=msgspec.convert(limits, Limits) if limits else None,
        played=played_by(specs),
        own_prices=own_prices,
    )


def _worked_ms(events: list[Event], now_ms: int | None) -> int:
    """Time between each start or resume and the end of that stretch; after a crash, its last event."""
    worked, begin, last = 0, None, 0
    for event in events:
        if event.type in ("run.started", "run.resumed"):
            worked += last - begin if begin is not None else 0
            begin = event.at_ms
        last = event.at_ms
        if event.type in ("run.paused", "run.ended") and begin is not None:
            worked, begin = worked + last - begin, None
    if begin is not None:
        worked += (now_ms or last) - begin
    return max(worked, 0)


def _brought(events: list[Event]) -> list[Brought]:
    last_key: dict[str, str] = {}
    found = []
    for event in events:
        head = event.head
        if event.type == "call.result":
            last_key[event.stream] = head.get("key", "")
        elif event.type in ("tool.result", "message.added"):
            tool = head["name"] if event.type == "tool.result" else ""
            after = last_key.get(event.stream, "")
            found.append(Brought(event.stream, after, tool, head.get("chars", 0), head.get("is_error", False)))
    return found


def _trip(event: Event) -> TripFacts:
    head = event.head
    return TripFacts(
        session=event.stream,
        n=event.n,
        breaker=head["breaker"],
        action=head["action"],
        wanted=head["wanted"],
        turn=head["session_turns"],
        numbers=head["numbers"],
    )


def _checks(events: list[Event], names: list[str]) -> list[CheckFacts]:
    found = {name: CheckFacts(name=name, passed=None) for name in names}
    for event in events:
        if event.type != "check.finished":
            continue
        head = event.head
        before = found.get(head["name"]) or CheckFacts(name=head["name"], passed=None)
        found[head["name"]] = CheckFacts(
            name=head["name"],
            passed=head["passed"],
            rounds=before.rounds + 1,
            failed_rounds=before.failed_rounds + (not head["passed"]),
            exit_code=head.get("exit_code"),
            ended=head.get("ended", ""),
            value=head.get("value"),
            wanted=str(head.get("wanted") or ""),
        )
    return list(found.values())
