"""A test notice to every address: `outlay notify test`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from outlay.errors import InputError
from outlay.runs.goal import load
from outlay.runs.notify import Notice, Notify, Target, config_file, send, targets

TEST = Notice("done", "outlay: a test", "Notices of your runs arrive here.")


def send_test(goal: str | None, urls: Sequence[str], *, as_json: bool) -> int:
    """Send it and say what arrived; the exit code. Raises InputError when there is no address."""
    own = Notify(tuple(urls)) if urls else load(Path(goal)).notify if goal else Notify()
    found = targets(own)
    if urls:
        found = found[: len(set(urls))]
    if not found:
        raise InputError(f"no address: name some under `notify:` in the goal file, or in {config_file()}")
    arrived = asyncio.run(_send_all(found))
    if as_json:
        rows = [{"to": target.scheme, "arrived": done} for target, done in zip(found, arrived, strict=True)]
        print(msgspec.json.encode(rows).decode())
    else:
        for target, done in zip(found, arrived, strict=True):
            print(f"{target.scheme}: {'sent' if done else 'not sent: it did not take it, or could not be reached'}")
    return 0 if all(arrived) else 1


async def _send_all(found: Sequence[Target]) -> list[bool]:
    return list(await asyncio.gather(*(send(target, TEST) for target in found)))
