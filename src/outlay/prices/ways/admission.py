"""Which calls a subscription's windows let through: exact, in jumps from event to event instead of call by call.

Rules: a call is checked before it runs against every window that counts it, and is refused when one is used up
(`used >= limit`); an admitted call is charged whole to all of them, so the last one may overshoot. A window that
starts with a call is live as long as `t - start <= length`; calendar windows end where the next begins.
Sources: anomalyco/opencode `packages/console/core/src/subscription.ts` @52b153f; ccusage's blocks (hour floored).
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from outlay.prices.calendar import DAY_MS, HOUR_MS, add_months, calendar_next, calendar_start, month_number

_Ints = NDArray[np.int64]
_Mask = NDArray[np.bool_]
BY_CALL = ("first_call", "floor_hour")
CALENDAR = {"calendar_day": "day", "calendar_week": "week", "calendar_month": "month", "week_utc_monday": "week"}
ANCHORS = (*BY_CALL, *CALENDAR, "subscription_anniversary", "account", "sliding")


_Open = tuple[_Mask, list[_Ints], list[_Ints], _Ints]
Sums = dict[frozenset[int], _Open]
"""Which windows are full -> which calls pass, per window the running sums of their weight and number, and that of
their worth."""


class Rule(msgspec.Struct, frozen=True):
    """One window: when it begins and ends, and how much fits."""

    id: str
    anchor: str
    length_ms: int
    """Of windows that start with a call, of `account` and of `sliding`; 0 for the others."""
    need: int
    """The use (in the units of the weights) from which calls are refused; at least 1."""
    tz: dt.tzinfo = dt.UTC
    start_ms: int = 0
    """When the subscription began: anchors `subscription_anniversary` and `account`."""


class Standing(msgspec.Struct):
    """A window at a moment. `end_ms` is the first instant at which it is over; both None: it has not begun.

    A sliding window has no end: it begins with the oldest call that it still counts, which leaves it at `end_ms`.
    """

    used: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    recent: deque[tuple[int, int]] = msgspec.field(default_factory=deque)
    """`sliding`: when each call was served that it still counts, and what that used."""


class Admitted(msgspec.Struct):
    """What came of the offered calls."""

    served: _Mask
    delayed: int
    delay_ms: int
    standing: list[Standing]
    worth: int
    """Sum of what the served calls are worth."""
    clock_ms: int
    """When the last call was served, or would have been."""


def period(rule: Rule, at_ms: int) -> tuple[int, int]:
    """(begin, end) of the window around an instant, for those that do not wait for a call."""
    if rule.anchor == "subscription_anniversary":
        number = month_number(rule.start_ms, at_ms, rule.tz)
        return add_months(rule.start_ms, number, rule.tz), add_months(rule.start_ms, number + 1, rule.tz)
    if rule.anchor == "account":
        begin = rule.start_ms + (at_ms - rule.start_ms) // rule.length_ms * rule.length_ms
        return begin, begin + rule.length_ms
    begin = calendar_start(CALENDAR[rule.anchor], at_ms, rule.tz)
    return begin, calendar_next(CALENDAR[rule.anchor], begin, rule.tz)


def opened(rule: Rule, at_ms: int) -> tuple[int, int]:
    """(begin, end) of a window that a call at this instant opens."""
    begin = at_ms - at_ms % HOUR_MS if rule.anchor == "floor_hour" else at_ms
    return begin, begin + rule.length_ms + 1


def move_to(rule: Rule, standing: Standing, at_ms: int) -> None:
    """End the window if it is over at `at_ms`, and begin the next where that needs no call."""
    if rule.anchor == "sliding":
        _slide(rule, standing, at_ms)
        return
    if standing.end_ms is not None and at_ms >= standing.end_ms:
        standing.used, standing.start_ms, standing.end_ms = 0, None, None
    if standing.end_ms is None and rule.anchor not in BY_CALL:
        standing.start_ms, standing.end_ms = period(rule, at_ms)


def admit(
    at: _Ints, offered: _Mask, rules: Sequence[Rule], weights: Sequence[_Ints], counts: Sequence[_Mask], worth: _Ints,
    *, wait: bool, sums: Sums | None = None,
) -> Admitted:  # fmt: skip
    """Send the offered calls through the windows.

    `at` ascending, milliseconds; `weights[w]` what each call uses of window w, `counts[w]` whether window w counts it,
    `worth` what is added up over the served calls.
    With `wait`, a refused call waits for the windows that refuse it to end, and all calls behind it wait too; served
    calls keep their order. Without, refused calls are passed by. `sums` keeps running sums from one question to the
    next about the same calls and weights (only `need` may differ between them).
    """
    if any(rule.anchor == "sliding" for rule in rules):
        return _admit_sliding(at, offered, rules, weights, counts, worth, wait=wait)
    jumps = _Jumps(at, offered, rules, weights, counts, worth, wait=wait)
    if sums is not None:
        jumps.sums = sums
    return jumps.run()


class _Jumps:
    def __init__(
        self, at: _Ints, offered: _Mask, rules: Sequence[Rule], weights: Sequence[_Ints], counts: Sequence[_Mask],
        worth: _Ints, *, wait: bool,
    ) -> None:  # fmt: skip
        self.at, self.offered, self.rules, self.wait = at, offered, rules, wait
        self.weights, self.counts, self.each_worth, self.worth = weights, counts, worth, 0
        self.n = len(at)
        self.served = np.zeros(self.n, dtype=np.bool_)
        self.standing = [Standing() for _ in rules]
        self.clock = 0  # with `wait`: no call is served before this
        self.delayed = self.delay = 0
        self.sums: Sums = {}

    def _open_when(self, full: frozenset[int]) -> _Open:
        """With these windows full: which calls pass, and the running sums over them."""
        if full not in self.sums:
            passing = self.offered.copy()
            for w in full:
                passing &= ~self.counts[w]
            sums, numbers = [], []
            for weight, counted in zip(self.weights, self.counts, strict=True):
                mine = passing & counted
                sums.append(np.concatenate(([0], np.cumsum(np.where(mine, weight, 0)))))
                numbers.append(np.concatenate(([0], np.cumsum(mine))))
            worth = np.concatenate(([0], np.cumsum(np.where(passing, self.each_worth, 0))))
            self.sums[full] = (passing, sums, numbers, worth)
        return self.sums[full]

    def run(self) -> Admitted:
        i = 0
        while i < self.n:
            i = self._step(i)
        last = int(self.at[-1]) if self.n else 0
        return Admitted(self.served, self.delayed, self.delay, self.standing, self.worth, max(last, self.clock))

    def _step(self, i: int) -> int:
        """Serve calls from `i` until something changes; returns where."""
        now = max(int(self.at[i]), self.clock)
        for rule, standing in zip(self.rules, self.standing, strict=True):
            move_to(rule, standing, now)
        full = frozenset(w for w, rule in enumerate(self.rules) if self.standing[w].used >= rule.need)
        passing, sums, numbers, worth = self._open_when(full)
        if self.wait and full and self.offered[i] and not passing[i]:
            ends = [self.standing[w].end_ms for w in full if self.counts[w][i]]
            self.clock = max(end for end in ends if end is not None)
            return i
        stop = self._first_end(i)
        for w, rule in enumerate(self.rules):
            if w in full:
                continue
            if self.standing[w].end_ms is None:
                first = int(np.searchsorted(numbers[w], numbers[w][i] + 1)) - 1
                if first == i:
                    self.standing[w].start_ms, self.standing[w].end_ms = opened(rule, now)
                    return i
                stop = min(stop, first)
            left = rule.need - self.standing[w].used
            stop = min(stop, int(np.searchsorted(sums[w], sums[w][i] + left)))
        if self.wait and full:
            refused = np.flatnonzero(self.offered[i:stop] & ~passing[i:stop])
            stop = i + int(refused[0]) if len(refused) else stop
        self._serve(i, stop, passing, sums)
        self.worth += int(worth[stop] - worth[i])
        return stop

    def _first_end(self, i: int) -> int:
        ends = [s.end_ms for s in self.standing if s.end_ms is not None]
        return max(i + 1, int(np.searchsorted(self.at, min(ends)))) if ends else self.n

    def _serve(self, i: int, stop: int, passing: _Mask, sums: list[_Ints]) -> None:
        self.served[i:stop] = passing[i:stop]
        for w, standing in enumerate(self.standing):
            standing.used += int(sums[w][stop] - sums[w][i])
        if self.clock > int(self.at[i]):
            until = min(stop, int(np.searchsorted(self.at, self.clock)))
            late = self.at[i:until][passing[i:until]]
            self.delayed += len(late)
            self.delay += int((self.clock - late).sum())


def _admit_sliding(
    at: _Ints, offered: _Mask, rules: Sequence[Rule], weights: Sequence[_Ints], counts: Sequence[_Mask], worth: _Ints,
    *, wait: bool,
) -> Admitted:  # fmt: skip
    """Call by call, because a sliding window never stands still. Counts what was served in `(t - length, t]`."""
    served = np.zeros(len(at), dtype=np.bool_)
    standing = [Standing() for _ in rules]
    clock = delayed = delay = 0
    for i in np.flatnonzero(offered).tolist():
        now = max(int(at[i]), clock) if wait else int(at[i])
        mine = [w for w in range(len(rules)) if counts[w][i]]
        _move_all(rules, standing, now)
        while full := [w for w in mine if standing[w].used >= rules[w].need]:
            if not wait:
                break
            now = clock = max(frees(rules[w], standing[w]) for w in full)
            _move_all(rules, standing, now)
        if full:
            continue
        served[i] = True
        if now > int(at[i]):
            delayed += 1
            delay += now - int(at[i])
        for w in mine:
            if standing[w].end_ms is None and rules[w].anchor in BY_CALL:
                standing[w].start_ms, standing[w].end_ms = opened(rules[w], now)
            used = int(weights[w][i])
            standing[w].used += used
            if rules[w].anchor == "sliding":
                standing[w].recent.append((now, used))
    last = int(at[-1]) if len(at) else 0
    return Admitted(served, delayed, delay, standing, int(worth[served].sum()), max(last, clock))


def _move_all(rules: Sequence[Rule], standing: Sequence[Standing], now: int) -> None:
    for rule, state in zip(rules, standing, strict=True):
        move_to(rule, state, now)


def _slide(rule: Rule, standing: Standing, now: int) -> None:
    log = standing.recent
    while log and log[0][0] <= now - rule.length_ms:
        standing.used -= log.popleft()[1]
    standing.start_ms = log[0][0] if log else None
    standing.end_ms = log[0][0] + rule.length_ms if log else None


def frees(rule: Rule, standing: Standing) -> int:
    """When a full window lets a call through again."""
    if rule.anchor != "sliding":
        assert standing.end_ms is not None
        return standing.end_ms
    used = standing.used
    for when, weight in standing.recent:
        used -= weight
        if used < rule.need:
            return when + rule.length_ms
    raise AssertionError("an empty window is not full")


__all__ = ["ANCHORS", "DAY_MS", "Admitted", "Rule", "Standing", "admit", "frees", "move_to", "period"]
