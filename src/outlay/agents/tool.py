"""A tool: what a model sees of it, and what runs when it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from outlay.sandbox.types import Use
from outlay.wires.types import ToolSpec

if TYPE_CHECKING:
    from outlay.agents.session import Session

Effect = Literal["none", "workspace", "outside"]
"""What a tool may have done when a crash cut it: nothing; changes in the workspace, which restoring undoes (both are
run again); or something outside that cannot be undone (the model is told that its effect is unknown)."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool gives back."""

    text: str
    """What the model sees."""
    is_error: bool = False
    commit: str | None = None
    """Snapshot of the workspace after the tool, where it took one."""
    use: Use = Use()
    """What a command used of the machine, where the tool ran one."""
    answer: str | None = None
    """Set when the session is done: its answer."""
    merges: tuple[Merged, ...] = ()
    label: frozenset[str] = frozenset()
    """Data names that the text carries, besides the session's own; see `guard`."""


class Merged(msgspec.Struct, frozen=True):
    """A subagent's work that was merged into the workspace."""

    agent: str
    base: str
    ours: str
    theirs: str
    result: str
    conflicts: tuple[str, ...] = ()


class Tool(msgspec.Struct, frozen=True):
    """One tool of a session."""

    spec: ToolSpec
    arguments: type[msgspec.Struct]
    run: Callable[[Session, Any], Awaitable[Outcome]]
    effect: Effect = "none"
    replayed: bool = False
    """Run again, in order, to rebuild a workspace from its last snapshot (it depends on nothing but the workspace)."""


class Refused(Exception):
    """A tool call that cannot be done; its text goes to the model as an error."""


def tool(
    name: str,
    description: str,
    arguments: type[msgspec.Struct],
    run: Callable[[Session, Any], Awaitable[Outcome]],
    effect: Effect = "none",
    *,
    replayed: bool = False,
    choices: dict[str, tuple[str, ...]] | None = None,
) -> Tool:
    """A tool whose schema is that of its `arguments`. `choices` turns a text field, by name, into an enum."""
    schema = msgspec.json.encode(schema_of(arguments, choices or {}))
    return Tool(ToolSpec(name, description, msgspec.Raw(schema)), arguments, run, effect, replayed)


def schema_of(arguments: type[msgspec.Struct], choices: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """A short JSON schema: no titles, no defaults, nothing by reference."""
    (schema,), components = msgspec.json.schema_components([arguments], ref_template="{name}")

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return plain(components[node["$ref"]])
        if "anyOf" in node:  # an optional field: say its type only
            return plain(next(option for option in node["anyOf"] if option != {"type": "null"}))
        result = {key: plain(value) for key, value in node.items() if key not in ("title", "default", "description")}
        if "description" in node and node.get("type") != "object":
            result["description"] = node["description"]
        if not result.get("required", True):
            del result["required"]
        for name, values in choices.items():
            if name in result.get("properties", {}):
                result["properties"][name] = {"type": "string", "enum": list(values)}
        return result

    result: dict[str, Any] = plain(schema)
    return result


def decode(arguments: str, into: type[msgspec.Struct]) -> Any:
    """Arguments as generated, checked. Raises Refused with what is wrong, for the model to mend."""
    try:
        return msgspec.json.decode(arguments or "{}", type=into, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(f"wrong arguments: {error}. Send the call again.") from None
    except msgspec.DecodeError as error:
        raise Refused(f"the arguments are not valid JSON ({error}). Send the call again.") from None
