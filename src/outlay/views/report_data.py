"""What a report says, computed from the facts of a run. `Report` is also its JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from outlay.economics.contexts import brought_by_tools, by_session
from outlay.economics.coordination import Coordination
from outlay.economics.spend import NOTHING, Spend, group, total
from outlay.economics.tokenomics import Tokenomics, tokenomics
from outlay.ledger import Call
from outlay.prices.book import PriceBook
from outlay.views.facts import Brought, CheckFacts, Denial, Facts, Fault, RunFacts, SessionFacts, price_book
from outlay.views.report_breakers import BreakerLine, breaker_lines
from outlay.views.report_commands import CommandLine


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Spend of one model, role or session, and its share of the whole."""

    name: str
    spend: Spend
    share_cost: float | None
    """Of the whole cost, 0 to 1; None when either is unknown."""
    share_net: float | None


class ToolLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool was used for."""

    name: str
    """Empty: messages that are no tool's (task, instructions, what failed checks said)."""
    calls: int
    errors: int
    share_calls: float | None
    brought_tokens: int | None
    """Estimated tokens that its results brought into contexts; None when the results are not known."""
    share_brought: float | None


class AgentLine(msgspec.Struct, frozen=True, kw_only=True):
    """One session in the table of agents."""

    session: SessionFacts
    depth: int
    """0 for the main agent."""
    runtime_ms: int | None
    full: float | None
    """Context / window, 0 to 1; None when the window is unknown."""
    spend: Spend


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown. Money in picodollars, time in milliseconds, tokens as in docs/reference/report.md."""

    run: RunFacts
    checks: list[CheckFacts]
    turns: int
    total: Spend
    by_model: list[Line]
    by_role: list[Line]
    by_tool: list[ToolLine]
    agents: list[AgentLine]
    context: list[int]
    """Tokens in the main agent's context at each of its answered calls."""
    context_window: int | None
    tokenomics: Tokenomics
    coordination: Coordination | None = None
    """What the team spent on telling each other things; None for one agent alone, or when it is not known."""
    faults: list[Fault]
    breakers: list[BreakerLine] = []
    """Breakers that tripped, with what each saved or cost (estimates)."""
    refused: dict[str, int] = {}
    """Rule or limit -> how often it refused something."""
    denials: list[Denial] = []
    """What the policy refused; empty without one."""
    commands: list[CommandLine] = []
    """What the commands of tools and checks used of the machine."""
    estimated_calls: int
    """Calls whose tokens were estimated from the length of their texts."""
    bottom_line: list[str]
    """Two sentences."""
    price_book: str
    """Hash of the price book that every cost was computed with."""
    price_source: str
    price_date: str
    made_ms: int


def compute(facts: Facts, book: PriceBook, now_ms: int, coordination: Coordination | None = None) -> Report:
    """The report that follows from the facts."""
    from outlay.views.bottom_line import bottom_line

    book = price_book(book, facts.run)
    calls = facts.calls
    main_ids = main_sessions(facts.sessions)
    main = total((c for c in calls if c.session in main_ids), book)
    subagents = total((c for c in calls if c.session not in main_ids), book)
    whole = main + subagents
    passed = sum(check.passed is True for check in facts.checks)
    context, window = _main_context(facts, main_ids)
    report = Report(
        run=facts.run,
        checks=facts.checks,
        turns=_turns(facts),
        total=whole,
        by_model=_lines(group(calls, book, _model_name), whole),
        by_role=_lines(group(calls, book, lambda call: call.role or call.agent or "main"), whole),
        by_tool=_tools(calls, facts.brought),
        agents=_agents(facts, group(calls, book, lambda call: call.session), now_ms),
        context=context,
        context_window=window,
        tokenomics=tokenomics(main, subagents, passed),
        coordination=coordination,
        faults=_faults(facts),
        breakers=breaker_lines(facts.trips, calls, book),
        refused=facts.refused,
        denials=facts.denials,
        commands=facts.commands,
        estimated_calls=sum(call.quality == "estimated" for call in calls),
        bottom_line=[],
        price_book=book.id,
        price_source=book.source,
        price_date=book.date,
        made_ms=now_ms,
    )
    return msgspec.structs.replace(report, bottom_line=bottom_line(report, main, subagents))


def main_sessions(sessions: Iterable[SessionFacts]) -> set[str]:
    """Sessions that no other session started."""
    sessions = list(sessions)
    known = {session.id for session in sessions}
    return {session.id for session in sessions if session.parent not in known}


def _model_name(call: Call) -> str:
    return call.answered_model or call.model


def _turns(facts: Facts) -> int:
    return sum(session.turns for session in facts.sessions)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _lines(spends: dict[str, Spend], whole: Spend) -> list[Line]:
    lines = [
        Line(
            name=name,
            spend=spend,
            share_cost=_share(spend.cost_pico, whole.cost_pico),
            share_net=_share(spend.usage.net, whole.usage.net),
        )
        for name, spend in spends.items()
    ]
    return sorted(lines, key=lambda line: (-line.spend.known.total, -line.spend.usage.gross, line.name))


def _tools(calls: list[Call], brought: list[Brought]) -> list[ToolLine]:
    if not brought:  # imported sessions: only what the answers asked for is known
        asked = Counter(name for call in calls for name in call.tools.split(",") if name)
        every = asked.total()
        return [
            ToolLine(
                name=name,
                calls=count,
                errors=0,
                share_calls=_share(count, every),
                brought_tokens=None,
                share_brought=None,
            )
            for name, count in asked.most_common()
        ]
    entered: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for item in brought:
        entered.setdefault((item.session, item.after), []).append((item.tool, item.chars))
    tokens = brought_by_tools(calls, entered)
    used = Counter(item.tool for item in brought if item.tool)
    errors = Counter(item.tool for item in brought if item.is_error)
    whole = sum(tokens.values())
    names = [*used, *([""] if tokens.get("") else [])]
    lines = [
        ToolLine(
            name=name,
            calls=used[name],
            errors=errors[name],
            share_calls=_share(used[name], used.total()) if name else None,
            brought_tokens=tokens.get(name, 0),
            share_brought=_share(tokens.get(name, 0), whole),
        )
        for name in names
    ]
    return sorted(lines, key=lambda line: (-(line.brought_tokens or 0), -line.calls, line.name))


def _agents(facts: Facts, spends: dict[str, Spend], now_ms: int) -> list[AgentLine]:
    depth: dict[str, int] = {}
    lines = []
    for session in facts.sessions:
        depth[session.id] = depth.get(session.parent or "", -1) + 1
        lines.append(
            AgentLine(
                session=session,
                depth=depth[session.id],
                runtime_ms=_runtime(session, facts.run, now_ms),
                full=_share(session.context_tokens, session.window_tokens),
                spend=spends.get(session.id, NOTHING),
            )
        )
    return lines


def _runtime(session: SessionFacts, run: RunFacts, now_ms: int) -> int | None:
    """From start to end, or to now while it works, without the time between an end and a resumption; unknown for a
    session that a dead process left behind."""
    if session.started_ms is None:
        return None
    if session.ended_ms is not None:
        return session.ended_ms - session.started_ms - session.idle_ms
    return now_ms - session.started_ms - session.idle_ms if run.status == "running" else None


def _main_context(facts: Facts, main_ids: set[str]) -> tuple[list[int], int | None]:
    main = next((session for session in facts.sessions if session.id in main_ids), None)
    if main is None:
        return [], None
    answered = by_session(facts.calls).get(main.id, [])
    return [call.usage.input + call.usage.output for call in answered], main.window_tokens


def _faults(facts: Facts) -> list[Fault]:
    found = []
    for call in facts.calls:
        status = call.status if call.status != "ok" else "unmeasured" if call.quality == "unmeasured" else ""
        if not status:
            continue
        kind, http_status = facts.kinds.get(call.key, ("", None))
        found.append(
            Fault(
                session=call.session,
                key=call.key,
                status=status,
                kind=kind,
                http_status=http_status,
                model=_model_name(call),
                possible_cost_pico=call.possible_cost_pico,
            )
        )
    return found
