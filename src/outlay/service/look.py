"""How agents stand, read from the ledger: whoever asks needs no worker for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from outlay.agents.history import last_words
from outlay.ledger import Call, Ledger
from outlay.money import usd
from outlay.prices.book import PriceBook
from outlay.runs.owner import is_dead
from outlay.service import keeper, registry
from outlay.service.agent import Agent, Answer, State
from outlay.service.registry import Registered

_WORKING = ("queued", "running", "waiting")
_AT_ONCE = 500
"""Runs in one query: SQLite takes a bounded number of parameters."""
_WAITS = "no worker; the next one goes on with it"


class _Spent(msgspec.Struct):
    cost_pico: int = 0
    unknown: int = 0
    net_tokens: int = 0
    gross_tokens: int = 0

    def add(self, other: _Spent) -> None:
        self.cost_pico += other.cost_pico
        self.unknown += other.unknown
        self.net_tokens += other.net_tokens
        self.gross_tokens += other.gross_tokens

    @property
    def known_pico(self) -> int | None:
        return None if self.unknown else self.cost_pico


def agents(ledger: Ledger, rows: Sequence[Registered], book: PriceBook) -> list[Agent]:
    """How these agents stand, their children below them."""
    found: list[Agent] = []
    there_is_a_worker = keeper.is_held("worker")
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        runs = [row.run for row in part]
        marks = ", ".join("?" * len(runs))
        states = {row["id"]: row for row in ledger.rows(f"SELECT * FROM runs WHERE id IN ({marks})", tuple(runs))}
        sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for session in ledger.rows(f"SELECT * FROM sessions WHERE run IN ({marks}) ORDER BY id", tuple(runs)):
            sessions[session["run"]].append(session)
        at_work = _at_work(ledger, runs) if there_is_a_worker else set()
        spent = _spent(ledger, runs, book)
        now = ledger.clock.now_ms()
        found += [
            _agent(ledger, row, states[row.run], sessions[row.run], spent, worked_on=row.run in at_work, now=now)
            for row in part
        ]
    return found


def _at_work(ledger: Ledger, runs: list[str]) -> set[str]:
    """Those of the runs whose owner lives: a worker that was killed owns its runs until the next one has looked."""
    marks = ", ".join("?" * len(runs))
    query = f"SELECT id, owner FROM streams WHERE id IN ({marks}) AND owner IS NOT NULL"
    owners: dict[str, str] = dict(ledger.reader.execute(query, runs))
    dead = {owner for owner in set(owners.values()) if is_dead(owner)}
    return {run for run, owner in owners.items() if owner not in dead}


def _spent(ledger: Ledger, runs: list[str], book: PriceBook) -> dict[str, _Spent]:
    """Session -> what its calls used and cost, each run at its own prices."""
    marks = ", ".join("?" * len(runs))
    books: dict[str, PriceBook] = {}
    heads = ledger.reader.execute(
        f"SELECT run, json_extract(head, '$.own_prices') FROM events WHERE run IN ({marks}) AND type = 'run.started'",
        runs,
    )
    by_prices: dict[str, PriceBook] = {}
    for run, prices in heads:
        if prices not in by_prices:
            by_prices[prices] = _with_own(book, msgspec.json.decode(prices or "{}"))
        books[run] = by_prices[prices]
    spent: dict[str, _Spent] = defaultdict(_Spent)
    for call in ledger.calls(f"run IN ({marks})", tuple(runs)):
        _count(spent[call.session], call, books[call.run or ""])
    return spent


def _with_own(book: PriceBook, own: dict[str, dict[str, float]]) -> PriceBook:
    for model, prices in own.items():
        book = book.with_price(model, **prices)  # type: ignore[arg-type]
    return book


def _count(spent: _Spent, call: Call, book: PriceBook) -> None:
    cost = book.price(call).cost_pico if call.status != "failed" else 0
    if cost is None or (call.quality == "unmeasured" and call.status != "failed"):
        spent.unknown += 1
    spent.cost_pico += cost or 0
    spent.net_tokens += call.usage.net
    spent.gross_tokens += call.usage.net + call.usage.cache_read


def _agent(
    ledger: Ledger,
    row: Registered,
    run: dict[str, Any],
    sessions: list[dict[str, Any]],
    spent: dict[str, _Spent],
    *,
    worked_on: bool,
    now: int,
) -> Agent:
    main = next((session for session in sessions if session["parent"] is None), None)
    question = _question(ledger, row.run) if main and row.live and main["status"] == "waiting" else None
    if row.live and run["status"] == "paused" and run["reason"]:  # it lacks a key
        question = run["reason"]
    status = "waiting" if question else _state(row, run, main, worked_on=worked_on)
    live = status in _WORKING
    own = spent[main["id"]] if main else _Spent()
    total = _Spent()
    for session in sessions:
        total.add(spent[session["id"]])
    worked = row.worked_ms + (now - row.begun_ms if row.begun_ms is not None and worked_on else 0)
    children = _children(main["id"], sessions, spent, row, live=live, now=now) if main else ()
    waits = row.begun_ms is not None and not worked_on
    return Agent(
        name=row.name,
        status=status,
        role=row.role,
        model=row.model,
        run=row.run,
        folder=row.folder,
        pid=run["pid"] if worked_on and live else None,
        started_ms=run["started_ms"],
        ended_ms=run["ended_ms"],
        runtime_ms=worked,
        resumed=row.resumed,
        question=question,
        doing=(_WAITS if waits else main["last_action"] if main else "") if live else "",
        reason=run["reason"] or "",
        changed_files=row.changed_files,
        delivered=bool(row.delivered),
        children=children,
        **_use(main, own, total),
    )


def _state(row: Registered, run: dict[str, Any], main: dict[str, Any] | None, *, worked_on: bool) -> State:
    if not row.live:
        return cast(State, row.ended or "lost")
    if run["status"] == "queued" or main is None or not worked_on:
        return "queued"
    return "waiting" if main["status"] == "waiting" else "running"


def _use(session: dict[str, Any] | None, own: _Spent, total: _Spent) -> dict[str, Any]:
    """The figures of a session: its own dialog, its own cost, everything else with its children's."""
    window = session["window_tokens"] if session else None
    tokens = session["context_tokens"] if session else 0
    cost = total.known_pico
    return {
        "turns": session["turns"] if session else 0,
        "dialog_tokens": tokens,
        "window_tokens": window,
        "full_percent": round(100 * tokens / window, 1) if window else None,
        "net_tokens": total.net_tokens,
        "gross_tokens": total.gross_tokens,
        "cost_pico": cost,
        "cost_usd": None if cost is None else float(usd(cost)),
        "known_cost_pico": total.cost_pico,
        "own_cost_pico": own.known_pico,
    }


def _children(
    parent: str, sessions: list[dict[str, Any]], spent: dict[str, _Spent], row: Registered, *, live: bool, now: int
) -> tuple[Agent, ...]:
    found = []
    for session in sessions:
        if session["parent"] != parent:
            continue
        below = _children(session["id"], sessions, spent, row, live=live, now=now)
        total = _Spent()
        for each in sessions:
            if each["id"] == session["id"] or each["id"].startswith(f"{session['id']}/"):
                total.add(spent[each["id"]])
        at_work = session["status"] in _WORKING
        status = session["status"] if live or not at_work else "cancelled"
        found.append(
            Agent(
                name=f"{row.name}/{session['name'].removeprefix('main/')}",
                status=cast(State, status),
                role=session["role"],
                model=session["model"],
                run=row.run,
                folder=row.folder,
                started_ms=session["started_ms"],
                ended_ms=session["ended_ms"],
                runtime_ms=max((session["ended_ms"] or now) - session["started_ms"], 0),
                resumed=session["resumed"],
                doing=session["last_action"] if at_work else "",
                children=below,
                **_use(session, spent[session["id"]], total),
            )
        )
    return tuple(found)


class _Asked(msgspec.Struct):
    question: str = ""


def _question(ledger: Ledger, run: str) -> str | None:
    """What an agent asks: its last call of `ask`, unless that was answered, or a message for it is on its way."""
    session = f"{run}:main"
    if registry.unread(ledger.reader, run):
        return None
    last = ledger.reader.execute(
        "SELECT max(seq) FROM events WHERE stream = ? AND type = 'call.result'", (session,)
    ).fetchone()[0]
    asked: str | None = None
    for event in ledger.events(session, types=["tool.intent", "message.added"], after=(last or 1) - 1):
        if event.type == "message.added":
            asked = None if event.head["kind"] == "answer" else asked
        elif event.head["name"] == "ask" and event.payload:
            asked = msgspec.json.decode(event.payload, type=_Asked).question
    return asked


def answer(ledger: Ledger, agent: Agent) -> Answer:
    """The result of an agent, never confused with silence."""
    text, reason = "", agent.reason
    if not agent.live:
        for event in ledger.events(f"{agent.run}:main", types=["session.ended"]):
            words = last_words(event)
            text, reason = words.answer, agent.reason or words.reason
    else:
        reason = f"it asks: {agent.question}" if agent.question else f"not ended: {agent.status}"
    to_take = bool(agent.changed_files) and not agent.delivered
    return Answer(
        name=agent.name,
        status=agent.status,
        ended=not agent.live,
        answer=text or None,
        reason=reason if text == "" or agent.status != "done" else "",
        cost_pico=agent.cost_pico,
        cost_usd=agent.cost_usd,
        turns=agent.turns,
        changed_files=agent.changed_files,
        take_with=f"outlay agent deliver {agent.name}" if to_take else None,
    )


def in_lines(agents: Iterable[Agent], depth: int = 0) -> Iterable[tuple[int, Agent]]:
    """Agents with their depth, every parent before its children."""
    for agent in agents:
        yield depth, agent
        yield from in_lines(agent.children, depth + 1)
