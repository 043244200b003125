"""A model whose plan stands in the text of its task.

`[[turns=3 tool=shell command="echo {turn}"]]` calls the tool `shell` in each of three turns, then answers `Done.`
Several plans follow one another. Keys: `tool`, `turns` (1), `calls` (tool calls in a turn, 1), `say` (text said with
the calls; without `tool`: the final answer), `reasoning`, `output_tokens`, `delay_s`; every other key is an argument
of the tool, as JSON where it is JSON. `{turn}` and `{i}` (number of the call in the turn) stand for numbers. A quoted
value may hold plans of its own, for subagents. A later message with plans of its own (new instructions) starts anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from modelserver.script import Answer, Call, Tool

_PLAN = re.compile(r'\[\[((?:"(?:\\.|[^"\\])*"|[^"\]]|\](?!\]))*)\]\]', re.DOTALL)
_PAIR = re.compile(r'(\w+)=("(?:\\.|[^"\\])*"|[^\s"]+)', re.DOTALL)


@dataclass(frozen=True)
class Plan:
    tool: str
    turns: int
    calls: int
    say: str
    reasoning: str
    output_tokens: int | None
    delay_s: float
    arguments: dict[str, Any]


def plans(text: str) -> list[Plan]:
    """The plans in a text."""
    found = []
    for match in _PLAN.finditer(text):
        pairs = {key: _value(value) for key, value in _PAIR.findall(match[1])}
        if not pairs:
            continue
        tokens = pairs.pop("output_tokens", None)
        found.append(
            Plan(
                str(pairs.pop("tool", "")),
                int(pairs.pop("turns", 1)),
                int(pairs.pop("calls", 1)),
                str(pairs.pop("say", "")),
                str(pairs.pop("reasoning", "")),
                None if tokens is None else int(tokens),
                float(pairs.pop("delay_s", 0)),
                pairs,
            )
        )
    return found


def _value(text: str) -> Any:
    if text.startswith('"'):
        # A JSON string; line ends inside it are welcome.
        return json.loads(text, strict=False)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _filled(value: Any, turn: int, i: int) -> Any:
    if isinstance(value, str):
        return value.replace("{turn}", str(turn)).replace("{i}", str(i))
    return value


class Worker:
    """The script. Holds, by conversation, where the newest plans began and which they are."""

    def __init__(self, final: str = "Done.") -> None:
        self._final = final
        self._plans: dict[str, tuple[int, list[Plan]]] = {}

    def __call__(self, call: Call) -> Answer:
        if call.turn == 0:
            self._plans[call.conversation] = (0, plans(call.last))
        elif "[[" in (news := call.last) and (newer := plans(news)):
            self._plans[call.conversation] = (call.turn, newer)
        elif call.conversation not in self._plans:
            self._plans[call.conversation] = (0, plans(call.task))
        began, todo = self._plans[call.conversation]
        turn = call.turn - began
        for plan in todo:
            if turn >= plan.turns:
                turn -= plan.turns
                continue
            tools = tuple(
                Tool(plan.tool, {key: _filled(value, turn, i) for key, value in plan.arguments.items()})
                for i in range(plan.calls if plan.tool else 0)
            )
            say = str(_filled(plan.say, turn, 0))
            return Answer(
                say or ("" if tools else self._final),
                tools,
                plan.reasoning,
                output_tokens=plan.output_tokens,
                delay_s=plan.delay_s,
            )
        return Answer(self._final)
