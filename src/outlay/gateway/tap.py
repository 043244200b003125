"""The meter's copy of an answer: the same bytes that the client gets, read for their exact usage."""

from __future__ import annotations

import zlib

from outlay.gateway.passthrough import CHAT, RESPONSES
from outlay.tokens import Usage
from outlay.wires.http import MAX_ANSWER_BYTES
from outlay.wires.types import Codec, Fault, Reply

ENCODINGS = ("gzip", "deflate")
"""Compressions that can be read here; others are not offered to the provider."""


STRETCH_BYTES = 64 << 10
"""How much of a stream is held before it is read."""


class Tap:
    """Reads one answer, streamed or whole, compressed or not. It never raises while bytes still come: a client gets
    what the provider sent, whatever we make of it."""

    def __init__(self, codec: Codec, encoding: str = "", *, keep: bool = False) -> None:
        """keep: hold every byte, for a recording."""
        self._codec = codec
        self._reader = codec.reader()
        self._inflate = zlib.decompressobj(47 if encoding == "gzip" else 15) if encoding in ENCODINGS else None
        self._start = b""
        self._whole: list[bytes] | None = None
        self._streamed = False
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._size = 0
        self._fault: Fault | None = None
        self._deltas = 0
        self.kept: list[bytes] | None = [] if keep else None

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        self._size += len(chunk)
        if self.kept is not None:
            self.kept.append(chunk)
        if self._fault is not None:
            return
        try:
            if self._inflate is not None:
                chunk = self._inflate.decompress(chunk)
            if self._streamed:
                self._read_later(chunk)
            else:
                self._begin(chunk)
        except Fault as fault:
            self._fault = fault
        except zlib.error as error:
            self._fault = self.cut(f"the answer's compression is broken: {error}", "bad_answer")

    def _begin(self, chunk: bytes) -> None:
        """Until it is known what it is: JSON is collected, events go to the reader."""
        if self._whole is not None:
            self._whole.append(chunk)
            if self._size > MAX_ANSWER_BYTES:
                raise Fault("bad_answer", f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
            return
        self._start += chunk
        head = self._start.lstrip(b"\xef\xbb\xbf \t\r\n")
        if not head:
            return
        if head[:1] in b"{[":
            self._whole = [self._start]
        elif head[:1] == b"<":
            raise Fault("bad_answer", "the answer is a web page: is the base URL right?")
        else:
            self._streamed = True
            self._read_later(self._start)

    def _read_later(self, chunk: bytes) -> None:
        """Streams are read in long stretches: nothing of them is wanted before the end, and one long one costs a
        fraction of many short ones."""
        self._deltas += chunk.count(b'"delta":')
        self._unread.append(chunk)
        self._unread_bytes += len(chunk)
        if self._unread_bytes > STRETCH_BYTES:
            self._read()

    def _read(self) -> None:
        stretch, self._unread, self._unread_bytes = b"".join(self._unread), [], 0
        if stretch:
            self._reader.feed(stretch)

    def finish(self) -> Reply:
        """The whole reply. Raises Fault when what came was none, with the usage that had come."""
        if self._fault is not None:
            raise self._fault
        if self._whole is not None:
            return self._codec.read(b"".join(self._whole))
        if not self._streamed:
            raise Fault("cut", "the answer is empty")
        self._read()
        return self._reader.finish()

    @property
    def body(self) -> bytes:
        """The answer as far as it was collected, for errors."""
        return b"".join(self._whole) if self._whole is not None else self._start

    def cut(self, message: str, kind: str = "cut") -> Fault:
        """The fault of an answer that broke off, with what had come of its usage."""
        if self._fault is not None:
            return self._fault
        reader = self._reader
        try:
            self._read()
        except Fault as fault:
            return fault
        usage = reader.usage_so_far or self._received()
        return Fault(kind, message, usage=usage, raw_usage=reader.raw_usage_so_far)  # type: ignore[arg-type]

    def _received(self) -> Usage | None:
        """OpenAI tells usage at the end only. Until then every delta is a token at least; of chat completions the
        first and the last hold none."""
        framing = {CHAT: 2, RESPONSES: 0}.get(self._codec.name)
        if framing is None or self._deltas <= framing:
            return None
        return Usage(output=self._deltas - framing)
