"""A project whose goal other agents work on: the real programs, the real command line, the scripted model server."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelserver import ModelServer
from modelserver.script import Answer, Call
from outlay.ledger import Call as Row
from pinned_programs import program
from project import PRICE, Project

ALL = "[read, write, edit, glob, grep, shell, todo, agents]"


class DrivenProject(Project):
    """A project on whose PATH the pinned programs stand."""

    def __init__(self, folder: Path, server: ModelServer, *tools: str) -> None:
        super().__init__(folder, server.base_url("anthropic"), codec="claude-code")
        self.server = server
        programs = folder / "bin"
        programs.mkdir()
        for tool in tools:
            (programs / tool).symlink_to(program(tool))
        self.environment["PATH"] = f"{programs}:{self.environment['PATH']}"

    def write(self, models: dict[str, str], roles: list[str], *, check: str, more: str = "") -> None:
        """A goal with these models (name -> spec) and roles (YAML); the first role leads."""
        lines = "".join(f"  {name}: {{spec: {json.dumps(spec)}, price: {PRICE}}}\n" for name, spec in models.items())
        team = "".join(f"    - {role}\n" for role in roles)
        shape = "  shape: lead\n" if len(roles) > 1 else ""
        self.goal.write_text(
            f"---\nmodels:\n{lines}team:\n{shape}  roles:\n{team}"
            f"checks:\n  - {{name: done, command: {json.dumps(check)}, timeout: 300s}}\n"
            f"workspace: {{path: workspace}}\n{more}---\nMAKE IT\n"
        )

    async def outlay_here(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`outlay ARGUMENTS` while the server of this loop goes on serving."""
        return await asyncio.to_thread(self.outlay, *arguments, timeout=240)

    async def run_here(self, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = await self.outlay_here("run", str(self.goal), "--plain")
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def calls_equal_the_servers(self) -> bool:
        """Whether what the server served, call by call, is what the ledger has."""
        return Counter(map(counted, self.calls())) == Counter(map(served, self.server.records))


def counted(row: Row) -> tuple[int, ...]:
    u = row.usage
    return u.fresh, u.cache_read, u.cache_write_5m + u.cache_write_1h, u.output


def served(record: dict[str, Any]) -> tuple[int, ...]:
    u = record["usage"]
    return u["fresh"], u["cache_read"], u["cache_write_5m"] + u["cache_write_1h"], u["output"]


def with_project(
    folder: Path,
    tools: tuple[str, ...],
    said: Callable[[Call], Answer],
    work: Callable[[DrivenProject], Any],
    *,
    keep_bodies: bool = False,
) -> Any:
    """Run `work` on a project beside the server that answers as `said`."""

    async def main() -> Any:
        async with ModelServer(said, keep_bodies=keep_bodies) as server:
            return await work(DrivenProject(folder, server, *tools))

    return asyncio.run(main())


async def until(true: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait for a condition of the outside world."""
    async with asyncio.timeout(seconds):
        while not (value := true()):
            await asyncio.sleep(0.02)
        return value
