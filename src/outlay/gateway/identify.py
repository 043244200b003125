"""Whose call it is, from what agents say of themselves.

Read off Claude Code 2.1.329, Codex 0.169.0, OpenCode 1.18.33 and Gemini CLI 0.61.0 (docs/guides/gateway.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from outlay.gateway.passthrough import ANTHROPIC, GOOGLE, RESPONSES, Asked

DUMMY = "outlay-"
"""A dummy key is this and a token; a key of any other form is nobody's business and is not looked at."""
_CLAUDE_USER = re.compile(r"session_([0-9a-f-]{36})")
_CLAUDE_SUMMARY = b"Your task is to create a detailed summary of the conversation so far"
_PROMPTS = (
    (b"You are a title generator", "title"),  # OpenCode, like the next
    (b"You are a context summarization agent", "compaction"),
    (b"You are a specialized Task Routing AI", "router"),  # Gemini CLI, like those below
    (b"responsible for distilling chat history into a structured", "compaction"),
    (b"You are an expert context compressor", "compaction"),
    (b"diagnostic agent that determines whether a conversational AI assistant is stuck", "loop-check"),
)
_CLAUDE_SUGGESTION = b"[SUGGESTION MODE: Suggest what the user might"
_GEMINI_CHILD = b'"name":"complete_task"'
"""The tool with which a subagent of Gemini CLI ends; no other conversation of its has one."""
_GEMINI_MAIN = "gemini-cli"
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class Claim(msgspec.Struct, frozen=True):
    """What a request says about its sender. Empty: nothing."""

    session: str = ""
    """The agent's own id of the conversation."""
    parent: str = ""
    """The id of the conversation that started it."""
    kind: str = ""
    """What sort of subagent it is."""
    label: str = ""
    """What the call is for, where it is none of the conversation's own: `title`, `router`, `compaction`, ..."""


class _TurnMetadata(msgspec.Struct):
    """What Codex says of a turn, in a header."""

    thread_id: str = ""
    session_id: str = ""
    parent_thread_id: str = ""
    agent_name: str = ""
    request_kind: str = ""
    thread_source: str = ""


class _GeminiPart(msgspec.Struct):
    text: str = ""


class _GeminiContent(msgspec.Struct):
    parts: list[_GeminiPart] = []


class _GeminiBody(msgspec.Struct):
    contents: list[_GeminiContent] = []


class _ClaudeUser(msgspec.Struct):
    session_id: str = ""


def token_of(headers: Mapping[str, str], in_path: str, query_key: str = "") -> str:
    """The token: from the path (`/s/TOKEN/...`), else from a dummy key. Empty: none."""
    if in_path:
        return in_path
    bearer = headers.get("Authorization", "")
    for key in (bearer[7:] if bearer[:7].lower() == "bearer " else "", headers.get("x-api-key", ""),
                headers.get("x-goog-api-key", ""), query_key):  # fmt: skip
        if key.startswith(DUMMY):
            return key[len(DUMMY) :]
    return ""


def claim_of(headers: Mapping[str, str], asked: Asked) -> Claim:
    """What the sender says of itself. Header names in any case."""
    if session := headers.get("x-session-id"):
        return Claim(session, headers.get("x-parent-session-id", ""), "", _by_prompt(asked))
    if "x-codex-turn-metadata" in headers or (asked.wire == RESPONSES and "thread-id" in headers):
        return _codex(headers)
    if (session := headers.get("X-Claude-Code-Session-Id")) or asked.wire == ANTHROPIC:
        return _claude(headers, asked, session or "")
    if asked.wire == GOOGLE and _GEMINI_CHILD in asked.body:
        return _gemini_child(asked)
    return Claim(label=_by_prompt(asked))


def gemini_child(task: str) -> str:
    """The id of a subagent of Gemini CLI, which gives it none: made from its task, its conversation's first words."""
    return hashlib.blake2s(task.encode(), digest_size=8).hexdigest()


def _gemini_child(asked: Asked) -> Claim:
    try:
        contents = msgspec.json.decode(asked.body, type=_GeminiBody).contents
    except (msgspec.MsgspecError, ValueError):
        return Claim()
    task = "".join(part.text for content in contents[:1] for part in content.parts)
    return Claim(gemini_child(task), _GEMINI_MAIN)


def _by_prompt(asked: Asked) -> str:
    """What a call is for, by the beginning of its system prompt."""
    return next((label for opening, label in _PROMPTS if opening in asked.opening), "")


def _claude(headers: Mapping[str, str], asked: Asked, session: str) -> Claim:
    """Session by header or metadata; subagents share it and have an id of their own."""
    user = asked.metadata.get("user_id")
    if not session and isinstance(user, str):
        try:
            session = msgspec.json.decode(user, type=_ClaudeUser).session_id
        except (msgspec.MsgspecError, ValueError):
            found = _CLAUDE_USER.search(user)
            session = found[1] if found else ""
    label = ""
    if auxiliary := headers.get("x-claude-code-auxiliary-type"):
        label = cleaned(auxiliary)
    elif "x-claude-code-compaction" in headers or _CLAUDE_SUMMARY in asked.ending.rpartition(b'"role":"user"')[2]:
        label = "compaction"
    elif _CLAUDE_SUGGESTION in asked.ending.rpartition(b'"role":"user"')[2]:
        label = "suggestion"
    if agent := headers.get("x-claude-code-agent-id"):
        parent = headers.get("x-claude-code-parent-agent-id") or session
        return Claim(agent, parent, cleaned(headers.get("x-claude-code-agent-type", "")), label)
    return Claim(session, "", "", label)


def _codex(headers: Mapping[str, str]) -> Claim:
    """Thread and root thread stand in headers; what the request is for in the turn's metadata."""
    try:
        turn = msgspec.json.decode(headers.get("x-codex-turn-metadata", "{}"), type=_TurnMetadata)
    except (msgspec.MsgspecError, ValueError):
        turn = _TurnMetadata()
    thread = headers.get("thread-id") or turn.thread_id
    root = headers.get("session-id") or turn.session_id
    parent = headers.get("x-codex-parent-thread-id") or turn.parent_thread_id or (root if root != thread else "")
    subagent = headers.get("x-openai-subagent", "")
    label = cleaned(turn.request_kind) if turn.request_kind not in ("", "turn") else ""
    if not label and "guardian" in (subagent, turn.thread_source):
        label = "guardian"
    elif not label and subagent in ("compact", "review", "memory_consolidation"):
        label = "compaction" if subagent == "compact" else subagent
    kind = turn.agent_name.strip("/").removeprefix("root").strip("/") if parent else ""
    return Claim(thread, parent, cleaned(kind), label)


def cleaned(text: str) -> str:
    """A word for the ledger, or nothing: what agents send is not to be trusted with it."""
    lower = text.lower().replace(" ", "-").replace("/", "-")
    return lower if _LABEL.fullmatch(lower) else ""
