"""Codex's rollouts: a call is a `token_usage_record`, or, before there were any, an increase of the thread's counters.

Equal counters are the same event told again; a falling counter restarts; a fork or a spawned thread may begin with a
copy of its parent's events (their times rewritten or not), which is dropped by comparing content with the parent.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from outlay.ledger.calls import Caller, Service
from outlay.readers import bounds, reading
from outlay.readers.codex_lines import Info, Line, Payload, decode, decode_count, lines
from outlay.readers.reading import Draft, Mark, Name, Problem, Result, Source
from outlay.readers.stamps import Stamps

Counts = tuple[int, int, int, int, int]
Event = tuple[Counts, int]
"""Cumulative counters, and a hash of the response line before them: the same in a copy, different in another call."""
Parents = Callable[[str], "list[Event] | None"]
"""The events of a thread, by its id; None when its rollout is gone."""

_HEAD = 160
_TYPE = b'"type":"'
_RESPONSE = b'"type":"response_item","payload":{"type":"'
_EVENT = b'"type":"event_msg","payload":{"type":"'
_COUNTS = _EVENT + b'token_count"'
_CALLS = (b"function_call", b"custom_tool_call", b"local_shell_call", b"web_search_call", b"tool_search_call")
_CALLS_BEGIN = frozenset(name[0] for name in _CALLS)
_OUTPUT = b'function_call_output"'
COPY = 1


class Carry(msgspec.Struct):
    """What must be known of the part of a rollout that was read before."""

    thread: str = ""
    root: str = ""
    parent: str | None = None
    fork_of: str | None = None
    agent: str = "main"
    role: str = "main"
    project: str = ""
    provider: str = ""
    model: str = ""
    total: Counts = (0, 0, 0, 0, 0)
    number: int = 0
    """Calls so far that were read from increases."""
    records: bool = False
    """A `token_usage_record` was seen: from then on only they count."""
    copied: int = 0
    """Events so far that equal the parent's."""
    copying: bool = False
    """Still within the copy of the parent's events."""
    orphan: bool = False
    """Its parent's rollout was not there, so copied calls were counted as its own."""
    tools: list[str] = []
    last_ms: int = 0


_decode_carry = msgspec.json.Decoder(Carry).decode


def thread_of(path: Path) -> str:
    """The thread id in a rollout's file name."""
    return path.stem[-36:]


def read(
    source: Source, mark: Mark | None = None, buffer: bytearray | None = None, parents: Parents = lambda _: None
) -> Result:
    """Calls of one rollout, from the mark on when it only grew, whole otherwise.

    `parents` gives the events of a parent thread (see `events`).
    """
    if mark is not None and not reading.resumes(source, mark):
        mark = None
    reader = _Reader(source, mark, parents)
    result = reader.run(buffer)
    if reader.told and reader.carry.number:  # records of calls that may have been counted by their increases
        result = _Reader(source, None, parents, told=reader.told).run(buffer)
    return result


def parent_of_orphan(raw: bytes | None) -> str | None:
    """The missing parent's thread, for the carry of a rollout whose copied calls were counted as its own."""
    carry = _decode_carry(raw) if raw else None
    return carry.fork_of if carry is not None and carry.orphan else None


def events(path: Path) -> list[Event]:
    """The distinct events of a rollout in order, those that it copied from its own parent included."""
    reader = _Reader(Source("codex", path, path.stat().st_size, 0), None, lambda _: None, keep_events=True)
    reader.run(None)
    return reader.events


class _Reader:
    """Reads one rollout once."""

    def __init__(
        self,
        source: Source,
        mark: Mark | None,
        parents: Parents,
        *,
        keep_events: bool = False,
        told: frozenset[Counts] | set[Counts] = frozenset(),
    ) -> None:
        self.source = source
        self.path = str(source.path)
        self.start = mark.offset if mark else 0
        self.carry = _decode_carry(mark.carry) if mark and mark.carry else Carry(thread=thread_of(source.path))
        self.parents = parents
        self.keep_events = keep_events
        self.known = told
        """The thread's counters after each call that has a record somewhere in the file."""
        self.told: set[Counts] = set()
        """The same, of the records that this reading came upon when it had none before."""
        self.had_records = self.carry.records
        self.retracted: list[str] = []
        self.events: list[Event] = []
        self.parent_events: list[Event] | None = None
        self.calls: dict[str, Draft] = {}
        self.problems: list[Problem] = []
        self.names: list[Name] = []
        self.response: tuple[bytearray, int, int] = (bytearray(), 0, 0)
        self.meta_seen = bool(self.carry.root)
        self._who: tuple[Caller, Service] | None = None
        """What the file's last words on that make of it; None as soon as there are new ones."""
        self._millis = Stamps().millis

    def run(self, buffer: bytearray | None) -> Result:
        end = self.start
        for offset, piece, length, whole in reading.chunks(self.path, self.start, buffer):
            if whole:
                self._chunk(offset, piece, length)
                end = offset + length
            elif _is_json(piece[:length]):
                # a last line without an end counts when it is whole all the same; it is read again later
                carry = bounds.encoded(self.carry)
                self._line(offset, bytes(piece[:length]))
                self.carry = _decode_carry(carry)
        tail = zlib.crc32(self.path.encode()) & 0xFFFF
        for draft in self.calls.values():
            draft.rank = draft.rank << 58 | tail
        seal = reading.seal(self.path, end) if self.source.size else 0
        if self.carry.copying:  # what the copy is compared with is only known from the beginning
            end, seal = 0, 0
        mark = Mark(self.source.size, self.source.mtime_ns, end, seal, bounds.encoded(self.carry))
        return Result(list(self.calls.values()), mark, self.problems, self.names, self.start == 0, self.retracted)

    # ---- lines

    def _chunk(self, base: int, piece: bytearray, size: int) -> None:
        find, starts = piece.find, piece.startswith
        keeps = self.carry.copying or self.keep_events or not self.meta_seen
        begin = at = 0
        while begin < size:
            end = find(b"\n", begin)
            kind = begin + at  # where the line before had its type
            if not starts(_TYPE, kind):
                kind = find(_TYPE, begin, begin + _HEAD)
                at = kind - begin
            if kind < 0 or kind > end:
                at = 0
                if end - begin > 2:
                    self._line(base + begin, piece[begin:end])
            elif starts(_RESPONSE, kind):
                inner = kind + len(_RESPONSE)
                if piece[inner] in _CALLS_BEGIN and not starts(_OUTPUT, inner) and starts(_CALLS, inner):
                    self._asked(piece, inner, end)
                if keeps:
                    self.response = (piece, kind, end)
            elif starts(_COUNTS, kind):
                self._counts_line(base + begin, piece[begin:end])
            elif not starts(_EVENT, kind):
                self._line(base + begin, piece[begin:end])
            begin = end + 1
        held, first, past = self.response
        if held is piece:  # the buffer is used again
            self.response = (held[first:past], 0, past - first)

    def _asked(self, piece: bytearray, inner: int, end: int) -> None:
        """A tool that the model asked for: its name, without decoding the line."""
        closed = piece.find(b'"', inner)
        if piece.endswith(b"_output", inner, closed):
            return
        name = piece.find(b'"name":"', closed, closed + 240)
        if 0 <= name < end:
            inner = name + 8
            closed = piece.find(b'"', inner)
        self.carry.tools.append(piece[inner:closed].decode("utf-8", "replace").removesuffix("_call"))

    def _counts_line(self, offset: int, raw: bytearray) -> None:
        try:
            line = decode_count(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._line(offset, raw)
            return
        if line.payload is not None and line.payload.info is not None:
            self._count(offset, line.timestamp, line.payload.info)

    def _line(self, offset: int, raw: bytearray | bytes) -> None:
        try:
            line = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            try:
                for line in lines(bytes(raw).removeprefix(b"\xef\xbb\xbf") if offset == 0 else bytes(raw)):
                    self._take(offset, line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self.problems.append(Problem(str(offset), f"a line is damaged ({error}); the rest was read"))
            return
        self._take(offset, line)

    def _take(self, offset: int, line: Line) -> None:
        payload, carry = line.payload, self.carry
        if payload is None:
            return
        kind = line.type
        if kind == "event_msg" and payload.type == "token_count":
            if payload.info is not None:
                self._count(offset, line.timestamp, payload.info)
        elif kind == "token_usage_record":
            self._record(offset, line, payload)
        elif kind == "turn_context":
            carry.model = payload.model or carry.model
            carry.project = carry.project or payload.cwd or ""
            self._who = None
        elif kind == "session_meta":
            self._meta(payload)
        elif kind == "response_item" and payload.type and payload.type.encode() in _CALLS:
            carry.tools.append((payload.name or payload.type).removesuffix("_call"))

    def _meta(self, payload: Payload) -> None:
        if self.meta_seen:  # a second one is the parent's, copied
            return
        self.meta_seen = True
        self._who = None
        carry = self.carry
        carry.thread = payload.id or carry.thread
        spawn = _spawn(payload)
        carry.parent = payload.parent_thread_id or (spawn[0] if spawn else None)
        carry.root = payload.session_id or carry.parent or carry.thread
        if carry.root == carry.thread and carry.parent:
            carry.root = carry.parent
        carry.fork_of = payload.forked_from_id or carry.parent
        carry.project = payload.cwd or ""
        carry.provider = payload.model_provider or ""
        if carry.parent or spawn:
            carry.agent = payload.agent_nickname or (spawn[1] if spawn else "") or carry.thread
            carry.role = payload.agent_role or (spawn[2] if spawn else "") or "subagent"
            if carry.agent != carry.thread:
                self.names.append(Name(carry.thread, carry.agent))
        # 0.166 and later write history_mode and records, and copy nothing
        carry.copying = carry.fork_of is not None and payload.history_mode is None

    # ---- calls

    def _record(self, offset: int, line: Line, payload: Payload) -> None:
        carry = self.carry
        carry.records = True
        if payload.usage is None:
            return
        key = payload.response_id or f"{carry.thread}@{offset}"
        copied = COPY if payload.thread_id not in (None, carry.thread) else 0
        if not self.had_records and payload.thread_token_usage is not None:
            self.told.add(payload.thread_token_usage.counts())
        self._add(key, offset, line.timestamp, payload.usage.counts(), copied)

    def _count(self, offset: int, stamp: str | None, info: Info) -> None:
        carry, total = self.carry, info.total_token_usage
        if total is None or carry.records:
            return
        now, before = total.plain(), carry.total
        if now is None:
            now = total.after(before, info.last_token_usage)
            if total.beyond():
                self._note_once(offset, "a thread's counters that cannot be; what its last call used was taken instead")
        if now == before:
            carry.tools = [] if not carry.number else carry.tools
            return
        if self.keep_events or carry.copying:
            event = (now, _content(*self.response))
            if self.keep_events:
                self.events.append(event)
            if carry.copying and self._is_copy(event):
                carry.total, carry.tools = now, []
                return
            carry.copying = False
        given, cached, output, reasoning, written = before
        a, b, c, d, e = now
        grown = (a - given, b - cached, c - output, d - reasoning, e - written)
        if min(grown) < 0:  # it fell: the counters began anew
            last = info.last_token_usage
            grown = last.counts() if last is not None else now
        carry.total = now
        carry.number += 1
        key = f"{carry.thread}:{carry.number}"
        if now in self.known:  # it has a record further on
            self.retracted.append(key)
        else:
            self._add(key, offset, stamp, grown, 0)

    def _is_copy(self, event: Event) -> bool:
        if self.parent_events is None:
            found = self.parents(self.carry.fork_of or "")
            self.parent_events = found or []
            if found is None:
                self.carry.orphan = True
                self.problems.append(
                    Problem(self.carry.thread, "the thread it was forked from is gone: its copied calls count here")
                )
        place = self.carry.copied
        if place < len(self.parent_events) and self.parent_events[place] == event:
            self.carry.copied += 1
            return True
        return False

    def _add(self, key: str, offset: int, stamp: str | None, counts: Counts, copied: int) -> None:
        given, cached, output, reasoning, written = counts
        ended = self._millis(stamp)
        carry = self.carry
        if ended is None:
            ended = carry.last_ms or self.source.mtime_ns // 1_000_000
            self._note_once(offset, bounds.NO_TIME)
        else:
            carry.last_ms = ended
        if cached > given:
            cached = given
        if written > given - cached:
            written = given - cached
        if self._who is None:
            self._who = self._whose(), self._service()
        self.calls[key] = Draft(
            key, *self._who, ended, given - cached - written, cached, written, 0, output,
            reasoning if reasoning <= output else output, 0, True, offset, copied, carry.tools,
        )  # fmt: skip
        carry.tools = []

    def _note_once(self, offset: int, what: str) -> None:
        if all(problem.what != what for problem in self.problems):
            self.problems.append(Problem(str(offset), what))

    def _whose(self) -> Caller:
        carry = self.carry
        return Caller(
            "codex", self.source.machine, None, carry.root or carry.thread, carry.thread, carry.parent, carry.agent,
            carry.role, carry.project, self.path,
        )  # fmt: skip

    def _service(self) -> Service:
        return Service(self.carry.model or "unknown", "", self.carry.provider)


def _spawn(payload: Payload) -> tuple[str | None, str, str] | None:
    """Parent, nickname and role of a subagent; None for a thread that a person started."""
    subagent = payload.source.get("subagent") if isinstance(payload.source, dict) else None
    if isinstance(subagent, str):
        return None, "", subagent
    if not isinstance(subagent, dict):
        return None
    spawn = subagent.get("thread_spawn")
    if isinstance(spawn, dict):
        return spawn.get("parent_thread_id"), spawn.get("agent_nickname") or "", spawn.get("agent_role") or ""
    return None, "", str(subagent.get("other") or "")


def _content(piece: bytearray, begin: int, end: int) -> int:
    return zlib.crc32(memoryview(piece)[begin:end])


def _is_json(raw: bytearray) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
