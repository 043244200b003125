"""`outlay gateway`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("gateway")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8484]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME=SPEC",
    help="Serve models whose name fits NAME (`*`, `?`) by SPEC: provider:model[@url] (model `*`: as asked for), or "
    "another NAME. Only these are allowed then. Default: every provider whose key is found.",
)
@click.option("--refuse", multiple=True, metavar="PATTERN", help="Refuse models whose name fits.")
@click.option(
    "--limit",
    "--limits",
    "limits",
    multiple=True,
    metavar="KEY=VALUE",
    help="usd, net_tokens, turns; session.usd for each session, team.usd, day.usd.",
)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="YAML with models, refuse, limits.")
@click.option("--policy", type=click.Path(path_type=Path, dir_okay=False), help="Policy that every call must keep.")
@click.option(
    "--label", "labels", multiple=True, metavar="[SEAT=]NAME", help="What sessions hold, by the policy's names."
)
@click.option("--token", default="", envvar="OUTLAY_GATEWAY_TOKEN", help="Let in only those who know it.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM): serve HTTPS.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, where it is a file of its own.")
@click.option("--i-know", is_flag=True, help="Listen where others can reach it in plain HTTP (needs --token).")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep answers in FILE, to be played back with --model '*=recorded:FILE'.",
)
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds a call waits here for a provider's pause.",
)
@click.option("--otel", metavar="URL", help="Send every call as an OpenTelemetry span (OTLP/HTTP JSON).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready, and nothing else.")
def command(
    port: int | None,
    host: str,
    models: tuple[str, ...],
    refuse: tuple[str, ...],
    limits: tuple[str, ...],
    config: Path | None,
    policy: Path | None,
    labels: tuple[str, ...],
    token: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    i_know: bool,
    record: Path | None,
    hold: float,
    otel: str | None,
    as_json: bool,
) -> None:
    """Serve any agent that has a base URL: limits, one ledger, keys in one place.

    Speaks OpenAI chat completions and Responses, Anthropic Messages and Gemini generateContent. Ctrl-C ends it; then
    `outlay report` says what was used.

    \b
    Examples:
      outlay gateway --limit usd=5
      outlay gateway --model 'claude-*=anthropic:*' --model '*-nano=openai:qwen3@http://127.0.0.1:8080/v1'
    """
    import asyncio

    from outlay.runs.standalone import DEFAULT_PORT, check_host, set_up, tls_context
    from outlay.views.gateway import serve

    tls = tls_context(tls_cert, tls_key)
    local = check_host(host, token, known=i_know, tls=tls is not None)
    setup = set_up(models, refuse, limits, config, policy=policy, labels=labels)
    asyncio.run(
        serve(
            setup,
            host=host,
            port=DEFAULT_PORT if port is None else port,
            token=token,
            local_only=local,
            hold_s=hold,
            record=record,
            tls=tls,
            otel=otel,
            as_json=as_json,
        )
    )
