"""The ratios of a team from token totals, for a terminal and as JSON."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

import msgspec

from outlay.economics.spend import Spend
from outlay.economics.tokenomics import Figure, tokenomics
from outlay.money import show
from outlay.views.usage import count


def render(main: Spend, subagents: Spend) -> str:
    """A table of the totals and the ratios under it."""
    ratios = tokenomics(main, subagents, 0)
    whole = main + subagents
    lines = [f"{'':<14}{'fresh':>9}{'cached':>9}{'written':>9}{'output':>9}{'net':>9}{'gross':>9}{'cost':>10}"]
    for name, spend in (("main agent", main), ("subagents", subagents), ("all", whole)):
        u = spend.usage
        written = u.cache_write_5m + u.cache_write_1h
        numbers = "".join(f"{count(n):>9}" for n in (u.fresh, u.cache_read, written, u.output, u.net, u.gross))
        lines.append(f"{name:<14}{numbers}{show(spend.cost_pico):>10}")
    lines += [
        "",
        _line("leverage", _number(ratios.leverage), "subagents' net tokens / main agent's"),
        _line("net share", _percent(ratios.subagents_share_net), "of subagents"),
        _line("gross share", _percent(ratios.subagents_share_gross), "of subagents"),
        _line("cost share", _percent(ratios.subagents_share_cost), "of subagents"),
        _line("main agent", _usd(ratios.usd_per_net_mtok_main), "per million net tokens"),
        _line("subagents", _usd(ratios.usd_per_net_mtok_subagents), "per million net tokens"),
        _line("all", _usd(ratios.usd_per_net_mtok), "per million net tokens"),
        _line("cache bloat", _number(ratios.cache_bloat_main), "of the main agent: cache reads / net tokens"),
        _line("", _number(ratios.cache_bloat_subagents), "of subagents"),
        _line("", _number(ratios.cache_bloat), "of all"),
    ]
    return "\n".join(lines)


def _line(name: str, value: str, what: str) -> str:
    return f"{name:<14}{value:>9}  {what}"


def _number(figure: Figure) -> str:
    return "unknown" if figure.value is None else f"{figure.value:.2f}"


def _percent(figure: Figure) -> str:
    return "unknown" if figure.value is None else f"{figure.value * 100:.1f} %"


def _usd(figure: Figure) -> str:
    """Whole cents, rounded up: a price per million is multiplied later, and must not be understated."""
    if figure.value is None:
        return "unknown"
    return f"${Decimal(repr(figure.value)).quantize(Decimal('0.01'), rounding=ROUND_UP)}"


def to_json(main: Spend, subagents: Spend) -> str:
    """Every ratio with its value, or why it is unknown."""
    return msgspec.json.format(msgspec.json.encode(tokenomics(main, subagents, 0)), indent=1).decode()
