"""Keeping a worker alive: locks that die with their process, and a keeper that starts the worker again.

Two processes look after each other. The keeper waits for the worker's end and starts another unless it had nothing left
to do; the worker starts a keeper when it has none. Both hold a lock of the kernel (flock), which no crash leaves behind
and no later process of the same id can be taken for. When both are killed the next command to the service starts them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outlay import home
from outlay.service.errors import ServiceError

STARTS_S = 60.0
"""Longest wait for a worker to appear."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
_TRIES, _TRY_S = 100, 0.02
SETTLED_S = 30.0
"""A worker that lived so long did not fall at its beginning."""


def folder() -> Path:
    """Where locks and the worker's socket lie; only their user can enter it."""
    return home.ensure(home.ensure(home.home()) / "service")


@contextmanager
def lock(name: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock `worker` or `keeper` of this state folder; False when another process holds it."""
    descriptor = os.open(folder() / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _take(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _take(descriptor: int, *, wait: bool) -> bool:
    """Whoever asks `is_held` has the lock for a moment, too: that is no reason to give up."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            time.sleep(_TRY_S)
        else:
            return True
    return False


def is_held(name: str) -> bool:
    """Whether a process holds the lock right now."""
    path = home.home() / "service" / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def log_file() -> Path:
    """What the keeper and the worker print."""
    return home.ensure(home.home() / "logs") / "agents.log"


def spawn_keeper(keys: int | None = None) -> None:
    """Start a keeper that outlives this process and its terminal. A second one ends by itself. keys: descriptor of the
    memory in which a worker keeps them."""
    with log_file().open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "outlay", "agent", "worker", *_told(keys)],
            pass_fds=() if keys is None else (keys,),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )


def _told(keys: int | None) -> tuple[str, ...]:
    return () if keys is None else ("--keys", str(keys))


def ensure_worker(*, wait: bool = True) -> None:
    """Have a worker, starting one if there is none. Raises ServiceError (E_WORKER) when it does not appear."""
    if is_held("worker"):
        return
    spawn_keeper()
    end = time.monotonic() + STARTS_S
    while wait and not is_held("worker"):
        if time.monotonic() > end:
            raise ServiceError("E_WORKER", f"the worker did not start within {STARTS_S:.0f} s; see {log_file()}")
        time.sleep(0.02)


def keep(keys: int | None) -> None:
    """Be the keeper: a worker at a time, until one ends because there is nothing left to do. keys: descriptor of the
    memory that each worker is given."""
    with lock("keeper") as held:
        if not held:
            return
        pause = FIRST_PAUSE_S
        while True:
            with lock("worker", wait=True):  # one that is there already: this keeper takes over from a dead one
                pass
            begun = time.monotonic()
            command = [sys.executable, "-m", "outlay", "agent", "worker", "--serve", *_told(keys)]
            shared = () if keys is None else (keys,)
            worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd="/", pass_fds=shared)
            with _passing_on(worker):
                code = worker.wait()
            if code == 0:
                return
            pause = FIRST_PAUSE_S if time.monotonic() - begun > SETTLED_S else min(pause * 2, LONGEST_PAUSE_S)
            sys.stderr.write(f"the worker {worker.pid} ended with {code}; another starts in {pause:.1f} s\n")
            sys.stderr.flush()
            time.sleep(pause)


@contextmanager
def _passing_on(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    """A polite end asked of the keeper is asked of the worker."""
    import signal

    def ask(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
