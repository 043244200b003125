"""The system call filter of the strict profile, assembled to classic BPF without any library.

Numbers: asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64) of Linux; semantics: seccomp(2), linux/filter.h.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Callable, Sequence

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x4000_0000
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = 0, 4, 16

_NEW_NAMESPACES = 0x7E02_0000
_NEW_TIME = 0x80
_SET_ID_BITS = 0o6000
_CREATES = 0o100 | 0o20000000
"""O_CREAT and __O_TMPFILE: only then does open(2) read a mode."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI pushes characters into a terminal, TIOCLINUX pastes into a console."""
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6. AF_NETLINK is allowed for routes only; AF_VSOCK ignores network namespaces."""
_NETLINK = 16
_PERSONALITIES = (0, 0xFFFF_FFFF, 0x0004_0000)
"""Linux, the query, and ADDR_NO_RANDOMIZE."""

_DENIED: dict[str, tuple[int | None, int | None]] = {
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "chroot": (161, 51),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "nfsservctl": (180, 42),
    "lookup_dcookie": (212, 18),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "kcmp": (312, 272),
    "fanotify_init": (300, 262),
    "uselib": (134, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "memfd_secret": (447, 447),
}
"""Refused with EPERM: (x86_64, aarch64) numbers."""

_ABSENT: dict[str, tuple[int | None, int | None]] = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "fchmodat2": (452, 452),
}
"""Answered with ENOSYS, so that libraries fall back to the older call, whose arguments the filter can see."""

_Step = tuple[int, int, int, int]


def _load(offset: int) -> _Step:
    return (_LOAD, 0, 0, offset)


def _argument(index: int) -> _Step:
    """Low half of an argument; the kernel reads these arguments as 32-bit values (both machines: little-endian)."""
    return _load(_ARGS_OFFSET + 8 * index)


def _refuse(number: int) -> _Step:
    return (_RETURN, 0, 0, _ERRNO | number)


_PASS: _Step = (_RETURN, 0, 0, _ALLOW)


def _when_set(argument: int, mask: int, error: int) -> list[_Step]:
    return [_argument(argument), (_JSET, 0, 1, mask), _refuse(error), _PASS]


def _when_equal(argument: int, values: Sequence[int], error: int) -> list[_Step]:
    steps = [_argument(argument)]
    for value in values:
        steps += [(_JEQ, 0, 1, value), _refuse(error)]
    return [*steps, _PASS]


def _unless_equal(argument: int, values: Sequence[int], error: int) -> list[_Step]:
    steps = [_argument(argument)]
    for value in values:
        steps += [(_JEQ, 0, 1, value), _PASS]
    return [*steps, _refuse(error)]


def _creating_mode(flags: int, mode: int) -> list[_Step]:
    return [_argument(flags), (_JSET, 1, 0, _CREATES), _PASS, *_when_set(mode, _SET_ID_BITS, errno.EPERM)]


def _socket() -> list[_Step]:
    steps = [_argument(0)]
    for family in _FAMILIES:
        steps += [(_JEQ, 0, 1, family), _PASS]
    routes_only = _unless_equal(2, (0,), errno.EAFNOSUPPORT)
    return [*steps, (_JEQ, 1, 0, _NETLINK), _refuse(errno.EAFNOSUPPORT), *routes_only]


_BY_ARGUMENT: dict[str, tuple[int | None, int | None, Callable[[], list[_Step]]]] = {
    "socket": (41, 198, _socket),
    "ioctl": (16, 29, lambda: _when_equal(1, _TERMINAL_INPUT, errno.EPERM)),
    "clone": (56, 220, lambda: _when_set(0, _NEW_NAMESPACES, errno.EPERM)),
    "unshare": (272, 97, lambda: _when_set(0, _NEW_NAMESPACES | _NEW_TIME, errno.EPERM)),
    "personality": (135, 92, lambda: _unless_equal(0, _PERSONALITIES, errno.EPERM)),
    "chmod": (90, None, lambda: _when_set(1, _SET_ID_BITS, errno.EPERM)),
    "fchmod": (91, 52, lambda: _when_set(1, _SET_ID_BITS, errno.EPERM)),
    "fchmodat": (268, 53, lambda: _when_set(2, _SET_ID_BITS, errno.EPERM)),
    "open": (2, None, lambda: _creating_mode(1, 2)),
    "openat": (257, 56, lambda: _creating_mode(2, 3)),
    "creat": (85, None, lambda: _when_set(1, _SET_ID_BITS, errno.EPERM)),
    "mknod": (133, None, lambda: _when_set(1, _SET_ID_BITS, errno.EPERM)),
    "mknodat": (259, 33, lambda: _when_set(2, _SET_ID_BITS, errno.EPERM)),
}


def program(machine: str | None = None, *, sockets: bool = True) -> bytes | None:
    """The filter as an array of `struct sock_filter`, for `machine` (default: this one). None where no table exists.

    sockets: whether any may be made; without a network namespace, none may (pairs may, which lead nowhere else).
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCH:
        return None
    column = 0 if machine == "x86_64" else 1
    steps: list[_Step] = [_load(_ARCH_OFFSET), (_JEQ, 1, 0, _AUDIT_ARCH[machine]), _refuse(errno.ENOSYS)]
    steps.append(_load(_NR_OFFSET))
    if machine == "x86_64":
        steps += [(_JGE, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    for table, error in ((_DENIED, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                steps += [(_JEQ, 0, 1, number), _refuse(error)]
    for name, (first, second, body) in _BY_ARGUMENT.items():
        number = (first, second)[column]
        if number is not None:
            block = body() if sockets or name != "socket" else [_refuse(errno.EACCES)]
            steps += [(_JEQ, 0, len(block), number), *block]
    steps.append(_PASS)
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
