"""The two sentences at the end of a report; each word of them follows from its numbers."""

from __future__ import annotations

from outlay.economics.spend import Spend
from outlay.money import show
from outlay.views.report_data import Report
from outlay.views.wording import cost, duration, percent, plural, tokens

_CLASS_NAMES = {
    "fresh": "fresh input",
    "cache_read": "cache reads",
    "cache_write_5m": "cache writes",
    "cache_write_1h": "cache writes",
    "output": "output",
    "other": "fees beside tokens",
}


def bottom_line(report: Report, main: Spend, subagents: Spend) -> list[str]:
    """What came of the run at what price, and where most of it went."""
    return [_what_came_of_it(report), _where_it_went(report, main, subagents)]


def _what_came_of_it(report: Report) -> str:
    run, checks = report.run, report.checks
    passed = sum(check.passed is True for check in checks)
    if run.outcome == "succeeded":
        failed = sum(check.failed_rounds for check in checks)
        rounds = f" (after {plural(failed, 'failed check')})" if failed else ""
        every = {1: "the only check passes", 2: "both checks pass"}.get(len(checks), f"all {len(checks)} checks pass")
        what = f"Succeeded: {every}{rounds}"
    else:
        state = {"stopped": "Stopped by a limit", None: run.status.capitalize()}.get(
            run.outcome, (run.outcome or "").capitalize()
        )
        reason = f" ({run.reason})" if run.reason else ""
        what = f"{state}{reason}" + (f": {passed} of {plural(len(checks), 'check')} passed" if checks else "")
    label = f" ({run.played})" if run.played else ""
    return (
        f"{what}, {plural(len(report.agents), 'session')} and {plural(report.turns, 'turn')} "
        f"in {duration(run.wall_ms)}, for {_price(report.total)}{label}."
    )


def _price(spend: Spend) -> str:
    if spend.cost_pico is not None:
        return show(spend.cost_pico)
    if spend.least_pico is None:
        return "an unknown cost"
    if spend.unpriced or spend.possible_pico is None:
        return f"at least {show(spend.least_pico)}"
    return f"{show(spend.least_pico)} to {show(spend.known.total + spend.possible_pico)}"


def _where_it_went(report: Report, main: Spend, subagents: Spend) -> str:
    whole = report.total
    if not whole.usage.gross:
        return "No tokens were used."
    parts = [_largest_class(whole)]
    bloat = report.tokenomics.cache_bloat.value
    if bloat is not None:
        parts.append(f"each net token was read again {bloat:.1f} times")
    sentence = " and ".join(parts)
    if not subagents.calls:
        return f"{sentence}; no subagent worked."
    if not main.calls and report.coordination is not None:  # a conducted team: its main session thinks nothing
        told = percent(report.coordination.tokens / whole.usage.net if whole.usage.net else None)
        return f"{sentence}; {told} of the net tokens went into telling each other things."
    net = percent(report.tokenomics.subagents_share_net.value)
    share = report.tokenomics.subagents_share_cost.value
    of_cost = f" for {percent(share)} of the cost" if share is not None else f" (cost {cost(subagents)})"
    return f"{sentence}; subagents did {net} of the net work{of_cost}."


def _largest_class(whole: Spend) -> str:
    costs: dict[str, int] = {}
    for name, label in _CLASS_NAMES.items():
        costs[label] = costs.get(label, 0) + getattr(whole.known, name)
    if whole.known.total and not whole.unpriced:
        label, most = max(costs.items(), key=lambda item: item[1])
        return f"{percent(most / whole.known.total)} of the cost was {label}"
    return f"{tokens(whole.usage.net)} net and {tokens(whole.usage.gross)} gross tokens were used"
