"""Checking the chain: edits, deletions, reordering and swapped payloads are found; a cut tail needs an anchor."""

from __future__ import annotations

import msgspec

from outlay.ledger.store import GENESIS, Ledger, chain_hash, commitment_to, unpack


class Verdict(msgspec.Struct, frozen=True):
    """What `verify` found. `problems` is empty when the chain is whole."""

    events: int
    redacted: int
    head: str
    """Hash of the last event, hex: write `seq hash` down outside to detect a cut tail later."""
    problems: list[str]


def verify(ledger: Ledger, anchors: dict[int, str] | None = None) -> Verdict:
    """Walk the whole chain. `anchors` maps a `seq` to the hash (hex) it had when it was written down."""
    problems: list[str] = []
    prev, expected, redacted = GENESIS, 1, 0
    anchors = dict(anchors or {})
    rows = ledger.reader.execute(
        "SELECT seq, at_ms, run, stream, n, type, head, payload, commitment, prev, hash, salt, body "
        "FROM events LEFT JOIN vault ON vault.id = payload ORDER BY seq"
    )
    for seq, at_ms, run, stream, n, type_, head, payload, commitment, stored_prev, stored, salt, body in rows:
        if seq != expected:
            problems.append(f"event {expected}: missing ({seq} follows)")
        if stored_prev != prev:
            problems.append(f"event {seq}: does not follow the event before it")
        if chain_hash(stored_prev, seq, at_ms, run, stream, n, type_, head, commitment) != stored:
            problems.append(f"event {seq}: its content was changed")
        if payload is not None:
            if body is None:
                redacted += 1
            elif commitment_to(salt, unpack(body)) != commitment:
                problems.append(f"event {seq}: its payload was changed")
        if seq in anchors and anchors.pop(seq) != stored.hex():
            problems.append(f"event {seq}: differs from its anchor")
        prev, expected = stored, seq + 1
    problems += [f"event {seq}: anchored, but no longer there" for seq in sorted(anchors)]
    return Verdict(expected - 1, redacted, prev.hex(), problems)
