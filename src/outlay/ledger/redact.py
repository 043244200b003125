"""Redaction: payloads leave the ledger for good, the chain stays whole, and an event says that it happened."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence

import msgspec

from outlay.errors import InputError, LedgerError
from outlay.ledger.store import Entry, Ledger, Transaction

STREAM = "ledger:redactions"
DATA = "data:"
"""A subject that begins so is a kind of data: what sessions heard from when they first had its label."""


class Redacted(msgspec.Struct, frozen=True):
    """What a redaction removed."""

    subject: str
    payloads: int
    runs: tuple[str, ...]
    """Runs that lost payloads. Their folders (files, outputs) are not the ledger's."""


def redact(ledger: Ledger, subject: str, owner: str) -> Redacted:
    """Remove the payloads of a run (its id), or of a kind of data (`data:NAME`) in all runs.

    Raises InputError when there are none, or a run of them is being worked on; LedgerError when another process keeps
    the files from being cleaned.
    """
    found = _payloads(ledger, subject)
    runs = tuple(sorted({run for _, run in found}))
    if not found:
        raise InputError(f"the ledger has no payload of {subject!r}; give a run's id, or data:NAME")
    _check_idle(ledger, runs)

    def work(t: Transaction) -> None:
        t.open_stream(STREAM, "ledger")
        epoch = t.claim(STREAM, owner)
        t.conn.executemany("DELETE FROM vault WHERE id = ?", [(payload,) for payload, _ in found])
        for run in runs:  # their words are about what was removed
            t.conn.execute("UPDATE sessions SET last_action = '' WHERE run = ?", (run,))
            t.conn.execute("UPDATE runs SET reason = '' WHERE id = ?", (run,))
        head = {"subject": subject, "payloads": len(found), "runs": list(runs)}
        t.append("", STREAM, epoch, [Entry("ledger.redacted", head)])
        t.release(owner, STREAM)

    ledger.write(work)
    _clean(ledger)
    return Redacted(subject, len(found), runs)


def _payloads(ledger: Ledger, subject: str) -> list[tuple[int, str]]:
    """Vault ids, each with its run."""
    if not subject.startswith(DATA):
        query = "SELECT payload, run FROM events JOIN vault ON vault.id = payload WHERE vault.subject = ?"
        return [(int(payload), run) for payload, run in ledger.reader.execute(query, (subject,))]
    name = subject.removeprefix(DATA)
    rows = ledger.reader.execute(
        "SELECT events.payload, run, stream, type, head, vault.id FROM events LEFT JOIN vault ON vault.id = payload "
        "ORDER BY seq"
    )
    found, labelled = [], set()
    for payload, run, stream, kind, head, vault in rows:
        facts = msgspec.json.decode(head)
        has = name in facts.get("label", ()) or name in facts.get("before", ())
        if has and not kind.startswith(("policy.", "files.")):
            labelled.add(stream)
        # A stream of the run's policy holds things of many sessions: there each event speaks for itself.
        if vault is not None and (has or (stream in labelled and not stream.endswith(":policy"))):
            found.append((int(payload), run))
    return found


def _check_idle(ledger: Ledger, runs: Sequence[str]) -> None:
    now = ledger.clock.now_ms()
    for run in runs:
        row = ledger.reader.execute(
            "SELECT 1 FROM streams WHERE id = ? AND owner IS NOT NULL AND lease_until_ms >= ?", (run, now)
        ).fetchone()
        if row is not None:
            raise InputError(f"run {run} is at work; end it first: outlay cancel {run}")


def _clean(ledger: Ledger) -> None:
    """Write the file anew without the removed bytes, and empty the log beside it."""
    try:
        with contextlib.closing(sqlite3.connect(ledger.path, isolation_level=None, timeout=30)) as conn:
            conn.execute("VACUUM")
            busy, *_ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise LedgerError(f"the payloads are removed, but the file was not cleaned: {error}; redact again") from None
    if busy:
        raise LedgerError(
            f"the payloads are removed, but {ledger.path.name}-wal may hold them while others read the ledger; "
            "end those and run the same command again"
        )
