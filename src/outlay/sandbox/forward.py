"""Ways through a network namespace that has none: loopback ports inside that lead to unix sockets outside, and the
other way round. A small program in the sandbox (its python3) carries the bytes, one thread per direction."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from outlay.errors import InputError
from outlay.sandbox.types import Forward, Mount, Served

_PYTHON = "/usr/bin/python3"
_PROGRAM = """import os, socket, sys, threading

def listener(word):
    if word.startswith("fd:"):
        return socket.socket(fileno=int(word[3:]))
    return socket.create_server(("127.0.0.1", int(word)), backlog=128)

ways = [way.split("=", 1) for way in sys.argv[1:]]
ways = [(listener(near), far) for near, far in ways]
if os.fork():
    os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)

def reach(far):
    if far.isdigit():
        return socket.create_connection(("127.0.0.1", int(far)))
    found = socket.socket(socket.AF_UNIX)
    found.connect(far)
    return found

def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def carry(near, far):
    with near:
        try:
            away = reach(far)
        except OSError:
            return
        with away:
            back = threading.Thread(target=pump, args=(away, near), daemon=True)
            back.start()
            pump(near, away)
            back.join()

def serve(near, far):
    while True:
        threading.Thread(target=carry, args=(near.accept()[0], far), daemon=True).start()

for near, far in ways[1:]:
    threading.Thread(target=serve, args=(near, far), daemon=True).start()
serve(*ways[0])
"""


def forwarding(forwards: Sequence[Forward], served: Sequence[Served]) -> tuple[tuple[Mount, ...], str]:
    """Mounts, and what process 1 does before the command: it returns when every port inside listens.

    Raises InputError where there is no python3 to carry the bytes.
    """
    if not Path(_PYTHON).exists():
        raise InputError(f"a way through the sandbox needs python3 at {_PYTHON}; install it or run without network")
    ways = [(str(forward.port), f"/run/forward/{forward.port}.sock", forward.socket) for forward in forwards]
    mounts = tuple(Mount(source, inside) for _, inside, source in ways)
    words = [f"{port}={inside}" for port, inside, _ in ways]
    words += [f"fd:{each.descriptor}={each.port}" for each in served]
    return mounts, f"{shlex.join([_PYTHON, '-I', '-S', '-c', _PROGRAM, *words])} || exit 125"
