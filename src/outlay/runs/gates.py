"""Gates: ordered groups of checks. The next opens when the last is green, with the evidence written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from outlay.ledger import Entry
from outlay.runs.checks import Checked
from outlay.runs.goal_types import Check, Gate, Goal


def groups(goal: Goal) -> list[tuple[str, tuple[Check, ...]]]:
    """Name and checks of every gate in order; checks that stand in none come last, under the name ''."""
    by_name = {check.name: check for check in goal.checks}
    named = [(gate.name, tuple(by_name[name] for name in gate.checks)) for gate in goal.gates]
    gated = {name for gate in goal.gates for name in gate.checks}
    rest = tuple(check for check in goal.checks if check.name not in gated)
    return [*named, *([("", rest)] if rest else [])]


def in_order(goal: Goal, results: Sequence[Checked]) -> Iterator[Check]:
    """The checks to run, gate by gate; none behind a gate of which one failed. `results` grows meanwhile."""
    for _, checks in groups(goal):
        yield from checks
        if goal.gates and not all(result.passed for result in results):
            return


def green(goal: Goal, results: Sequence[Checked]) -> list[Gate]:
    """The gates, from the first on, whose checks all passed."""
    passed = {result.check.name for result in results if result.passed}
    found = []
    for gate in goal.gates:
        if not passed.issuperset(gate.checks):
            break
        found.append(gate)
    return found


def passed_entries(goal: Goal, results: Sequence[Checked], known: set[str], commit: str, round_: int) -> list[Entry]:
    """Events for the gates that are green for the first time: their evidence. `known` gets their names."""
    new = [gate for gate in green(goal, results) if gate.name not in known]
    known.update(gate.name for gate in new)
    return [
        Entry("gate.passed", {"name": gate.name, "checks": list(gate.checks), "round": round_, "commit": commit})
        for gate in new
    ]


def open_checks(goal: Goal, passed: set[str]) -> tuple[Check, ...]:
    """The checks that the agent is shown: those of the gates that passed before, and of the first that is open."""
    shown: list[Check] = []
    for name, checks in groups(goal):
        shown += checks
        if goal.gates and name not in passed:
            break
    return tuple(shown)


def with_rules(goal: Goal) -> str:
    """The goal with the rules that hold besides: of delegation, of gates."""
    rules = goal.delegation.said()
    if goal.gates:
        names = ", then ".join(gate.name for gate in goal.gates)
        rules.append(f"the checks come in gates: {names}; finish when one is reached, and the next opens")
    return goal.body + ("\n\n## Rules\n\n" + "\n".join(f"- {rule}" for rule in rules) if rules else "")


def said(goal: Goal, results: Sequence[Checked]) -> str:
    """Where the work stands at the gates, for the agent; empty without gates."""
    if not goal.gates:
        return ""
    names = [gate.name for gate in green(goal, results)]
    left = [gate.name for gate in goal.gates if gate.name not in names]
    text = f"Gates passed: {', '.join(names) or 'none'}."
    if left:
        later = f"; behind it: {', '.join(left[1:])}" if left[1:] else ""
        wanted = "; ".join(f"{c.name}: `{c.command}` passes with {c.rule}" for c in open_checks(goal, set(names)))
        text += f" Open: {left[0]}{later}. Its checks and those before: {wanted}."
    return f"{text}\n"
