"""What every model API has in common: requests, replies, faults. A codec per API translates.

A conversation only grows: codecs render each message once, to the same bytes every time, so that a request
extends the one before it byte for byte and the providers' caches hold.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from outlay.tokens import Usage


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A tool that the model asks for. `arguments` is the JSON text exactly as generated; it may be malformed."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """The answer to the tool call `call_id`."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


Part = Text | ToolCall | ToolResult


class Message(msgspec.Struct, frozen=True, weakref=True):
    """One message. An assistant's message keeps the API's own JSON (`native`, with reasoning and signatures), which
    is sent back verbatim to the same API (`wire`); other APIs get it rendered from `parts`."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]
    wire: str = ""
    native: msgspec.Raw = msgspec.Raw(b"null")
    """`null` where `wire` is empty."""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as models see it. `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: msgspec.Raw


class Request(msgspec.Struct, frozen=True):
    """One model call, independent of the API."""

    model: str
    """The provider's own model id."""
    system: str
    tools: tuple[ToolSpec, ...]
    messages: tuple[Message, ...]
    max_output_tokens: int
    reasoning: Literal["", "low", "medium", "high"] = ""
    """Effort asked of reasoning models; empty: the provider's default."""


Stop = Literal["end", "tools", "length", "refusal", "other"]


class Reply(msgspec.Struct, frozen=True):
    """A model's whole answer."""

    message: Message
    stop: Stop
    model: str
    """The model as the answer names it."""
    usage: Usage | None
    """None when the answer carried no usage: the call is counted and flagged unmeasured."""
    raw_usage: str | None = None
    """The provider's own usage object, as JSON text."""
    request_id: str | None = None
    tier: str = ""
    """Service tier that the answer names, where it is not the standard one."""


FaultKind = Literal[
    "rate_limit", "overloaded", "server", "timeout", "cut", "connection",
    "bad_request", "context_overflow", "auth", "payment", "not_found", "bad_answer",
    "policy",
]  # fmt: skip

RETRYABLE: frozenset[FaultKind] = frozenset(
    {"rate_limit", "overloaded", "server", "timeout", "cut", "connection", "bad_answer"}
)


class Fault(Exception):
    """A call that brought no whole answer."""

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        raw_usage: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s
        """Seconds the provider asked to wait (Retry-After, either form)."""
        self.usage = usage
        """What had arrived of the usage before the stream broke: a lower bound. None when nothing had."""
        self.raw_usage = raw_usage

    @property
    def retryable(self) -> bool:
        return self.kind in RETRYABLE


class StreamReader(Protocol):
    """Reads one streamed answer, in chunks of any size."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body. Raises Fault on an error event inside the stream."""

    def finish(self) -> Reply:
        """The whole reply, once the body has ended. Raises Fault('cut') with the usage so far if it is not whole."""

    @property
    def usage_so_far(self) -> Usage | None:
        """Counters seen until now, for streams that are cancelled: a lower bound."""

    @property
    def raw_usage_so_far(self) -> str | None:
        """The provider's own usage object as seen until now, as JSON text."""


class Codec(Protocol):
    """One model API. Stateless but for a cache of rendered messages."""

    name: str
    """`anthropic`, `openai-chat`, `openai-responses`, `google`."""

    def url(self, base_url: str, model: str) -> str:
        """Where a streamed call is posted."""

    def headers(self, key: str | None) -> dict[str, str]:
        """Headers of a call, the key in its place."""

    def body(self, request: Request) -> bytes:
        """The body of a streamed call. Whatever varies from call to call follows the messages, so that the bytes
        before the end of `messages` are a prefix of the next call's."""

    def prefix_length(self, body: bytes) -> int:
        """How many bytes of `body` (as rendered by `body`) the next request of the conversation must begin with."""

    def reader(self) -> StreamReader:
        """A reader for one streamed answer."""

    def read(self, body: bytes) -> Reply:
        """A whole answer that was not streamed. Raises Fault when it is none."""

    def fault(self, status: int, headers: dict[str, str], body: bytes) -> Fault:
        """What an answer with an error status means. Header names are lower case."""
