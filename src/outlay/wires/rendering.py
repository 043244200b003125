"""Messages as bytes, each rendered once.

A request is joined from the bytes of its messages. Rendering a message once gives the same bytes every time (the
providers' caches hold) and keeps the cost of a turn independent of what was said before.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

import msgspec

from outlay.wires.types import Message, ToolSpec

MALFORMED = "_malformed"
"""Key under which tool arguments that are no JSON object are replayed to APIs that take only objects."""


class _Ref(weakref.ref[Message]):
    """A weak reference that knows its key and holds what was rendered."""

    __slots__ = ("key", "rendered")
    key: int
    rendered: bytes


class RenderedMessages:
    """Bytes by message, by identity. A message that nobody holds any more is forgotten."""

    def __init__(self, render: Callable[[Message], bytes]) -> None:
        self._render = render
        self._refs: dict[int, _Ref] = {}
        self._forgotten = self._forget  # one bound method for all references, not one for each

    def __len__(self) -> int:
        return len(self._refs)

    def __call__(self, message: Message) -> bytes:
        ref = self._refs.get(id(message))
        if ref is not None and ref() is message:
            return ref.rendered
        rendered = self._render(message)
        ref = _Ref(message, self._forgotten)
        ref.key, ref.rendered = id(message), rendered
        self._refs[ref.key] = ref
        return rendered

    def _forget(self, ref: weakref.ref[Message]) -> None:
        assert isinstance(ref, _Ref)
        if self._refs.get(ref.key) is ref:
            del self._refs[ref.key]


def encode(value: object) -> bytes:
    """JSON. Lone surrogates (from file names, say) become `?`: no API takes them."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(value))


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def is_object(text: str) -> bool:
    """Whether `text` is a JSON object."""
    if not text.lstrip(" \t\r\n").startswith("{"):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def as_object(arguments: str) -> bytes:
    """Tool arguments as a JSON object: verbatim when they are one, else the text under the key `_malformed`."""
    if not arguments.strip():
        return b"{}"
    if is_object(arguments):
        return arguments.strip().encode()
    return encode({MALFORMED: arguments})


def merged(messages: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """The pieces of messages of APIs whose roles must alternate: neighbours of one role become one message.

    `messages` are pairs of the bytes that open a message (up to its list of parts) and its parts, comma-separated.
    Messages without parts are left out. The bytes of a message's parts never depend on what follows them.
    """
    pieces: list[bytes] = []
    role: bytes | None = None
    for opening, parts in messages:
        if not parts:
            continue
        if opening == role:
            pieces += (b",", parts)
        else:
            pieces += (opening, parts) if role is None else (b"]},", opening, parts)
            role = opening
    if role is not None:
        pieces.append(b"]}")
    return pieces


def tool_objects(tools: tuple[ToolSpec, ...], schema_key: str) -> list[dict[str, object]]:
    """Tools as objects of name, description and schema."""
    return [{"name": tool.name, "description": tool.description, schema_key: tool.schema} for tool in tools]
