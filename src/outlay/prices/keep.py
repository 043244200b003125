"""Price books that were in force are kept, so that old figures can be explained and prices compared.

`prices/books/<id>.json` in the state folder holds the user's rows and the hash of the snapshot, and
`prices/snapshots/<hash>.json` the snapshot. Both are written when a book is used for something that lasts (a run, an
update, a re-pricing).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from outlay import home
from outlay.errors import InputError
from outlay.prices import snapshot as frozen
from outlay.prices.book import PriceBook, current_snapshot, rebuild
from outlay.prices.own import OwnBook


class Kept(msgspec.Struct, frozen=True):
    """The file of one book."""

    id: str
    snapshot_sha256: str
    source: str
    own: bytes
    """The user's rows, as MessagePack."""


def folder() -> Path:
    """Where price books and snapshots are kept."""
    return home.home() / "prices"


def keep(book: PriceBook) -> Path:
    """Write the book and its snapshot down, unless they are there already."""
    target = home.ensure(folder() / "books") / f"{book.id}.json"
    if not target.exists():
        own = msgspec.msgpack.encode(book.own, enc_hook=lambda f: [f.numerator, f.denominator])
        kept = Kept(book.id, book.snapshot_sha256, book.source, own)
        raw, shelf = _raw(book.snapshot_sha256), home.ensure(folder() / "snapshots")
        (shelf / f"{book.snapshot_sha256}.json").write_bytes(raw)
        target.write_bytes(msgspec.json.encode(kept))
    return target


def _raw(sha256: str) -> bytes:
    for path in (folder() / "snapshots" / f"{sha256}.json", folder() / "frozen" / "snapshot.json", frozen.FILE):
        if path.exists() and hashlib.sha256(raw := path.read_bytes()).hexdigest() == sha256:
            return raw
    raise InputError(f"the price snapshot {sha256[:12]} is not kept on this machine")


def kept_books() -> list[tuple[str, PriceBook]]:
    """Every kept book that can still be read, as (file name, book)."""
    found = []
    for path in sorted((folder() / "books").glob("*.json")):
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        shelf = folder() / "snapshots" / f"{kept.snapshot_sha256}.json"
        if shelf.exists():
            own = msgspec.msgpack.decode(kept.own, type=OwnBook, dec_hook=lambda kind, v: kind(*v))
            listed, digest = frozen.read(shelf, kept.snapshot_sha256)
            found.append((path.name, rebuild(listed, digest, own)))
    return found


def update(raw: bytes, about: frozen.Manifest) -> bool:
    """Put a new snapshot in force; false when it is the one in force already."""
    _, digest = current_snapshot(home.home())
    if about.sha256 == digest:
        return False
    target = home.ensure(folder() / "frozen")
    frozen.write(raw, about, target)
    return True
