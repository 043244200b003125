"""Keys of agents: handed to the worker over a socket by whoever starts an agent, kept in memory, on no disk.

The worker may have been started from a shell that has no key, or another one's. So it takes none from its own
environment: each agent has the keys that came with the commands which started, resumed or told it. Worker and keeper
share them in a file without a name, in memory, so that either may crash; when both have, they are asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from outlay import home
from outlay.service import keeper
from outlay.service.errors import ServiceError

Given = dict[str, dict[str, str]]
"""Run -> variable -> key."""
_SOCKET = "keys.sock"
_MOST_BYTES = 1 << 20
_ANSWERS_S = 30.0
_TAKEN = b"taken\n"
_DECODER = msgspec.json.Decoder(Given)


def memory() -> int | None:
    """A file in memory that ends with the last process which has it open; None where the system has none such."""
    return os.memfd_create("outlay-keys") if hasattr(os, "memfd_create") else None


class Keys:
    """What a worker knows. descriptor: of a `memory`; None: nothing outlives this process."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = descriptor
        self._known: Given = {}
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            for line in os.pread(descriptor, os.fstat(descriptor).st_size, 0).splitlines():
                with contextlib.suppress(msgspec.DecodeError):  # cut by a crash: asked for again
                    self._learn(_DECODER.decode(line))

    def has(self, run: str, variable: str) -> bool:
        return variable in self._known.get(run, {})

    def take(self, given: Given) -> None:
        """Take keys; of two for one variable of a run the later one holds."""
        if self.descriptor is not None:
            os.pwrite(self.descriptor, msgspec.json.encode(given) + b"\n", os.fstat(self.descriptor).st_size)
        self._learn(given)

    def environment(self, run: str, variables: tuple[str, ...], own: Mapping[str, str]) -> dict[str, str]:
        """The environment of a run: this process's `own`, of the `variables` of keys only those that came for it."""
        known = self._known.get(run, {})
        return {name: value for name, value in own.items() if name not in variables} | {
            name: known[name] for name in variables if name in known
        }

    def _learn(self, given: Given) -> None:
        for run, keys in given.items():
            self._known.setdefault(run, {}).update(keys)


# ---- the worker's side


@asynccontextmanager
async def listening(take: Callable[[Given], Awaitable[None]]) -> AsyncIterator[None]:
    """Take keys from processes of this user, as long as this lasts. Only for whoever holds the lock `worker`."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            if _is_ours(writer.get_extra_info("socket")):
                await take(_DECODER.decode(await reader.readline()))
                writer.write(_TAKEN)
                await writer.drain()
        writer.close()

    listener = socket.socket(socket.AF_UNIX)
    with _place() as place:
        place.unlink(missing_ok=True)
        listener.bind(str(place))
        place.chmod(0o600)
    server = await asyncio.start_unix_server(hear, sock=listener, limit=_MOST_BYTES)
    try:
        yield
    finally:
        server.close()
        with _place() as place:
            place.unlink(missing_ok=True)


def _is_ours(peer: socket.socket) -> bool:
    """Whether who is at the other end is this user; the folder's mode says so, too."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    facts = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", facts)
    return bool(uid == os.getuid())


@contextmanager
def _place() -> Iterator[Path]:
    """The socket's path, short enough for one however deep the state folder lies."""
    folder = keeper.folder()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = Path(f"/proc/self/fd/{descriptor}")
        yield (short if short.exists() else folder) / _SOCKET
    finally:
        os.close(descriptor)


# ---- the side of whoever has keys


def hand_over(given: Given) -> None:
    """Give keys to the worker, having one. Blocks. Raises ServiceError (E_WORKER) when it does not take them."""
    end = time.monotonic() + _ANSWERS_S
    while True:
        keeper.ensure_worker()
        if _sent(given):
            return
        if time.monotonic() > end:
            raise ServiceError("E_WORKER", f"the worker in {home.home()} takes no keys; see {keeper.log_file()}")
        time.sleep(0.05)  # it starts, or it ends


def _sent(given: Given) -> bool:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(_ANSWERS_S)
        try:
            with _place() as place:
                peer.connect(str(place))
            if not _is_ours(peer):
                return False
            peer.sendall(msgspec.json.encode(given) + b"\n")
            return peer.recv(len(_TAKEN)) == _TAKEN
        except OSError:
            return False
