"""Bringing the ledger up to date with what other agents wrote: only what changed is read, nothing is ever lost."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from outlay.errors import LedgerError
from outlay.ledger import Ledger, Transaction
from outlay.ledger import calls as table
from outlay.readers import bounds, places, reading
from outlay.readers.places import Place
from outlay.readers.reading import Mark, Name, Problem, Result, Source

if TYPE_CHECKING:  # a tool's reader is imported where there is something of it to read
    from outlay.readers import codex

_BATCH_CALLS = 20_000
_FIRST_CALLS = 100_000
"""An empty ledger takes many at once for less; more would cost memory."""
_CACHE_KIB = 32 << 10
_KEYS = 500
_THREAD = len("00000000-0000-0000-0000-000000000000.jsonl")


class Outcome(msgspec.Struct):
    """What an update did."""

    files: int = 0
    """Transcripts found, unchanged ones included."""
    read: int = 0
    """Transcripts that had changed."""
    calls: int = 0
    """Calls that those held, copies included."""
    gone: int = 0
    """Transcripts read before that are no longer there; their calls stay."""
    problems: list[tuple[str, Problem]] = []
    """(path, problem) of what was read this time."""


def update(ledger: Ledger, where: Sequence[Place]) -> Outcome:
    """Read what changed in the places since the last time. The numbers are the same in any order of files, with any
    number of processes at once, and however often it is done.
    """
    collects = gc.isenabled()
    gc.disable()  # nothing that is made here refers to itself, and there is much of it
    try:
        return _Update(ledger, where).run()
    finally:
        if collects:
            gc.enable()


class _Update:
    """One update."""

    def __init__(self, ledger: Ledger, where: Sequence[Place]) -> None:
        self.ledger = ledger
        self.where = where
        self.outcome = Outcome()
        self.ids = table.Ids()
        self.buffer = bytearray(reading.CHUNK_BYTES)
        self.pending: list[tuple[Source, Result]] = []
        self.waiting = 0
        self.roots: set[str] = set()
        self.known = {
            path: (size, mtime_ns)
            for path, size, mtime_ns in ledger.reader.execute("SELECT path, size, mtime_ns FROM readings")
        }  # fmt: skip
        self.rollouts: dict[str, str] = {}
        self.histories: dict[str, list[codex.Event] | None] = {}

    def run(self) -> Outcome:
        seen: set[str] = set()
        most = _BATCH_CALLS if self.known else _FIRST_CALLS
        for source, result in self._results(seen):
            self.pending.append((source, result))
            self.waiting += len(result.calls)
            if self.waiting >= most:
                self._flush()
                most = _BATCH_CALLS
        self._flush()
        if self.roots:
            from outlay.readers import residual

            residual.settle(self.ledger, self.roots)
        tops = tuple(str(place.root) for place in self.where)
        self.outcome.gone = sum(1 for path in self.known if path not in seen and path.startswith(tops))
        return self.outcome

    # ---- reading

    def _results(self, seen: set[str]) -> Iterator[tuple[Source, Result]]:
        listed = []
        for found in places.files(self.where):
            if bounds.text(found[1]) == found[1]:
                listed.append(found)
            else:
                odd = Problem("", "not read: its name is not UTF-8")
                self.outcome.problems.append((bounds.text(found[1]), odd))
        self.outcome.files = len(listed)
        seen.update(found[1] for found in listed)
        self.rollouts = {path[-_THREAD:-6]: path for tool, path, *_ in reversed(listed) if tool == "codex"}
        again = self._found_again()
        for tool, path, size, mtime_ns, machine in listed:
            if self.known.get(path) != (size, mtime_ns) or path in again:
                source = Source(tool, Path(path), size, mtime_ns, machine)
                result = self._read(source)
                if result is not None:
                    yield source, result
        for place in self.where:
            if place.tool == "opencode":
                yield from self._opencode(place, seen)

    def _found_again(self) -> set[str]:
        """Forks that were read without their parent, which is there now: they are read anew."""
        rows = self.ledger.reader.execute(
            "SELECT path, carry FROM readings WHERE source = 'codex' AND problems <> '[]'"
        ).fetchall()
        if not rows:
            return set()
        from outlay.readers import codex

        found = {path for path, carry in rows if codex.parent_of_orphan(carry) in self.rollouts}
        found.intersection_update(self.rollouts.values())

        def forget(tx: Transaction) -> None:
            for path in found:
                tx.conn.execute(
                    "DELETE FROM call_facts WHERE caller IN (SELECT id FROM callers WHERE file = ?)", (path,)
                )
                tx.conn.execute("DELETE FROM readings WHERE path = ?", (path,))

        if found:
            self.ledger.write(forget)
        return found

    def _changed(self, source: Source, seen: set[str]) -> bool:
        path = str(source.path)
        seen.add(path)
        self.outcome.files += 1
        return self.known.get(path) != (source.size, source.mtime_ns)

    def _mark(self, source: Source) -> Mark | None:
        if str(source.path) not in self.known:
            return None
        row = self.ledger.reader.execute(
            "SELECT size, mtime_ns, offset, seal, carry FROM readings WHERE path = ?", (str(source.path),)
        ).fetchone()
        return Mark(*row) if row else None

    def _read(self, source: Source) -> Result | None:
        mark = self._mark(source)
        try:
            if source.tool == "claude":
                from outlay.readers import claude

                result = claude.read(source, mark, self.buffer)
                if not result.whole and self._split(source, result):
                    result = claude.read(source, None, self.buffer)
                return result
            if source.tool == "codex":
                from outlay.readers import codex

                return codex.read(source, mark, self.buffer, self._history)
            from outlay.readers import gemini

            return gemini.read(source)
        except OSError as error:
            why = error.strerror
        except (ValueError, ArithmeticError, RecursionError, TypeError) as error:  # no file ends the reading of others
            why = str(error)
        self.outcome.problems.append((str(source.path), Problem("", f"cannot be read: {why}")))
        return None

    def _history(self, thread: str) -> list[codex.Event] | None:
        if thread not in self.histories:
            from outlay.readers import codex

            path = self.rollouts.get(thread)
            try:
                self.histories[thread] = codex.events(Path(path)) if path else None
            except OSError:
                self.histories[thread] = None
        return self.histories[thread]

    def _split(self, source: Source, result: Result) -> bool:
        """Whether a call was half read the last time, so that its tools can only be told from the whole file."""
        keys = [d.key for d in result.calls]
        for begin in range(0, len(keys), _KEYS):
            part = keys[begin : begin + _KEYS]
            offsets = {d.key: d.offset for d in result.calls}
            for key, offset in self.ledger.reader.execute(
                "SELECT f.key, f.offset FROM call_facts f JOIN callers c ON c.id = f.caller WHERE f.source = 'claude' "
                f"AND c.file = ? AND f.key IN ({', '.join('?' * len(part))})",
                (str(source.path), *part),
            ):
                if offset is not None and offset < offsets[key]:
                    return True
        return False

    def _opencode(self, place: Place, seen: set[str]) -> Iterator[tuple[Source, Result]]:
        from outlay.readers import opencode_db, opencode_files, registry

        databases = list(opencode_db.sources(place.root, place.machine))
        changed = [source for source in databases if self._changed(source, seen)]
        conversations = [
            (source, storage)
            for storage in opencode_files.storages(place.root)
            for source in opencode_files.sources(storage, place.machine)
            if self._changed(source, seen)
        ]
        if not changed and not conversations:
            return
        folders = {d for source in databases for d in opencode_db.directories(source.path)}
        stored = {storage: opencode_files.sessions(storage) for _, storage in conversations}
        folders |= {s.directory for known, _ in stored.values() for s in known.values() if s.directory}
        named = registry.names(folders)
        labels = {name.session: name.name for name in named}
        for source in changed:
            result = opencode_db.read(source, self._mark(source), labels)
            result.names += named
            yield source, result
        for source, storage in conversations:
            sessions, problems = stored[storage]
            result = opencode_files.read(source, storage, sessions, labels)
            result.problems += problems
            yield source, result

    # ---- writing

    def _flush(self) -> None:
        if not self.pending:
            return
        pending, self.pending, self.waiting = self.pending, [], 0
        try:
            self.ledger.write(lambda tx: self._write(tx, pending))
        except LedgerError:
            self.ids = table.Ids()
            raise
        for source, result in pending:
            self.outcome.read += 1
            self.outcome.calls += len(result.calls)
            self.outcome.problems += [(str(source.path), problem) for problem in result.problems]
            if source.tool == "claude":
                from outlay.readers import claude

                self.roots.update({bounds.text(d.caller.root) for d in result.calls})
                self.roots.add(claude.session_of(source.path) or source.path.stem)

    def _write(self, tx: Transaction, pending: list[tuple[Source, Result]]) -> None:
        conn, ids = tx.conn, self.ids
        conn.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        rows: list[tuple[Any, ...]] = []
        for source, result in pending:
            result.problems = _before(conn, source, result) + result.problems
            rows += _rows(source.tool, result, conn, ids)
            gone = [(source.tool, key) for key in result.retracted]
            conn.executemany("DELETE FROM call_facts WHERE source = ? AND key = ?", gone)
        table.merge(conn, rows)
        conn.executemany(
            "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (str(s.path), s.tool, s.machine, r.mark.size, r.mark.mtime_ns, r.mark.offset, r.mark.seal, r.mark.carry,
                 bounds.encoded(r.problems).decode())
                for s, r in pending
            ],
        )  # fmt: skip
        for source, result in pending:
            _name(conn, source.tool, result.names)


def _before(conn: Any, source: Source, result: Result) -> list[Problem]:
    """What was found in the part of a file that was not read again."""
    if result.whole:
        return []
    row = conn.execute("SELECT problems FROM readings WHERE path = ?", (str(source.path),)).fetchone()
    found = msgspec.json.decode(row[0], type=list[Problem]) if row else []
    return [problem for problem in found if problem.place != str(source.path) and problem not in result.problems]


def _rows(tool: str, result: Result, conn: Any, ids: table.Ids) -> list[tuple[Any, ...]]:
    caller = service = None
    caller_id = service_id = 0
    none = ids.toolset(conn, "")
    facts = msgspec.structs.astuple
    rows = []
    for draft in result.calls:
        (
            key, whose, what, ended, fresh, read, five, hour, output, reasoning, searches, exact, offset, rank, tools,
            recorded,
        ) = facts(draft)  # fmt: skip
        tokens = fresh + read + five + hour + output + reasoning + searches
        if not tokens <= bounds.MOST_TOKENS:
            result.problems.append(Problem(bounds.text(key), bounds.BEYOND))
            continue
        if tokens.__class__ is float:
            fresh, read, five, hour, output = map(int, (fresh, read, five, hour, output))
        if whose is not caller:
            caller, caller_id = whose, ids.caller(conn, bounds.storable(whose))
        if what is not service:
            service, service_id = what, ids.service(conn, bounds.storable(what))
        toolset = ids.toolset(conn, bounds.text(",".join(tools))) if tools else none
        if not key.isascii():
            key = bounds.text(key)
        rows.append((
            tool, key, caller_id, service_id, toolset, ended, fresh, read, five, hour, output, reasoning, searches,
            0 if exact else 1, offset, rank, recorded,
        ))  # fmt: skip
    return rows


def _name(conn: Any, tool: str, names: Sequence[Name]) -> None:
    conn.executemany(
        "INSERT INTO names VALUES (?, ?, ?, ?) ON CONFLICT (source, session) DO UPDATE SET name = excluded.name, "
        "status = excluded.status WHERE excluded.name <> name OR excluded.status <> status",
        [(tool, *map(bounds.text, (n.session, n.name, n.status))) for n in names],
    )
