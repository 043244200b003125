"""Gemini CLI, driven through stream-json: one process a message, which goes on with the conversation on disk. Read off
Gemini CLI 0.61.0. Its exit codes tell nothing, so its events do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

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
from outlay.gateway.identify import gemini_child
from outlay.tokens import Usage

VERSION_S = 60.0
_FOLDER = ".gemini"
_TOOLS: Mapping[str, Kind] = {
    "read_file": "read", "read_many_files": "read", "list_directory": "read", "glob": "read", "grep_search": "read",
    "write_file": "write", "replace": "write", "run_shell_command": "shell", "invoke_agent": "agents",
    "write_todos": "plan",
}  # fmt: skip
_SPAWN = "invoke_agent"
_ENDS_CHILD = "complete_task"
"""A subagent ends with this tool; where it is not allowed, it cannot."""


class Gemini:
    """The driver."""

    async def start(self, launch: Launch, spawn: Spawn) -> Conversation:
        """Raises EnvironmentProblem with what it said when it does not start."""
        folder = launch.home / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(settings(launch), indent=2))
        (folder / "rules.toml").write_text(rules(launch))
        (folder / "system.md").write_text(launch.instructions)
        conversation = GeminiConversation(launch, spawn)
        await conversation.open()
        return conversation


def settings(launch: Launch) -> dict[str, Any]:
    """Its settings.json."""
    server = {"httpUrl": launch.mcp, "trust": True, "timeout": 86_400_000}
    return {
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "general": {
            "enableAutoUpdate": False,
            "enableAutoUpdateNotification": False,
            "checkpointing": {"enabled": False},
        },
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "experimental": {"enableAgents": not denial("agents", launch.tools)},
        "skills": {"enabled": False},
        "hooksConfig": {"enabled": False},
        "context": {"fileName": "none.md"},
        "mcpServers": {"outlay": server} if launch.mcp else {},
    }


def rules(launch: Launch) -> str:
    """Its policy: nothing but what the role's tools allow is even offered, to subagents neither."""
    allowed = [name for name, kind in _TOOLS.items() if not denial(kind, launch.tools)]
    denied = "Your role may not use this tool. Work without it, or say what is to be done by somebody who may."
    blocks = [
        f'toolName = "*"\ndecision = "deny"\npriority = 10\ndenyMessage = {json.dumps(denied)}',
        f'toolName = {json.dumps([*allowed, _ENDS_CHILD])}\ndecision = "allow"\npriority = 900',
        'mcpName = "outlay"\ntoolName = "*"\ndecision = "allow"\npriority = 900',
    ]
    return "\n".join(f"[[rule]]\n{block}\n" for block in blocks)


class GeminiConversation:
    """A conversation, of which a process is one turn."""

    def __init__(self, launch: Launch, spawn: Spawn) -> None:
        self._launch = launch
        self._spawn = spawn
        self._feed = Feed()
        self._native = launch.native or str(uuid.uuid4())
        inside = f"{launch.inside_home}/{_FOLDER}"
        self._environment = {
            "GOOGLE_GEMINI_BASE_URL": launch.gateway,
            "GEMINI_API_KEY": launch.key,
            "GEMINI_CLI_NO_RELAUNCH": "true",
            "GEMINI_SYSTEM_MD": f"{inside}/system.md",
            "GEMINI_TELEMETRY_ENABLED": "false",
        }
        self._arguments = ("-o", "stream-json", "-m", launch.model, "--approval-mode", "yolo", "--skip-trust",
                           "--policy", f"{inside}/rules.toml")  # fmt: skip
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        self._process: Process | None = None
        self._interrupted = False
        self._working: asyncio.Task[None] | None = None
        self._text = ""
        """What it is saying, which comes in pieces."""
        self._answer = ""
        self._result: dict[str, Any] = {}
        self._complaint = ""
        self._tools: dict[str, tuple[str, str]] = {}
        """Id of a tool call -> its name, and the subagent that it started."""

    async def open(self) -> None:
        process = await self._spawn((*self._launch.program, "--version"), self._environment)
        try:
            version = (await asyncio.wait_for(process.line(), VERSION_S)).decode(errors="replace").strip()
        except TimeoutError:
            version = ""
        words = process.complaint()
        await process.end()
        if not version:
            raise EnvironmentProblem(f"gemini does not start: {words or 'it said nothing'}")
        self._feed.tell(Started(self._native, version, self._launch.model))
        self._working = asyncio.ensure_future(self._work())

    async def send(self, text: str) -> None:
        """A message while it works is the next turn."""
        self._feed.in_turn = True
        self._messages.put_nowait(text)

    def events(self) -> AsyncIterator[Event]:
        return self._feed.events()

    async def interrupt(self) -> None:
        """It has no other way than to be ended; what was said by then is on disk."""
        if self._feed.in_turn:
            self._interrupted = True
            if self._process is not None:
                await self._process.end()

    async def stop(self) -> None:
        self._feed.end()
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        if self._process is not None:
            await self._process.end()

    def usage(self) -> Mapping[str, Usage]:
        return self._feed.usage

    async def _work(self) -> None:
        try:
            while True:
                await self._turn(await self._messages.get())
        except OutlayError as error:
            self._feed.end(f"gemini cannot go on: {error}")

    def _is_on_disk(self) -> bool:
        """Whether there is a conversation to go on with; one that was ended before its first words has left none."""
        chats = self._launch.home.glob(f"{_FOLDER}/tmp/*/chats/session-*-{self._native[:8]}.json*")
        return any(file.stat().st_size for file in chats)

    async def _turn(self, message: str) -> None:
        self._text = self._answer = self._complaint = ""
        self._result = {}
        self._tools.clear()
        which = ("--resume" if self._is_on_disk() else "--session-id", self._native)
        argv = (*self._launch.program, *self._arguments, *which)
        process = self._process = await self._spawn(argv, self._environment)
        if not self._interrupted:
            with contextlib.suppress(EnvironmentProblem):  # why it is gone is told below
                await process.write(message.encode())
                process.stdin.close()
            while line := await process.line():
                with contextlib.suppress(msgspec.DecodeError):  # a library's own words
                    self._take(msgspec.json.decode(line))
        words = process.complaint()
        await process.end()
        self._process = None
        self._say()
        for tool in list(self._tools):
            self._child_over(tool, "cancelled", "")
        if self._interrupted or self._messages.empty():  # else the turn goes on with what arrived meanwhile
            self._feed.tell(self._ended(words))
        self._feed.in_turn = not self._messages.empty()
        self._interrupted = False

    def _ended(self, words: str) -> TurnEnded:
        if self._interrupted:
            return TurnEnded("interrupted", self._answer)
        status = self._result.get("status")
        if status == "success" and (self._answer or not self._complaint):
            return TurnEnded("done", self._answer)
        reason = (self._result.get("error") or {}).get("message") or self._complaint or words or "it gave no reason"
        return TurnEnded("failed", self._answer, reason)

    # ---- what it tells

    def _take(self, said: Any) -> None:
        kind = said.get("type") if isinstance(said, dict) else None
        if kind == "message" and said.get("role") == "assistant":
            self._text += said.get("content", "")
        elif kind == "tool_use":
            self._say()
            self._tool_asked(said["tool_id"], said["tool_name"], said.get("parameters") or {})
        elif kind == "tool_result":
            self._say()
            self._tool_done(said)
        elif kind == "error":
            self._complaint = said.get("message", "")
        elif kind == "result":
            self._say()
            self._result = said
            for model, used in (said.get("stats") or {}).get("models", {}).items():
                self._feed.tell(UsageReported(model, _usage(used)))

    def _say(self) -> None:
        """Hand on what it has said so far."""
        text, self._text = self._text, ""
        if text.strip():
            self._answer = text.strip()
            self._feed.tell(Said(self._answer))

    def _tool_asked(self, call: str, name: str, arguments: dict[str, Any]) -> None:
        self._answer = ""
        self._feed.tell(ToolAsked(call, name, json.dumps(arguments)))
        child = ""
        if name == _SPAWN:
            task = str(arguments.get("prompt", ""))
            child = gemini_child(task)
            self._feed.tell(ChildStarted(child, str(arguments.get("agent_name", "")), task))
        self._tools[call] = (name, child)

    def _tool_done(self, said: dict[str, Any]) -> None:
        call, failed = said["tool_id"], said.get("status") != "success"
        name, _ = self._tools.get(call, ("", ""))
        text = str(said.get("output") or (said.get("error") or {}).get("message", ""))
        self._feed.tell(ToolDone(call, name, text, failed))
        self._child_over(call, "failed" if failed else "done", text)

    def _child_over(self, call: str, status: Literal["done", "failed", "cancelled"], text: str) -> None:
        _, child = self._tools.pop(call, ("", ""))
        if child:
            self._feed.tell(ChildEnded(child, status, text))


def _usage(said: dict[str, int]) -> Usage:
    """Its sum has the reasoning, its output has not."""
    read = said.get("cached", 0)
    output = said["total_tokens"] - said["input_tokens"]
    reasoning = max(0, output - said.get("output_tokens", output))
    return Usage(fresh=said["input_tokens"] - read, cache_read=read, output=output, reasoning=reasoning)


DRIVER = Gemini()
