"""What a run knows about labels: which files, handles and releases there are. A stream of the ledger holds it all, so
a run that is resumed knows what the one before it knew.

Labels of sessions stand in their own events (`label` in the head of what brought it); see `history`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.ledger import Entry, Event, Ledger, Transaction
from outlay.policy.release import Released, Spent
from outlay.policy.types import Label, Policy

EMPTY_BLOBS = ("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",)
"""git's id of an empty file: no content to know it by."""


class Handle(msgspec.Struct, frozen=True):
    """Something that was kept from a session, which may hand it on."""

    id: str
    label: Label
    origin: str
    text: str | None
    """None: it was redacted from the ledger."""


class Asked(msgspec.Struct, frozen=True):
    """A release that waits for a person."""

    id: str
    release: str
    to: str
    """Model that would see it."""
    session: str
    call: str
    """The tool call that asked."""


@dataclass
class Labels:
    """The labels of one run. `write` appends to its stream and takes what was written in, by the same code that
    rebuilds it."""

    run: str
    ledger: Ledger
    policy: Policy
    epoch: int = 0
    handles: dict[str, Handle] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    asked: dict[str, Asked] = field(default_factory=dict)
    _files: dict[tuple[str, str], Label] = field(default_factory=dict)
    _contents: dict[str, Label] = field(default_factory=dict)
    _ordinary: set[str] = field(default_factory=set)

    @property
    def stream(self) -> str:
        return policy_stream(self.run)

    async def open(self, owner: str) -> None:
        """Take the stream's lease and read what is in it."""

        def work(t: Transaction) -> int:
            t.open_stream(self.stream, "policy")
            return t.claim(self.stream, owner)

        self.epoch = await self.ledger.commit(work)
        for event in self.ledger.events(self.stream):
            self._take(event.type, event.head, event.payload)

    async def write(self, entry: Entry) -> None:
        """Append an event and take it in."""
        await self.ledger.commit(lambda t: t.append(self.run, self.stream, self.epoch, [entry]))
        self._take(entry.type, entry.head, entry.payload)

    def _take(self, kind: str, head: Mapping[str, Any], payload: bytes | None) -> None:
        if kind == "files.labelled":
            label = frozenset(head["label"])
            for path, blob in msgspec.json.decode(payload or b"[]", type=list[tuple[str, str]]):
                self._files[path, blob] = self._files.get((path, blob), frozenset()) | label
                if blob not in self._ordinary and blob not in EMPTY_BLOBS:
                    self._contents[blob] = self._contents.get(blob, frozenset()) | label
        elif kind == "handle.made":
            text = None if payload is None else payload.decode()
            self.handles[head["handle"]] = Handle(head["handle"], frozenset(head["label"]), head["origin"], text)
        elif kind == "data.released":
            self.spent = msgspec.convert(head["spent"], Spent)
        elif kind == "approval.asked":
            id, release, to = head["id"], head["release"], head["to"]
            self.asked[id] = Asked(id, release, to, head["session"], head["call"])

    # ---- files

    def know(self, blobs: Iterable[str]) -> None:
        """The contents that the user's own workspace had: a file that is like one of them is known by its path only."""
        self._ordinary.update(blobs)

    def of_file(self, path: str, blob: str) -> Label:
        """What is known of a file by its content, besides the rules for its path. Empty: nothing."""
        return self._files.get((path, blob), frozenset()) | self._contents.get(blob, frozenset())

    async def label_files(self, files: Iterable[tuple[str, str]], label: Label) -> None:
        """Note the label of files, each a path relative to the workspace and a blob id."""
        new = sorted((path, blob) for path, blob in files if not label <= self.of_file(path, blob))
        if new:
            head = {"label": sorted(label), "files": len(new)}
            await self.write(Entry("files.labelled", head, msgspec.json.encode(new)))

    # ---- handles and releases

    async def keep(self, text: str, label: Label, origin: str, session: str) -> str:
        """Put a text away; its handle. `origin` names where it is from and holds none of it."""
        handle = f"h{len(self.handles) + 1}"
        head = {"handle": handle, "label": sorted(label), "origin": origin, "session": session}
        await self.write(Entry("handle.made", head, text.encode("utf-8", "replace")))
        return handle

    async def note_release(self, release: str, released: Released, before: Label, session: str) -> None:
        """Count a release. What it let out is its payload."""
        head = {
            "release": release,
            "session": session,
            "before": sorted(before),
            "label": sorted(released.label),
            "to": released.to,
            "spent": msgspec.to_builtins(released.spent),
        }
        await self.write(Entry("data.released", head, released.content))


def policy_stream(run: str) -> str:
    """The stream that holds what a run's policy did."""
    return f"{run}:policy"


def approvals_stream(run: str) -> str:
    """The stream to which people's decisions are written, from whatever process."""
    return f"{run}:approvals"


def decision(ledger: Ledger, run: str, id: str) -> bool | None:
    """What a person said to a release that was asked for; None: nothing yet."""
    for event in ledger.events(approvals_stream(run), types=["approval.decided"]):
        if event.head["id"] == id:
            return bool(event.head["approved"])
    return None


def waiting(ledger: Ledger, run: str) -> list[Event]:
    """The releases of a run that nobody has decided on, oldest first: events `approval.asked`."""
    decided = {event.head["id"] for event in ledger.events(approvals_stream(run), types=["approval.decided"])}
    asked = ledger.events(policy_stream(run), types=["approval.asked"])
    return [event for event in asked if event.head["id"] not in decided]


def decide(ledger: Ledger, run: str, id: str, owner: str, *, approved: bool) -> Event:
    """Write a person's decision, once. Raises InputError when nothing of that id waits; Fenced while another process
    decides."""
    found = next((event for event in waiting(ledger, run) if event.head["id"] == id), None)
    if found is None:
        known = ", ".join(event.head["id"] for event in waiting(ledger, run))
        raise InputError(f"run {run}: nothing {id!r} waits for approval" + (f"; there is {known}" if known else ""))
    if found.payload is None:
        raise InputError(f"run {run}: what {id} is about was redacted, so nobody can approve it")
    stream = approvals_stream(run)

    def work(t: Transaction) -> None:
        t.open_stream(stream, "policy")
        epoch = t.claim(stream, owner)
        head = {"id": id, "approved": approved, "sha256": found.head["sha256"]}
        t.append(run, stream, epoch, [Entry("approval.decided", head)])
        t.release(owner, stream)

    ledger.write(work)
    return found
