"""Codex, driven through its app-server: JSON-RPC over stdio. Read off Codex 0.169.0."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from outlay.drivers.feed import Feed
from outlay.drivers.json_rpc import Peer, Unknown
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
from outlay.errors import EnvironmentProblem, InputError, OutlayError
from outlay.tokens import ZERO, Usage

KEY = "OUTLAY_KEY"
_OFF = (
    "apps", "plugins", "remote_plugin", "plugin_sharing", "tool_suggest", "goals", "guardian_approval", "hooks",
    "memories", "mentions_v2", "browser_use", "browser_use_external", "browser_use_full_cdp_access", "computer_use",
    "image_generation", "view_image", "in_app_browser", "in_app_chat", "in_app_voice", "in_app_dictation",
    "in_app_updates", "in_app_local_automation", "skill_search", "skill_mcp_dependency_install", "sleep_tool",
    "workspace_dependencies", "shell_snapshot", "daemon_auto_start", "enable_request_compression",
    "unbounded_connection_retries",
)  # fmt: skip
"""Features that cost tokens, calls or connections and that no session needs."""
_CONFIG = """\
model = {model}
model_provider = "outlay"
model_context_window = {window}
approval_policy = "never"
sandbox_mode = "danger-full-access"  # it runs in Outlay's sandbox
web_search = "disabled"
check_for_update_on_startup = false
include_apps_instructions = false
project_doc_max_bytes = 0

[agents]
enabled = {agents}

[analytics]
enabled = false

[feedback]
enabled = false

[history]
persistence = "none"

[skills.bundled]
enabled = false

[shell_environment_policy]
exclude = [{key}]

[features]
shell_tool = {shell}
{features}

[model_providers.outlay]
name = "Outlay"
base_url = {base_url}
wire_api = "responses"
env_key = {key}
supports_websockets = false
request_max_retries = 0
stream_max_retries = 0
stream_idle_timeout_ms = 600000
"""
_MCP = """
[mcp_servers.outlay]
url = {url}
startup_timeout_sec = 60
tool_timeout_sec = 86400
"""


class Codex:
    """The driver."""

    async def start(self, launch: Launch, spawn: Spawn) -> Conversation:
        """Raises InputError for a role that Codex cannot keep to, EnvironmentProblem when it does not start."""
        _check(launch)
        folder = launch.home / ".codex"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(config(launch))
        environment = {"CODEX_HOME": f"{launch.inside_home}/.codex", KEY: launch.key}
        process = await spawn((*launch.program, "app-server"), environment)
        conversation = CodexConversation(process, launch)
        try:
            await conversation.open()
        except BaseException as error:
            await conversation.stop()
            if isinstance(error, OutlayError):
                raise EnvironmentProblem(f"codex did not start: {error}") from None
            raise
        return conversation


def _check(launch: Launch) -> None:
    """Codex reads with commands: a role that changes files needs them too. One that only reads has a workspace that it
    cannot change, so commands are let through."""
    if denial("shell", launch.tools) and not denial("write", launch.tools):
        raise InputError(
            f"{launch.session}: codex works on files by running commands, which this role may not; give it `shell`, "
            "take `write` and `edit` away, or choose another agent"
        )


def config(launch: Launch) -> str:
    """Its config.toml."""
    shell = not denial("read", launch.tools) or not denial("shell", launch.tools)
    text = _CONFIG.format(
        model=json.dumps(launch.model),
        window=launch.window_tokens,
        agents=json.dumps(not denial("agents", launch.tools)),
        shell=json.dumps(shell),
        features="\n".join(f"{name} = false" for name in _OFF),
        base_url=json.dumps(f"{launch.gateway}/v1"),
        key=json.dumps(KEY),
    )
    return text + (_MCP.format(url=json.dumps(launch.mcp)) if launch.mcp else "")


class CodexConversation:
    """A thread of Codex and the threads that it starts."""

    def __init__(self, process: Process, launch: Launch) -> None:
        self._process = process
        self._launch = launch
        self._feed = Feed()
        self._peer = Peer(process, self._notice, self._asked)
        self._listening = asyncio.ensure_future(self._listen())
        self._thread = ""
        self._turns: dict[str, str] = {}
        """Thread -> its turn under way."""
        self._mine: set[str] = set()
        """Turns that began here; usage of others was reported before."""
        self._answers: dict[str, str] = {}
        self._totals: dict[str, Usage] = {}
        self._children: set[str] = set()
        self._tasks: list[str] = []
        """What children were told that have not shown themselves yet."""
        self._ended: TurnEnded | None = None
        """The main thread's end of turn, held back while children work."""

    async def open(self) -> None:
        launch = self._launch
        info = {"name": "outlay", "title": "Outlay", "version": "1"}
        hello = await self._peer.ask("initialize", {"clientInfo": info, "capabilities": None})
        await self._peer.tell("initialized")
        what: dict[str, Any] = {"cwd": launch.workspace, "model": launch.model, "baseInstructions": launch.instructions}
        self._thread = launch.native
        if launch.native:
            found = await self._peer.ask("thread/resume", what | {"threadId": launch.native, "excludeTurns": True})
        else:
            found = await self._peer.ask("thread/start", what)
        self._thread = found["thread"]["id"]
        version = found["thread"].get("cliVersion") or hello.get("userAgent", "")
        self._feed.tell(Started(self._thread, version, launch.model))

    async def send(self, text: str) -> None:
        """A message while it works is read after the present step."""
        self._feed.in_turn = True
        message = [{"type": "text", "text": text, "text_elements": []}]
        answer = await self._peer.ask("turn/start", {"threadId": self._thread, "input": message})
        turn = answer["turn"]["id"]
        if turn not in self._mine:  # its start has not been told yet; it can be interrupted all the same
            self._mine.add(turn)
            self._turns[self._thread] = turn

    def events(self) -> AsyncIterator[Event]:
        return self._feed.events()

    async def interrupt(self) -> None:
        """Children's turns, too."""
        for thread, turn in reversed(list(self._turns.items())):
            with contextlib.suppress(EnvironmentProblem):  # it may have ended by itself just now
                await self._peer.ask("turn/interrupt", {"threadId": thread, "turnId": turn})

    async def stop(self) -> None:
        self._feed.end()
        await self._process.end()
        await asyncio.gather(self._listening, return_exceptions=True)

    def usage(self) -> Mapping[str, Usage]:
        return self._feed.usage

    async def _listen(self) -> None:
        reason = ""
        try:
            await self._peer.listen()
        except OutlayError as error:
            reason = str(error)
        finally:
            self._feed.end(reason or f"codex has ended: {self._process.complaint() or 'it said nothing'}")

    # ---- what it asks

    def _asked(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """With approvals off Codex asks for little; what it asks for all the same is answered by the role's tools."""
        if method == "item/commandExecution/requestApproval":
            return {"decision": self._permit("shell", "exec_command", params, params.get("command") or "")}
        if method == "item/fileChange/requestApproval":
            return {"decision": self._permit("write", "apply_patch", params, "")}
        if method == "mcpServer/elicitation/request":
            ours = params.get("serverName") == "outlay"
            return {"action": "accept", "content": {}} if ours else {"action": "decline"}
        if method == "item/tool/requestUserInput":
            return {"answers": {}}
        raise Unknown

    def _permit(self, kind: Kind, name: str, params: dict[str, Any], what: str) -> str:
        words = denial(kind, self._launch.tools)
        child = self._child(params.get("threadId", ""))
        self._feed.tell(PermissionAsked(name, json.dumps({"command": what} if what else {}), words, child))
        return "decline" if words else "accept"

    # ---- what it tells

    def _child(self, thread: str) -> str:
        return "" if thread == self._thread else thread

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        thread = params.get("threadId", "")
        if method == "turn/started":
            self._turns[thread] = params["turn"]["id"]
            self._mine.add(params["turn"]["id"])
            if self._child(thread) and thread not in self._children:
                self._children.add(thread)
                self._feed.tell(ChildStarted(thread, task=self._tasks.pop(0) if self._tasks else ""))
        elif method == "item/started":
            self._item(params["item"], thread, done=False)
        elif method == "item/completed":
            self._item(params["item"], thread, done=True)
        elif method == "thread/tokenUsage/updated":
            self._used(params, thread)
        elif method == "turn/completed":
            self._turn_over(params["turn"], thread)

    def _turn_over(self, turn: dict[str, Any], thread: str) -> None:
        self._turns.pop(thread, None)
        status, answer = turn["status"], self._answers.pop(thread, "")
        if self._child(thread):
            ended = {"completed": "done", "interrupted": "cancelled"}.get(status, "failed")
            self._feed.tell(ChildEnded(thread, ended, answer))  # type: ignore[arg-type]
        elif status == "completed":
            self._ended = TurnEnded("done", answer)
        elif status == "interrupted":
            self._ended = TurnEnded("interrupted", answer)
        else:
            error = turn.get("error") or {}
            self._ended = TurnEnded("failed", answer, error.get("message") or "codex gave no reason")
        if self._ended is not None and not self._turns:
            self._feed.tell(self._ended)
            self._ended = None

    def _item(self, item: dict[str, Any], thread: str, *, done: bool) -> None:
        kind, child = item.get("type"), self._child(thread)
        if kind == "agentMessage":
            if done and item["text"]:
                self._answers[thread] = item["text"]
                self._feed.tell(Said(item["text"], child))
        elif (tool := _tool(item)) is not None:
            name, arguments, text, failed = tool
            if name == "spawnAgent" and not done:
                self._tasks.append(item.get("prompt") or "")
            if done:
                self._feed.tell(ToolDone(item["id"], name, text, failed, child))
            else:
                self._feed.tell(ToolAsked(item["id"], name, json.dumps(arguments), child))

    def _used(self, params: dict[str, Any], thread: str) -> None:
        """It repeats itself after an interrupt and a resume, so what counts is how much its sum has grown."""
        total = _usage(params["tokenUsage"]["total"])
        before, self._totals[thread] = self._totals.get(thread, ZERO), total
        if params["turnId"] in self._mine and total != before:
            self._feed.tell(UsageReported(self._launch.model, _grown(before, total)))


def _tool(item: dict[str, Any]) -> tuple[str, Any, str, bool] | None:
    """Name, arguments, result, whether it failed; None: the item is no tool's."""
    kind, failed = item.get("type"), item.get("status") in ("failed", "declined")
    if kind == "commandExecution":
        text = item.get("aggregatedOutput") or ""
        return "exec_command", {"command": item["command"]}, text, failed or bool(item.get("exitCode"))
    if kind == "fileChange":
        return "apply_patch", {"files": [change.get("path") for change in item["changes"]]}, "", failed
    if kind == "mcpToolCall":
        result, error = item.get("result") or {}, item.get("error") or {}
        text = "\n".join(part.get("text", "") for part in result.get("content", ()))
        return f"{item['server']}.{item['tool']}", item["arguments"], text or error.get("message", ""), failed
    if kind == "collabAgentToolCall":
        return item["tool"], {"prompt": item["prompt"]} if item.get("prompt") else {}, "", failed
    return None


def _usage(said: dict[str, int]) -> Usage:
    read, written = said.get("cachedInputTokens", 0), said.get("cacheWriteInputTokens", 0)
    return Usage(
        fresh=said["inputTokens"] - read - written,
        cache_read=read,
        cache_write_5m=written,
        output=said["outputTokens"],
        reasoning=said.get("reasoningOutputTokens", 0),
    )


def _grown(before: Usage, after: Usage) -> Usage:
    return Usage(
        fresh=after.fresh - before.fresh,
        cache_read=after.cache_read - before.cache_read,
        cache_write_5m=after.cache_write_5m - before.cache_write_5m,
        output=after.output - before.output,
        reasoning=after.reasoning - before.reasoning,
    )


DRIVER = Codex()
