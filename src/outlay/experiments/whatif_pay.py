"""What arms' own calls would have cost under other ways to pay: subscriptions, credits, machines of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlay.economics.trials import by_arm
from outlay.errors import InputError
from outlay.experiments.results import Results
from outlay.experiments.trial_run import run_book
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.prices.compare import compare
from outlay.prices.plans import Plan
from outlay.prices.trace import from_calls


class PaidWay(msgspec.Struct, frozen=True, kw_only=True):
    """One arm under one way to pay."""

    arm: str
    way: str
    low: float
    high: float
    """Picodollars billed for the periods that the trials touch, at the better and the worse end of its ranges."""
    successes: int
    trials: int

    @property
    def per_success(self) -> tuple[float, float] | None:
        """Picodollars per success, both ends; None without any."""
        return (self.low / self.successes, self.high / self.successes) if self.successes else None


def pay(results: Results, ledger: Ledger, plans: Sequence[Plan], listed: PriceBook) -> tuple[list[PaidWay], list[str]]:
    """Every arm under every way that can carry all of its calls, the cheapest first; and why arms are left out.

    An arm's calls stand alone, at the times at which they were made: a subscription's whole fee falls on them.
    """
    found: list[PaidWay] = []
    notes: list[str] = []
    known = {row["id"] for row in ledger.rows("SELECT id FROM runs")}
    for arm, trials in by_arm(results.trials).items():
        runs = {trial.source: trial.success for trial in trials}
        if missing := sum(run not in known for run in runs):
            notes.append(f"{arm} is left out: the calls of {missing} of its {len(runs)} trials are not in this ledger.")
            continue
        book = listed
        for run in runs:
            book = run_book(ledger, run, book)
        calls = [call for run in runs for call in ledger.calls("run = ?", (run,))]
        try:
            answer = compare(from_calls(calls, book, runs), plans, book, crossings=False)
        except InputError as error:
            notes.append(f"{arm} is left out: {error}.")
            continue
        found += [
            PaidWay(
                arm=arm, way=option.id, low=float(option.low), high=float(option.high), successes=sum(runs.values()),
                trials=len(runs),
            )
            for option in answer.options if option.complete
        ]  # fmt: skip
    return found, notes
