"""`outlay mcp`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("mcp")
@click.option("--http", "http", is_flag=True, help="Streamable HTTP on the loopback, path /mcp, instead of stdio.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8585, show_default=True, help="Port for --http; 0: a free one."
)
@click.option(
    "--project",
    "-C",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Whose agents. Default: here.",
)
def command(http: bool, port: int, project: Path | None) -> None:
    """Serve subagents as MCP tools: start, ask, wait, result, send, resume, status, search, cancel, deliver, roles.

    \b
    Claude Code:  claude mcp add outlay -- outlay mcp
    Codex:        codex mcp add outlay -- outlay mcp
    OpenCode:     "mcp": {"outlay": {"type": "local", "command": ["outlay", "mcp"]}} in opencode.json
    By HTTP:      claude mcp add --transport http outlay URL --header "Authorization: Bearer TOKEN"

    With --http it prints its URL and a token that every request must bring; OUTLAY_MCP_TOKEN holds one that stays.
    """
    import asyncio
    import importlib.util

    from outlay.errors import InputError

    if importlib.util.find_spec("mcp") is None:
        raise InputError("the MCP server needs the package mcp; install it with: pip install 'outlay[mcp]'")
    from outlay.service.client import Client
    from outlay.service.mcp import serve

    asyncio.run(serve(Client(project), port if http else None))
