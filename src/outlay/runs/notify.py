"""Telling people that a run is done, failed, waits for an approval or nears a limit: desktop, webhook, email, chat.

A notice is made of a run's own facts (name, outcome, counts, money) and of nothing that an agent read or wrote, so no
labelled data leaves with it; under a policy the run is named by its id alone. What was sent, and whether it arrived, is
an event without the address, which may hold a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from outlay.errors import InputError
from outlay.ledger import Entry, Event, Ledger

On = Literal["done", "failed", "approval", "budget"]
EVERY: tuple[On, ...] = ("done", "failed", "approval", "budget")
LOOK_S = 1.0
SEND_S = 20.0
"""Longest time that sending one notice may take."""
TYPES = ("run.ended", "approval.asked", "message.added", "limit.reached")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told what."""

    to: Annotated[
        tuple[str, ...],
        Meta(description="Where notices go: URLs of apprise, such as `ntfy://topic`; `${VARIABLE}` for secrets."),
    ] = ()
    on: Annotated[tuple[On, ...], Meta(description="done, failed, approval, budget; default: all.")] = EVERY


class Target(msgspec.Struct, frozen=True):
    """One address, its variables filled in."""

    url: str
    on: tuple[On, ...]

    @property
    def scheme(self) -> str:
        """What may be shown of it."""
        return self.url.partition(":")[0]


class Notice(msgspec.Struct, frozen=True):
    kind: On
    title: str
    body: str


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """`notify.toml` in `$XDG_CONFIG_HOME/outlay`, else `~/.config/outlay`: for every run of this user."""
    folder = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "outlay" / "notify.toml"


def targets(own: Notify, environ: Mapping[str, str] = os.environ) -> tuple[Target, ...]:
    """The addresses of a goal and of the user. Raises InputError: a variable that is not set, an address that nothing
    can be sent to, the package that sends is missing."""
    found = [
        Target(_filled(url, environ), each.on) for each in (own, _of_user(config_file(environ))) for url in each.to
    ]
    if found and importlib.util.find_spec("apprise") is None:
        raise InputError("notices need the package apprise; install it with: pip install 'outlay[notify]'")
    for target in found:
        _service(target)
    return tuple(dict.fromkeys(found))


def _of_user(path: Path) -> Notify:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Notify)
    except FileNotFoundError:
        return Notify()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from None


def _filled(url: str, environ: Mapping[str, str]) -> str:
    for name in _VARIABLE.findall(url):
        if not environ.get(name):
            raise InputError(f"notify: {url.partition(':')[0]}: the variable {name} is not set")
    return _VARIABLE.sub(lambda match: environ[match[1]], url)


def _service(target: Target) -> Any:
    import apprise

    made = apprise.Apprise.instantiate(target.url, suppress_exceptions=True)
    if made is None:
        raise InputError(f"notify: nothing can be sent to this {target.scheme}: address; see the list of apprise")
    made.socket_connect_timeout = made.socket_read_timeout = SEND_S  # 4 s by default, too little for a busy machine
    return made


async def send(target: Target, notice: Notice) -> bool:
    """Send one notice; whether it arrived, as far as the other side says."""
    import logging

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would print addresses
    service = _service(target)
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(SEND_S):
            return bool(await service.async_notify(body=notice.body, title=notice.title))
    return False


def notice_of(event: Event, run: str, name: str) -> Notice | None:
    """What people are told of an event; None: nothing. name: of the run, as they may see it."""
    head = event.head
    match event.type:
        case "run.ended":
            good = head["outcome"] == "succeeded"
            body = f"{head.get('passed', 0)} of {head.get('checks', 0)} checks pass. outlay report {run}"
            return Notice("done" if good else "failed", f"{name}: {head['outcome']}", body)
        case "approval.asked":
            return Notice("approval", f"{name}: waits for your approval", f"outlay approve {run} {head['id']}")
        case "message.added" if head["kind"] == "budget" and event.stream == f"{run}:main":
            return Notice("budget", f"{name}: nearly used up", f"{', '.join(head['told'])}. outlay show {run}")
        case "limit.reached":
            return Notice("budget", f"{name}: limit reached", f"{head['limit']}. outlay show {run}")
    return None


@dataclass
class Notifier:
    """Reads along in the ledger, like any other reader of it."""

    ledger: Ledger
    run: str
    name: str
    targets: tuple[Target, ...]
    owner: str
    seq: int = 0
    """The last event that it has seen."""

    def begin(self) -> None:
        """From here on: what was told before is not told again."""
        row = self.ledger.reader.execute("SELECT max(seq) FROM events").fetchone()
        self.seq = int(row[0] or 0)

    async def follow(self) -> None:
        """Send notices for as long as the run works."""
        while self.targets:
            await asyncio.sleep(LOOK_S)
            await self.tell()

    async def tell(self) -> None:
        """Send what has happened since."""
        if not self.targets:
            return
        for event in self.ledger.events(run=self.run, types=TYPES):
            if event.seq <= self.seq:
                continue
            notice = notice_of(event, self.run, self.name)
            if notice is not None:
                await asyncio.gather(*(self._send(each, notice) for each in self.targets if notice.kind in each.on))
            self.seq = event.seq  # only now: whoever is cut while sending tells it again

    async def _send(self, target: Target, notice: Notice) -> None:
        arrived = await send(target, notice)
        head = {"kind": notice.kind, "to": target.scheme, "arrived": arrived}
        stream = f"{self.run}:notices"

        def work(t: Any) -> None:
            t.open_stream(stream, "notices")
            t.append(self.run, stream, t.claim(stream, self.owner), [Entry("notice.sent", head)])
            t.release(self.owner, stream)

        await self.ledger.commit(work)
