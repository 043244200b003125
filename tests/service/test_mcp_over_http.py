"""The MCP tools over HTTP: with the SDK's client, which brings the token, and for nobody without it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from agent_lab import AgentLab, lab

from modelserver import Worker

TOKEN = "a-token-that-stays"


@contextmanager
def serving_mcp(it: AgentLab, **more: str) -> Iterator[tuple[str, str]]:
    """`outlay mcp --http` in the lab's project: its URL, and the line on its token."""
    environment = {key: value for key, value in it.environment.items() if value is not None} | more
    server = subprocess.Popen(
        [sys.executable, "-m", "outlay", "mcp", "--http", "--port", "0"],
        cwd=it.folder, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        where, token = server.stderr.readline(), server.stderr.readline()
        yield where.split()[-1], token.strip()
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(300)
        server.kill()
        server.wait()
        server.stderr.close()


def test_tools_resources_and_progress_reach_whoever_has_the_token_and_nobody_else(tmp_path):
    async def talk(url):
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        heard = []

        async def progress(*told):
            heard.append(told)

        headers = {"authorization": f"Bearer {TOKEN}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=300) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            asked = {"prompt": "[[turns=2 tool=glob pattern=*]] x", "timeout_s": 300}
            done = await client.call_tool("ask", asked, progress_callback=progress)
            result = await client.read_resource("outlay://agents/scout-1/result")
            agents = await client.read_resource("outlay://agents")
            return json.loads(done.content[0].text), result.contents[0].text, agents.contents[0].text, heard

    with lab(tmp_path, Worker("It is there.")) as it, serving_mcp(it, OUTLAY_MCP_TOKEN=TOKEN) as (url, said):
        assert said == "token: the one in OUTLAY_MCP_TOKEN"
        told, result, agents, heard = asyncio.run(talk(url))
        assert told["answer"] == result == "It is there." and told["cost_usd"] > 0 and heard
        (agent,) = json.loads(agents)
        assert agent["name"] == "scout-1" and agent["turns"] == 3
        for headers in ({}, {"authorization": "Bearer wrong"}):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url, b"{}", headers), timeout=120)
            assert refused.value.code == 401 and "OUTLAY_MCP_TOKEN" in refused.value.read().decode()
        port = url.rpartition(":")[2].partition("/")[0]
        taken = it.run("mcp", "--http", "--port", port)
        assert taken.returncode == 2 and "choose another with --port" in taken.stderr


def test_a_server_without_a_token_of_its_own_makes_one_and_says_it(tmp_path):
    with lab(tmp_path, Worker("x")) as it, serving_mcp(it) as (url, said):
        token = said.split()[1]
        assert len(token) >= 24 and token in said
        asked = urllib.request.Request(url, b"{}", {"authorization": f"Bearer {token}"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=120)
        assert refused.value.code != 401  # it is let in, and talks nonsense
