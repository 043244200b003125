"""Taking out of a conversation what it no longer needs: old tool results, and files that were read again or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from outlay.agents.context.rule import Clean
from outlay.wires.types import Message, Text, ToolCall, ToolResult

KEPT_TURNS = 4
"""The newest turns, whose results stay."""
SHORT_CHARS = 600
"""Results up to this length stay."""
MOST_CHARS_PER_TOKEN = 8
"""Of what is taken out: many, so that what is left is not estimated below the truth (English has 4)."""
HEAD_CHARS = 200
"""What stays of a result that is cut."""
READS = "read"
CHANGES = frozenset({"write", "edit"})


class Edit(msgspec.Struct, frozen=True, array_like=True):
    """A tool result with another text: the message's place, the part's place in it, the text."""

    message: int
    part: int
    text: str


class Cleaning(msgspec.Struct, frozen=True):
    """A clean-up that could be made."""

    edits: tuple[Edit, ...]
    removed_chars: int
    again_chars: int
    """Of the removed, what stands nowhere else in the conversation."""
    behind_chars: int
    """What stays from the first change on."""
    folded: int
    """Edits of results that stand in the conversation a second time or are out of date."""

    def tokens(self, per_char: float) -> Clean:
        """The same in tokens."""
        return Clean(int(self.removed_chars * per_char), int(self.again_chars * per_char),
                     int(self.behind_chars * per_char))  # fmt: skip


class _Found(msgspec.Struct, frozen=True):
    edit: Edit
    saved: int
    folded: bool


def size(message: Message) -> int:
    """Characters of a message, as far as models are sent them."""
    return sum(_part_size(part) for part in message.parts)


def _part_size(part: Text | ToolCall | ToolResult) -> int:
    match part:
        case Text(text):
            return len(text)
        case ToolCall(_, name, arguments):
            return len(name) + len(arguments)
        case ToolResult(_, name, content):
            return len(name) + len(content)


def best(messages: Sequence[Message], gain: Callable[[Cleaning], float]) -> Cleaning | None:
    """The clean-up with the largest gain; None when there is nothing to take out.

    Whatever follows the first change is lost to the cache, so a clean-up may begin at any result that could go, and
    takes out all that could go from there on.
    """
    found = list(_could_go(messages))
    chosen: Cleaning | None = None
    most = 0.0
    behind = removed = again = folded = 0
    at = len(messages)
    for n in range(len(found) - 1, -1, -1):
        one = found[n]
        behind += sum(size(message) for message in messages[one.edit.message : at])
        at = one.edit.message
        removed += one.saved
        again += 0 if one.folded else one.saved
        folded += one.folded
        if n and found[n - 1].edit.message == one.edit.message:
            continue
        cleaning = Cleaning(tuple(each.edit for each in found[n:]), removed, again, behind - removed, folded)
        if chosen is None or gain(cleaning) > most:
            chosen, most = cleaning, gain(cleaning)
    return chosen


def apply(messages: list[Message], edits: Sequence[Edit]) -> None:
    """Make a clean-up. Messages that change are new ones; the others stay what they are, byte for byte."""
    for edit in edits:
        message = messages[edit.message]
        parts = list(message.parts)
        parts[edit.part] = msgspec.structs.replace(parts[edit.part], content=edit.text)
        messages[edit.message] = Message(message.role, tuple(parts))


def _could_go(messages: Sequence[Message]) -> Iterator[_Found]:
    """Results that could go, oldest first."""
    asked: dict[str, ToolCall] = {}
    read: dict[str, int] = {}
    changed: dict[str, int] = {}
    for index, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, ToolCall):
                asked[part.id] = part
            elif isinstance(part, ToolResult) and not part.is_error and (call := asked.get(part.call_id)) is not None:
                if part.name == READS:
                    read[call.arguments] = index
                elif part.name in CHANGES:
                    changed[_path(call)] = index
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    newest = answers[-KEPT_TURNS] if len(answers) >= KEPT_TURNS else 0
    asked = {}
    for index, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolCall):
                asked[part.id] = part
            elif isinstance(part, ToolResult) and len(part.content) > SHORT_CHARS:
                text = _instead(part, asked.get(part.call_id), index, read, changed)
                if text is None and index < newest:
                    cut = f"(cut here: {len(part.content) - HEAD_CHARS:,} characters more; ask again for what you need)"
                    text = f"{part.content[:HEAD_CHARS]}\n{cut}"
                    yield _Found(Edit(index, place, text), len(part.content) - len(text), False)
                elif text is not None:
                    yield _Found(Edit(index, place, text), len(part.content) - len(text), True)


def _instead(
    result: ToolResult, call: ToolCall | None, index: int, read: dict[str, int], changed: dict[str, int]
) -> str | None:
    """What stands for a file that was read again, or changed, later; None when it was not."""
    if result.name != READS or call is None or result.is_error:
        return None
    if read.get(call.arguments, index) > index:
        return "(read again later: see there)"
    return "(changed later: read it again)" if changed.get(_path(call), index) > index else None


def _path(call: ToolCall) -> str:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return call.id
    return str(arguments.get("path")) if isinstance(arguments, dict) else call.id
