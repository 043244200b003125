"""`outlay serve`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8485]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--open", "open_browser", is_flag=True, help="Open it in this machine's browser.")
@click.option("--prices", multiple=True, type=click.Path(path_type=Path), help="A price book of yours (TOML).")
@click.option(
    "--token",
    default="",
    envvar="OUTLAY_SERVE_TOKEN",
    help="Let programs in that know it (Authorization: Bearer TOKEN).",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM): serve HTTPS.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, where it is a file of its own.")
@click.option("--i-know", is_flag=True, help="Listen where others can reach it in plain HTTP.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready, and nothing else.")
def command(
    port: int | None,
    host: str,
    open_browser: bool,
    prices: tuple[Path, ...],
    token: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    i_know: bool,
    as_json: bool,
) -> None:
    """Watch and steer runs in a browser: sessions, dialogs, money, checks, approvals; live and for the past.

    It prints a link that works once and becomes a cookie. Pages come from this machine alone: nothing is fetched from
    elsewhere. Ctrl-C closes the window; runs go on without it.

    \b
    Examples:
      outlay serve --open
      outlay serve --port 0 --json
    """
    import asyncio

    from outlay.runs.standalone import check_host, tls_context
    from outlay.views.web.server import DEFAULT_PORT, serve

    tls = tls_context(tls_cert, tls_key)
    local = check_host(host, "links", known=i_know, tls=tls is not None)
    asyncio.run(
        serve(
            host=host,
            port=DEFAULT_PORT if port is None else port,
            local_only=local,
            tls=tls,
            token=token,
            prices=prices,
            open_browser=open_browser,
            as_json=as_json,
        )
    )
