"""Recording at the gateway, playing it back to agents without a provider, and the gateway's own TLS."""

import asyncio
import datetime as dt
import json
import ssl

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateway_lab import WIRES, body_for, lab, path_for

from modelserver import Answer, FaultPlan
from outlay.errors import InputError
from outlay.gateway.tape import Recording
from outlay.runs.standalone import serving, set_up, tls_context


async def ask(gateway, wire, stream, seat="one", text="go", messages=1):
    body = body_for(wire, text, stream=stream)
    for _ in range(messages - 1):
        key = {"google": "contents", "openai-responses": "input"}.get(wire, "messages")
        body[key] = body[key] * 2 if isinstance(body[key], list) else [{"role": "user", "content": "x"}] * 2
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{gateway.url}/s/{seat}{path_for(wire, stream)}", json=body) as answer,
    ):
        return answer.status, await answer.read()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tape_answers_as_the_provider_did_and_its_tokens_are_metered_again(wire, stream, tmp_path, monkeypatch):
    tape = tmp_path / "tape.jsonl"

    async def go():
        said = iter(["first", "second", "third"])
        async with lab(lambda call: Answer(next(said) + " é"), tmp_path, monkeypatch, record=tape) as it:
            recorded = [await ask(it.gateway, wire, stream, seat) for seat in ("one", "one", "two")]
            used = [call.usage for call in it.calls()]
        async with serving(set_up([f"*=recorded:{tape}"])) as gateway:
            played = [await ask(gateway, wire, stream, seat, "another text") for seat in ("one", "one", "two")]
            assert played == recorded
            calls = list(gateway.ledger.calls("run = ?", (gateway.run,)))
            assert [call.usage for call in calls] == used
            assert {call.provider for call in calls} == {"recorded"}
            status, error = await ask(gateway, wire, stream, "two")
            assert status == 403 and b"took another course" in error

    asyncio.run(go())


def test_a_tape_keeps_errors_and_refuses_an_agent_that_takes_another_course(tmp_path, monkeypatch):
    tape = tmp_path / "tape.jsonl"

    async def go():
        plans = iter([FaultPlan("server"), Answer("well")])
        async with lab(lambda call: next(plans), tmp_path, monkeypatch, record=tape) as it:
            failed = await ask(it.gateway, "anthropic", False)
            await ask(it.gateway, "anthropic", False)
        assert failed[0] == 500
        assert "the-true-key" not in tape.read_text()
        async with serving(set_up([f"m-1=recorded:{tape}"])) as gateway:
            assert await ask(gateway, "anthropic", False) == failed
            status, error = await ask(gateway, "anthropic", False, messages=2)
            assert status == 403 and b"1 messages; now" in error
            assert (await ask(gateway, "anthropic", False))[0] == 200

    asyncio.run(go())


def test_a_tape_goes_on_after_a_restart_and_what_is_none_is_refused(tmp_path, monkeypatch):
    tape = tmp_path / "tape.jsonl"

    async def go():
        for text in ("first", "second"):
            async with lab(lambda call, text=text: Answer(text), tmp_path, monkeypatch, record=tape) as it:
                await ask(it.gateway, "openai-chat", False)
        async with serving(set_up([f"*=recorded:{tape}"])) as gateway:
            assert b"first" in (await ask(gateway, "openai-chat", False))[1]
            assert b"second" in (await ask(gateway, "openai-chat", False))[1]

    asyncio.run(go())
    other = tmp_path / "other.jsonl"
    other.write_text('{"outlay_recording": 1, "made": "x"}\n')
    for wrong in (lambda: Recording(other), lambda: set_up([f"*=recorded:{other}"])):
        with pytest.raises(InputError, match="no recording of a gateway"):
            wrong()


def certificate(folder):
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


def test_the_gateway_serves_https_with_a_certificate(tmp_path, monkeypatch):
    cert, key = certificate(tmp_path)

    async def go():
        async with lab(lambda call: Answer("hello"), tmp_path, monkeypatch, tls=tls_context(cert, key)) as it:
            assert it.gateway.url.startswith("https://")
            port = it.gateway.url.rpartition(":")[2]
            trust = ssl.create_default_context(cafile=str(cert))
            url = f"https://localhost:{port}/v1/messages"
            async with it.client.post(url, json=body_for("anthropic"), ssl=trust) as answer:
                assert json.loads(await answer.read())["content"][0]["text"] == "hello"
            with pytest.raises(aiohttp.ClientError):
                await it.client.post(f"http://localhost:{port}/v1/messages", json=body_for("anthropic"))

    asyncio.run(go())


def test_a_certificate_that_is_none_is_said(tmp_path):
    cert, key = certificate(tmp_path)
    assert tls_context(None, None) is None
    with pytest.raises(InputError, match="--tls-key needs --tls-cert"):
        tls_context(None, key)
    key.write_text("nothing")
    with pytest.raises(InputError, match="cannot use the certificate"):
        tls_context(cert, key)
