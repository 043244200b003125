"""What filled the contexts: the growth of a session's input from call to call, traced to tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from outlay.ledger.calls import Call


def growth(earlier: Call, later: Call) -> int:
    """Tokens that entered the context between two consecutive calls of a session, the earlier call's own answer left
    out. The input's growth is exact; whether an answer's reasoning is read again differs between providers, so the
    answer is taken without its reasoning where the growth has no room for all of it."""
    grown = later.usage.input - earlier.usage.input
    if grown >= earlier.usage.output:
        return grown - earlier.usage.output
    return max(grown - (earlier.usage.output - earlier.usage.reasoning), 0)


def by_session(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """Answered and measured calls of every session, in order."""
    found: dict[str, list[Call]] = {}
    for call in calls:
        if call.status == "ok" and call.usage.input:
            found.setdefault(call.session, []).append(call)
    return found


def brought_by_tools(
    calls: Iterable[Call], entered: Mapping[tuple[str, str], Sequence[tuple[str, int]]]
) -> dict[str, int]:
    """Estimated tokens that each tool's results brought into contexts.

    entered: (session, key of a call) -> what entered the context after its answer, as (tool, characters); messages
    of ours have an empty tool name and take their share, too.
    The exact growth between two calls is shared out over what entered between them, by characters.
    """
    tokens: dict[str, float] = {}
    for session, own in by_session(calls).items():
        for earlier, later in pairwise(own):
            parts = entered.get((session, earlier.key), ())
            chars = sum(size for _, size in parts)
            if not chars:
                continue
            per_char = growth(earlier, later) / chars
            for tool, size in parts:
                tokens[tool] = tokens.get(tool, 0.0) + size * per_char
    return {tool: round(count) for tool, count in tokens.items()}
