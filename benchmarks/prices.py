"""Pricing and comparing at size, in CPU seconds of one core.

    python benchmarks/prices.py [CALLS]

1. Prices CALLS (10 million) calls of twelve kinds and checks a sample, and every total per kind, against the same
   arithmetic in Decimal.
2. Puts a trace of a tenth as many calls under six plans, every crossing included.
3. Loads the price book, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from decimal import Decimal, localcontext

import numpy as np

from outlay.ledger import Call
from outlay.prices.book import PriceBook, load
from outlay.prices.compare import compare
from outlay.prices.many import CLASSES, Columns, Kind
from outlay.prices.plans import SHIPPED, read_plans
from outlay.prices.trace import from_columns
from outlay.tokens import Usage

os.environ.setdefault("OMP_NUM_THREADS", "1")
START, SPAN = 1_788_000_000_000, 90 * 86_400_000
KINDS = [
    Kind("claude-opus-5-5"), Kind("claude-sonnet-4-5-20250929"), Kind("claude-haiku-4-5"), Kind("claude-opus-4-6"),
    Kind("gpt-5.4"), Kind("gpt-5.5"), Kind("gpt-5.4", "openai", "batch"), Kind("gemini-2.5-pro"),
    Kind("gemini-3-flash-preview"), Kind("deepseek-v4-pro"), Kind("kimi-k2.5"), Kind("no-such-model"),
]  # fmt: skip
PLANS = ("opencode-go", "cursor-20", "cursor-60", "cursor-200", "commit-100k", "8xh200-kimi-k2.5")


def made(n: int, kinds: list[Kind]) -> Columns:
    rng = np.random.default_rng(4)
    counts = {
        "fresh": rng.integers(0, 4000, n), "cache_read": rng.integers(0, 300_000, n),
        "cache_write_5m": rng.integers(0, 9000, n), "output": rng.integers(1, 3000, n),
        "cache_write_1h": rng.integers(0, 2, n) * rng.integers(0, 9000, n),
    }  # fmt: skip
    counts["reasoning"] = counts["output"] // 3
    return Columns(kinds, rng.integers(0, len(kinds), n), np.sort(rng.integers(START, START + SPAN, n)), counts)


def in_decimal(book: PriceBook, call: Call) -> Decimal | None:
    """The cost in USD by the textbook: tokens times USD per million tokens, in Decimal."""
    card = book.rates(call.model, call.provider, call.ended_ms, tier=call.tier)
    if card is None:
        return None
    rates, usage, total = card.at(call.usage.input), call.usage, Decimal(0)
    for name in CLASSES[:5]:
        if count := getattr(usage, name):
            rate = getattr(rates, name)
            if rate is None:
                return None
            total += Decimal(count) * (Decimal(rate) / 10**6) / 10**6
    return total


def call_of(columns: Columns, n: int) -> Call:
    kind = columns.kinds[columns.kind[n]]
    usage = Usage(**{name: int(columns.counts[name][n]) for name in CLASSES})
    at = int(columns.at_ms[n])
    return Call(source="b", key=str(n), session="", model=kind.model, provider=kind.provider, tier=kind.tier,
                ended_ms=at, usage=usage, quality="exact")  # fmt: skip


def price_all(book: PriceBook, n: int) -> float:
    columns = made(n, KINDS)
    before = time.process_time()
    priced = book.price_many(columns)
    seconds = time.process_time() - before
    different = 0
    sample = range(0, n, max(1, n // 100_000))
    with localcontext() as context:
        context.prec = 50
        for i in sample:
            exact = in_decimal(book, call_of(columns, i))
            cost = Decimal(int(priced.cost_pico[i])).scaleb(-12) if priced.known[i] else None
            different += exact != cost
    total = sum(int(x) for x in priced.cost_pico[:: max(1, n // 1_000_000)])
    print(
        f"{n:,} calls priced in {seconds:.2f} s CPU ({seconds / n * 1e9:.0f} ns each), "
        f"total ${priced.total_pico / 10**12:,.2f}, "
        f"{len(sample):,} checked in Decimal: {different} differ; {sum(priced.unknown.values()):,} unknown"
    )
    assert different == 0 and total >= 0
    return seconds


def compare_all(book: PriceBook, n: int) -> float:
    columns = made(n, [Kind("kimi-k2.5"), Kind("glm-5")])
    plans = [plan for plan in read_plans(SHIPPED) if plan.id in PLANS]
    for plan in plans:
        plan.table.pop("models", None)
    before = time.process_time()
    found = compare(from_columns(columns, book), plans, book)
    seconds = time.process_time() - before
    ways = ", ".join(option.id for option in found.options)
    print(f"{n:,} calls under {len(plans)} plans in {seconds:.2f} s CPU: {len(found.crossings)} crossings ({ways})")
    return seconds


def load_seconds() -> float:
    program = (
        "import time; from outlay.prices.book import load; a = time.process_time(); load(); "
        "print(time.process_time() - a, time.process_time())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    loads = sorted(tuple(map(float, run.stdout.split())) for run in runs)
    alone, whole = (1000 * seconds for seconds in loads[2])
    print(f"the book loads in {alone:.1f} ms CPU; with the interpreter and imports {whole:.0f} ms")
    return loads[2][0]


def main(n: int) -> int:
    book = load()
    priced, compared, loaded = price_all(book, n), compare_all(book, n // 10), load_seconds()
    bounds = {
        "pricing 10 million": (priced * 10**7 / n, 5),
        "six plans, 1 million": (compared * 10**7 / n, 10),
        "load": (loaded, 0.06),
    }
    for name, (value, bound) in bounds.items():
        print(f"{name}: {value:.3f} s, bound {bound} s: {'ok' if value <= bound else 'FAILED'}")
    return int(any(value > bound for value, bound in bounds.values()))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000))
