"""The way out of a sandbox that may reach named hosts: one unix socket per command, a proxy of ours behind it.

Inside there is no network but loopback, where `outlay.sandbox.forward` listens and hands connections to the socket.
Outside, the proxy speaks CONNECT and plain HTTP, knows the allowed names and nothing else: no address
literals; a name is resolved once and that address is dialled, unless it is this machine's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import shutil
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from outlay.errors import InputError
from outlay.sandbox.types import Command, Forward

_PORT = 3128
_HEAD_BYTES = 64 * 1024
_HEAD_S = 30.0
_CHUNK_BYTES = 1 << 16
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORTS = (80, 443)
_CONNECTIONS = 128
"""Most at once; the descriptors are this process's, and the ledger needs some too."""
_CREDENTIALS = ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")
"""Where clouds serve credentials outside of the link-local range."""
_BREAKS = re.compile(rb"[\r\n\0]")


def host_rule(text: str) -> tuple[str, tuple[int, ...]]:
    """An allowed host: a name, or `name:port`. Raises InputError for addresses, patterns and anything else."""
    name, colon, port = text.strip().lower().rstrip(".").partition(":")
    last = name.rpartition(".")[2]
    if (
        not _NAME.fullmatch(name)
        or last.isdigit()
        or last.startswith("0x")
        or (colon and not re.fullmatch("[0-9]{1,5}", port))
    ):
        raise InputError(f"not a host name: {text!r}; give exact names such as example.org or example.com:8443")
    return name, (int(port),) if port else _PORTS


class Refusal(Exception):
    """The proxy does not do what was asked; status and text of its answer."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class Egress:
    """The proxy of one command. `denied` lists what was asked for and not allowed."""

    def __init__(self, hosts: tuple[str, ...], allow_loopback: bool = False) -> None:
        rules: dict[str, tuple[int, ...]] = {}
        for name, ports in map(host_rule, hosts):
            rules[name] = tuple({*rules.get(name, ()), *ports})
        self._rules = rules
        self._allow_loopback = allow_loopback
        self.denied: list[str] = []
        self._folder = Path(tempfile.mkdtemp(prefix="outlay-egress-"))
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._folder / "proxy.sock", limit=_HEAD_BYTES)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def forward(self) -> Forward:
        """The port inside that leads to the proxy."""
        return Forward(_PORT, self._folder / "proxy.sock")

    def with_environment(self, command: Command) -> Command:
        url = f"http://127.0.0.1:{_PORT}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy")
        extra = (*((name, url) for name in names), ("NO_PROXY", "localhost,127.0.0.1"))
        return msgspec.structs.replace(command, environment=(*extra, *command.environment))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) > _CONNECTIONS:
                return
            with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            host, port, forwarded = parse_head(head)
            far_reader, far_writer = await self._dial(host, port)
        except (Refusal, TimeoutError, asyncio.LimitOverrunError) as refusal:
            status = refusal.status if isinstance(refusal, Refusal) else "400 Bad Request"
            text = f"outlay: {refusal}\n".encode()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text
            )
            await writer.drain()
            return
        try:
            if forwarded is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far_writer.write(forwarded)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()

    async def _dial(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port not in self._rules.get(host, ()):
            self.denied.append(f"{host}:{port}")
            raise Refusal("403 Forbidden", f"{host}:{port} is not among the allowed hosts")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Refusal("502 Bad Gateway", f"cannot resolve {host}: {error}") from None
        addresses = [str(entry[4][0]) for entry in found]
        usable = [address for address in addresses if self._allow_loopback or not _off_limits(address)]
        if not usable:
            self.denied.append(f"{host}:{port}")
            raise Refusal("403 Forbidden", f"{host} leads to this machine itself or to no host")
        try:
            return await asyncio.open_connection(usable[0], port)
        except OSError as error:
            raise Refusal("502 Bad Gateway", f"cannot reach {host}:{port}: {error.strerror}") from None


def _off_limits(text: str) -> bool:
    """Loopback and any other address of this machine, link-local (where clouds serve credentials), multicast and the
    like; a name that leads there was not meant by whoever allowed it."""
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.is_reserved and address.version == 4)
        or str(address) in _CREDENTIALS
        or _answers_itself(str(address), socket.AF_INET if address.version == 4 else socket.AF_INET6)
    )


def _answers_itself(address: str, family: socket.AddressFamily) -> bool:
    """Whether the kernel would send from the very address it sends to: it is one of this machine's. Sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:
        return False


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError, RuntimeError):
        target.write_eof()


def parse_head(head: bytes) -> tuple[str, int, bytes | None]:
    """Host, port and, for plain HTTP, the request's head as it goes on: one request per connection, with the Host that
    was allowed, so that nothing else rides on it. None for CONNECT. Raises Refusal."""
    if any(_BREAKS.search(line) for line in head.split(b"\r\n")):
        raise Refusal("400 Bad Request", "a line that others would read as two")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refusal("400 Bad Request", "not an HTTP request")
    method, target, _ = words
    if method == "CONNECT":
        name, _, port = target.rpartition(":")
        return _plain_name(name), int(port) if re.fullmatch("[0-9]{1,5}", port) else 0, None
    try:
        url = urlsplit(target)
        port_number = url.port or 80
    except ValueError:
        raise Refusal("400 Bad Request", "not an address") from None
    if url.scheme != "http" or not url.hostname or url.username:
        raise Refusal("400 Bad Request", "only http:// addresses and CONNECT are understood")
    host = _plain_name(url.hostname)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    dropped = ("host", "connection", "proxy-connection", "proxy-authorization", "keep-alive", "upgrade")
    kept = [line for line in lines[1:] if line and line.partition(":")[0].strip().lower() not in dropped]
    shown = host if port_number == 80 else f"{host}:{port_number}"
    rebuilt = [f"{method} {path} HTTP/1.1", f"Host: {shown}", "Connection: close", *kept, "", ""]
    return host, port_number, "\r\n".join(rebuilt).encode("latin-1")


def _plain_name(name: str) -> str:
    try:
        return host_rule(name)[0] if ":" not in name else _not_a_name(name)
    except InputError:
        return _not_a_name(name)


def _not_a_name(name: str) -> str:
    raise Refusal("403 Forbidden", f"{name} is not a host name; addresses are not dialled")
