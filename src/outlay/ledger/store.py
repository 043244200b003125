"""The ledger on SQLite: one writer thread that groups commits, readers with connections of their own.

Events form one hash chain. Payloads (anything with free text) lie in the vault; an event holds only a commitment
to its payload, so a payload can be removed and the chain still verifies.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from outlay.clock import Clock
from outlay.errors import Fenced, LedgerError
from outlay.ledger import calls as calls_table
from outlay.ledger.calls import Call
from outlay.ledger.schema import migrate

T = TypeVar("T")
GENESIS = bytes(32)
LEASE_MS = 20_000
"""Well above an event loop's stall; the owner renews at a third of it."""
_GROUP = 256
_CHECKPOINT_PAGES = 4_000
"""The log of new pages is written back at 16 MB: four times as rarely as by default, which halves the writing."""
_BUSY_S = 30.0
"""Longest wait for another process's lock."""
_COMPRESS_ABOVE_BYTES = 512
_SMALL_WINDOW_BYTES = 8192
"""Up to here a window of 8 kB sees everything, and takes a quarter of the memory, which costs more than compressing."""

if TYPE_CHECKING:
    import asyncio

    _Waiting = Future[Any] | asyncio.Future[Any]
    _Item = tuple["Callable[[Transaction], Any]", _Waiting]
    _Result = tuple[_Waiting, Any, BaseException | None]

_canonical = msgspec.json.Encoder(order="sorted").encode


class Event(msgspec.Struct, frozen=True):
    """One line of the ledger. `head` has no free text; `payload` is None when there was none or it is redacted."""

    seq: int
    at_ms: int
    run: str
    stream: str
    n: int
    type: str
    head: dict[str, Any]
    payload: bytes | None = None


class Entry(msgspec.Struct, frozen=True):
    """What is to be appended to a stream: the event without the places that the ledger gives it."""

    type: str
    head: Mapping[str, Any] = {}
    payload: bytes | None = None


def chain_hash(
    prev: bytes, seq: int, at_ms: int, run: str, stream: str, n: int, type: str, head: str, commitment: bytes | None
) -> bytes:
    """SHA-256 over the previous hash and every field of the event."""
    facts = _canonical([seq, at_ms, run, stream, n, type, head, commitment.hex() if commitment else None])
    return hashlib.sha256(prev + facts).digest()


def commitment_to(salt: bytes, payload: bytes) -> bytes:
    """HMAC-SHA256 under a random salt, so that a short redacted text cannot be guessed back."""
    return hmac.digest(salt, payload, "sha256")


class Transaction:
    """Writes of one caller; all of them are committed together, or none."""

    def __init__(self, conn: sqlite3.Connection, clock: Clock) -> None:
        self.conn = conn
        self._clock = clock
        self._tail: tuple[int, bytes] | None = None
        self._ids = calls_table.Ids()

    def now_ms(self) -> int:
        """The ledger's clock."""
        return self._clock.now_ms()

    def begin(self) -> None:
        """Read the end of the chain anew: other processes may have written since."""
        self._tail = None

    def undone(self) -> None:
        """Forget what may have been rolled back: the end of the chain, and the ids of callers that were new."""
        self._tail = None
        self._ids = calls_table.Ids()

    def open_stream(self, stream: str, kind: str) -> None:
        """Create a stream that nobody owns yet; nothing if it exists."""
        self.conn.execute("INSERT OR IGNORE INTO streams VALUES (?, ?, 0, NULL, 0, 0)", (stream, kind))

    def claim(self, stream: str, owner: str) -> int:
        """Take the lease of a stream and return the new epoch. Raises Fenced while another owner's lease lives."""
        now = self._clock.now_ms()
        row = self.conn.execute(
            "UPDATE streams SET epoch = epoch + 1, owner = ?, lease_until_ms = ? "
            "WHERE id = ? AND (owner IS NULL OR owner = ? OR lease_until_ms < ?) RETURNING epoch",
            (owner, now + LEASE_MS, stream, owner, now),
        ).fetchone()
        if row is None:
            raise Fenced(f"{stream} is being worked on by another process; wait for it, or cancel it first")
        return int(row[0])

    def renew(self, owner: str) -> None:
        """Extend every lease that `owner` still holds."""
        until = self._clock.now_ms() + LEASE_MS
        self.conn.execute("UPDATE streams SET lease_until_ms = ? WHERE owner = ?", (until, owner))

    def release(self, owner: str, stream: str | None = None) -> None:
        """Give back one lease, or all that `owner` holds."""
        self.conn.execute(
            "UPDATE streams SET owner = NULL, lease_until_ms = 0 WHERE owner = ? AND id = coalesce(?, id)",
            (owner, stream),
        )

    def append(self, run: str, stream: str, epoch: int, entries: Iterable[Entry]) -> list[int]:
        """Append to a stream that is held under `epoch`; returns the places in the stream.

        Raises Fenced, and writes nothing, when the stream has another owner by now.
        """
        entries = list(entries)
        row = self.conn.execute(
            "UPDATE streams SET next_n = next_n + ? WHERE id = ? AND epoch = ? RETURNING next_n",
            (len(entries), stream, epoch),
        ).fetchone()
        if row is None:
            raise Fenced(f"{stream}: another process took over; this one stops writing")
        places = list(range(row[0] - len(entries), row[0]))
        for n, entry in zip(places, entries, strict=True):
            self._chain(run, stream, n, entry)
        return places

    def _chain(self, run: str, stream: str, n: int, entry: Entry) -> None:
        if self._tail is None:
            last = self.conn.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
            self._tail = last or (0, GENESIS)
        seq, prev = self._tail
        payload_id = commitment = None
        if entry.payload is not None:
            salt = os.urandom(16)
            commitment = commitment_to(salt, entry.payload)
            payload_id = self.conn.execute(
                "INSERT INTO vault (subject, salt, body) VALUES (?, ?, ?)", (run, salt, _pack(entry.payload))
            ).lastrowid
        head = _canonical(entry.head).decode()
        at_ms = self._clock.now_ms()
        facts = (seq + 1, at_ms, run, stream, n, entry.type, head)
        hash = chain_hash(prev, *facts, commitment)
        self.conn.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*facts, payload_id, commitment, prev, hash)
        )
        self._tail = (seq + 1, hash)

    def record_calls(self, calls: Iterable[Call]) -> None:
        """Write rows of `calls`; one with the same (source, key) is replaced."""
        calls_table.record(self.conn, calls, self._ids)

    def put(self, table: str, **columns: object) -> None:
        """Insert or update a row of `runs` or `sessions` by its `id`; columns not named keep their value."""
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
        self.conn.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {sets}",
            tuple(columns.values()),
        )

    def update(self, table: str, id: str, **columns: object) -> None:
        """Update columns of an existing row of `runs` or `sessions`."""
        sets = ", ".join(f"{name} = ?" for name in columns)
        self.conn.execute(f"UPDATE {table} SET {sets} WHERE id = ?", (*columns.values(), id))


def _pack(payload: bytes) -> bytes:
    if len(payload) > _SMALL_WINDOW_BYTES:
        return b"\x01" + zlib.compress(payload, 1)
    if len(payload) > _COMPRESS_ABOVE_BYTES:
        small = zlib.compressobj(1, zlib.DEFLATED, 13, 6)
        return b"".join((b"\x01", small.compress(payload), small.flush()))
    return b"\x00" + payload


def unpack(body: bytes) -> bytes:
    """The payload behind a `vault.body`."""
    return zlib.decompress(body[1:]) if body[0] == 1 else body[1:]


class Ledger:
    """An open ledger. Writes go through one thread, which commits what is waiting in one transaction."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open or create the ledger at `path`. Raises LedgerError with what to do when that fails."""
        self.path = path
        self.clock = clock or Clock()
        self._local = threading.local()
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Item]] = {}
        """What loops entrusted in their present turn."""
        try:
            conn = _connect(path)
            migrate(conn)
            conn.close()
        except sqlite3.Error as error:
            raise LedgerError(f"cannot open the ledger {path}: {error}") from None
        self._writer = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Finish what is queued and stop the writer."""
        for gathered in self._gathered.values():
            self._queue.put(gathered)
        self._gathered = {}
        self._queue.put(None)
        self._writer.join()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- writing

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Queue `work` for the next transaction. The future resolves after the commit is on disk."""
        future: Future[T] = Future()
        self._queue.put([(work, future)])
        return future

    def write(self, work: Callable[[Transaction], T]) -> T:
        """`submit` and wait (for code that is not async)."""
        return self.submit(work).result()

    async def commit(self, work: Callable[[Transaction], T]) -> T:
        """`submit` and wait without blocking the event loop. A cancelled wait does not undo the write."""
        return await self.entrust(work)

    def entrust(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """`commit` as a future of the running event loop, which resolves after the commit is on disk.

        What one turn of the loop entrusts goes to the writer together: one wake-up, and one commit.
        """
        import asyncio  # here, because much that never waits opens a ledger too

        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[T] = loop.create_future()
        gathered = self._gathered.get(loop)
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        gathered.append((work, waiting))
        return waiting

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        if gathered := self._gathered.pop(loop, None):
            self._queue.put(gathered)

    def _write(self) -> None:
        conn = _connect(self.path)
        transaction = Transaction(conn, self.clock)
        while (item := self._queue.get()) is not None:
            batch = item
            stop = False
            while len(batch) < _GROUP and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    stop = True
                    break
                batch += following
            _commit_batch(conn, transaction, batch)
            if stop:
                break
        conn.close()

    # ---- reading

    @property
    def reader(self) -> sqlite3.Connection:
        """This thread's read connection."""
        conn: sqlite3.Connection | None = getattr(self._local, "conn", None)
        if conn is None:
            conn = self._local.conn = _connect(self.path)
            conn.execute("PRAGMA query_only = 1")
        return conn

    def events(
        self,
        stream: str | None = None,
        *,
        run: str | None = None,
        types: Iterable[str] = (),
        after: int = 0,
        places: range | None = None,
    ) -> Iterator[Event]:
        """Events of a stream, a run or all, in order, with their payloads. `after` is a `seq`, `places` are of a
        stream, found without reading the rest of it."""
        where = ["seq > ?"]
        conditions: list[Any] = [after]
        if stream is not None:
            where.append("stream = ?")
            conditions.append(stream)
        if run is not None:
            where.append("run = ?")
            conditions.append(run)
        if places is not None:
            where.append("n >= ? AND n < ?")
            conditions += [places.start, places.stop]
        kinds = list(types)
        if kinds:
            where.append(f"type IN ({', '.join('?' * len(kinds))})")
            conditions += kinds
        rows = self.reader.execute(
            "SELECT seq, at_ms, run, stream, n, type, head, body FROM events LEFT JOIN vault ON vault.id = payload "
            f"WHERE {' AND '.join(where)} ORDER BY seq",
            conditions,
        )
        for seq, at_ms, event_run, event_stream, n, kind, head, body in rows:
            payload = unpack(body) if body is not None else None
            yield Event(seq, at_ms, event_run, event_stream, n, kind, msgspec.json.decode(head), payload)

    def calls(self, where: str = "1", parameters: tuple[object, ...] = ()) -> Iterator[Call]:
        """Calls that match an SQL condition, in order of completion."""
        return calls_table.select(self.reader, where, parameters)

    def rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries."""
        cursor = self.reader.execute(query, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _commit_batch(conn: sqlite3.Connection, transaction: Transaction, batch: list[_Item]) -> None:
    """One transaction for all; a work that raises is undone alone and its caller gets the exception."""
    results: list[_Result] = []
    alone = len(batch) == 1  # nothing else to keep: a savepoint would more than double the cost of many rows
    try:
        conn.execute("BEGIN IMMEDIATE")
        transaction.begin()
        for work, future in batch:
            if not alone:
                conn.execute("SAVEPOINT work")
            try:
                results.append((future, work(transaction), None))
            except Exception as error:
                if not conn.in_transaction:  # SQLite gave up the whole transaction (disk full, I/O error)
                    raise
                conn.execute("ROLLBACK" if alone else "ROLLBACK TO work")
                transaction.undone()
                results.append((future, None, _refused(error) if isinstance(error, sqlite3.Error) else error))
            if not alone:
                conn.execute("RELEASE work")
        if conn.in_transaction:
            conn.execute("COMMIT")
    except sqlite3.Error as error:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        transaction.undone()
        results = [(future, None, _refused(error)) for _, future in batch]
    _hand_out(results)


def _refused(error: sqlite3.Error) -> LedgerError:
    return LedgerError(f"cannot write to the ledger: {error}; nothing of this step was recorded")


def _hand_out(results: list[_Result]) -> None:
    """Tell those who wait. An event loop gets all of its results in one call: each call wakes it with a system call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Result]] = {}
    for result in results:
        future = result[0]
        if isinstance(future, Future):
            if future.set_running_or_notify_cancel():
                _settle([result])
        else:
            by_loop.setdefault(future.get_loop(), []).append(result)
    for loop, own in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, own)


def _settle(results: list[_Result]) -> None:
    for future, value, problem in results:
        if future.done():  # the wait was cancelled; the write stands
            continue
        if problem is None:
            future.set_result(value)
        else:
            future.set_exception(problem)


def _connect(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    _use_wal(conn)
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA secure_delete = ON")
    conn.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    return conn


def _use_wal(conn: sqlite3.Connection) -> None:
    """Several processes may make a new ledger at once. SQLite does not wait by itself for this one lock."""
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            conn.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
