"""The economic rule: whether to go on with a context, to clean it up, or to hand over to a fresh one.

How long a session still lasts nobody knows. It is expected to go on for as long as its present context has lasted, or
until its limit on turns. What it would read again in that time is held against what a fresh context costs: reading
everything once more to write the handoff, the handoff itself, the fresh context into the cache, and learning again a
part of what was left behind.

In a session's first context that must pay several times over (`FIRST_MARGIN`). One that has outlasted a context is
taken for long, and then the mean cost of its turns is what counts: it is least when a context is left as soon as one
more turn would cost more than its turns have cost on average, the handoff's price included (the marginal value theorem,
Charnov 1976). One more turn costs what it reads beyond a fresh context, and it makes the handoff dearer.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from outlay.prices.rates import Effective

Action = Literal["go_on", "clean", "hand_over"]

MARGIN = 2.0
"""How many times its price must a clean-up save, where no handoff is due."""
FIRST_MARGIN = 3.0
"""The same for a session's first handoff: most sessions are short, and some end just after a handoff."""
ASK_TOKENS = 400
"""The request for a handoff."""
HANDOFF_TOKENS = 1_500
"""A handoff, as the model writes it."""
LEARN_SHARE = 0.1
"""Share of what is left behind that is read again. An assumption: nobody measured it."""
LEARN_MOST_TOKENS = 8_000


class Prices(msgspec.Struct, frozen=True):
    """Picodollars per token."""

    reread: float
    """Of context that was sent before: by the session's own share of cache hits."""
    cached: int
    write: int
    """Of what no cache holds."""
    output: int


class Standing(msgspec.Struct, frozen=True):
    """Where a session stands. Tokens."""

    context: int
    base: int
    """The context's size when it began."""
    first: bool
    """Whether it is the session's first context, which began without a handoff."""
    turns: int
    """Turns in this context."""
    news: int = 0
    """Of the context, what came after the last answer: no cache holds it."""
    read: int = 0
    """What the turns of this context read altogether."""
    turns_left: int | None = None
    """Until its limit; None: no limit."""

    @property
    def horizon(self) -> int:
        """Turns that are still expected."""
        return self.turns if self.turns_left is None else min(self.turns, self.turns_left)


class Clean(msgspec.Struct, frozen=True):
    """A clean-up that could be made. Tokens."""

    removed: int
    again: int
    """Of the removed, what may be wanted again (the rest stands in the context a second time)."""
    behind: int
    """What stays behind the first change: it must be written to the cache again."""


class Weighed(msgspec.Struct, frozen=True):
    """What the rule says, and why. Picodollars."""

    action: Action
    horizon: int
    handoff_saves: int
    handoff_costs: int
    next_turn: int = 0
    """What one more turn in this context costs beyond one in a fresh context."""
    mean_turn: int = 0
    """What its turns have cost beyond that, a handoff now included, on average."""
    clean_saves: int = 0
    clean_costs: int = 0

    def numbers(self) -> dict[str, int]:
        """For the event."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "action"}


def prices(rates: Effective, hit_share: float) -> Prices | None:
    """Prices of a session's tokens under a rate card; None when a class has none. hit_share: of what it sent before
    that it found in the cache."""
    fresh, cached, output = rates.fresh, rates.cache_read, rates.output
    write = max((rate for rate in (rates.cache_write_5m, fresh) if rate is not None), default=None)
    if cached is None or output is None or write is None:
        return None
    return Prices(hit_share * cached + (1 - hit_share) * write, cached, write, output)


def fresh_tokens(standing: Standing) -> int:
    """What a fresh context has: the first message, the handoff, and what is soon read again."""
    begins = standing.base + (HANDOFF_TOKENS if standing.first else 0)
    return begins + min(int(LEARN_SHARE * max(standing.context - begins, 0)), LEARN_MOST_TOKENS)


def weigh(standing: Standing, cost: Prices, clean: Clean | None = None) -> Weighed:
    """What is cheapest to do now."""
    horizon, fresh = standing.horizon, fresh_tokens(standing)
    written_anew = max(cost.write - cost.reread, 0)
    over = cost.reread * max(standing.context - fresh, 0)
    saves = horizon * over
    costs = standing.context * cost.reread + standing.news * written_anew
    costs += ASK_TOKENS * cost.write + HANDOFF_TOKENS * cost.output + fresh * cost.write
    next_turn = over + _dearer(standing, cost)
    mean_turn = (cost.reread * max(standing.read - standing.turns * fresh, 0) + costs) / max(standing.turns, 1)
    clean_saves = clean_costs = 0.0
    if clean is not None:
        clean_saves = horizon * cost.reread * clean.removed
        clean_costs = clean.behind * written_anew + LEARN_SHARE * clean.again * cost.write
    due = saves >= FIRST_MARGIN * costs if standing.first else saves >= costs and next_turn >= mean_turn
    gains: dict[Action, float] = {"go_on": 0.0}
    if due:
        gains["hand_over"] = saves - costs
    if clean is not None and clean_saves >= (1 if due else MARGIN) * clean_costs:
        gains["clean"] = clean_saves - clean_costs
    action = max(gains, key=lambda name: gains[name])
    figures = (saves, costs, next_turn, mean_turn, clean_saves, clean_costs)
    return Weighed(action, horizon, *map(round, figures))


def _dearer(standing: Standing, cost: Prices) -> float:
    """What one more turn adds to a handoff's price: more to read for it, and more to learn again."""
    growth = max(standing.context - standing.base, 0) / max(standing.turns, 1)
    learns = LEARN_SHARE * (standing.context - standing.base) < LEARN_MOST_TOKENS
    return growth * (cost.reread + (LEARN_SHARE * cost.write if learns else 0))
