"""The MCP server over HTTP: on the loopback, and only for whoever knows its token, since every user of a machine and
every program on it reaches the loopback."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
from collections.abc import Mapping

import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from outlay.errors import EnvironmentProblem

HOST = "127.0.0.1"
TOKEN_ENV = "OUTLAY_MCP_TOKEN"
_REFUSED = (
    f"this needs the header `Authorization: Bearer TOKEN`; the token is in {TOKEN_ENV} or was printed at the start\n"
)


class _Guarded:
    """An app that answers nobody without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                refusal = PlainTextResponse(_REFUSED, 401, {"www-authenticate": "Bearer"})
                return await refusal(scope, receive, send)
        await self._app(scope, receive, send)


async def serve_http(server: MCPServer, port: int, environ: Mapping[str, str] = os.environ) -> None:
    """Serve path /mcp until interrupted, and say where. port: 0 for any that is free.

    The token is `OUTLAY_MCP_TOKEN`; without one, a new one is made and printed. Raises EnvironmentProblem for a port
    that is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)  # whoever reads the line below may connect at once
    except OSError as error:
        listener.close()
        raise EnvironmentProblem(f"cannot serve on port {port}: {error.strerror}; choose another with --port") from None
    known = environ.get(TOKEN_ENV, "")
    token = known or secrets.token_urlsafe(24)
    app = _Guarded(server.streamable_http_app(host=HOST), token)
    where = f"http://{HOST}:{listener.getsockname()[1]}/mcp"
    said = f"token: the one in {TOKEN_ENV}" if known else f"token: {token}  (set {TOKEN_ENV} for one that stays)"
    sys.stderr.write(f"serving subagents as MCP tools on {where}\n{said}\n")
    sys.stderr.flush()
    # A program that listens for news keeps its connection open for ever; it is not waited for.
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    await uvicorn.Server(settings).serve([listener])
