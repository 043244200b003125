"""The system call filter, run by an interpreter of classic BPF: every machine's table on any machine."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.sandbox.seccomp import program

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = 0


def decide(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """0 when the call is allowed, else its errno."""
    filter_bytes = program(machine)
    assert filter_bytes is not None
    steps = list(struct.iter_unpack("<HBBI", filter_bytes))
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<II8x6Q", number, ARCHITECTURES[machine] if architecture is None else architecture, *padded)
    accumulator, at = 0, 0
    while True:
        code, yes, no, constant = steps[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, constant)[0]
        elif code == 0x06:
            return ALLOWED if constant == 0x7FFF0000 else constant & 0xFFFF
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}
            at += yes if holds[code] else no


X86 = [
    (0, (), ALLOWED),
    (59, (), ALLOWED),
    (101, (), errno.EPERM),
    (425, (), errno.ENOSYS),
    (435, (), errno.ENOSYS),
    (41, (1, 1, 0), ALLOWED),
    (41, (2, 1, 0), ALLOWED),
    (41, (16, 3, 0), ALLOWED),
    (41, (16, 3, 9), errno.EAFNOSUPPORT),
    (41, (40, 1, 0), errno.EAFNOSUPPORT),
    (41, (17, 3, 768), errno.EAFNOSUPPORT),
    (16, (0, 0x5412), errno.EPERM),
    (16, (0, 0x5401), ALLOWED),
    (16, (0, 0x1_0000_5412), errno.EPERM),
    (56, (0x01200011,), ALLOWED),
    (56, (0x003D0F00,), ALLOWED),
    (56, (0x10000011,), errno.EPERM),
    (272, (0x400,), ALLOWED),
    (272, (0x20000,), errno.EPERM),
    (272, (0x80,), errno.EPERM),
    (135, (0xFFFFFFFF,), ALLOWED),
    (135, (0x0400000,), errno.EPERM),
    (90, (0, 0o755), ALLOWED),
    (90, (0, 0o4755), errno.EPERM),
    (268, (0, 0, 0o2755), errno.EPERM),
    (257, (0, 0, 0, 0o4755), ALLOWED),
    (257, (0, 0, 0o101, 0o4755), errno.EPERM),
    (257, (0, 0, 0o20200001, 0o6000), errno.EPERM),
    (257, (0, 0, 0o101, 0o644), ALLOWED),
    (2, (0, 0o101, 0o4755), errno.EPERM),
    (0x40000000 + 101, (), errno.ENOSYS),
]


@pytest.mark.parametrize(("number", "arguments", "expected"), X86)
def test_calls_are_judged_by_number_and_arguments(number: int, arguments: tuple[int, ...], expected: int) -> None:
    assert decide("x86_64", number, *arguments) == expected


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (63, (), ALLOWED),
        (117, (), errno.EPERM),
        (198, (40, 1, 0), errno.EAFNOSUPPORT),
        (198, (2, 1, 0), ALLOWED),
        (220, (0x10000011,), errno.EPERM),
        (53, (0, 0, 0o4755), errno.EPERM),
        (56, (0, 0, 0o101, 0o4755), errno.EPERM),
        (29, (0, 0x5412), errno.EPERM),
        (280, (), errno.EPERM),
    ],
)
def test_the_other_machines_numbers_are_its_own(number: int, arguments: tuple[int, ...], expected: int) -> None:
    assert decide("aarch64", number, *arguments) == expected


@given(
    st.sampled_from(sorted(ARCHITECTURES)), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**64 - 1), max_size=6)
)
def test_every_call_is_judged(machine: str, number: int, arguments: list[int]) -> None:
    assert decide(machine, number, *arguments) in (ALLOWED, errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)
    assert decide(machine, number, *arguments, architecture=0x40000003) == errno.ENOSYS


def test_an_unknown_machine_has_no_filter() -> None:
    assert program("riscv64") is None
