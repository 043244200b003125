"""Server-sent events, read from a body that arrives in chunks of any size.

Source: the WHATWG HTML standard, "Server-sent events": lines end in LF, CR or CRLF, a line that begins with a colon
is a comment, the `data` lines of an event are joined with LF, an empty line ends the event.
"""

from __future__ import annotations

MAX_PENDING_BYTES = 64 << 20
"""No event of a model API comes near this; a body without line ends must not fill the memory."""


class EventData:
    """Takes bytes and gives back the data of the events that they complete."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._data: list[bytes] = []
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Data of the events that `chunk` completes, in order. Raises ValueError when a line has no end."""
        if self._pending and self._pending[-1] == 0x0D:
            complete = True
        else:
            complete = b"\n" in chunk or b"\r" in chunk
        self._pending += chunk
        if not complete:
            if len(self._pending) > MAX_PENDING_BYTES:
                raise ValueError(f"a line of the stream is longer than {MAX_PENDING_BYTES} bytes")
            return []
        # A CR in the last place may be half of a CRLF: it waits for the next byte.
        end = max(self._pending.rfind(b"\n"), self._pending.rfind(b"\r", 0, -1)) + 1
        if not end:
            return []
        text = bytes(self._pending[:end])
        del self._pending[:end]
        return self._lines(text)

    def flush(self) -> list[bytes]:
        """Data of an event that the end of the body left without its empty line. It may be cut off."""
        text = bytes(self._pending)
        self._pending.clear()
        return self._lines(text + b"\n\n") if text or self._data else []

    def _lines(self, text: bytes) -> list[bytes]:
        if self._first:
            self._first = False
            text = text.removeprefix(b"\xef\xbb\xbf")
        events: list[bytes] = []
        data = self._data
        if not data and text.startswith(b"data: ") and text.endswith(b"\n\n") and b"\r" not in text:
            events = text[6:-2].split(b"\n\ndata: ")
            if text.count(b"\n") == 2 * len(events):  # one line each: so come chat completions, at a fifth of the work
                return events
            events = []
        for line in text.splitlines():
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"error:"):
                # Older llama.cpp servers send their errors in a field of this name.
                data.append(b'{"error":' + line[6:] + b"}")
        return events
