# ruff: noqa: E501
"""Everything that can go wrong with a call ends as a Fault of the right kind."""

import asyncio
import socket
import time
from email.utils import formatdate

import aiohttp
import pytest
from wire_lab import WIRES, request, user, with_server

from modelserver import FAULTS, Answer, FaultPlan, ModelServer, Tool
from outlay.wires import codec
from outlay.wires.faults import error_status, retry_after_s
from outlay.wires.http import send
from outlay.wires.types import Fault

ANSWER = Answer("a long answer " * 10, (Tool("shell", {"command": "ls"}),), reasoning="hm")
KINDS = {
    "rate_limit": "rate_limit",
    "server": "server",
    "overloaded": "overloaded",
    "payment": "payment",
    "auth": "auth",
    "bad_request": "bad_request",
    "overflow": "context_overflow",
    "not_found": "not_found",
    "stall": "timeout",
    "stall_midway": "timeout",
    "cut": "cut",
    "short": "cut",
    "reset": "cut",
    "half_json": "bad_answer",
    "error_event": "overloaded",
    "error_body": "overloaded",
    "empty_body": "cut",
    "html": "bad_answer",
}
NO_FAULTS = {"malformed_call", "no_usage", "wrong_model", "empty"}


def fault_of(wire, plan, **options) -> Fault:
    async def work(server, own, post):
        with pytest.raises(Fault) as caught:
            await post(request(user("go")))
        return caught.value

    return asyncio.run(with_server(lambda call: plan, wire, work, **options))


def test_every_fault_of_the_server_is_covered():
    assert set(KINDS) | NO_FAULTS == set(FAULTS)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("stall")])
def test_a_fault_is_of_its_kind(wire, kind):
    fault = fault_of(wire, FaultPlan(kind, ANSWER))
    expected = KINDS[kind]
    if (wire, kind) in {("openai-chat", "error_event"), ("openai-chat", "error_body")} or (
        wire == "openai-responses" and kind in ("error_event", "error_body")
    ):
        # OpenAI has one type for every trouble of its servers.
        expected = "server"
    assert fault.kind == expected
    assert str(fault)
    assert len(str(fault)) <= 300


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["stall", "stall_midway"])
def test_a_stalled_call_is_given_up(wire, kind):
    fault = fault_of(wire, FaultPlan(kind, ANSWER), stall_s=0.1)
    assert fault.kind == "timeout"
    if kind == "stall_midway" and wire in ("anthropic", "google"):
        assert fault.usage.input > 0
        assert fault.raw_usage


@pytest.mark.parametrize("wire", WIRES)
def test_a_call_that_takes_too_long_in_all_is_given_up(wire):
    async def work(server, own, post):
        with pytest.raises(Fault, match=r"no whole answer within 0\.2 s") as caught:
            await post(request(user("go")))
        assert caught.value.kind == "timeout"

    script = lambda call: Answer("word " * 50, chunks=50, chunk_delay_s=0.05)  # noqa: E731
    asyncio.run(with_server(script, wire, work, total_s=0.2))


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_without_usage_is_unmeasured_and_one_of_another_model_says_so(wire):
    plans = iter([FaultPlan("no_usage", ANSWER), FaultPlan("wrong_model", ANSWER)])

    async def work(server, own, post):
        unmeasured = await post(request(user("go")))
        assert unmeasured.usage is None
        assert unmeasured.raw_usage is None
        other = await post(request(user("go")))
        assert other.model == "another-model"
        assert other.usage is not None

    asyncio.run(with_server(lambda call: next(plans), wire, work))


def test_the_wait_that_a_provider_asks_for_is_read_in_every_form():
    assert fault_of("anthropic", FaultPlan("rate_limit", retry_after="7")).retry_after_s == 7
    date = formatdate(time.time() + 30, usegmt=True)
    assert 28 < fault_of("openai-chat", FaultPlan("rate_limit", retry_after=date)).retry_after_s <= 30
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after_s({"retry-after": "soon"}) is None
    assert retry_after_s({"retry-after": "-3"}) is None
    body = b'{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34.5s"}]}}'
    assert error_status(429, {}, body).retry_after_s == 34.5


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}', "payment"),
        (429, '{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}', "payment"),
        (429, '{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details","status":"RESOURCE_EXHAUSTED"}}', "rate_limit"),
        (400, '{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}', "auth"),
        (400, '{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}', "context_overflow"),
        (400, '{"object":"error","message":"This model\'s maximum context length is 4096 tokens","type":"BadRequestError","code":400}', "context_overflow"),
        (400, '{"error":"model requires more system memory"}', "bad_request"),
        (404, '{"error":{"message":"model \'qwen\' not found, try pulling it first","type":"api_error"}}', "not_found"),
        (413, '{"type":"error","error":{"type":"request_too_large","message":"too large"}}', "context_overflow"),
        (403, '{"error":{"code":403,"message":"denied","status":"PERMISSION_DENIED"}}', "auth"),
        (403, "forbidden", "auth"),
        (502, "<html><body>Bad Gateway</body></html>", "server"),
        (500, '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded"),
        (503, "", "overloaded"),
        (504, "", "timeout"),
        (422, '{"detail":[{"msg":"field required"}]}', "bad_request"),
        (301, "", "bad_request"),
    ],
)  # fmt: skip
def test_an_error_status_means_what_the_provider_says(status, body, kind):
    fault = error_status(status, {}, body.encode())
    assert fault.kind == kind
    assert fault.status == status


def test_a_missing_server_an_unknown_host_and_a_wrong_url_are_told_apart():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    cases = {
        f"http://127.0.0.1:{port}/v1": "connection",
        "http://no-such-host.invalid/v1": "connection",
        "ftp://127.0.0.1/v1": "bad_request",
        "nonsense": "bad_request",
    }

    async def work():
        own = codec("openai-chat")
        async with aiohttp.ClientSession() as client:
            for base, kind in cases.items():
                with pytest.raises(Fault) as caught:
                    await send(
                        client, own, base_url=base, key=None, request_body=b"{}", model="m", stall_s=3, total_s=5
                    )
                assert caught.value.kind == kind, (base, caught.value)

    asyncio.run(work())


def test_a_server_that_does_not_speak_http_or_tls_is_a_fault():
    async def work():
        async def babble(reader, writer):
            await reader.read(100)
            writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        own = codec("openai-chat")
        async with aiohttp.ClientSession() as client, server:
            for scheme in ("http", "https"):
                with pytest.raises(Fault) as caught:
                    await send(
                        client,
                        own,
                        base_url=f"{scheme}://127.0.0.1:{port}/v1",
                        key=None,
                        request_body=b"{}",
                        model="m",
                        stall_s=3,
                        total_s=5,
                    )
                assert caught.value.kind in ("connection", "bad_answer")

    asyncio.run(work())


def test_a_redirect_is_not_followed_with_the_key():
    from aiohttp import web

    async def work():
        async def moved(request):
            raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/v1/elsewhere")

        app = web.Application()
        app.router.add_post("/v1/chat/completions", moved)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        async with aiohttp.ClientSession() as client:
            with pytest.raises(Fault) as caught:
                await send(
                    client,
                    codec("openai-chat"),
                    base_url=base,
                    key="k",
                    request_body=b"{}",
                    model="m",
                    stall_s=3,
                    total_s=5,
                )
        assert caught.value.status == 307
        assert not caught.value.retryable
        await runner.cleanup()

    asyncio.run(work())


@pytest.mark.parametrize("wire", WIRES)
def test_a_hundred_calls_with_faults_leave_no_connection_behind(wire):
    async def work():
        from modelserver import with_faults

        script = with_faults(lambda call: ANSWER, 0.5, ["cut", "reset", "server", "half_json", "short"], seed=7)
        async with ModelServer(script) as server, aiohttp.ClientSession() as client:
            own = codec(wire, base_url=server.url)

            async def one(n):
                asked = request(user(f"go {n}"))
                try:
                    await send(
                        client,
                        own,
                        base_url=server.base_url(wire),
                        key=None,
                        request_body=own.body(asked),
                        model=asked.model,
                        stall_s=5,
                        total_s=10,
                    )
                except Fault as fault:
                    return fault.kind
                return "whole"

            kinds = await asyncio.gather(*(one(n) for n in range(100)))
            outcomes = [record["outcome"] for record in server.records]
            assert kinds.count("whole") == outcomes.count("whole")
            assert not client.connector._acquired

    asyncio.run(work())
