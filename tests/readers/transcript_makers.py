"""Small transcripts written by hand, for one rule at a time."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from outlay.ledger import Call, Ledger
from outlay.readers.places import Place
from outlay.readers.update import Outcome, update


def assistant(id: str, output: int = 5, **changes: Any) -> dict[str, Any]:
    """A line of Claude Code. Keys of `usage` and `message` are merged into theirs."""
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 10,
        "output_tokens": output,
    }
    usage.update(changes.pop("usage", {}))
    message = {"id": id, "model": "claude-opus-4-5-20251101", "role": "assistant", "content": [],
               "stop_reason": "end_turn", "usage": usage, **changes.pop("message", {})}  # fmt: skip
    line = {"parentUuid": None, "isSidechain": False, "sessionId": "s1", "cwd": "/home/me/app", "message": message,
            "requestId": "r1", "type": "assistant", "timestamp": "2026-01-05T08:00:00.000Z"}  # fmt: skip
    return {**line, **changes}


def counted(input: int, cached: int, output: int, at: str = "2026-01-05T08:00:00.000Z") -> dict[str, Any]:
    """Codex's cumulative counters."""
    total = {"input_tokens": input, "cached_input_tokens": cached, "output_tokens": output,
             "reasoning_output_tokens": 0, "total_tokens": input + output}  # fmt: skip
    info = {"total_token_usage": total, "last_token_usage": total}
    return {"timestamp": at, "type": "event_msg", "payload": {"type": "token_count", "info": info}}


def asked(call_id: str, at: str = "2026-01-05T08:00:00.000Z") -> dict[str, Any]:
    """A tool call of Codex; its id tells one response from another."""
    payload = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": call_id}
    return {"timestamp": at, "type": "response_item", "payload": payload}


def meta(id: str, **more: Any) -> dict[str, Any]:
    """The first line of a rollout."""
    payload = {"id": id, "cwd": "/home/me/app", "source": "cli", "model_provider": "openai", **more}
    return {"timestamp": "2026-01-05T08:00:00.000Z", "type": "session_meta", "payload": payload}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


def thread(number: int) -> str:
    """A thread id."""
    return f"00000000-0000-0000-0000-{number:012d}"


def database(
    path: Path, sessions: list[tuple[str, str | None, str]], messages: list[tuple[str, str, int]], cost: str = "0.5"
) -> None:
    """Sessions of (id, parent, title), messages of (id, session, created); every message is one step.

    cost: as it stands in the part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    conn = sqlite3.connect(path)
    conn.executescript(
        "CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, parent_id TEXT, title TEXT, version TEXT, "
        "directory TEXT);"
        "CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, session_id TEXT, data TEXT);"
        "CREATE TABLE IF NOT EXISTS part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, data TEXT);"
    )
    for session in sessions:
        conn.execute("INSERT INTO session VALUES (?, ?, ?, '1.18.33', '/home/me/app')", session)
    for id, session, created in messages:
        data = {"role": "assistant", "agent": "build", "modelID": "m", "providerID": "p", "time": {"created": created}}
        tokens = {"total": 130, "input": 20, "output": 8, "reasoning": 2, "cache": {"read": 100, "write": 0}}
        step = {"type": "step-finish", "tokens": tokens, "cost": "COST"}
        conn.execute("INSERT INTO message VALUES (?, ?, ?)", (id, session, json.dumps(data)))
        conn.execute(
            "INSERT INTO part VALUES (?, ?, ?, ?)", (f"prt_{id}", id, session, json.dumps(step).replace('"COST"', cost))
        )
    conn.commit()
    conn.close()


class Reads:
    """A ledger and the tools' folders that are read into it."""

    def __init__(self, folder: Path) -> None:
        self.claude = folder / ".claude" / "projects" / "-home-me-app"
        self.codex = folder / ".codex" / "sessions"
        self.gemini = folder / ".gemini"
        self.opencode = folder / "opencode"
        self.ledger = Ledger(folder / "ledger.db")
        self.places = [
            Place("claude", folder / ".claude"), Place("codex", folder / ".codex"), Place("gemini", self.gemini),
            Place("opencode", self.opencode),
        ]  # fmt: skip

    def update(self) -> Outcome:
        """Read what changed."""
        return update(self.ledger, self.places)

    def calls(self) -> list[Call]:
        """Read what changed; all calls, but for what sources say of their own cost."""
        self.update()
        return [call for call in self.ledger.calls() if call.quality != "reported"]

    def rollout(self, number: int) -> Path:
        """Where a thread's rollout is."""
        return self.codex / f"rollout-2026-01-05T08-00-00-{thread(number)}.jsonl"
