"""Tapes: what other agents asked at the gateway and what they were answered, byte for byte, and playing it back.

A JSONL file: `Header`, then a `Piece` per answer. Requests are not kept, only what tells one from another: agents put
dates, ids and paths of the day into theirs, so a request is known by its place (session, purpose, how many before it)
and must agree in its API, model and number of messages.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from outlay.errors import DiskProblem, InputError
from outlay.gateway.passthrough import Asked
from outlay.gateway.refusals import Refused

FORMAT = 1
_KEPT_HEADERS = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")


class Header(msgspec.Struct, frozen=True):
    """The first line."""

    outlay_tape: int


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer."""

    session: str
    """Name of the session that was answered."""
    purpose: str
    """Its role, or what a hidden call was for."""
    n: int
    """Requests of this session for this purpose before this one; those that brought no whole answer are left out."""
    wire: str
    model: str
    """As asked for."""
    stream: bool
    messages: int
    """In the request."""
    status: int
    headers: dict[str, str]
    text: str | None = None
    base64: str | None = None
    """The body where it is no UTF-8."""

    @property
    def body(self) -> bytes:
        return self.text.encode() if self.text is not None else base64.b64decode(self.base64 or "")


class _Messages(msgspec.Struct):
    messages: list[msgspec.Raw] | None = None
    input: list[msgspec.Raw] | str | None = None
    contents: list[msgspec.Raw] | None = None


def count_messages(asked: Asked) -> int:
    """How many messages a request holds; a text alone is one."""
    try:
        found = msgspec.json.decode(asked.body, type=_Messages)
    except (msgspec.MsgspecError, ValueError):
        return 0
    several = found.messages or found.contents or found.input or []
    return 1 if isinstance(several, str) else len(several)


class Recording:
    """Appends answers to a tape."""

    def __init__(self, path: Path) -> None:
        """A new tape, or one that goes on. Raises InputError when the file is something else."""
        self._path = path
        self._counts: Counter[tuple[str, str]] = Counter()
        if path.exists() and path.stat().st_size:
            for piece in _read(path):
                key = (piece.session, piece.purpose)
                self._counts[key] = max(self._counts[key], piece.n + 1)
            return
        try:
            path.write_bytes(msgspec.json.encode(Header(FORMAT)) + b"\n")
        except OSError as error:
            raise InputError(f"cannot write the recording {path}: {error.strerror}") from None

    def place(self, session: str, purpose: str) -> int:
        """The number of a request that comes now."""
        self._counts[session, purpose] += 1
        return self._counts[session, purpose] - 1

    def add(
        self, session: str, purpose: str, n: int, asked: Asked, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """One answer that came whole. Raises DiskProblem when it cannot be written."""
        text, packed = None, None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            packed = base64.b64encode(body).decode()
        kept = {name.lower(): value for name, value in headers.items() if name.lower() in _KEPT_HEADERS}
        piece = Piece(
            session, purpose, n, asked.wire, asked.model, asked.stream, count_messages(asked), status, kept,
            text, packed,
        )  # fmt: skip
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(piece) + b"\n")
        except OSError as error:
            raise DiskProblem(f"cannot write the recording {self._path}: {error.strerror}") from None


class Tape:
    """Plays a tape: every session from its beginning."""

    def __init__(self, path: Path) -> None:
        """Raises InputError when the file is missing or no tape."""
        self._path = path
        self._pieces: dict[tuple[str, str], list[Piece]] = defaultdict(list)
        for piece in sorted(_read(path), key=lambda piece: piece.n):
            self._pieces[piece.session, piece.purpose].append(piece)
        self._counts: Counter[tuple[str, str]] = Counter()

    def answer(self, session: str, purpose: str, asked: Asked) -> Played:
        """The recorded answer. Raises Refused when the agent takes another course than the recorded one."""
        n = self._counts[session, purpose]
        pieces = self._pieces.get((session, purpose), [])
        place = f"{self._path.name}: answer {n} of session {session} ({purpose})"
        if n >= len(pieces):
            raise Refused(403, f"{place} is not there: the agent took another course than the recorded one", "tape")
        piece = pieces[n]
        recorded = (piece.wire, piece.model, piece.stream, piece.messages)
        asks = (asked.wire, asked.model, asked.stream, count_messages(asked))
        if recorded != asks:
            was, now = ("{} {}, stream {}, {} messages".format(*each) for each in (recorded, asks))
            raise Refused(403, f"{place} was for another request: {was}; now {now}", "tape")
        self._counts[session, purpose] += 1
        return Played(piece)


class Played:
    """An answer as aiohttp's client would give it."""

    def __init__(self, piece: Piece) -> None:
        self._body = piece.body
        self.status = piece.status
        self.reason: str | None = None
        self.headers = CIMultiDictProxy(CIMultiDict(piece.headers))
        self.content_length: int | None = len(self._body)
        self.content = self

    async def readany(self) -> bytes:
        """The whole body, then nothing."""
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        pass


def _read(path: Path) -> list[Piece]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read the recording {path}: {error.strerror}") from None
    try:
        msgspec.json.decode(lines[0], type=Header)
        return [msgspec.json.decode(line, type=Piece) for line in lines[1:]]
    except (IndexError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is no recording of a gateway: {error}") from None
