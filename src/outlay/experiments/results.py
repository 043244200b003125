"""Results of an experiment in one form, and `results.jsonl`, the file that holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Literal

import msgspec

from outlay.economics.trials import Outcome, Played, Trial, by_task, known_cost
from outlay.errors import InputError
from outlay.money import PICO_PER_USD
from outlay.tokens import Usage

MOST_TRIALS = 10**9
_MOST_PICO = 10**27
"""A million billion dollars: what is beyond is no amount."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What is published of an arm as a whole, where single trials are not, or beside them."""

    arm: str
    rate: float
    """Share of trials that succeeded, as the publisher states it."""
    trials: int | None = None
    """The publisher's denominator; None when it is not stated."""
    successes: int | None = None
    """As stated, or the only whole number that fits rate and trials; None when there is none."""
    mean_pico: int | None = None
    """Cost per trial in picodollars; None when it is unknown."""
    mean_ms: float | None = None
    """Wall time per trial, in milliseconds."""
    benchmark: str = ""
    """The tasks it stands for, where a file holds several kinds; totals of different ones are not compared."""

    def __post_init__(self) -> None:
        if not self.arm or not isinstance(self.arm, str):
            raise InputError("totals name their arm")
        if not 0 <= self.rate <= 1:
            raise InputError(f"{self.arm}: {self.rate} is no share of tries that succeed")
        if self.trials is not None and not 1 <= self.trials <= MOST_TRIALS:
            raise InputError(f"{self.arm}: {self.trials} is no number of tries")
        if self.successes is not None and not 0 <= self.successes <= (self.trials or 0):
            raise InputError(f"{self.arm}: {self.successes} successes in {self.trials} tries")


class Finding(msgspec.Struct, frozen=True):
    """Something about published figures that a reader must know before believing them."""

    arm: str
    kind: Literal["contradiction", "other tasks", "unknown cost", "denominator", "note"]
    """`contradiction`: two published figures exclude each other. `other tasks`: not those of the arms around it.
    Neither kind of arm is ranked."""
    text: str


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What some files hold together."""

    sources: tuple[str, ...]
    format: str
    """Name of the format, in words."""
    trials: tuple[Trial, ...] = ()
    totals: tuple[Totals, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def arms(self) -> list[str]:
        """Names of all arms, in order of appearance."""
        return list(dict.fromkeys([t.arm for t in self.trials] + [t.arm for t in self.totals]))

    def contradicted(self) -> set[str]:
        """Arms whose figures contradict each other."""
        return {finding.arm for finding in self.findings if finding.kind == "contradiction"}


def pico_of(usd: object) -> int | None:
    """A published amount in USD, rounded to a picodollar; None for none, not a number, or one below zero."""
    try:
        exact = Decimal(str(usd)) * PICO_PER_USD
    except InvalidOperation:
        return None
    if isinstance(usd, bool) or not exact.is_finite() or not 0 <= exact <= _MOST_PICO:
        return None
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


class Row(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of results.jsonl."""

    task: str
    arm: str
    success: bool
    repeat: int = 0
    cost_usd: Decimal | None = None
    free: bool = False
    tokens: Usage | None = None
    wall_s: Decimal | None = None
    coordination_usd: Decimal | None = None
    verification_usd: Decimal | None = None
    outcome: Outcome | None = None
    source: str = ""
    played: Played = ""


_DECODER = msgspec.json.Decoder(Row)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def read_jsonl(path: Path) -> Results:
    """Trials from results.jsonl. Raises InputError with the line's number; findings name costs of 0."""
    trials, zeros, played = [], Counter[str](), Counter[tuple[str, str]]()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = _DECODER.decode(line)
            trials.append(_trial(row, path))
        except (msgspec.MsgspecError, InputError) as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        zeros[row.arm] += row.cost_usd == 0 and not row.free
        played[row.arm, row.played] += 1
    found = [unknown_zero(arm, count) for arm, count in zeros.items() if count]
    found += [_not_paid(arm, how, count) for (arm, how), count in played.items() if how]
    return Results(sources=(str(path),), format="results.jsonl", trials=tuple(trials), findings=tuple(found))


def unknown_zero(arm: str, count: int) -> Finding:
    """The finding that so many costs of an arm are stated as exactly 0."""
    what = "a cost of exactly 0 is" if count == 1 else f"{count:,} costs of exactly 0 are"
    return Finding(arm, "unknown cost", f"{what} taken as unknown, not as free")


def _not_paid(arm: str, how: str, count: int) -> Finding:
    tries = "1 try's answers were" if count == 1 else f"the answers of {count:,} tries were"
    given = "given by hand" if how == "by hand" else how
    return Finding(arm, "note", f"{tries} {given}: nothing was paid, their cost is at the goal's prices")


def _trial(row: Row, path: Path) -> Trial:
    cost = None if row.cost_usd is None else pico_of(row.cost_usd)
    if row.cost_usd is not None and cost is None:
        raise InputError(f"cost_usd is {row.cost_usd}")
    return Trial(
        task=row.task,
        arm=row.arm,
        repeat=row.repeat,
        success=row.success,
        cost_pico=known_cost(cost, free=row.free),
        free=row.free,
        tokens=row.tokens,
        wall_ms=None if row.wall_s is None else int(row.wall_s * 1000),
        coordination_pico=pico_of(row.coordination_usd),
        verification_pico=pico_of(row.verification_usd),
        outcome=row.outcome or ("succeeded" if row.success else "failed"),
        source=row.source or str(path),
        played=row.played,
    )


def write_jsonl(trials: Iterable[Trial], path: Path) -> None:
    """Writes trials as results.jsonl; what is read from it is equal."""
    with path.open("wb") as out:
        for trial in trials:
            out.write(encode_row(trial))


def encode_row(trial: Trial) -> bytes:
    """A trial as a line of results.jsonl."""
    return _ENCODER.encode(_row(trial)) + b"\n"


def _row(trial: Trial) -> Row:
    def dollars(pico: int | None) -> Decimal | None:
        return None if pico is None else Decimal(pico).scaleb(-12)

    return Row(
        task=trial.task,
        arm=trial.arm,
        success=trial.success,
        repeat=trial.repeat,
        cost_usd=dollars(trial.cost_pico),
        free=trial.free,
        tokens=trial.tokens,
        wall_s=None if trial.wall_ms is None else Decimal(trial.wall_ms) / 1000,
        coordination_usd=dollars(trial.coordination_pico),
        verification_usd=dollars(trial.verification_pico),
        outcome=trial.outcome,
        source=trial.source,
        played=trial.played,
    )


def merge(parts: Sequence[Results]) -> Results:
    """All of them together. Trials of one arm and task from several files become repeats of it."""
    seen: Counter[tuple[str, str]] = Counter()
    trials = []
    for trial in (trial for part in parts for trial in part.trials):
        key = trial.arm, trial.task
        trials.append(msgspec.structs.replace(trial, repeat=seen[key]))
        seen[key] += 1
    found = [finding for part in parts for finding in part.findings] + same_costs_other_verdicts(trials)
    return Results(
        sources=tuple(source for part in parts for source in part.sources),
        format=", ".join(dict.fromkeys(part.format for part in parts)),
        trials=tuple(trials),
        totals=tuple(total for part in parts for total in part.totals),
        findings=tuple(found),
    )


def same_costs_other_verdicts(trials: Iterable[Trial]) -> list[Finding]:
    """Pairs of arms that are one: task by task the same cost, yet other verdicts. One of them mixed up its rows."""
    arms: dict[str, dict[str, Trial]] = {}
    for trial in trials:
        if trial.repeat == 0 and trial.cost_pico is not None:
            arms.setdefault(trial.arm, {})[trial.task] = trial
    found = []
    for (a, left), (b, right) in combinations(arms.items(), 2):
        common = left.keys() & right.keys()
        equal = [task for task in common if left[task].cost_pico == right[task].cost_pico]
        other = sum(left[task].success != right[task].success for task in equal)
        if len(equal) >= 20 and len(equal) >= 0.99 * len(common) and other:
            for arm, twin in ((a, b), (b, a)):
                text = f"every cost is {twin}'s, but on {other} of {len(equal)} tasks the verdict is another"
                found.append(Finding(arm, "contradiction", text))
    return found


def select(results: Results, tasks: Sequence[str] = (), arms: Sequence[str] = ()) -> Results:
    """Only these tasks and arms, given as shell patterns (`django__*`); a task pattern leaves totals out.

    Raises InputError for a pattern that fits nothing.
    """
    names = dict.fromkeys(trial.task for trial in results.trials)
    wanted_tasks = _matching(list(names), tasks, "task")
    wanted_arms = _matching(results.arms, arms, "arm")
    return msgspec.structs.replace(
        results,
        trials=tuple(t for t in results.trials if t.task in wanted_tasks and t.arm in wanted_arms),
        totals=() if tasks else tuple(t for t in results.totals if t.arm in wanted_arms),
        findings=tuple(f for f in results.findings if f.arm in wanted_arms or not f.arm),
    )


def _matching(names: Sequence[str], patterns: Sequence[str], what: str) -> set[str]:
    if not patterns:
        return set(names)
    kept: set[str] = set()
    for pattern in patterns:
        hits = {name for name in names if name == pattern} or {n for n in names if fnmatchcase(n, pattern)}
        if not hits:
            raise InputError(f"no {what} fits {pattern!r}{_near(pattern, names)}")
        kept |= hits
    return kept


def find_arm(results: Results, name: str) -> str:
    """The arm of that name, or the only one that begins with it or holds it. Raises InputError otherwise."""
    arms = results.arms
    if name in arms:
        return name
    folded = name.casefold()
    for hits in ([a for a in arms if a.casefold().startswith(folded)], [a for a in arms if folded in a.casefold()]):
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise InputError(f"several arms fit {name!r}: {', '.join(hits[:4])}")
    raise InputError(f"no arm {name!r}{_near(name, arms)}")


def _near(name: str, names: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(list(names)[:5]) or 'none'}"


def trials_of(results: Results, arm: str) -> list[Trial]:
    """The trials of one arm."""
    return [trial for trial in results.trials if trial.arm == arm]


def check_headline(
    arm: str, trials: Sequence[Trial], rate: float | None, cost_usd: float | None, *, digits: int = 2
) -> list[Finding]:
    """What an arm's published rate (0 to 1, `digits` of the percentage) and total cost say against its trials."""
    data = by_task(trials)
    found = []
    if rate is not None and (text := _rate_mismatch(data.s, data.n, rate * 100, digits)):
        found.append(Finding(arm, *text))
    costs = [trial.cost_pico for trial in trials if trial.cost_pico is not None]
    if cost_usd and len(costs) == len(trials):
        total = sum(costs) / PICO_PER_USD
        if abs(total - cost_usd) > 0.005 * cost_usd + 0.01:
            found.append(
                Finding(arm, "contradiction", f"its headline cost is ${cost_usd:,.2f}, its trials add to ${total:,.2f}")
            )
    return found


def _rate_mismatch(
    successes: int, trials: int, percent: float, digits: int
) -> tuple[Literal["contradiction", "denominator"], str] | None:
    """A stated percentage against a count: nothing, a drifting denominator, or a contradiction."""
    tolerance = 0.51 * 10**-digits
    if abs(100 * successes / trials - percent) <= tolerance:
        return None
    shown = f"{percent:.{digits}f}".rstrip("0").rstrip(".")
    own = f"{successes:,} of {trials:,} ({100 * successes / trials:.{digits}f} %)"
    for other in range(trials - max(1, trials // 50), trials + max(1, trials // 50) + 1):
        if other > 0 and abs(100 * successes / other - percent) <= tolerance:
            return "denominator", f"its headline of {shown} % counts {other:,} trials; its own rows hold {own}"
    return "contradiction", f"its headline says {shown} %, its own rows {own}"
