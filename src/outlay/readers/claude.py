"""Claude Code's transcripts: one response is one call, wherever and however often it was written down.

Layouts: the session's file (1.0: subagents inside it, marked as sidechains), subagents in files next to it (2.0)
or under `<session>/subagents/` (2.1). Forks and resumed sessions copy lines into new files, under the same ids.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import Any

import msgspec

from outlay.ledger.calls import Caller, Service
from outlay.readers import bounds, reading
from outlay.readers.claude_lines import (
    Block,
    CostState,
    Iteration,
    Line,
    Message,
    UsageObject,
    cost_state,
    decode,
    decode_lines,
    lines,
)
from outlay.readers.reading import Draft, Mark, Name, Problem, Result, Source
from outlay.readers.stamps import Stamps, millis

_LONG = 2048
_HEAD = 700
_STAMP = re.compile(rb'"timestamp"\s*:\s*"([^"]+)"')
_COPIED = 64

COPY, SIDECHAIN, ECHO = 1, 4, 8
"""Classes of evidence, best first: a session's own line is 0; a line older than its file was copied into it; a
sidechain may replay its parent's message; an echo counts when nothing else shows the call."""


class Carry(msgspec.Struct):
    """What must be known of the part of a file that was read before."""

    born_ms: int | None = None
    """When the file was begun, by the first line that is never copied."""
    first_ms: int | None = None
    """Time of the first call, which stands in for the birth where no line tells it."""
    last_ms: int = 0
    cost: CostState | None = None
    cost_ms: int = 0
    resumed_ms: int | None = None
    """Time of the first call after `cost`, which does not count it."""
    copied: list[str] = []
    """Some keys of calls that other sessions made: says which sessions this one was forked from."""


class Meta(msgspec.Struct):
    """`agent-<id>.meta.json`"""

    agentType: str | None = None
    description: str | None = None
    finished: bool | None = None


_decode_carry = msgspec.json.Decoder(Carry).decode


def session_of(path: Path) -> str:
    """The main agent's session that a transcript belongs to, as far as its path says."""
    if path.parent.name == "subagents":
        return path.parent.parent.name
    return "" if path.name.startswith("agent-") else path.stem


def read(source: Source, mark: Mark | None = None, buffer: bytearray | None = None) -> Result:
    """Calls of one transcript, from the mark on when it only grew, whole otherwise."""
    if mark is not None and reading.resumes(source, mark):
        return _Reader(source, mark).run(buffer)
    return _Reader(source, None).run(buffer)


def carry_of(raw: bytes | None) -> Carry:
    """The carry that a mark holds."""
    return _decode_carry(raw) if raw else Carry()


class _Reader:
    """Reads one file once."""

    def __init__(self, source: Source, mark: Mark | None) -> None:
        self.source = source
        self.path = str(source.path)
        self.start = mark.offset if mark else 0
        self.carry = carry_of(mark.carry if mark else None)
        self.calls: dict[str, Draft] = {}
        self.problems: list[Problem] = []
        self.names: list[Name] = []
        folder, _, name = self.path.rpartition("/")
        self.in_agent_file = name.startswith("agent-")
        self.stem = "" if self.in_agent_file else name.removesuffix(".jsonl")
        if folder.endswith("/subagents"):
            self.stem = folder.removesuffix("/subagents").rpartition("/")[2]
        self.meta = _meta(self.path) if self.in_agent_file else Meta()
        self.last_key = ""
        self._caller_facts: tuple[Any, ...] = ()
        self._caller: Caller | None = None
        self._service_facts: tuple[Any, ...] = ()
        self._service: Service | None = None
        self._tools_seen: set[str] = set()
        self._millis = Stamps().millis

    def run(self, buffer: bytearray | None) -> Result:
        end = self.start
        for offset, piece, length, whole in reading.chunks(self.path, self.start, buffer):
            if whole:
                self._chunk(offset, piece, length)
                end = offset + length
            else:
                self._torn(offset, bytes(piece[:length]))
        last = self.calls.get(self.last_key)
        again = min(end, last.offset) if last is not None else end
        self._rank()
        size = self.source.size
        mark = Mark(size, self.source.mtime_ns, again, reading.seal(self.path, again), bounds.encoded(
            self.carry))  # fmt: skip
        return Result(list(self.calls.values()), mark, self.problems, self.names, whole=self.start == 0)

    # ---- lines

    def _chunk(self, base: int, piece: bytearray, size: int) -> None:
        find, rfind = piece.find, piece.rfind  # what a line used stands near its end
        offsets: list[int] = []
        runs: list[bytearray] = []
        run = -1  # where lines that may be calls begin, one after another
        begin = 0
        while begin < size:
            end = find(b"\n", begin)
            skipped = False
            if end - begin > _LONG:
                kind = find(b'"type":"user"', begin, begin + _HEAD)
                skipped = kind >= 0 and find(b'"message":{', begin, kind) < 0
            if not skipped and rfind(b'"usage"', begin, end) >= 0:
                offsets.append(base + begin)
                if run < 0:
                    run = begin
            else:
                if run >= 0:
                    runs.append(piece[run:begin])
                    run = -1
                if not skipped and (piece.startswith(b'"type"', begin + 1) or begin == base == 0):
                    self._usage_lines(offsets, runs)
                    self._other_line(base + begin, bytes(piece[begin:end]))
            begin = end + 1
        if run >= 0:
            runs.append(piece[run:size])
        self._usage_lines(offsets, runs)

    def _usage_lines(self, offsets: list[int], runs: list[bytearray]) -> None:
        """Lines that may be calls, decoded at one go; one by one where one of them is damaged."""
        raw = b"".join(runs)
        try:
            found = decode_lines(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = []
        if len(found) == len(offsets):
            call = self._call
            for offset, line in zip(offsets, found, strict=True):
                if line.type == "assistant":
                    if line.message is not None:
                        call(offset, line, line.message)
                elif line.type == "progress":
                    self._echo(offset, line)
        else:
            for offset, one in zip(offsets, raw.split(b"\n"), strict=False):
                self._usage_line(offset, one)
        offsets.clear()
        runs.clear()

    def _torn(self, offset: int, piece: bytes) -> None:
        """The last line has no end yet: it counts when it is whole all the same, and is read again later."""
        if b'"usage"' not in piece:
            return
        try:
            msgspec.json.decode(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self._usage_line(offset, piece)

    def _usage_line(self, offset: int, raw: bytearray | bytes) -> None:
        try:
            line = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._damaged_line(offset, bytes(raw))
            return
        if line.type == "assistant":
            if line.message is not None:
                self._call(offset, line, line.message)
        elif line.type == "progress":
            self._echo(offset, line)

    def _damaged_line(self, offset: int, raw: bytes) -> None:
        try:
            for line in lines(raw.removeprefix(b"\xef\xbb\xbf") if offset == 0 else raw):
                if line.type == "assistant" and line.message is not None:
                    self._call(offset, line, line.message)
                elif line.type == "progress":
                    self._echo(offset, line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.problems.append(Problem(str(offset), f"a line is damaged ({error}); the rest was read"))

    def _other_line(self, offset: int, raw: bytes) -> None:
        words = raw[:64].split(b'"', 4)
        kind = words[3] if len(words) > 3 else b""
        if kind == b"cost-state":
            try:
                state = cost_state(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self.problems.append(Problem(str(offset), f"a cost-state is damaged ({error}); the one before counts"))
                return
            for model in [model for model, cost in state.modelUsage.items() if cost.beyond()]:
                del state.modelUsage[model]
                self.problems.append(
                    Problem(str(offset), f"a cost-state's counters of {model} cannot be; what they say is left out")
                )
            self.carry.cost, self.carry.cost_ms, self.carry.resumed_ms = state, self.carry.last_ms, None
        elif kind in (b"queue-operation", b"file-history-snapshot") and self.carry.born_ms is None:
            found = _STAMP.search(raw)
            self.carry.born_ms = millis(found[1].decode("ascii", "replace")) if found else None

    def _echo(self, offset: int, line: Line) -> None:
        data = line.data
        if data is None or data.type != "agent_progress" or data.message is None or data.message.message is None:
            return
        inner = data.message
        shown = Line(
            "assistant", inner.message, inner.timestamp or line.timestamp, inner.requestId, inner.uuid, line.sessionId,
            data.agentId, True, line.cwd, line.attributionAgent,
        )  # fmt: skip
        assert inner.message is not None
        self._call(offset, shown, inner.message, ECHO)

    # ---- calls

    def _call(self, offset: int, line: Line, message: Message, evidence: int = 0) -> None:
        usage = message.usage
        if usage is None or message.model == "<synthetic>":
            return
        key = message.id or line.requestId or line.uuid
        if not key:
            key = f"{self.path}:{offset}"
        ended = self._millis(line.timestamp)
        if ended is None:
            ended = self.carry.last_ms or self.source.mtime_ns // 1_000_000
            self._note_once(offset, bounds.NO_TIME)
        elif evidence == 0:
            self.carry.last_ms = ended
            if self.carry.cost is not None and self.carry.resumed_ms is None:
                self.carry.resumed_ms = ended
        if not evidence and (line.isSidechain or self.in_agent_file):
            evidence = SIDECHAIN
        known = self.calls.get(key)
        if known is None or known.rank > evidence:
            service = self._service_of(message.model or "unknown", usage)
            draft = Draft(
                key, self._caller_of(line, evidence), service, ended, 0, 0, 0, 0, 0, 0, 0, False, offset, evidence, []
            )
            if known is not None:
                draft.tools = known.tools
                _widen(draft, known)
            self.calls[key] = known = draft
            self.last_key = key
        elif known.rank == evidence and ended > known.ended_ms:
            known.ended_ms = ended
        _count(known, usage)
        if usage.server_tool_use is not None or usage.output_tokens_details is not None:
            _count_extras(known, usage)
        if message.stop_reason is not None:
            known.exact = True
        content = message.content
        if content.__class__ is list:
            for block in content:
                if block.name is not None:
                    self._tool(known, block)
        if usage.iterations:
            self._advice(known, usage.iterations)

    def _note_once(self, offset: int, what: str) -> None:
        if all(problem.what != what for problem in self.problems):
            self.problems.append(Problem(str(offset), what))

    def _tool(self, draft: Draft, block: Block) -> None:
        if block.type not in ("tool_use", "server_tool_use") or not block.name:
            return
        if block.id:
            if block.id in self._tools_seen:
                return
            self._tools_seen.add(block.id)
        draft.tools.append(block.name)

    def _advice(self, asked: Draft, iterations: list[Iteration]) -> None:
        """Calls inside a call that are billed under a model of their own."""
        for number, inner in enumerate(iterations):
            if inner.type != "advisor_message":
                continue
            key = f"{asked.key}/advisor/{number}"
            draft = self.calls.get(key)
            if draft is None:
                service = msgspec.structs.replace(asked.service, model=inner.model or asked.service.model)
                draft = Draft(
                    key, asked.caller, service, asked.ended_ms, 0, 0, 0, 0, 0, 0, 0, True, asked.offset, asked.rank, []
                )
                self.calls[key] = draft
            _count(draft, inner)

    def _caller_of(self, line: Line, evidence: int) -> Caller:
        facts = (line.sessionId, line.agentId, line.cwd, line.attributionAgent, line.isSidechain, evidence)
        if facts == self._caller_facts and self._caller is not None:
            return self._caller
        root = line.sessionId or self.stem or self.source.path.stem
        caller = Caller(
            "claude", self.source.machine, None, root, root, None, "main", "main", line.cwd or "", self.path
        )
        if line.isSidechain or self.in_agent_file or evidence == ECHO:
            agent = line.agentId or (
                self.source.path.stem.removeprefix("agent-") if self.in_agent_file else "sidechain"
            )
            role = self.meta.agentType or line.attributionAgent or "subagent"
            session = f"{root}/{agent}"
            caller = msgspec.structs.replace(caller, session=session, parent=root, agent=agent, role=role)
            if self.meta.description and self.in_agent_file and not any(n.session == session for n in self.names):
                self.names.append(Name(session, self.meta.description, "done" if self.meta.finished else ""))
        self._caller_facts, self._caller = facts, caller
        return caller

    def _service_of(self, model: str, usage: UsageObject) -> Service:
        facts = (model, usage.service_tier, usage.speed)
        if facts != self._service_facts or self._service is None:
            tier = usage.service_tier if usage.service_tier in ("batch", "flex", "priority") else ""
            speed = "fast" if usage.speed == "fast" else ""
            self._service_facts, self._service = facts, Service(model, "", "anthropic", tier or "", speed)
        return self._service

    def _rank(self) -> None:
        """Turn classes of evidence into ranks: class, then the file's birth, then the path, so that the owner of a
        copied call is the same in any order of files."""
        born = self.carry.born_ms
        if self.carry.first_ms is None:
            self.carry.first_ms = min((d.ended_ms for d in self.calls.values()), default=None)
        first = born if born is not None else self.carry.first_ms or 0
        tail = (max(first, 0) & ((1 << 42) - 1)) << 16 | (zlib.crc32(self.path.encode()) & 0xFFFF)
        copied: list[str] = []
        for draft in self.calls.values():
            evidence = draft.rank
            if evidence == 0 and born is not None and draft.ended_ms < born:
                evidence = COPY
                copied.append(draft.key)
            draft.rank = evidence << 58 | tail
        if copied:
            self.carry.copied = copied[:: max(1, len(copied) // _COPIED)] + copied[-1:]


def _count(draft: Draft, usage: UsageObject | Iteration) -> None:
    """Counters are the maximum over the lines that repeat a call; null and negative ones are 0. (What is
    no whole number, or none that a call can have, `update` sees to.)"""
    fresh, output = usage.input_tokens or 0, usage.output_tokens or 0
    reads, writes = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    if fresh > draft.fresh:
        draft.fresh = fresh
    if reads > draft.cache_read:
        draft.cache_read = reads
    if output > draft.output:
        draft.output = output
    split = usage.cache_creation
    if split is not None:
        five, hour = split.ephemeral_5m_input_tokens or 0, split.ephemeral_1h_input_tokens or 0
        if hour > draft.cache_write_1h:
            known, draft.cache_write_1h = draft.cache_write_1h, hour
            draft.cache_write_5m -= min(draft.cache_write_5m, draft.cache_write_1h - known)
        writes = max(writes, max(five, 0) + max(hour, 0))
    # The whole is the maximum, too; where no line says what is written for an hour, it is for five minutes.
    if writes > draft.cache_write_5m + draft.cache_write_1h:
        draft.cache_write_5m = writes - draft.cache_write_1h


def _count_extras(draft: Draft, usage: UsageObject) -> None:
    """The counters that only newer lines have."""
    if usage.output_tokens_details is not None:
        draft.reasoning = max(draft.reasoning, bounds.counter(usage.output_tokens_details.thinking_tokens))
    if usage.server_tool_use is not None:
        draft.web_searches = max(draft.web_searches, bounds.counter(usage.server_tool_use.web_search_requests))


def _widen(draft: Draft, other: Draft) -> None:
    whole = max(draft.cache_write_5m + draft.cache_write_1h, other.cache_write_5m + other.cache_write_1h)
    for name in ("fresh", "cache_read", "cache_write_1h", "output", "reasoning", "web_searches"):
        setattr(draft, name, max(getattr(draft, name), getattr(other, name)))
    draft.cache_write_5m = whole - draft.cache_write_1h
    draft.exact = draft.exact or other.exact


def _meta(path: str) -> Meta:
    try:
        descriptor = os.open(path.removesuffix("jsonl") + "meta.json", os.O_RDONLY)
    except OSError:
        return Meta()
    with open(descriptor, "rb") as file:  # noqa: PTH123
        try:
            return msgspec.json.decode(file.read(), type=Meta)
        except msgspec.DecodeError:
            return Meta()
