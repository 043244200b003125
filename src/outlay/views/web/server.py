"""The window's server: pages as files, answers as JSON, one cookie."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import click
import msgspec
from aiohttp import web

from outlay import home
from outlay.gateway.server import listen
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook, load
from outlay.views.web.api import Api, say_errors
from outlay.views.web.guard import Guard

DEFAULT_PORT = 8485
_CLOSE_S = 2.0
_MAX_BODY_BYTES = 1 << 20
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


class Window:
    """A window that is open."""

    def __init__(self, url: str, guard: Guard) -> None:
        self.url = url
        self._guard = guard

    def link(self) -> str:
        """An address that opens it once."""
        return f"{self.url}/?token={self._guard.new_link()}"


@asynccontextmanager
async def serving(
    ledger: Ledger,
    book: PriceBook,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    local_only: bool = True,
    tls: ssl.SSLContext | None = None,
    token: str = "",
) -> AsyncIterator[Window]:
    """Serve until the block is left. Raises InputError when the port is taken."""
    listening = listen(host, port)
    guard = Guard(local_only=local_only, tls=tls is not None, token=token)
    api = Api(ledger, book, guard)
    app = web.Application(middlewares=[guard.middleware, say_errors], client_max_size=_MAX_BODY_BYTES)
    app.on_response_prepare.append(guard.sign)
    app.add_routes([*api.routes(), web.get("/static/{name}", _static), web.get("/{page:(?!api/|static/).*}", _page)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_S)
    try:
        await runner.setup()
        await web.SockSite(runner, listening, ssl_context=tls).start()
        shown = f"[{host}]" if ":" in host else host
        yield Window(f"http{'s' if tls else ''}://{shown}:{listening.getsockname()[1]}", guard)
    finally:
        api.closing.set()
        await runner.cleanup()
        listening.close()


def _files() -> Path:
    return Path(str(resources.files("outlay.views.web").joinpath("static")))


async def _static(request: web.Request) -> web.Response:
    path = _files() / request.match_info["name"]
    if path.parent != _files() or path.suffix not in _KINDS or not path.is_file():
        raise web.HTTPNotFound(reason="there is no such file")
    return web.Response(
        body=await asyncio.to_thread(path.read_bytes), content_type=_KINDS[path.suffix], charset="utf-8"
    )


async def _page(request: web.Request) -> web.Response:
    """Every page is the same file: what it shows is in its address."""
    return web.Response(
        body=await asyncio.to_thread((_files() / "index.html").read_bytes), content_type="text/html", charset="utf-8"
    )


async def serve(
    *,
    host: str,
    port: int,
    local_only: bool,
    tls: ssl.SSLContext | None,
    token: str,
    prices: tuple[Path, ...],
    open_browser: bool,
    as_json: bool,
) -> None:
    """Serve at the terminal until SIGINT or SIGTERM. Enter prints a new link."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with Ledger(home.ensure(home.home()) / "ledger.db") as ledger:
        async with serving(
            ledger, load(prices), host=host, port=port, local_only=local_only, tls=tls, token=token
        ) as window:
            link = window.link()
            if as_json:
                click.echo(msgspec.json.encode({"url": window.url, "link": link}).decode())
            else:
                click.echo(f"window at {window.url}; this link opens it once:\n  {link}")
            sys.stdout.flush()
            if open_browser:
                import webbrowser

                await asyncio.to_thread(webbrowser.open, window.link() if as_json else link)
            with _links_on_enter(loop, window, wanted=not as_json):
                await stop.wait()
    if not as_json:
        click.echo("closed; runs go on without it")


@contextlib.contextmanager
def _links_on_enter(loop: asyncio.AbstractEventLoop, window: Window, *, wanted: bool) -> Iterator[None]:
    """A link works once; whoever sits at the terminal gets another by Enter."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    click.echo("Enter prints another link, Ctrl-C closes the window; runs go on without it.")

    def another() -> None:
        if sys.stdin.readline():
            click.echo(f"  {window.link()}")
        else:
            loop.remove_reader(sys.stdin)  # nobody types there any more

    loop.add_reader(sys.stdin, another)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin)
