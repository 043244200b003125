"""The tables of a report."""

from __future__ import annotations

from collections.abc import Iterator

from outlay.economics.coordination import Coordination
from outlay.economics.spend import CLASSES, Spend
from outlay.money import show
from outlay.views.report_breakers import breakers, refused
from outlay.views.report_commands import commands
from outlay.views.report_data import AgentLine, Line, Report
from outlay.views.tables import NARROW, Table, left, right
from outlay.views.wording import DASH, clock_time, cost, duration, percent, ratio, tokens, usd

_CLASS_LABELS = {
    "fresh": "fresh input",
    "cache_read": "cache reads",
    "cache_write_5m": "cache writes, 5 min",
    "cache_write_1h": "cache writes, 1 h",
    "output": "output",
    "reasoning": "  of it reasoning",
}


def tables(report: Report, width: int = 200) -> Iterator[Table]:
    """All tables, in order; those without a line are left out. `width` is that of the terminal."""
    found = (
        checks(report),
        classes(report),
        models(report),
        tools(report),
        commands(report.commands),
        agents(report, width),
        ratios(report),
        breakers(report.breakers, {line.session.id: line.session.name for line in report.agents}),
        refused(report.refused),
        faults(report),
        denials(report),
    )
    yield from (table for table in found if table.rows)


def checks(report: Report) -> Table:
    rows = []
    for check in report.checks:
        word = {True: "passed", False: "failed", None: "not run"}[check.passed]
        number = DASH if check.value is None else f"{check.value:g}"
        ended = check.ended.replace("_", " ") if check.ended not in ("", "exited") else ""
        came = ended or (DASH if check.exit_code is None else str(check.exit_code))
        rows.append((check.name, word, str(check.rounds), str(check.failed_rounds), came, number, check.wanted))
    columns = (
        left("CHECK", flexible=True), left("RESULT"), right("RUNS"), right("FAILED"), right("EXIT"), right("NUMBER"),
        left("WANTED"),
    )  # fmt: skip
    return Table("Checks", columns, tuple(rows))


def classes(report: Report) -> Table:
    """The six token classes with their tokens and cost, then net and gross."""
    spend, usage = report.total, report.total.usage
    rows = []
    for name in CLASSES:
        count = getattr(usage, name)
        rows.append((_CLASS_LABELS[name], f"{count:,}", _of(count, usage.gross), *_class_cost(spend, name)))
    if spend.known.other:
        rows.append(("searches, fees", "", "", show(spend.known.other), _of(spend.known.other, spend.known.total)))
    rows.append(("net", f"{usage.net:,}", _of(usage.net, usage.gross), "", ""))
    rows.append(("gross", f"{usage.gross:,}", _of(usage.gross, usage.gross), cost(spend), ""))
    columns = (left("CLASS"), right("TOKENS"), right("SHARE"), right("COST"), right("SHARE"))
    return Table("Tokens and cost", columns, tuple(rows), dim=frozenset({CLASSES.index("reasoning")}))


def _class_cost(spend: Spend, name: str) -> tuple[str, str]:
    if spend.least_pico is None:
        return ("unknown" if getattr(spend.usage, name) else DASH), DASH
    part = getattr(spend.known, name)
    return show(part), _of(part, spend.known.total)


def _of(part: int, whole: int) -> str:
    return percent(part / whole) if whole else DASH


def models(report: Report) -> Table:
    columns = (
        left("MODEL", flexible=True), right("CALLS"), right("FRESH"), right("READ"), right("WRITTEN", short="WRITE"),
        right("OUTPUT"), right("REASON"), right("COST"), right("SHARE"),
    )  # fmt: skip
    return Table("By model", columns, tuple(_spend_row(line) for line in report.by_model))


def _spend_row(line: Line) -> tuple[str, ...]:
    usage = line.spend.usage
    written = usage.cache_write_5m + usage.cache_write_1h
    return (
        line.name, f"{line.spend.calls:,}", tokens(usage.fresh), tokens(usage.cache_read), tokens(written),
        tokens(usage.output), tokens(usage.reasoning), cost(line.spend), percent(line.share_cost),
    )  # fmt: skip


def tools(report: Report) -> Table:
    rows = [
        (
            line.name or "(our messages)", f"{line.calls:,}" if line.name else DASH, percent(line.share_calls),
            str(line.errors) if line.name else DASH, tokens(line.brought_tokens), percent(line.share_brought),
        )
        for line in report.by_tool
    ]  # fmt: skip
    columns = (
        left("TOOL", flexible=True), right("CALLS"), right("SHARE"), right("ERRORS"), right("BROUGHT IN*"),
        right("SHARE"),
    )  # fmt: skip
    note = (
        "* Estimated: tokens by which contexts grew, shared out over what entered them by characters."
        if any(line.brought_tokens is not None for line in report.by_tool)
        else "How much their results brought into contexts is not known."
    )
    return Table("By tool", columns, tuple(rows), note=note)


def agents(report: Report, width: int = 200) -> Table:
    columns = (
        left("NAME", flexible=True), left("STATUS"), left("MODEL", flexible=True), right("STARTED", short="START"),
        right("COMPLETED", short="END"), right("RUNTIME", short="TIME"), right("RESUMED", short="RES"), right("TURNS"),
        right("CONTEXT", short="CTX"), right("FULL"), right("COST"),
    )  # fmt: skip
    return Table("Agents", columns, tuple(_agent(line, seconds=width >= NARROW) for line in report.agents))


def _agent(line: AgentLine, *, seconds: bool) -> tuple[str, ...]:
    session = line.session
    name = session.name if line.depth == 0 else "  " * line.depth + session.name.rpartition("/")[2]
    return (
        name, session.status.replace("_", " "), session.model, clock_time(session.started_ms, seconds=seconds),
        clock_time(session.ended_ms, seconds=seconds), duration(line.runtime_ms), str(session.resumed),
        str(session.turns), tokens(session.context_tokens), percent(line.full), cost(line.spend),
    )  # fmt: skip


def ratios(report: Report) -> Table:
    t = report.tokenomics

    def share(value: float | None, why: str) -> str:
        return percent(value) if value is not None else f"unknown ({why})"

    rows = [
        ("leverage (subagents' net / main's net)", ratio(t.leverage)),
        ("subagents' share of net tokens", share(t.subagents_share_net.value, t.subagents_share_net.why_unknown)),
        ("subagents' share of gross tokens", share(t.subagents_share_gross.value, t.subagents_share_gross.why_unknown)),
        ("subagents' share of cost", share(t.subagents_share_cost.value, t.subagents_share_cost.why_unknown)),
        ("cost per million net tokens", usd(t.usd_per_net_mtok)),
        ("  main agent", usd(t.usd_per_net_mtok_main)),
        ("  subagents", usd(t.usd_per_net_mtok_subagents)),
        ("cache bloat (cache reads / net)", ratio(t.cache_bloat)),
        ("  main agent", ratio(t.cache_bloat_main)),
        ("  subagents", ratio(t.cache_bloat_subagents)),
        ("cost per passed check", usd(t.usd_per_passed_check)),
    ]
    if not report.checks:
        rows.pop()
    if report.coordination is not None:
        rows.append(("coordination (telling each other things)", _coordination(report, report.coordination)))
    if t.leverage.why_unknown == "no subagents":
        rows = [row for row in rows if "no subagents" not in row[1] and row[0] != "  main agent"]
    if t.leverage.why_unknown == "the main agent has no tokens":  # a conducted team: nobody to compare with
        rows = [row for row in rows if "subagents" not in row[0] and row[0] != "  main agent"]
    return Table("Tokenomics", (left("RATIO"), left("VALUE", flexible=True)), tuple(rows))


def _coordination(report: Report, told: Coordination) -> str:
    net = report.total.usage.net
    return f"{tokens(told.tokens)} tokens ({_of(told.tokens, net)} of net), {show(told.cost_pico)}"


def denials(report: Report) -> Table:
    """What the policy refused, by session and place."""
    rows = [(each.session, each.point, ", ".join(each.data), each.to, str(each.times)) for each in report.denials]
    columns = (
        left("SESSION", flexible=True), left("AT"), left("DATA", flexible=True), left("TO", flexible=True),
        right("TIMES"),
    )  # fmt: skip
    times = sum(each.times for each in report.denials)
    return Table(f"Denied by the policy: {times}", columns, tuple(rows))


def faults(report: Report) -> Table:
    """Calls that were not answered well, by session and kind; only cut, lost and unmeasured ones may have cost."""
    counted: dict[tuple[str, str, str, str], list[int | None]] = {}
    names = {line.session.id: line.session.name for line in report.agents}
    for fault in report.faults:
        kind = fault.kind + (f" {fault.http_status}" if fault.http_status else "")
        key = (names.get(fault.session, fault.session), fault.status, kind.replace("_", " ") or DASH, fault.model)
        counted.setdefault(key, []).append(0 if fault.status == "failed" else fault.possible_cost_pico)
    rows = []
    for (name, status, kind, model), possible in counted.items():
        most = "unknown" if None in possible else show(sum(cost for cost in possible if cost is not None))
        rows.append((name, status, kind, model, str(len(possible)), "nothing" if status == "failed" else most))
    columns = (
        left("SESSION", flexible=True), left("STATUS"), left("WHY"), left("MODEL", flexible=True), right("CALLS"),
        right("AT MOST"),
    )  # fmt: skip
    note = "Failed: nothing was billed. Cut, lost, unmeasured: may have been billed, at most that much."
    return Table("Calls that were not answered well", columns, tuple(rows), note=note)
