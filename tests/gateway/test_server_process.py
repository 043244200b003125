"""The gateway and wrapped programs as processes: killed, limited, reported."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap

import aiohttp
import pytest
from gateway_lab import PRICE, body_for

from modelserver import Answer, ModelServer
from outlay.errors import InputError
from outlay.gateway.refusals import Refused
from outlay.gateway.routes import Routes
from outlay.ledger import Ledger, verify
from outlay.prices import book
from outlay.runs.standalone import recover, serving, set_up
from outlay.runs.wrapped import environment

OUTLAY = [sys.executable, "-m", "outlay"]


def configured(folder, server):
    """A configuration in front of a scripted server, and the environment to run with."""
    config = folder / "gateway.yaml"
    entry = f'{{spec: "anthropic:m-1@{server.url}", key_env: LAB_KEY, price: {PRICE}}}'
    config.write_text(f"models:\n  m-1: {entry}\n")
    return config, os.environ | {"OUTLAY_HOME": str(folder / "home"), "LAB_KEY": "the-true-key"}


async def start(config, env):
    """`outlay gateway` on a free port: the process and its URL."""
    process = await asyncio.create_subprocess_exec(
        *OUTLAY, "gateway", "--json", "--port", "0", "--config", str(config), env=env, stdout=subprocess.PIPE
    )
    ready = json.loads(await process.stdout.readline())
    return process, ready["url"], ready["run"]


def test_of_a_killed_gateway_no_call_is_unaccounted_for(tmp_path):
    async def go():
        def script(call):
            return Answer("quick") if "quick" in call.task else Answer("word " * 200, chunks=200, chunk_delay_s=1)

        async with ModelServer(script) as server, aiohttp.ClientSession() as client:
            config, env = configured(tmp_path, server)
            process, url, run = await start(config, env)

            async def call(n, text):
                body = body_for("anthropic", text, stream=True)
                try:
                    async with client.post(f"{url}/s/s{n % 20}/v1/messages", json=body) as answer:
                        await answer.read()
                        return "whole"
                except aiohttp.ClientError:
                    return "error"

            assert await asyncio.gather(*(call(n, "quick") for n in range(20))) == ["whole"] * 20
            slow = [asyncio.create_task(call(n, "slow")) for n in range(40)]
            while len(server.records) < 60:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            assert await asyncio.gather(*slow) == ["error"] * 40
            await process.wait()

            process, url, second = await start(config, env)
            async with client.post(f"{url}/v1/messages", json=body_for("anthropic", "quick")) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        with Ledger(tmp_path / "home" / "ledger.db") as ledger:
            calls = list(ledger.calls("run = ?", (run,)))
            assert sorted({call.status for call in calls}) == ["lost", "ok"]
            assert [call.status for call in calls].count("lost") == 40 and len(calls) == 60
            assert all(call.possible_cost_pico for call in calls if call.status == "lost")
            rows = {row["id"]: row for row in ledger.rows("SELECT id, status, outcome, reason FROM runs")}
            assert rows[run]["outcome"] == "lost" and "40 calls have no known end" in rows[run]["reason"]
            assert (rows[second]["status"], rows[second]["outcome"]) == ("ended", None)
            assert verify(ledger).problems == [] and recover(ledger, book.load()) == []

    asyncio.run(go())


AGENT = textwrap.dedent("""
    import os, sys, urllib.request, json, urllib.error
    body = {"model": "m-1", "max_tokens": 500, "messages": [{"role": "user", "content": "hello"}]}
    for _ in range(int(sys.argv[1])):
        request = urllib.request.Request(
            os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
            {"content-type": "application/json", "x-api-key": os.environ["ANTHROPIC_API_KEY"]},
        )
        try:
            print(json.load(urllib.request.urlopen(request))["content"][0]["text"])
        except urllib.error.HTTPError as error:
            print(error.code, json.load(error)["error"]["message"])
            sys.exit(7)
    assert "the-true-key" not in str(os.environ)
""")


def wrapped(tmp_path, calls, *options):
    async def go():
        async with ModelServer(lambda call: Answer("hi there", output_tokens=100)) as server:
            config, env = configured(tmp_path, server)
            command = [
                *OUTLAY,
                "wrap",
                "--config",
                str(config),
                "--json",
                *options,
                "--",
                sys.executable,
                "-c",
                AGENT,
                calls,
            ]
            process = await asyncio.create_subprocess_exec(
                *command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, error = await process.communicate()
            return process.returncode, out.decode(), json.loads(error), len(server.records)

    return asyncio.run(go())


def test_a_wrapped_program_comes_through_the_gateway_and_is_reported(tmp_path):
    code, out, report, seen = wrapped(tmp_path, "3")
    assert (code, out.splitlines(), seen) == (0, ["hi there"] * 3, 3)
    assert report["run"]["reason"].endswith("exited with 0") and report["turns"] == 3
    assert report["run"]["name"].startswith("wrap python")


def test_a_wrapped_program_ends_at_its_limit_with_a_clear_error_and_exit_code_3(tmp_path):
    code, out, report, seen = wrapped(tmp_path, "9", "--limit", "turns=2")
    assert (code, seen) == (3, 2)
    assert out.splitlines()[-1].startswith("402 limit turns of the gateway reached: 2 of 2 used")
    assert report["run"]["outcome"] == "stopped"


def test_what_a_wrapped_program_is_given_holds_no_true_key_of_a_known_provider():
    true = {"ANTHROPIC_API_KEY": "sk-a", "OPENAI_API_KEY": "sk-o", "GEMINI_API_KEY": "g", "ANTHROPIC_AUTH_TOKEN": "t"}
    env = environment("http://127.0.0.1:1", "tok", true | {"PATH": "/bin", "MY_KEY": "m"}, ["MY_KEY"])
    assert "MY_KEY" not in env and not set(true.values()) & set(env.values()) and env["PATH"] == "/bin"
    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1/s/tok" and env["OPENAI_API_KEY"] == "outlay-tok"
    opencode = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    assert opencode["provider"]["google"]["options"]["baseURL"] == "http://127.0.0.1:1/s/tok/v1beta"


def test_without_a_model_every_provider_whose_key_is_found_is_served():
    setup = set_up(environ={"ANTHROPIC_API_KEY": "a", "GEMINI_API_KEY": "g"})
    routes = Routes(setup.routes, setup.refused)
    assert routes.find("claude-x", "anthropic").base_url == "https://api.anthropic.com"
    assert (routes.find("gemini-x", "google").name, routes.find("gemini-x", "google").model) == ("gemini-x", "gemini-x")
    with pytest.raises(Refused, match="is served in the format anthropic, google; this request is openai-chat"):
        routes.find("gpt-x", "openai-chat")


def test_a_port_in_use_is_a_clear_error_and_leaves_no_run(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))

    async def go():
        setup = set_up(environ={"ANTHROPIC_API_KEY": "a"})
        async with serving(setup) as first:
            with pytest.raises(InputError, match="address already in use; choose another --port"):
                async with serving(setup, port=int(first.url.rpartition(":")[2])):
                    pass
            assert len(first.ledger.rows("SELECT id FROM runs")) == 1

    asyncio.run(go())


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    env = {name: value for name, value in os.environ.items() if not name.endswith("_KEY")}
    env |= {"OUTLAY_HOME": str(tmp_path)}
    for options, words in (
        (["--host", "0.0.0.0", "--token", "t"], "--i-know"), ([], "no key and no model"),
        (["--model", "x"], "is not NAME=SPEC"),
        (["--model", "x=nonsense:y"], "unknown provider"), (["--config", "missing.yaml"], "cannot read missing.yaml"),
    ):  # fmt: skip
        done = subprocess.run([*OUTLAY, "gateway", *options], env=env, capture_output=True, text=True, timeout=180)
        assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_price_is_for_the_one_model_that_is_asked_for_by_its_name(tmp_path):
    config = tmp_path / "gateway.yaml"
    price = "price: {input: 1, output: 10}"
    config.write_text(f"models:\n  m-1: {{spec: 'openai-chat:*@http://127.0.0.1:9/v1', {price}}}\n  '*-nano': m-1\n")
    setup = set_up((), (), ("usd=1",), config, {})
    assert setup.own_prices == {"m-1": {"input": 1, "output": 10}}
    assert {route.endpoint.model for route in setup.routes} == {"m-1"}
    config.write_text(f"models:\n  'm-*': {{spec: 'openai-chat:*@http://127.0.0.1:9/v1', {price}}}\n")
    with pytest.raises(InputError, match="'m-\\*' is any number of models, and a price is for one"):
        set_up((), (), ("usd=1",), config, {})
