"""The way out to named hosts."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.egress import Egress, Refusal, host_rule, parse_head
from outlay.sandbox.types import Command


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    page = HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    yield page.server_port
    page.shutdown()
    page.server_close()


@pytest.mark.parametrize("text", ["example.org", "Example.ORG.", "a-b.example:8443", "localhost"])
def test_exact_names_are_rules(text: str) -> None:
    name, ports = host_rule(text)
    assert name == name.lower() and ports


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3.4",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "::1",
        "*.org",
        "a b",
        "",
        "a..b",
        "-a",
        "x:y",
        "x:²",
        "x:999999",
        "a/b",
        "ü.de",
    ],
)
def test_addresses_patterns_and_noise_are_no_rules(text: str) -> None:
    with pytest.raises(InputError):
        host_rule(text)


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT 127.0.0.1:80 HTTP/1.1",
        "CONNECT [::1]:80 HTTP/1.1",
        "GET http://0x7f.1/ HTTP/1.1",
        "GET http://017700000001/ HTTP/1.1",
        "GET ftp://example.org/ HTTP/1.1",
        "GET / HTTP/1.1",
        "GET http://user@example.org/ HTTP/1.1",
        "GET http://example.org:99999/ HTTP/1.1",
        "GET http://[::1/ HTTP/1.1",
        "GET http://example.org/ HTTP/1.1\r\nA: b\nHost: evil.example",
        "GET http://example.org/ HTTP/1.1\r\nA: b\rHost: evil.example",
        "GET\t/\tHTTP/1.1\nHost:evil.example\n\n http://example.org/ HTTP/1.1",
        "nonsense",
    ],
)
def test_requests_that_name_no_host_are_refused(line: str) -> None:
    with pytest.raises(Refusal):
        parse_head(f"{line}\r\n\r\n".encode())


def test_a_forwarded_request_carries_the_allowed_host_and_no_other() -> None:
    head = b"GET http://Example.org/x?y HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: z\r\nA: b\r\n\r\n"
    expected = b"GET /x?y HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nA: b\r\n\r\n"
    assert parse_head(head) == ("example.org", 80, expected)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(head: bytes) -> None:
    try:
        parse_head(head)
    except Refusal:
        pass


async def _ask(egress: Egress, folder: Path, request: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(folder / "proxy.sock")
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("loopback", [True, False])
def test_the_proxy_dials_allowed_names_only_and_not_this_machine(server: int, loopback: bool) -> None:
    async def main() -> None:
        egress = Egress((f"localhost:{server}",), allow_loopback=loopback)
        await egress.start()
        folder = egress.forward.socket.parent
        try:
            allowed = await _ask(egress, folder, f"GET http://localhost:{server}/ HTTP/1.1\r\n\r\n")
            tunnel = f"CONNECT localhost:{server} HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n"
            other_port = await _ask(egress, folder, "CONNECT localhost:22 HTTP/1.1\r\n\r\n")
            assert (b"page" in allowed) == loopback
            assert (b"page" in await _ask(egress, folder, tunnel)) == loopback
            assert other_port.startswith(b"HTTP/1.1 403 ") and "localhost:22" in egress.denied
            assert (await _ask(egress, folder, "CONNECT evil.example:443 HTTP/1.1\r\n\r\n")).startswith(
                b"HTTP/1.1 403 "
            )
        finally:
            egress.close()
        assert not folder.exists()

    asyncio.run(main())


def _address_of_this_machine() -> str | None:
    """One that is not loopback, where the machine has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "::ffff:127.0.0.1", "own"])
def test_a_name_that_leads_to_this_machine_or_to_credentials_is_not_dialled(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolved = _address_of_this_machine() or "127.0.0.1" if address == "own" else address

    async def main() -> None:
        async def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", (resolved, port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        egress = Egress(("rebound.example",))
        await egress.start()
        try:
            answer = await _ask(egress, egress.forward.socket.parent, "CONNECT rebound.example:443 HTTP/1.1\r\n\r\n")
        finally:
            egress.close()
        assert answer.startswith(b"HTTP/1.1 403 ") and egress.denied == ["rebound.example:443"]

    asyncio.run(main())


def test_a_command_cannot_use_up_the_descriptors_of_its_proxy(server: int) -> None:
    async def main() -> None:
        egress = Egress((f"localhost:{server}",), allow_loopback=True)
        await egress.start()
        folder = egress.forward.socket.parent
        idle = [await asyncio.open_unix_connection(folder / "proxy.sock") for _ in range(200)]
        try:
            assert [await reader.read() for reader, _ in idle[150:]] == [b""] * 50
            for _, writer in idle:
                writer.close()
            while True:
                answer = await _ask(egress, folder, f"GET http://localhost:{server}/ HTTP/1.1\r\n\r\n")
                if b"page" in answer:
                    break
                await asyncio.sleep(0.01)
        finally:
            egress.close()

    asyncio.run(main())


def test_a_command_reaches_its_proxy_and_nothing_else(sandbox: Bubblewrap, workspace: Path, server: int) -> None:
    program = f"""
import socket, urllib.error, urllib.request
for url in ("http://denied.example/", "http://127.0.0.1:{server}/"):
    try:
        print(urllib.request.urlopen(url, timeout=5).status)
    except OSError as error:
        print(type(error).__name__, getattr(error, "code", ""))
for address in (("127.0.0.1", {server}), ("10.0.0.1", 80)):
    try:
        socket.create_connection(address, 1); print("reached")
    except OSError:
        print("no way")
"""
    command = Command(("python3", "-c", program), workspace, hosts=("allowed.example",))
    finished = asyncio.run(sandbox.run(command))
    assert finished.head == b"HTTPError 403\nURLError \nno way\nno way\n"
