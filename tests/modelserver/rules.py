"""Scripts as JSON files, for the server as a process.

    {"rules": [{"task": "regex", "last": "regex", "result": "regex", "system": "regex", "model": "regex",
                "turn": 3 | [0, 9], "times": 1, <what to do>}],
     "faults": {"rate": 0.1, "kinds": ["rate_limit", "cut"], "seed": 1, "retry_after": "0.01"}}

The first rule whose conditions all hold is taken. What to do: `answer` (a text, or the fields of an Answer with
`tools` as [{"name": ..., "arguments": ...}]), `answers` (a list, by turn), `fault` (a kind, or the fields of a
FaultPlan), `worker` (true: the plan stands in the task). Without a rule that holds, the worker answers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from modelserver.script import Answer, Call, FaultPlan, Said, Script, Tool, with_faults
from modelserver.worker import Worker


def load(path: str | Path) -> Script:
    """The script of a JSON file. Raises ValueError for a file that is none."""
    return from_rules(json.loads(Path(path).read_text()))


def from_rules(document: dict[str, Any]) -> Script:
    """The script of a JSON document."""
    if unknown := set(document) - {"rules", "faults"}:
        raise ValueError(f"a script has no {', '.join(sorted(unknown))}")
    rules = [_Rule(rule) for rule in document.get("rules", ())]
    worker = Worker()

    def script(call: Call) -> Said:
        rule = next((rule for rule in rules if rule.holds(call)), None)
        return worker(call) if rule is None else rule.said(call, worker)

    return with_faults(script, **document["faults"]) if document.get("faults") else script


class _Rule:
    def __init__(self, rule: dict[str, Any]) -> None:
        known = {"task", "last", "result", "system", "model", "turn", "times", "answer", "answers", "fault", "worker"}
        if unknown := set(rule) - known:
            raise ValueError(f"a rule has no {', '.join(sorted(unknown))}")
        patterns = ("task", "last", "result", "system", "model")
        self._patterns = {name: re.compile(rule[name], re.DOTALL) for name in patterns if name in rule}
        turn = rule.get("turn")
        self._turns = (turn, turn) if isinstance(turn, int) else tuple(turn) if turn else (0, 1 << 60)
        self._left = rule.get("times", 1 << 60)
        self._rule = rule

    def holds(self, call: Call) -> bool:
        if self._left <= 0 or not self._turns[0] <= call.turn <= self._turns[1]:
            return False
        for name, pattern in self._patterns.items():
            text = "\n".join(r.content for r in call.results) if name == "result" else getattr(call, name)
            if not pattern.search(text):
                return False
        return True

    def said(self, call: Call, worker: Worker) -> Said:
        self._left -= 1
        rule = self._rule
        if "fault" in rule:
            fault = rule["fault"]
            if isinstance(fault, str):
                return FaultPlan(fault, answer=worker(call))
            answer = _answer(fault["answer"]) if "answer" in fault else worker(call)
            return FaultPlan(**(fault | {"answer": answer}))
        if "answers" in rule:
            return _answer(rule["answers"][min(call.turn, len(rule["answers"]) - 1)])
        return _answer(rule["answer"]) if "answer" in rule else worker(call)


def _answer(value: str | dict[str, Any]) -> Answer:
    if isinstance(value, str):
        return Answer(value)
    tools = tuple(Tool(**tool) for tool in value.get("tools", ()))
    return Answer(**(value | {"tools": tools}))
