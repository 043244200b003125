"""The gateway by itself: a run in the ledger whose sessions are whatever agents come to its address."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from outlay import __version__, home
from outlay.clock import Clock
from outlay.errors import InputError
from outlay.gateway.door import Caller, Gateway
from outlay.gateway.endpoint import PROVIDERS, Endpoint, find_key
from outlay.gateway.lost import CALL_EVENTS, lost_call, unanswered
from outlay.gateway.otel import Exporter
from outlay.gateway.policing import SeatGate, read_labels, recipient
from outlay.gateway.routes import ANY_MODEL, Route, Routes
from outlay.gateway.seats import Seats
from outlay.gateway.server import HOLD_S, STALL_S, Server, listen
from outlay.gateway.tape import Recording, Tape
from outlay.ledger import Entry, Ledger, Transaction
from outlay.ledger.store import LEASE_MS
from outlay.policy.load import load as load_policy
from outlay.prices import book as price_book
from outlay.prices.book import PriceBook
from outlay.runs.front_matter import ModelEntry
from outlay.runs.goal_types import Limits
from outlay.runs.limits import change_limits
from outlay.runs.model_spec import parse_spec
from outlay.runs.owner import is_dead, owner_here, release_dead
from outlay.runs.paths import beside
from outlay.runs.prepare import budget_of, day_of, endpoint_of
from outlay.runs.yaml_lines import Document, Problems, decode

KIND = "gateway"
"""What `run.started` says of such a run."""
DEFAULT_PORT = 8484
_DEFAULTS = ("anthropic", "openai", "google")


class GatewayFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a configuration file of the gateway says."""

    models: Annotated[
        dict[str, str | ModelEntry],
        Meta(description="Name or pattern -> provider:model (model `*`: as asked for), or another name."),
    ] = field(default_factory=dict)
    refuse: Annotated[tuple[str, ...], Meta(description="Patterns of models that are refused.")] = ()
    limits: Annotated[Limits, Meta(description="Bounds on all calls together, and on each session.")] = Limits()
    policy: Annotated[str | None, Meta(description="Policy file; every call is held against it.")] = None
    labels: Annotated[
        tuple[str, ...], Meta(description="What sessions hold: NAME for all, SEAT=NAME for those of one seat.")
    ] = ()


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that can be started."""

    routes: tuple[Route, ...]
    specs: dict[str, str]
    """Name or pattern -> what was written for it."""
    refused: tuple[str, ...]
    limits: Limits
    keys: dict[tuple[str, str], str | None]
    book: PriceBook
    own_prices: dict[str, dict[str, float]]
    gate: SeatGate | None = None
    """The policy; None: there is none."""


def set_up(
    models: Iterable[str] = (),
    refuse: Iterable[str] = (),
    limits: Iterable[str] = (),
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    policy: Path | None = None,
    labels: Iterable[str] = (),
) -> Setup:
    """Read what is to be served. models: `NAME=SPEC`; they come before those of `config`.

    Without any model every provider whose key is found is served, with all its models. Raises InputError: a model that
    is none, no key, a limit in USD on a model without a price.
    """
    written, folder = _read_file(config) if config else (GatewayFile(), Path.cwd())
    entries: dict[str, tuple[ModelEntry, Path]] = {}
    for setting in models:
        name, equals, spec = setting.partition("=")
        if not equals or not name or not spec:
            raise InputError(f"--model {setting!r} is not NAME=SPEC, such as 'claude-*=anthropic:*'")
        entries[name] = (ModelEntry(spec=spec), Path.cwd())
    for name, entry in written.models.items():
        entries.setdefault(name, (ModelEntry(spec=entry) if isinstance(entry, str) else entry, folder))
    bounds = change_limits(limits)(written.limits)
    endpoints = _endpoints(entries) if entries else _whatever_has_a_key(environ)
    keys = {(e.base_url, e.key_env): find_key(e, environ) for e in endpoints.values()}
    own = {
        endpoints[name].model: {k: v for k, v in msgspec.structs.asdict(entry.price).items() if v is not None}
        for name, (entry, _) in entries.items()
        if entry.price is not None
    }
    book = price_book.load()
    for model, price in own.items():
        book = book.with_price(model, **price)
    _check_prices(endpoints, bounds, book)
    if policy is None and written.policy is not None:
        policy = beside(folder, written.policy)
    return Setup(
        routes=tuple(Route(name if name in entries else "*", endpoint) for name, endpoint in endpoints.items()),
        specs={name: entries[name][0].spec if name in entries else f"{e.provider}:*" for name, e in endpoints.items()},
        refused=(*refuse, *written.refuse),
        limits=bounds,
        keys=keys,
        book=book,
        own_prices=own,
        gate=_gate(policy, [*labels, *written.labels], endpoints.values()),
    )


def _gate(path: Path | None, labels: Sequence[str], endpoints: Iterable[Endpoint]) -> SeatGate | None:
    """The policy at work. Raises InputError for one that does not know a model, or a label."""
    if path is None:
        if labels:
            raise InputError("--label means nothing without --policy, the file that says who may see it")
        return None
    policy = load_policy(path)
    gate = SeatGate(policy, *read_labels(policy, labels))
    for endpoint in endpoints:
        if endpoint.model != ANY_MODEL:
            recipient(gate.clearance, endpoint)
    return gate


def _read_file(path: Path) -> tuple[GatewayFile, Path]:
    try:
        text = decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    problems = Problems()
    read = Document(text, str(path), 1, problems).read(GatewayFile)
    problems.raise_if_any()
    return read if isinstance(read, GatewayFile) else GatewayFile(), path.absolute().parent


def _endpoints(entries: Mapping[str, tuple[ModelEntry, Path]]) -> dict[str, Endpoint]:
    """Where each name or pattern is served. A spec without a provider is the name of another entry."""
    found: dict[str, Endpoint] = {}
    for name, (entry, folder) in entries.items():
        target = entry
        if entry.spec in entries and ":" not in entry.spec:
            target, folder = entries[entry.spec]
        spec = msgspec.structs.replace(
            parse_spec(name if target is entry else entry.spec, target.spec, folder),
            max_output=target.max_output,
            key_env=target.key_env,
        )
        endpoint = endpoint_of(spec)
        if endpoint.provider == "manual":
            raise InputError(f"model {name!r}: manual: cannot be served to other agents")
        if endpoint.offline:
            Tape(Path(endpoint.base_url))
            endpoint = msgspec.structs.replace(endpoint, model=ANY_MODEL)
        elif endpoint.model == ANY_MODEL:
            served = name if target is entry else entry.spec
            if not set(served) & set("*?["):  # asked for by that name only
                endpoint = msgspec.structs.replace(endpoint, model=served)
            elif target.price is not None:
                raise InputError(f"models: {served!r} is any number of models, and a price is for one: one entry each")
        found[name] = endpoint
    return found


def _whatever_has_a_key(environ: Mapping[str, str]) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for provider in _DEFAULTS:
        codec, base_url, key_env = PROVIDERS[provider]
        endpoint = Endpoint(f"{provider}:*", provider, ANY_MODEL, codec, base_url, key_env)
        with contextlib.suppress(InputError):
            find_key(endpoint, environ)
            found[endpoint.name] = endpoint
    if not found:
        names = ", ".join(PROVIDERS[provider][2] for provider in _DEFAULTS)
        raise InputError(f"no key and no model: set one of {names}, or name a model, e.g. --model '*=openai:qwen3@URL'")
    return found


def _check_prices(endpoints: Mapping[str, Endpoint], limits: Limits, book: PriceBook) -> None:
    if not limits.in_usd:
        return
    for name, endpoint in endpoints.items():
        if endpoint.model != ANY_MODEL and book.rates(endpoint.model, endpoint.priced_as, Clock().now_ms()) is None:
            raise InputError(
                f"model {name!r} ({endpoint.model}) has no price, so the limit in USD cannot be kept; give it one in a "
                f"file for --config (models: {{{name}: {{spec: ..., price: {{input: ..., output: ...}}}}}}) "
                "or limit net_tokens instead"
            )


def check_host(host: str, token: str, *, known: bool, tls: bool = False) -> bool:
    """Whether `host` is this machine only. Raises InputError when it is not and the gateway is open to all or spoken to
    in plain HTTP without `known`."""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and not token:
        raise InputError(f"{host} can be reached by others, who could spend your money; give a --token that they lack")
    if not local and not (known or tls):
        raise InputError(
            f"{host} can be reached by others, who could read the token in plain HTTP; give --tls-cert and --tls-key, "
            "or --i-know if that is what you want"
        )
    return local


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """How connections are encrypted; None without a certificate. Raises InputError when the files are none."""
    if cert is None and key is None:
        return None
    if cert is None:
        raise InputError("--tls-key needs --tls-cert, the certificate (PEM) that belongs to it")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"cannot use the certificate {cert} with the key {key or cert}: {error}") from None
    return context


@dataclass
class Serving:
    """A gateway at work."""

    run: str
    url: str
    ledger: Ledger
    gateway: Gateway
    server: Server
    seats: Seats
    outcome: str | None = None
    reason: str = ""


@asynccontextmanager
async def serving(
    setup: Setup,
    *,
    name: str = KIND,
    host: str = "127.0.0.1",
    port: int = 0,
    tokens: tuple[str, ...] = (),
    stall_s: float = STALL_S,
    hold_s: float = HOLD_S,
    local_only: bool = True,
    record: Path | None = None,
    tls: ssl.SSLContext | None = None,
    otel: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
) -> AsyncIterator[Serving]:
    """Serve until the block is left; then the run has ended, with `outcome` and `reason` of what was yielded.

    Runs of gateways that were killed are concluded first, and their calls without an end counted as lost.
    otel: where calls are sent as spans; `warn` is told when that fails.
    """
    clock = clock or Clock()
    root = home.ensure(home.home())
    limits = setup.limits
    recording = Recording(record) if record else None
    listening = listen(host, port)
    with Ledger(root / "ledger.db", clock) as ledger:
        recover(ledger, setup.book)
        run = clock.new_id()
        owner = owner_here(run)
        epoch = await ledger.commit(lambda t: _begin(t, run, owner, name, setup, clock))
        gateway = Gateway(
            ledger, {}, {}, budget_of(limits, "the gateway"), setup.book, clock, Path.cwd(),
            day_of(limits, setup.book, clock),
        )  # fmt: skip
        gateway.gate = setup.gate
        seats = Seats(ledger, run, owner, clock, tokens=tokens)
        server = Server(
            gateway, Routes(setup.routes, setup.refused), setup.keys, seats, clock, stall_s=stall_s, hold_s=hold_s,
            local_only=local_only, recording=recording,
        )  # fmt: skip
        here: Serving | None = None
        exports = contextlib.AsyncExitStack()
        heartbeat = asyncio.create_task(_heartbeat(ledger, owner))
        try:
            bound = await server.start(listening, tls)
            shown = f"[{host}]" if ":" in host else host
            if otel is not None:
                await exports.enter_async_context(Exporter(ledger, otel, run).following(warn))
            here = Serving(run, f"http{'s' if tls else ''}://{shown}:{bound}", ledger, gateway, server, seats)
            yield here
        finally:
            heartbeat.cancel()
            await server.stop()
            outcome, reason = (here.outcome, here.reason) if here else ("failed", "the server did not start")
            await ledger.commit(lambda t: _end(t, run, owner, epoch, outcome, reason, clock))
            await exports.aclose()


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(18)


async def _heartbeat(ledger: Ledger, owner: str) -> None:
    while True:
        await asyncio.sleep(LEASE_MS / 3000)
        await ledger.commit(lambda t: t.renew(owner))


def _begin(t: Transaction, run: str, owner: str, name: str, setup: Setup, clock: Clock) -> int:
    t.open_stream(run, "run")
    epoch = t.claim(run, owner)
    head: dict[str, Any] = {
        "kind": KIND,
        "outlay": __version__,
        "price_book": setup.book.id,
        "models": setup.specs,
        "own_prices": setup.own_prices,
        "limits": msgspec.to_builtins(setup.limits),
        "checks": [],
    }
    t.append(run, run, epoch, [Entry("run.started", head)])
    t.put(
        "runs", id=run, name=name, goal_path="", workspace=str(Path.cwd()), status="running", pid=os.getpid(),
        started_ms=clock.now_ms(),
    )  # fmt: skip
    return epoch


def _end(
    t: Transaction,
    run: str,
    owner: str,
    epoch: int,
    outcome: str | None,
    reason: str,
    clock: Clock,
    status: str = "done",
) -> None:
    now = clock.now_ms()
    head = {"outcome": outcome, "reason": reason, "passed": 0, "checks": 0}
    t.append(run, run, epoch, [Entry("run.ended", head)])
    t.update("runs", run, status="ended", outcome=outcome, reason=reason, ended_ms=now)
    t.conn.execute(
        "UPDATE sessions SET status = ?, ended_ms = ? WHERE run = ? AND status = 'running'", (status, now, run)
    )
    t.release(owner)


# ---- after a kill


def recover(ledger: Ledger, book: PriceBook) -> list[str]:
    """Conclude the runs of gateways that died: calls whose end was never written are counted as lost, with the most
    that they may have cost. Returns the ids of those runs."""
    rows = ledger.rows(
        "SELECT runs.id, streams.owner FROM runs JOIN streams ON streams.id = runs.id "
        "JOIN events ON events.stream = runs.id AND events.n = 0 "
        "WHERE runs.status = 'running' AND json_extract(events.head, '$.kind') = ?",
        (KIND,),
    )
    dead = [row["id"] for row in rows if row["owner"] is None or is_dead(row["owner"])]
    for run in dead:
        ledger.write(lambda t, run=run: _conclude(t, ledger, run))  # type: ignore[misc]
    return dead


def _conclude(t: Transaction, ledger: Ledger, run: str) -> None:
    release_dead(t, run)
    owner = owner_here(f"recovery-{run}")
    epoch = t.claim(run, owner)
    lost = 0
    for row in ledger.rows("SELECT * FROM sessions WHERE run = ?", (run,)):
        open_intents = unanswered(ledger.events(row["id"], types=CALL_EVENTS))
        if not open_intents:
            continue
        lost += len(open_intents)
        held = t.claim(row["id"], owner)
        caller = Caller(run, row["id"], row["name"], row["role"], row["parent"], held)
        calls = [lost_call(caller, intent, t.conn, ledger.clock) for intent in open_intents]
        t.append(
            run, row["id"], held,
            [Entry("call.lost", {"key": c.key, "possible_cost_pico": c.possible_cost_pico}) for c in calls],
        )  # fmt: skip
        t.record_calls(calls)
    reason = f"the gateway was killed; {lost} calls have no known end" if lost else "the gateway was killed"
    _end(t, run, owner, epoch, "lost", reason, ledger.clock, "lost")


__all__ = ["DEFAULT_PORT", "GatewayFile", "Serving", "Setup", "check_host", "new_token", "recover", "serving", "set_up"]
