"""Claude Code's stream-json lines as events. Pure: one line in, its events out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from outlay.drivers.types import (
    ChildEnded,
    ChildStarted,
    Event,
    Said,
    Started,
    ToolAsked,
    ToolDone,
    TurnEnded,
    UsageReported,
)
from outlay.tokens import Usage

_ENDS: Mapping[str, Any] = {"completed": "done", "failed": "failed", "killed": "cancelled", "stopped": "cancelled"}


class Lines:
    """What the lines so far mean for the next one."""

    def __init__(self) -> None:
        self.interrupted = False
        """An interruption was asked for: the next result is its."""
        self.waiting = 0
        """Messages that it was sent and has not read: with one left a result is not the end, a further one follows."""
        self.used: dict[str, Usage] = {}
        self._usd: dict[str, float] = {}
        self._native = ""
        self._names: dict[str, str] = {}
        self._children: dict[str, str] = {}
        """Tool call that started a subagent -> the subagent's id."""

    def read(self, line: Mapping[str, Any]) -> list[Event]:
        """The events of one line; none for what is nobody's business."""
        match line.get("type"):
            case "system":
                return self._system(line)
            case "assistant" | "user":
                return self._message(line)
            case "result":
                return self._result(line)
        return []

    def _system(self, line: Mapping[str, Any]) -> list[Event]:
        match line.get("subtype"):
            case "init" if line.get("session_id") != self._native:
                self._native = _text(line.get("session_id"))
                tools = tuple(map(_text, line.get("tools") or ()))
                return [Started(self._native, _text(line.get("claude_code_version")), _text(line.get("model")), tools)]
            case "task_started":
                native = _text(line.get("task_id"))
                self._children[_text(line.get("tool_use_id"))] = native
                return [ChildStarted(native, _text(line.get("subagent_type")), _text(line.get("prompt")))]
            case "task_notification":
                status = _ENDS.get(_text(line.get("status")), "failed")
                return [ChildEnded(_text(line.get("task_id")), status, _text(line.get("summary")))]
        return []

    def _message(self, line: Mapping[str, Any]) -> list[Event]:
        if line.get("isReplay") is True:
            self.waiting -= 1
            return []
        child = self._children.get(_text(line.get("parent_tool_use_id")), "")
        content = (line.get("message") or {}).get("content")
        events: list[Event] = []
        for part in content if isinstance(content, list) else ():
            kind = part.get("type")
            if kind == "text" and line["type"] == "assistant":
                events.append(Said(_text(part.get("text")), child))
            elif kind == "tool_use":
                id, name = _text(part.get("id")), _text(part.get("name"))
                self._names[id] = name
                events.append(ToolAsked(id, name, msgspec.json.encode(part.get("input")).decode(), child))
            elif kind == "tool_result":
                id = _text(part.get("tool_use_id"))
                text = _flat(part.get("content"))
                events.append(ToolDone(id, self._names.pop(id, ""), text, part.get("is_error") is True, child))
        return events

    def _result(self, line: Mapping[str, Any]) -> list[Event]:
        """The end of a turn. `modelUsage` is of the whole conversation since the program started."""
        events: list[Event] = []
        for model, counted in (line.get("modelUsage") or {}).items():
            total = _usage(counted)
            before = self.used.get(model, Usage())
            usd = float(counted.get("costUSD") or 0.0)
            if total != before:
                since = Usage(**{f: getattr(total, f) - getattr(before, f) for f in Usage.__struct_fields__})
                events.append(UsageReported(model, since, usd - self._usd.get(model, 0.0)))
            self.used[model], self._usd[model] = total, usd
        answer = _text(line.get("result"))
        failed = line.get("is_error") is True or line.get("subtype") != "success"
        if self.waiting > 0 and not failed and not self.interrupted:
            return events
        self.waiting = 0
        if self.interrupted:
            self.interrupted = False
            events.append(TurnEnded("interrupted", answer))
        elif failed:
            errors = line.get("errors")
            told = "; ".join(map(_text, errors)) if isinstance(errors, list) else ""
            events.append(TurnEnded("failed", answer, answer or told or _text(line.get("subtype"))))
        else:
            events.append(TurnEnded("done", answer))
        return events


def _usage(counted: Mapping[str, Any]) -> Usage:
    long = int(counted.get("cacheCreationEphemeral1hInputTokens") or 0)
    return Usage(
        fresh=int(counted.get("inputTokens") or 0),
        cache_read=int(counted.get("cacheReadInputTokens") or 0),
        cache_write_5m=int(counted.get("cacheCreationInputTokens") or 0) - long,
        cache_write_1h=long,
        output=int(counted.get("outputTokens") or 0),
        reasoning=int(counted.get("thinkingTokens") or 0),
    )


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(_text(part.get("text")) for part in parts if isinstance(part, dict) and part.get("type") == "text")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
