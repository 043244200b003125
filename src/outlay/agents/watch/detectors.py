"""One detector per breaker: folds the facts of one session and says when its symptom is there, with the numbers."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from outlay.agents.watch.facts import Advanced, Answered, Fact, Rejected, Returned, Told
from outlay.agents.watch.settings import (
    Breakers,
    NoProgress,
    Polling,
    Rereading,
    SameCall,
    SameFailure,
    Talk,
)

Numbers = dict[str, float | int | str]
"""What tripped a breaker, and the bound it passed."""


class Detector(Protocol):
    """Watches for one symptom in one session."""

    def see(self, fact: Fact) -> None:
        """Take the next fact."""

    def symptom(self) -> Numbers | None:
        """The numbers when the symptom is there. `turns`: how many turns it has lasted."""

    def clear(self) -> None:
        """Begin anew: something was done about the symptom."""


class RereadingDetector:
    """Cache reads / net above the ratio at consecutive checkpoints."""

    def __init__(self, settings: Rereading) -> None:
        self._settings = settings
        self._turns = self._net = self._reads = 0
        self._above: list[float] = []

    def see(self, fact: Fact) -> None:
        if not isinstance(fact, Answered):
            return
        self._turns += 1
        self._net += fact.usage.net
        self._reads += fact.usage.cache_read
        if self._turns < self._settings.turns:
            return
        ratio = self._reads / max(self._net, 1)
        self._above = [*self._above, round(ratio, 2)] if ratio > self._settings.ratio else []
        self._turns = self._net = self._reads = 0

    def symptom(self) -> Numbers | None:
        if len(self._above) < self._settings.checkpoints:
            return None
        turns = self._settings.turns * len(self._above)
        return {"ratio": self._above[-1], "bound": self._settings.ratio, "turns": turns}

    def clear(self) -> None:
        self._turns = self._net = self._reads = 0
        self._above = []


class NoProgressDetector:
    """Turns since a check passed, a file changed or a subagent finished."""

    def __init__(self, settings: NoProgress) -> None:
        self._settings = settings
        self._turns = 0

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Answered):
            self._turns += 1
        elif isinstance(fact, Advanced | Told) or (isinstance(fact, Returned) and fact.changed):
            self._turns = 0

    def symptom(self) -> Numbers | None:
        return {"turns": self._turns, "bound": self._settings.turns} if self._turns >= self._settings.turns else None

    def clear(self) -> None:
        self._turns = 0


class SameFailureDetector:
    """How often each failure came, since something was tried that had not been tried before it.

    An approach is the set of files that were changed. A failure that comes back after changes to the same files only,
    or after none, is the same failing fix.
    """

    def __init__(self, settings: SameFailure) -> None:
        self._settings = settings
        self._turn = 0
        self._seen: dict[str, tuple[int, int, frozenset[str]]] = {}
        """Signature -> how often, turn of the first, files that had been tried when it came last."""
        self._by_call: dict[str, set[str]] = {}
        self._tried: set[str] = set()

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Answered):
            self._turn += 1
        elif isinstance(fact, Told):
            self.clear()
        elif isinstance(fact, Rejected):
            self._failed(fact.failure)
        elif isinstance(fact, Returned):
            if fact.path:
                self._tried.add(fact.path)
            if fact.failure:
                self._by_call.setdefault(fact.call, set()).add(fact.failure)
                self._failed(fact.failure)
            else:  # what works now is no failing fix any more
                for failure in self._by_call.pop(fact.call, set()):
                    self._seen.pop(failure, None)

    def _failed(self, failure: str) -> None:
        count, first, tried = self._seen.get(failure, (0, self._turn, frozenset()))
        new_approach = count > 1 and not self._tried <= tried
        self._seen[failure] = (1, self._turn, frozenset(self._tried)) if new_approach else (
            count + 1, first, tried | self._tried
        )  # fmt: skip

    def symptom(self) -> Numbers | None:
        worst = max(self._seen.values(), default=(0, 0, frozenset()))
        if worst[0] < self._settings.times:
            return None
        return {"times": worst[0], "bound": self._settings.times, "turns": self._turn - worst[1] + 1}

    def clear(self) -> None:
        self._seen.clear()
        self._by_call.clear()
        self._tried.clear()


class SameCallDetector:
    """How often each call was made since the workspace changed or something new came in."""

    def __init__(self, settings: SameCall) -> None:
        self._settings = settings
        self._turn = 0
        self._made: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Answered):
            self._turn += 1
        elif isinstance(fact, Advanced | Told):
            self._forget()
        elif isinstance(fact, Returned):
            if fact.changed and fact.call not in self._made:
                self._forget()
            if not fact.poll:
                self._made[fact.call] += 1
                self._first.setdefault(fact.call, self._turn)
                self._names[fact.call] = fact.tool

    def _forget(self) -> None:
        self._made.clear()
        self._first.clear()
        self._names.clear()

    def symptom(self) -> Numbers | None:
        for call, times in self._made.most_common(1):
            if times >= self._settings.times:
                turns = self._turn - self._first[call] + 1
                return {"tool": self._names[call], "times": times, "bound": self._settings.times, "turns": turns}
        return None

    def clear(self) -> None:
        self._forget()


class PollingDetector:
    """Looks at subagents since one of them ended."""

    def __init__(self, settings: Polling) -> None:
        self._settings = settings
        self._turn = self._first = self._looks = 0

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Answered):
            self._turn += 1
        elif isinstance(fact, Advanced) and fact.subagent:
            self._looks = 0
        elif isinstance(fact, Returned) and fact.poll:
            self._first = self._turn if self._looks == 0 else self._first
            self._looks += 1

    def symptom(self) -> Numbers | None:
        if self._looks < self._settings.times:
            return None
        return {"times": self._looks, "bound": self._settings.times, "turns": self._turn - self._first + 1}

    def clear(self) -> None:
        self._looks = 0


class TalkDetector:
    """Output of answers in a row that use no tool."""

    def __init__(self, settings: Talk) -> None:
        self._settings = settings
        self._turns = self._output = 0

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Answered):
            self._turns, self._output = (0, 0) if fact.tools else (self._turns + 1, self._output + fact.usage.output)

    def symptom(self) -> Numbers | None:
        if self._turns < self._settings.turns or self._output <= self._settings.tokens:
            return None
        return {"output_tokens": self._output, "bound": self._settings.tokens, "turns": self._turns}

    def clear(self) -> None:
        self._turns = self._output = 0


def detectors(settings: Breakers) -> dict[str, Detector]:
    """A fresh detector for every breaker that is on. `silent` has none: it is a matter of the clock, not of facts."""
    made: dict[str, Detector] = {}
    for name, breaker in settings.all():
        match breaker:
            case Rereading():
                made[name] = RereadingDetector(breaker)
            case NoProgress():
                made[name] = NoProgressDetector(breaker)
            case SameFailure():
                made[name] = SameFailureDetector(breaker)
            case SameCall():
                made[name] = SameCallDetector(breaker)
            case Polling():
                made[name] = PollingDetector(breaker)
            case Talk():
                made[name] = TalkDetector(breaker)
    return made
