"""Which other agents can be driven, as a table and as JSON."""

from __future__ import annotations

import msgspec

from outlay.drivers.installed import Installed, install_line, installed


def agents_json() -> str:
    """What is found, for programs."""
    agents = [
        {
            "name": found.agent.name,
            "title": found.agent.title,
            "installed": bool(found.program),
            "program": found.program or None,
            "version": found.version or None,
            "tested": found.agent.tested,
            "can_be_driven": found.drivable,
            "install": install_line(found.agent),
            "remark": found.remark,
        }
        for found in installed()
    ]
    return msgspec.json.format(msgspec.json.encode({"agents": agents})).decode()


def print_agents() -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("AGENT", "IN A GOAL FILE", "VERSION", "DRIVABLE"):
        table.add_column(name, no_wrap=True)
    table.add_column("WHAT TO DO", overflow="fold")
    for found in installed():
        table.add_row(*map(Text, _row(found)))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(table)


def _row(found: Installed) -> tuple[str, str, str, str, str]:
    drivable = "yes" if found.drivable else "no"
    return (found.agent.title, f"{found.agent.name}:MODEL", found.version or "–", drivable, found.remark)
