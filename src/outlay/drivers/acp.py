"""Any agent that speaks the Agent Client Protocol, through the protocol's own SDK.

It has no word for refusals with a reason, for subagents, for a system prompt or for calls: what it reports of usage is
shown as reported, and what the gateway counts holds. It confines nothing; the sandbox does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from outlay.drivers.feed import Feed
from outlay.drivers.process import Process
from outlay.drivers.types import (
    Conversation,
    Event,
    Kind,
    Launch,
    PermissionAsked,
    Said,
    Spawn,
    Started,
    ToolAsked,
    ToolDone,
    TurnEnded,
    UsageReported,
    denial,
)
from outlay.errors import EnvironmentProblem, InputError
from outlay.gateway.pointing import pointing
from outlay.tokens import Usage

if TYPE_CHECKING:
    from acp import Client
    from acp.client.connection import ClientSideConnection

START_S = 120.0
_AUTH_REQUIRED = -32000
_KINDS: Mapping[str, Kind] = {
    "read": "read", "search": "read", "edit": "write", "delete": "write", "move": "write", "execute": "shell",
    "fetch": "web",
}  # fmt: skip
_PROVIDERS = (("claude", "anthropic"), ("gemini", "google"), ("codex", "openai-responses"))


def provider_of(command: str) -> str:
    """Where an agent's calls go, by the name of its program; OpenAI's chat completions are what most speak."""
    words = command.split()
    name = PurePath(words[0]).name if words else ""
    return next((provider for part, provider in _PROVIDERS if part in name), "openai-chat")


class Acp:
    """The driver."""

    async def start(self, launch: Launch, spawn: Spawn) -> Conversation:
        """Raises EnvironmentProblem with what it said when it does not start, or cannot go on with a conversation."""
        try:
            from acp.exceptions import RequestError
        except ImportError:
            raise InputError("ACP agents need a package more; install it with: pip install 'outlay[acp]'") from None

        environment = pointing(launch.gateway, launch.key) | {"GEMINI_CLI_NO_RELAUNCH": "true"}
        process = await spawn(launch.program, environment)
        conversation = AcpConversation(process, launch)
        try:
            await asyncio.wait_for(conversation.open(), START_S)
        except BaseException as error:
            words = process.complaint()
            await conversation.stop()
            if isinstance(error, RequestError | ConnectionError | TimeoutError | EnvironmentProblem):
                what = " ".join(launch.program)
                why = _why(error) if isinstance(error, RequestError | EnvironmentProblem) else ""
                said = "; ".join(filter(None, (why, words[-500:]))) or "it said nothing"
                raise EnvironmentProblem(f"{what} does not speak ACP here: {said}") from None
            raise
        return conversation


class AcpConversation:
    """A session by the protocol. It is the client: what the agent asks for and tells comes here."""

    def __init__(self, process: Process, launch: Launch) -> None:
        self._process = process
        self._launch = launch
        self._feed = Feed()
        self._connection: ClientSideConnection | None = None
        self._session = ""
        self._recalling = False
        """An old conversation is told again; that is not news."""
        self._instructed = bool(launch.native)
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        self._working: asyncio.Task[None] | None = None
        self._text = ""
        self._answer = ""
        self._tools: dict[str, str] = {}
        self._cost_usd = 0.0

    async def open(self) -> None:
        from acp.client.connection import ClientSideConnection
        from acp.exceptions import RequestError
        from acp.schema import HttpMcpServer, Implementation

        self._process.finished.add_done_callback(lambda _: self._gone())
        connection = ClientSideConnection(cast("Client", self), self._process.stdin, self._process.stdout)
        self._connection = connection
        hello = await connection.initialize(1, client_info=Implementation(name="outlay", version="1"))
        able = hello.agent_capabilities
        http = able is not None and able.mcp_capabilities is not None and able.mcp_capabilities.http
        servers: Any = []
        if self._launch.mcp and http:
            servers = [HttpMcpServer(type="http", name="outlay", url=self._launch.mcp, headers=[])]
        try:
            await self._open_session(servers, can_load=able is not None and bool(able.load_session))
        except RequestError as error:
            methods = [method.id for method in hello.auth_methods or () if "key" in method.id]
            if error.code != _AUTH_REQUIRED or not methods:
                raise
            await connection.authenticate(methods[0])
            await self._open_session(servers, can_load=able is not None and bool(able.load_session))
        info = hello.agent_info
        self._feed.tell(Started(self._session, info.version if info else "", self._launch.model))
        self._working = asyncio.ensure_future(self._work())

    async def _open_session(self, servers: Any, *, can_load: bool) -> None:
        connection, launch = self._connection, self._launch
        assert connection is not None
        if not launch.native:
            session = await connection.new_session(launch.workspace, mcp_servers=servers)
            self._session = session.session_id
            return
        if not can_load:
            raise EnvironmentProblem("it cannot go on with a conversation")
        self._recalling = True
        await connection.load_session(launch.workspace, launch.native, mcp_servers=servers)
        self._recalling = False
        self._session = launch.native

    async def send(self, text: str) -> None:
        """A message while it works is the next turn."""
        self._feed.in_turn = True
        if not self._instructed:  # the protocol has no system prompt
            text, self._instructed = f"{self._launch.instructions}\n\n{text}", True
        self._messages.put_nowait(text)

    def events(self) -> AsyncIterator[Event]:
        return self._feed.events()

    async def interrupt(self) -> None:
        if self._connection is not None and self._feed.in_turn:
            await self._connection.cancel(self._session)

    async def stop(self) -> None:
        self._feed.end()
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        await self._process.end()
        if self._connection is not None:
            with contextlib.suppress(ConnectionError, OSError):
                await self._connection.close()

    def usage(self) -> Mapping[str, Usage]:
        """As far as it reports any: incomplete."""
        return self._feed.usage

    def _gone(self) -> None:
        self._feed.end(f"the agent has ended: {self._process.complaint() or 'it said nothing'}")

    async def _work(self) -> None:
        while True:
            ended = await self._turn(await self._messages.get())
            if self._messages.empty() or ended.status != "done":  # else the turn goes on with what arrived meanwhile
                self._feed.tell(ended)
            self._feed.in_turn = not self._messages.empty()

    async def _turn(self, message: str) -> TurnEnded:
        from acp.exceptions import RequestError
        from acp.helpers import text_block

        assert self._connection is not None
        self._text = self._answer = ""
        try:
            answer = await self._connection.prompt(self._session, [text_block(message)])
        except RequestError as error:
            self._say()
            return TurnEnded("failed", self._answer, _why(error))
        except ConnectionError:
            return TurnEnded("failed", self._answer, self._process.complaint() or "the agent is gone")
        self._say()
        if answer.usage is not None:
            self._feed.tell(UsageReported(self._launch.model, _usage(answer.usage)))
        if answer.stop_reason == "cancelled":
            return TurnEnded("interrupted", self._answer)
        if answer.stop_reason == "refusal":
            return TurnEnded("failed", self._answer, "the agent refused")
        return TurnEnded("done", self._answer)

    # ---- what it tells and asks: names and arguments are the SDK's

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        if self._recalling:
            return
        kind = update.session_update
        if kind == "agent_message_chunk":
            self._text += getattr(update.content, "text", "") or ""
        elif kind == "tool_call":
            self._tool_asked(update)
            self._tool_over(update)
        elif kind == "tool_call_update":
            self._tool_over(update)
        elif kind == "usage_update" and update.cost is not None and update.cost.currency == "USD":
            more, self._cost_usd = update.cost.amount - self._cost_usd, update.cost.amount
            self._feed.tell(UsageReported(self._launch.model, Usage(), more))

    def _tool_asked(self, call: Any) -> None:
        """A call is told once, at its start or when leave is asked for it."""
        if call.tool_call_id not in self._tools:
            self._say()
            self._answer = ""
            self._tools[call.tool_call_id] = call.title or ""
            self._feed.tell(ToolAsked(call.tool_call_id, call.title or "", _json(call.raw_input)))

    def _tool_over(self, update: Any) -> None:
        if update.status in ("completed", "failed") and update.tool_call_id in self._tools:
            name = self._tools.pop(update.tool_call_id)
            parts = [getattr(getattr(part, "content", None), "text", "") or "" for part in update.content or ()]
            self._feed.tell(ToolDone(update.tool_call_id, name, "\n".join(parts), update.status == "failed"))

    def _say(self) -> None:
        text, self._text = self._text.strip(), ""
        if text:
            self._answer = text
            self._feed.tell(Said(text))

    async def request_permission(self, session_id: str, tool_call: Any, options: list[Any], **_: Any) -> Any:
        """By the role's tools. The protocol has no place for the reason, which only the ledger has."""
        from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

        self._tool_asked(tool_call)
        kind = _KINDS.get(tool_call.kind or "")
        words = denial(kind, self._launch.tools) if kind else ""
        name = tool_call.title or self._tools.get(tool_call.tool_call_id, "")
        self._feed.tell(PermissionAsked(name, _json(tool_call.raw_input), words))
        wanted = ("reject_once", "reject_always") if words else ("allow_once", "allow_always")
        for option in sorted((o for o in options if o.kind in wanted), key=lambda o: wanted.index(o.kind)):
            outcome = AllowedOutcome(outcome="selected", option_id=option.option_id)
            return RequestPermissionResponse(outcome=outcome)
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))


def _json(value: Any) -> str:
    return json.dumps(value, default=str) if value is not None else "{}"


def _why(error: BaseException) -> str:
    """A protocol error's words; the particulars stand in its data."""
    data = getattr(error, "data", None)
    more = data.get("details") or data.get("message") if isinstance(data, dict) else data
    return ": ".join(str(part) for part in (error, more) if part)


def _usage(said: Any) -> Usage:
    read, written = said.cached_read_tokens or 0, said.cached_write_tokens or 0
    thought = said.thought_tokens or 0
    return Usage(
        fresh=max(0, said.input_tokens - read - written),
        cache_read=read,
        cache_write_5m=written,
        output=said.output_tokens + thought,
        reasoning=thought,
    )


DRIVER = Acp()
