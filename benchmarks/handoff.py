"""What a fresh context saves: the same sessions with a handoff never, when the window is nearly full, and by the rule.

    python benchmarks/handoff.py [--seeds N] [MODEL ...]

Five token curves, seeded, made to look like sessions of coding agents (they are no recordings): per turn the tokens
that a tool's result brings and those that the model writes. Each is priced with the real price list (cache reads and
writes included), turn by turn. The rule is the product's (`outlay.agents.context.rule`); it knows nothing of what is
still to come. A handoff costs what it costs in the product: everything read once more, the handoff written, the fresh
context into the cache, and a part of what was left behind read again in extra turns (`LEARN_SHARE`, an assumption of
both). `never` cannot go on where the window is full: the table then says at which turn it ended.

--seeds N: also the worst and mean of N curves of each kind, against the better of the other two.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator

import msgspec

from outlay.agents.context import rule
from outlay.money import show
from outlay.prices import book as price_book
from outlay.prices.rates import Card

WINDOW = 200_000
AT = 0.8
BASE = 6_000
"""System prompt, tools and task."""
KEPT = 3_500
"""Of these, what a fresh context still finds in the cache: system prompt and tools."""
AT_MS = 1_795_000_000_000
"""The day whose prices hold: 2026-11-18."""
MODELS = ("anthropic/claude-sonnet-4-5", "anthropic/claude-opus-4-5", "openai/gpt-5.1")
LEARN_TURN_TOKENS = 4_000


class Kind(msgspec.Struct, frozen=True):
    """A kind of session."""

    about: str
    turns: int
    brings: int
    """Median tokens of a tool's result."""
    spread: float
    """Of its logarithm."""
    says: int
    """Median tokens that the model writes."""


KINDS = {
    "fix": Kind("a small fix", 18, 700, 0.9, 220),
    "feature": Kind("a feature with tests", 70, 900, 1.0, 350),
    "search": Kind("reading a large code base", 150, 2_600, 0.9, 160),
    "build": Kind("building a component", 450, 900, 1.0, 400),
    "marathon": Kind("an unattended day", 2_000, 700, 1.1, 300),
}


class Turn(msgspec.Struct, frozen=True):
    brings: int
    says: int


def curve(kind: Kind, seed: int) -> list[Turn]:
    """The turns of one session."""
    rng = random.Random(seed)
    turns = max(round(kind.turns * rng.lognormvariate(0, 0.25)), 3) if seed else kind.turns
    return [
        Turn(int(kind.brings * rng.lognormvariate(0, kind.spread)), int(kind.says * rng.lognormvariate(0, 0.7)))
        for _ in range(turns)
    ]


class Run(msgspec.Struct):
    """One session under one rule, as far as it got. Picodollars and tokens."""

    spent: float = 0.0
    handoffs: int = 0
    widest: int = 0
    ended: int | None = None
    """The turn at which the window was full."""


def play(turns: list[Turn], card: Card, when: str) -> Run:
    """Price a session turn by turn."""
    run = Run()
    context, fresh, base, chapter, read = 0, BASE, 0, 0, 0
    todo: Iterator[Turn] = iter(turns)
    extra: list[Turn] = []
    while (turn := extra.pop() if extra else next(todo, None)) is not None:
        rates = card.at(context + fresh)
        prices = rule.prices(rates, 1.0)
        assert prices is not None and rates.cache_read is not None
        if when != "never" and chapter:
            standing = rule.Standing(context + fresh, base, run.handoffs == 0, chapter, fresh, read)
            nearly = context + fresh >= AT * WINDOW
            if nearly or (when == "economic" and rule.weigh(standing, prices).action == "hand_over"):
                run.spent += context * prices.cached + (fresh + rule.ASK_TOKENS) * prices.write
                run.spent += rule.HANDOFF_TOKENS * prices.output
                left = context + fresh - BASE - rule.HANDOFF_TOKENS
                again = min(int(rule.LEARN_SHARE * max(left, 0)), rule.LEARN_MOST_TOKENS)
                extra += [Turn(min(again - n, LEARN_TURN_TOKENS), 120) for n in range(0, again, LEARN_TURN_TOKENS)]
                run.handoffs += 1
                context, fresh = KEPT, BASE - KEPT + rule.HANDOFF_TOKENS
                base = chapter = read = 0
        if context + fresh + turn.says > WINDOW:
            run.ended = len(turns) - sum(1 for _ in todo)
            return run
        run.spent += context * prices.cached + fresh * prices.write + turn.says * prices.output
        base = base or context + fresh
        read += context + fresh
        run.widest = max(run.widest, context + fresh + turn.says)
        context, fresh, chapter = context + fresh + turn.says, turn.brings, chapter + 1
    return run


def compare(turns: list[Turn], card: Card) -> tuple[dict[str, Run], float]:
    """The session under each rule, and what the economic one saves of the better of the others (a share)."""
    runs = {when: play(turns, card, when) for when in ("never", "threshold", "economic")}
    others = [runs[when].spent for when in ("never", "threshold") if runs[when].ended is None]
    return runs, 1 - runs["economic"].spent / min(others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, help="provider/model of the price list")
    parser.add_argument("--seeds", type=int, default=0, help="curves of each kind beside the first")
    asked = parser.parse_args()
    book = price_book.load()
    print(f"price book {book.id}\n")
    for name in asked.models:
        provider, _, model = name.partition("/")
        card = book.rates(model, provider, AT_MS)
        if card is None:
            raise SystemExit(f"{name} has no price")
        print(f"| {name} | turns | never | threshold | economic | handoffs | widest | saved |")
        print("|---|---|---|---|---|---|---|---|")
        for kind in KINDS.values():
            turns = curve(kind, 0)
            runs, saved = compare(turns, card)
            never = (
                show(round(runs["never"].spent)) if runs["never"].ended is None else f"full at {runs['never'].ended}"
            )
            print(
                f"| {kind.about} | {len(turns):,} | {never} | {show(round(runs['threshold'].spent))} "
                f"| {show(round(runs['economic'].spent))} | {runs['threshold'].handoffs} / {runs['economic'].handoffs} "
                f"| {runs['economic'].widest:,} | {saved:.1%} |"
            )
        if asked.seeds:
            print(f"\nOf {asked.seeds} curves of each kind, saved:")
            for kind in KINDS.values():
                shares = sorted(compare(curve(kind, seed), card)[1] for seed in range(1, asked.seeds + 1))
                mean = sum(shares) / len(shares)
                print(f"  {kind.about}: worst {shares[0]:.1%}, mean {mean:.1%}, best {shares[-1]:.1%}")
        print()


if __name__ == "__main__":
    main()
