"""Limits from the command line: `usd=2.50`, `turns=100`, `wall=2h`, `session.turns=20`, `day.usd=20`, `usd=none`,
`roles.scout.usd=1`, `breakers.same_call.times=3`, `breakers.polling=off`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.runs.goal_types import Goal, Limits
from outlay.runs.yaml_lines import Document, Problems, nearest

Tree = dict[str, "str | Tree"]
"""Values by key, as written; keys with a dot are nested."""


def change(settings: Iterable[str]) -> Callable[[Goal], Goal]:
    """What sets these limits in a goal. Raises InputError at once when one is no limit, later when a goal has no such
    role."""
    changed = change_limits(settings)

    def change_goal(goal: Goal) -> Goal:
        limits = changed(goal.limits)
        for role in limits.roles:
            if role not in goal.team.roles:
                raise InputError(f"--limit roles.{role}: no role {role!r}{nearest(role, goal.team.roles)}")
        return msgspec.structs.replace(goal, limits=limits)

    return change_goal


def change_limits(settings: Iterable[str]) -> Callable[[Limits], Limits]:
    """What sets these among other limits. Raises InputError at once when one is no limit."""
    tree: Tree = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not value.strip():
            raise InputError(f"--limit {setting!r} is not KEY=VALUE, such as usd=2.50 or wall=2h")
        _put(tree, key.split("."), "null" if value.strip() == "none" else value, setting)
    read = _read(tree)
    return lambda limits: _merged(limits, read, tree)


def _put(tree: Tree, path: list[str], value: str, setting: str) -> None:
    *above, last = path
    for key in above:
        below = tree.setdefault(key, {})
        if isinstance(below, str):
            raise InputError(f"--limit {setting!r}: {key} is given as a whole and in part")
        tree = below
    if isinstance(tree.get(last), dict):
        raise InputError(f"--limit {setting!r}: {last} is given as a whole and in part")
    tree[last] = value


def _read(tree: Tree) -> Limits:
    problems = Problems()
    written = list(_yaml(tree, ()))
    read = Document("\n".join(line for line, _ in written), "--limit", 1, problems).read(Limits)
    problems.raise_if_any(lambda option, line: f"{option} {written[min(line, len(written)) - 1][1]}")
    return read if isinstance(read, Limits) else Limits()


def _yaml(tree: Tree, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The lines, each with the whole key of what stands on it."""
    for key, value in tree.items():
        line, whole = "  " * len(above) + f"{key}:", ".".join((*above, key))
        if isinstance(value, str):
            yield f"{line} {value}", whole
        else:
            yield line, whole
            yield from _yaml(value, (*above, key))


def _merged(before: Any, read: Any, tree: Tree) -> Any:
    """`before` with what `tree` names taken from `read`."""
    if isinstance(read, dict):
        both = before | read
        return {k: _merged(before[k], read[k], _below(tree, k)) if k in before and k in read else both[k] for k in both}
    if type(before) is not type(read):  # a breaker that was off
        return read
    fields = dict(zip(read.__struct_encode_fields__, read.__struct_fields__, strict=True))
    changes = {}
    for key, value in tree.items():
        name = fields[key]
        new = getattr(read, name)
        changes[name] = new if isinstance(value, str) else _merged(getattr(before, name), new, value)
    return msgspec.structs.replace(before, **changes)


def _below(tree: Tree, key: str) -> Tree:
    below = tree[key]
    return {} if isinstance(below, str) else below
