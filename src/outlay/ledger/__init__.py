"""The append-only record of everything that happened: events, calls, payloads, leases."""

from outlay.ledger.calls import Call
from outlay.ledger.chain import Verdict, verify
from outlay.ledger.store import Entry, Event, Ledger, Transaction

__all__ = ["Call", "Entry", "Event", "Ledger", "Transaction", "Verdict", "verify"]
