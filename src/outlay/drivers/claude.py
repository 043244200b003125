"""Claude Code, driven by its stream of JSON lines: messages and answers to its hooks go in, events come out.

Read off Claude Code 2.1.329. Its own system prompt (46,000 characters with tools) is replaced by the role's, so that a
first request is a third as large; `--bare` would be smaller still, but knows no hooks and no subagents.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from outlay.drivers.claude_lines import Lines
from outlay.drivers.process import Process
from outlay.drivers.types import Event, Failed, Kind, Launch, PermissionAsked, Spawn, denial
from outlay.errors import EnvironmentProblem
from outlay.tokens import Usage

_FOLDER = ".outlay"
_SERVER = "outlay"
_TOOLS = {
    "read": "Read", "write": "Write", "edit": "Edit", "glob": "Glob", "grep": "Grep", "shell": "Bash",
    "todo": "TodoWrite", "agents": "Agent",
}  # fmt: skip
_KINDS: Mapping[str, Kind] = {
    "Read": "read", "Glob": "read", "Grep": "read", "NotebookRead": "read", "LS": "read",
    "Write": "write", "Edit": "write", "MultiEdit": "write", "NotebookEdit": "write",
    "Bash": "shell", "BashOutput": "shell", "KillShell": "shell", "Monitor": "shell",
    "Agent": "agents", "Task": "agents", "WebFetch": "web", "WebSearch": "web",
}  # fmt: skip
_SETTINGS = {
    "IS_SANDBOX": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION": "false",
    "CLAUDE_CODE_DISABLE_TERMINAL_TITLE": "1",
    # A subagent may work for hours, and whoever waits for it waits in one call of a tool.
    "MCP_TOOL_TIMEOUT": "86400000",
}


class Claude:
    """Starts conversations with Claude Code."""

    async def start(self, launch: Launch, spawn: Spawn) -> Conversation:
        """Start it, or go on with a conversation. Raises EnvironmentProblem with its words when it does not start."""
        folder = launch.home / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "system.md").write_text(launch.instructions)
        servers = {_SERVER: {"type": "http", "url": launch.mcp}} if launch.mcp else {}
        (folder / "mcp.json").write_bytes(msgspec.json.encode({"mcpServers": servers}))
        process: Process = await spawn(_command(launch), _environment(launch))
        conversation = Conversation(process, launch)
        try:
            await conversation.greet()
        except BaseException:
            await process.end()
            raise
        return conversation


DRIVER = Claude()


def _command(launch: Launch) -> tuple[str, ...]:
    folder = f"{launch.inside_home}/{_FOLDER}"
    tools = [_TOOLS[name] for name in launch.tools if name in _TOOLS]
    return (
        *launch.program, "-p", "--verbose", "--input-format", "stream-json", "--output-format", "stream-json",
        "--forward-subagent-text", "--replay-user-messages", "--setting-sources", "", "--disable-slash-commands",
        "--strict-mcp-config",
        "--mcp-config", f"{folder}/mcp.json", "--system-prompt-file", f"{folder}/system.md",
        "--permission-mode", "bypassPermissions", "--model", launch.model, "--tools", ",".join(tools),
        *(("--resume", launch.native) if launch.native else ()),
    )  # fmt: skip


def _environment(launch: Launch) -> dict[str, str]:
    own = {"ANTHROPIC_BASE_URL": launch.gateway, "ANTHROPIC_API_KEY": launch.key}
    if launch.only_model or not launch.model.startswith(("claude", "sonnet", "opus", "haiku", "fable")):
        # Another server serves this model and no other: what it does on the side goes there, too.
        own |= {"ANTHROPIC_SMALL_FAST_MODEL": launch.model, "ANTHROPIC_DEFAULT_HAIKU_MODEL": launch.model}
        own |= {"ANTHROPIC_DEFAULT_SONNET_MODEL": launch.model, "ANTHROPIC_DEFAULT_OPUS_MODEL": launch.model}
    return _SETTINGS | own


def kind_of(tool: str) -> Kind:
    """What a tool of Claude Code does."""
    if tool.startswith(f"mcp__{_SERVER}__"):
        return "own"
    return "mcp" if tool.startswith("mcp__") else _KINDS.get(tool, "plan")


class Conversation:
    """Claude Code at work."""

    def __init__(self, process: Process, launch: Launch) -> None:
        self._process = process
        self._launch = launch
        self._lines = Lines()
        self._stopped = False
        self._asked = 0

    async def greet(self) -> None:
        """Register the hook that is asked before every tool, and wait until that is confirmed."""
        hooks = {"PreToolUse": [{"matcher": None, "hookCallbackIds": ["before-tool"]}]}
        await self._request({"subtype": "initialize", "hooks": hooks})
        while line := await self._process.line():
            if b'"control_response"' in line and (said := _decoded(line)).get("type") == "control_response":
                answer = said.get("response") or {}
                if answer.get("subtype") != "success":
                    raise EnvironmentProblem(f"Claude Code does not start: {answer.get('error')}")
                return
        raise EnvironmentProblem(f"Claude Code does not start: {await self._last_words()}")

    async def _request(self, request: Mapping[str, Any]) -> None:
        self._asked += 1
        head = {"type": "control_request", "request_id": f"outlay-{self._asked}", "request": request}
        await self._process.write(msgspec.json.encode(head))

    async def send(self, text: str) -> None:
        """Give it a message; while it works it is read between two of its steps."""
        self._lines.waiting += 1
        message = {"type": "user", "message": {"role": "user", "content": text}}
        await self._process.write(msgspec.json.encode(message))

    async def events(self) -> AsyncIterator[Event]:
        """What it tells, as it comes."""
        while line := await self._process.line():
            said = _decoded(line)
            if said.get("type") == "control_request":
                for event in await self._decide(said):
                    yield event
                continue
            for event in self._lines.read(said):
                yield event
        if not self._stopped:
            yield Failed(await self._last_words())

    async def _last_words(self) -> str:
        finished = (await self._process.ended()) or "it ended"
        return f"{finished}: {self._process.complaint()[-500:] or 'it said nothing'}"

    async def _decide(self, said: Mapping[str, Any]) -> list[Event]:
        """Answer its question whether a tool may run, by the role's tools."""
        request = said.get("request") or {}
        hook = request.get("subtype") == "hook_callback"
        asked = request.get("input") or {} if hook else request
        name = asked.get("tool_name") or ""
        why = denial(kind_of(name), self._launch.tools) if name else ""
        if hook:
            decision = {"permissionDecision": "deny", "permissionDecisionReason": why} if why else {}
            answer: dict[str, Any] = {"hookSpecificOutput": {"hookEventName": "PreToolUse"} | decision} if why else {}
        else:
            answer = {"behavior": "deny", "message": why} if why else {"behavior": "allow"}
        response = {"subtype": "success", "request_id": said.get("request_id"), "response": answer}
        with contextlib.suppress(EnvironmentProblem):  # its end is told by its output
            await self._process.write(msgspec.json.encode({"type": "control_response", "response": response}))
        if not why:
            return []
        arguments = msgspec.json.encode(asked.get("tool_input") or asked.get("input") or {}).decode()
        return [PermissionAsked(name, arguments, why, asked.get("agent_id") or "")]

    async def interrupt(self) -> None:
        """End the turn under way."""
        self._lines.interrupted = True
        await self._request({"subtype": "interrupt"})

    async def stop(self) -> None:
        """End it and all that it started."""
        self._stopped = True
        await self._process.end()

    def usage(self) -> Mapping[str, Usage]:
        """What it said it used so far, by model."""
        return self._lines.used


def _decoded(line: bytes) -> dict[str, Any]:
    """A line of its output; empty when it is none of its own."""
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return {}
    return said if isinstance(said, dict) else {}
