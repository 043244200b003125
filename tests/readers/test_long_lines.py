"""Lines longer than the buffer, in the middle of files that are read with one buffer after another."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.readers.reading import CHUNK_BYTES, chunks

LENGTHS = st.lists(st.integers(0, 40) | st.integers(CHUNK_BYTES - 3, 3 * CHUNK_BYTES), max_size=6)


@settings(max_examples=60)
@given(files=st.lists(st.tuples(LENGTHS, st.booleans()), min_size=1, max_size=3), small=st.booleans())
def test_every_line_comes_once_and_whole_however_long_and_whatever_was_read_before(
    tmp_path_factory: object, files: list[tuple[list[int], bool]], small: bool
) -> None:
    folder: Path = tmp_path_factory.mktemp("lines")  # type: ignore[attr-defined]
    buffer = bytearray(64 if small else CHUNK_BYTES)
    for number, (lengths, ended) in enumerate(files):
        path = folder / f"{number}.jsonl"
        lines = [bytes([97 + place]) * length for place, length in enumerate(lengths)]
        content = b"\n".join(lines) + (b"\n" if ended else b"")
        path.write_bytes(content)
        found, torn = b"", b""
        for offset, piece, length, whole in chunks(path, 0, buffer):
            assert offset == len(found) and piece is buffer
            if whole:
                assert piece[length - 1 : length] == b"\n"
                found += piece[:length]
            else:
                torn = bytes(piece[:length])
        assert found + torn == content
        assert b"\n" not in torn
