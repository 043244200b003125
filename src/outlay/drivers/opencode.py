"""OpenCode, driven through `opencode serve`: requests and server-sent events. Read off OpenCode 1.18.33."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from outlay.drivers.feed import Feed
from outlay.drivers.process import Process
from outlay.drivers.types import (
    ChildEnded,
    ChildStarted,
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
from outlay.errors import EnvironmentProblem, OutlayError
from outlay.tokens import Usage

if TYPE_CHECKING:
    import aiohttp

PORT = 4096
"""Inside; each session has a network of its own."""
START_S = 120.0
ANSWER_S = 120.0
_USER = "opencode"
_PROVIDER = "outlay"
_AGENT = "outlay"
_CHILD = "You are a subagent. Do the task that you are given and answer with its result, in full."
_KINDS: Mapping[str, Kind] = {
    "read": "read", "glob": "read", "grep": "read", "list": "read", "edit": "write", "bash": "shell", "task": "agents",
    "lsp": "read",
}  # fmt: skip
"""Its permissions, and what they are here."""
_NEVER = ("webfetch", "websearch", "codesearch", "question", "skill")
"""Not even offered: there is no web here and nobody to ask."""


class OpenCode:
    """The driver."""

    async def start(self, launch: Launch, spawn: Spawn) -> Conversation:
        """Raises EnvironmentProblem with what it said when it does not start."""
        folder = launch.home / ".config" / "opencode"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "opencode.json").write_text(json.dumps(config(launch), indent=2))
        password = secrets.token_urlsafe(24)
        environment = {
            "OPENCODE_SERVER_PASSWORD": password,
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            "OPENCODE_DISABLE_CLAUDE_CODE": "1",
            "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
        }
        process = await spawn((*launch.program, "serve", "--port", str(PORT)), environment, (PORT,))
        conversation = OpenCodeConversation(process, launch, password)
        try:
            await conversation.open()
        except BaseException as error:
            await conversation.stop()
            if isinstance(error, OutlayError | TimeoutError):
                why = str(error) or f"it was silent for {START_S:g} s"
                raise EnvironmentProblem(f"opencode did not start: {why}") from None
            raise
        return conversation


def config(launch: Launch) -> dict[str, Any]:
    """Its opencode.json. What a role may not do is asked for, so that the refusal can say why; children are bound by
    the same rules, which rules of a session are not."""
    rules: dict[str, str] = {"*": "allow"}
    rules |= {name: "ask" for name, kind in _KINDS.items() if denial(kind, launch.tools)}
    if denial("agents", launch.tools):
        rules["task"] = "deny"  # its description alone is a quarter of the prompt
    rules |= dict.fromkeys(_NEVER, "deny")
    limit = {"context": launch.window_tokens, "output": launch.max_output_tokens}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Outlay",
        "models": {launch.model: {"name": launch.model, "tool_call": True, "limit": limit}},
        "options": {"baseURL": f"{launch.gateway}/v1", "apiKey": launch.key},
    }
    model = f"{_PROVIDER}/{launch.model}"
    agents: dict[str, Any] = {name: {"disable": True} for name in ("build", "plan", "explore", "title")}
    agents[_AGENT] = {"mode": "primary", "prompt": launch.instructions}
    agents["general"] = {"mode": "subagent", "prompt": _CHILD}
    server = {"type": "remote", "url": launch.mcp, "enabled": True, "oauth": False, "timeout": 86_400_000}
    return {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "lsp": False,
        "formatter": False,
        "plugin": [],
        "instructions": [],
        "model": model,
        "small_model": model,
        "enabled_providers": [_PROVIDER],
        "provider": {_PROVIDER: provider},
        "default_agent": _AGENT,
        "agent": agents,
        "permission": rules,
        "mcp": {"outlay": server} if launch.mcp else {},
    }


class OpenCodeConversation:
    """A session of OpenCode's and the sessions that it starts."""

    def __init__(self, process: Process, launch: Launch, password: str) -> None:
        self._process = process
        self._launch = launch
        self._feed = Feed()
        token = base64.b64encode(f"{_USER}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self._client: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._session = ""
        self._children: set[str] = set()
        self._busy = False
        """Whether OpenCode has said that it works; an idle before that belongs to the turn before."""
        self._said: dict[str, str] = {}
        """Session -> the last text of its turn."""
        self._error: dict[str, tuple[str, str]] = {}
        """Session -> kind and words of the error that ended its turn."""
        self._running: set[str] = set()
        """Tool calls that were told."""

    async def open(self) -> None:
        import aiohttp

        await asyncio.wait_for(self._until_listening(), START_S)
        connector = aiohttp.UnixConnector(str(self._process.sockets[PORT]))
        self._client = aiohttp.ClientSession("http://localhost", connector=connector, headers=self._headers)
        health = await self._ask("GET", "/global/health")
        subscribed = asyncio.Event()
        self._later(self._read(subscribed))
        await asyncio.wait_for(subscribed.wait(), ANSWER_S)
        if self._launch.native:
            self._session = (await self._ask("GET", f"/session/{self._launch.native}"))["id"]
        else:
            # A title of ours, so that none is asked of a model.
            self._session = (await self._ask("POST", "/session", {"title": self._launch.session}))["id"]
        self._feed.tell(Started(self._session, health.get("version", ""), self._launch.model))

    async def _until_listening(self) -> None:
        while line := await self._process.line():
            if b"listening on" in line:
                self._later(self._swallow())
                return
        raise EnvironmentProblem(self._process.complaint() or "it ended without a word")

    async def _swallow(self) -> None:
        """Its stdout says nothing more of use, but it must not fill up. Its end is the agent's."""
        while await self._process.line():
            pass
        self._feed.end(f"opencode has ended: {self._process.complaint() or 'it said nothing'}")

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Raises EnvironmentProblem with what OpenCode answered instead."""
        import aiohttp

        assert self._client is not None
        try:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            async with self._client.request(method, path, json=body, timeout=timeout) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EnvironmentProblem(f"opencode does not answer {path}: {error or type(error).__name__}") from None
        if answer.status >= 400:
            raise EnvironmentProblem(f"opencode: {path}: {answer.status}: {raw[:300].decode(errors='replace')}")
        return msgspec.json.decode(raw) if raw else None

    async def send(self, text: str) -> None:
        """A message while it works is read after the present step."""
        if not self._feed.in_turn:
            self._busy = False
        self._feed.in_turn = True
        body = {"agent": _AGENT, "parts": [{"type": "text", "text": text}]}
        await self._ask("POST", f"/session/{self._session}/prompt_async", body)

    def events(self) -> AsyncIterator[Event]:
        return self._feed.events()

    async def interrupt(self) -> None:
        """Children's turns, too."""
        await self._ask("POST", f"/session/{self._session}/abort")

    async def stop(self) -> None:
        self._feed.end()
        await self._process.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def usage(self) -> Mapping[str, Usage]:
        return self._feed.usage

    # ---- what it tells

    async def _read(self, subscribed: asyncio.Event) -> None:
        import aiohttp

        assert self._client is not None
        pending = b""
        with contextlib.suppress(aiohttp.ClientError, OSError):  # its end is seen by `_swallow`
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_S)
            async with self._client.get("/event", timeout=timeout) as stream:
                async for piece in stream.content.iter_any():
                    *lines, pending = (pending + piece).split(b"\n")
                    for line in lines:
                        if line.startswith(b"data:"):
                            event = msgspec.json.decode(line[5:])
                            if event["type"] == "server.connected":
                                subscribed.set()
                            self._take(event["type"], event["properties"])

    def _take(self, kind: str, said: dict[str, Any]) -> None:
        session = said.get("sessionID", "")
        if kind == "session.created" and said["info"].get("parentID"):
            info = said["info"]
            self._children.add(session)
            parent = info["parentID"] if info["parentID"] != self._session else ""
            self._feed.tell(ChildStarted(session, info.get("agent", ""), info.get("title", ""), parent))
        elif session != self._session and session not in self._children:
            return
        elif kind == "message.part.updated":
            self._part(said["part"], self._child(session))
        elif kind == "session.status" and said["status"]["type"] != "idle":
            self._busy = self._busy or session == self._session
        elif kind == "session.error":
            error = said.get("error") or {}
            words = (error.get("data") or {}).get("message") or error.get("name", "no reason was given")
            self._error[session] = (error.get("name", ""), words)
        elif kind == "session.idle":
            self._idle(session)
        elif kind == "permission.asked":
            self._later(self._permit(said))

    def _child(self, session: str) -> str:
        return "" if session == self._session else session

    def _idle(self, session: str) -> None:
        if session == self._session and not (self._feed.in_turn and self._busy):
            return
        name, words = self._error.pop(session, ("", ""))
        answer = self._said.pop(session, "")
        if session == self._session:
            self._busy = False
            status = "interrupted" if name == "MessageAbortedError" else "failed" if name else "done"
            self._feed.tell(TurnEnded(status, answer, words if status == "failed" else ""))  # type: ignore[arg-type]
        elif session in self._children:
            ended = "cancelled" if name == "MessageAbortedError" else "failed" if name else "done"
            self._feed.tell(ChildEnded(session, ended, answer))  # type: ignore[arg-type]

    def _part(self, part: dict[str, Any], child: str) -> None:
        kind = part["type"]
        if kind == "text" and (part.get("time") or {}).get("end") and part["text"]:
            self._said[part["sessionID"]] = part["text"]
            self._feed.tell(Said(part["text"], child))
        elif kind == "tool":
            self._tool(part, part["state"], child)
        elif kind == "step-finish":
            self._feed.tell(UsageReported(self._launch.model, _usage(part["tokens"]), part.get("cost") or None))

    def _tool(self, part: dict[str, Any], state: dict[str, Any], child: str) -> None:
        call, name, status = part["callID"], part["tool"], state["status"]
        if status != "pending" and call not in self._running:
            self._running.add(call)
            self._feed.tell(ToolAsked(call, name, json.dumps(state.get("input", {})), child))
        if status in ("completed", "error"):
            self._running.discard(call)
            failed = status == "error"
            text = str(state.get("error" if failed else "output", ""))
            self._feed.tell(ToolDone(call, name, text, failed or bool(state.get("metadata", {}).get("exit")), child))

    # ---- what it asks

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _permit(self, asked: dict[str, Any]) -> None:
        """By the role's tools; with a message the run goes on after a refusal."""
        name = asked["permission"]
        words = denial(_KINDS[name], self._launch.tools) if name in _KINDS else ""
        what = json.dumps(asked.get("metadata") or {"patterns": asked["patterns"]})
        self._feed.tell(PermissionAsked(name, what, words, self._child(asked["sessionID"])))
        reply = {"reply": "reject", "message": words} if words else {"reply": "once"}
        with contextlib.suppress(EnvironmentProblem):  # the turn was interrupted meanwhile
            await self._ask("POST", f"/permission/{asked['id']}/reply", reply)


def _usage(said: dict[str, Any]) -> Usage:
    """What it calls output is without the reasoning."""
    cache = said.get("cache") or {}
    reasoning = said.get("reasoning", 0)
    return Usage(
        fresh=said["input"],
        cache_read=cache.get("read", 0),
        cache_write_5m=cache.get("write", 0),
        output=said["output"] + reasoning,
        reasoning=reasoning,
    )


DRIVER = OpenCode()
