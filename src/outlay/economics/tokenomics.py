"""Ratios that say where tokens and money of a team went. Definitions: docs/reference/report.md."""

from __future__ import annotations

import msgspec

from outlay.economics.spend import Spend
from outlay.money import PICO_PER_USD


class Figure(msgspec.Struct, frozen=True):
    """A number, or the reason why it is unknown."""

    value: float | None
    why_unknown: str = ""


class Tokenomics(msgspec.Struct, frozen=True, kw_only=True):
    """The ratios of one run (or of any tree of sessions)."""

    leverage: Figure
    """Subagents' net tokens / main agent's net tokens."""
    subagents_share_net: Figure
    """Subagents' net tokens / all net tokens."""
    subagents_share_gross: Figure
    """Subagents' gross tokens / all gross tokens."""
    subagents_share_cost: Figure
    """Subagents' cost / whole cost."""
    usd_per_net_mtok: Figure
    """Cost in USD per million net tokens, all sessions."""
    usd_per_net_mtok_main: Figure
    usd_per_net_mtok_subagents: Figure
    cache_bloat: Figure
    """Cache reads / net tokens, all sessions: how often each new token was read again."""
    cache_bloat_main: Figure
    cache_bloat_subagents: Figure
    usd_per_passed_check: Figure
    """Whole cost in USD / checks that passed at the end."""


def tokenomics(main: Spend, subagents: Spend, passed_checks: int) -> Tokenomics:
    """The ratios. `subagents` is every session but the main agent's; a ratio that cannot be known says why."""
    whole = main + subagents
    return Tokenomics(
        leverage=_of_subagents(subagents, _ratio(subagents.usage.net, main.usage.net, "the main agent has no tokens")),
        subagents_share_net=_of_subagents(subagents, _ratio(subagents.usage.net, whole.usage.net, "no tokens")),
        subagents_share_gross=_of_subagents(subagents, _ratio(subagents.usage.gross, whole.usage.gross, "no tokens")),
        subagents_share_cost=_of_subagents(subagents, _cost_share(subagents, whole)),
        usd_per_net_mtok=per_net_mtok(whole),
        usd_per_net_mtok_main=per_net_mtok(main),
        usd_per_net_mtok_subagents=_of_subagents(subagents, per_net_mtok(subagents)),
        cache_bloat=_ratio(whole.usage.cache_read, whole.usage.net, "no tokens"),
        cache_bloat_main=_ratio(main.usage.cache_read, main.usage.net, "no tokens"),
        cache_bloat_subagents=_of_subagents(
            subagents, _ratio(subagents.usage.cache_read, subagents.usage.net, "no tokens")
        ),
        usd_per_passed_check=per_passed_check(whole, passed_checks),
    )


def per_net_mtok(spend: Spend) -> Figure:
    """USD per million net tokens."""
    if spend.cost_pico is None:
        return Figure(None, why_no_cost(spend))
    return _ratio(spend.cost_pico / PICO_PER_USD * 1e6, spend.usage.net, "no tokens")


def per_passed_check(spend: Spend, passed: int) -> Figure:
    """USD per check that passed at the end."""
    if not passed:
        return Figure(None, "no check passed")
    if spend.cost_pico is None:
        return Figure(None, why_no_cost(spend))
    return Figure(spend.cost_pico / PICO_PER_USD / passed)


def why_no_cost(spend: Spend) -> str:
    """Why the cost of a Spend is not known to the end; empty when it is."""
    reasons = list(spend.why_unknown)
    if spend.unmeasured:
        reasons.append(f"{spend.unmeasured} call{'s' * (spend.unmeasured > 1)} not fully measured")
    return "; ".join(reasons)


def _ratio(part: float, whole: float, why: str) -> Figure:
    return Figure(part / whole) if whole else Figure(None, why)


def _of_subagents(subagents: Spend, figure: Figure) -> Figure:
    return figure if subagents.calls else Figure(None, "no subagents")


def _cost_share(part: Spend, whole: Spend) -> Figure:
    if part.cost_pico is None or whole.cost_pico is None:
        return Figure(None, why_no_cost(whole))
    return _ratio(part.cost_pico, whole.cost_pico, "nothing was spent")
