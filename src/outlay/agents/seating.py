"""What driven sessions need of a run: an address at the gateway, the team's tools, a place in the sandbox."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from outlay.agents.team_server import TeamServer
from outlay.drivers.model import DrivenModel
from outlay.drivers.process import OUTPUT_BYTES, Place
from outlay.gateway.identify import DUMMY
from outlay.gateway.routes import Route, Routes
from outlay.gateway.seats import Seat, Seats
from outlay.gateway.server import Server
from outlay.sandbox.types import Forward, Mount

if TYPE_CHECKING:
    from outlay.agents.crew import Crew
    from outlay.agents.driven import DrivenSession

GATEWAY_PORT = 8484
TEAM_PORT = 8485
"""Ports inside a sandbox, which has a loopback of its own."""
AGENT_MEMORY_BYTES = 8 * 2**30
AGENT_WALL_S = 30 * 86_400.0
"""The bounds of a command are no bounds of an agent: time is the session's to keep."""


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """A driven session's place in the run."""

    place: Place
    gateway: str
    key: str
    team: str
    """URL of the team's tools."""
    seat: Seat
    seats: Seats
    token: str


@dataclass
class _Door:
    """The gateway as a server for one model."""

    server: Server
    seats: Seats
    socket: Path


@dataclass
class Seating:
    """Opens what the first driven session of a run needs, and closes it with the run."""

    crew: Crew
    models: Mapping[str, DrivenModel]
    _doors: dict[str, _Door] = field(default_factory=dict)
    _team: TeamServer | None = None
    _folder: Path | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def seated(self, session: DrivenSession) -> AsyncIterator[Seated]:
        """A place for a session, while it works. At the end every call made from it has its end in the ledger."""
        async with self._opening:
            door, team = await self._door(session.plan.model), await self._team_server()
        guard = self.crew.guard
        token = door.seats.issue(session.caller, (lambda: guard.held(session)) if guard is not None else frozenset)
        path = team.admit([tool.spec for tool in session.team_tools.values()], session.call_tool)
        seat = door.seats.seat(token)
        assert seat is not None and self._folder is not None
        forwards = (Forward(GATEWAY_PORT, door.socket), Forward(TEAM_PORT, self._folder / "team.sock"))
        try:
            yield Seated(
                place=self._place(session, forwards),
                gateway=f"http://127.0.0.1:{GATEWAY_PORT}/s/{token}",
                key=f"{DUMMY}{token}",
                team=f"http://127.0.0.1:{TEAM_PORT}{path}",
                seat=seat,
                seats=door.seats,
                token=token,
            )
        finally:
            team.withdraw(path)
            await asyncio.shield(seat.quiet())
            door.seats.withdraw(token)

    def _place(self, session: DrivenSession, forwards: tuple[Forward, ...]) -> Place:
        crew, rules = self.crew, self.crew.rules
        model = self.models[session.plan.model]
        place = crew.place(session.name)
        home = crew.hub.folder / "agents" / place
        home.mkdir(parents=True, exist_ok=True)
        own = crew.hub.mounts(place) if session.own_clone else ()
        return Place(
            sandbox=crew.sandbox,
            workspace=session.workspace,
            writable=session.plan.role.writes,
            home=home,
            protected=rules.protected,
            mounts=(*own, Mount(crew.output_folder(session), "/output"), *model.program.mounts),
            hosts=crew.hosts(session),
            forwards=forwards,
            bounds=msgspec.structs.replace(
                rules.bounds,
                wall_s=AGENT_WALL_S,
                cpu_s=None,
                memory_bytes=max(rules.bounds.memory_bytes, AGENT_MEMORY_BYTES),
                output_bytes=OUTPUT_BYTES,
            ),
            path=model.program.path,
        )

    def _listen(self, name: str) -> tuple[socket.socket, Path]:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="outlay-seats-"))
        path = self._folder / f"{name}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(128)
        return listener, path

    async def _door(self, name: str) -> _Door:
        """The server for a model of the goal, which its sessions share with all pauses that its provider asks for."""
        if name not in self._doors:
            crew, model = self.crew, self.models[name]
            taken = [row["name"] for row in crew.ledger.rows("SELECT name FROM sessions WHERE run = ?", (crew.run,))]
            seats = Seats(crew.ledger, crew.run, crew.owner, crew.clock, taken=taken)
            keys = {(model.endpoint.base_url, model.endpoint.key_env): model.key}
            server = Server(crew.gateway, Routes((Route("*", model.endpoint),)), keys, seats, crew.clock)
            listener, path = self._listen(f"gateway-{len(self._doors)}")
            await server.start(listener)
            self._doors[name] = _Door(server, seats, path)
        return self._doors[name]

    async def _team_server(self) -> TeamServer:
        if self._team is None:
            self._team = TeamServer()
            await self._team.start(self._listen("team")[0])
        return self._team

    async def close(self) -> None:
        """Close every address."""
        for door in self._doors.values():
            await door.server.stop()
        if self._team is not None:
            await self._team.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
