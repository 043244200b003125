"""The same service as MCP tools, as a skill, and from Python."""

import asyncio
import json
import os
import sys

import pytest
from agent_lab import lab

import outlay
from modelserver import Worker
from outlay.service.errors import ServiceError


def test_mcp_tools_start_wait_and_read_agents_and_report_progress(tmp_path):
    async def talk(it):
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        environment = {key: value for key, value in it.environment.items() if value is not None}
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "outlay", "mcp"], env=environment, cwd=it.folder
        )
        heard = []

        async def progress(*told):
            heard.append(told)

        async with Client(stdio_client(parameters)) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}

            async def call(tool, **arguments):
                done = await client.call_tool(tool, arguments, progress_callback=progress)
                return done, done.content[0].text

            started = json.loads(
                (await call("start", prompt="[[turns=2 tool=glob pattern=*]] x", role="scout", name="a"))[1]
            )
            waited = json.loads((await call("wait", names=["a"], timeout_s=300))[1])
            told = json.loads((await call("result", name="a"))[1])
            asked = json.loads((await call("ask", prompt="and?", timeout_s=300))[1])
            wrong = await call("result", name="b")
            resource = await client.read_resource("outlay://agents/a/result")
            return tools, started, waited, told, asked, wrong, resource.contents[0].text, heard

    with lab(tmp_path, Worker("It is there.")) as it:
        tools, started, waited, told, asked, wrong, resource, heard = asyncio.run(talk(it))
    assert tools == {
        "start", "ask", "send", "resume", "cancel", "deliver", "wait", "status", "result", "search", "roles"
    }  # fmt: skip
    assert started["name"] == "a" and waited["wait"] == "all" and waited["agents"][0]["cost_usd"] > 0
    assert told["answer"] == asked["answer"] == resource == "It is there." and told["ended"]
    assert wrong[0].is_error and "E_NAME_NOT_FOUND: no agent" in wrong[1]
    assert heard


def test_the_client_is_typed_asynchronous_and_lazily_imported(tmp_path, monkeypatch):
    async def work(it):
        async with outlay.Client(it.folder) as client:
            await client.start("where?", role="scout", name="one")
            waited = await client.wait(["one"], timeout_s=300)
            assert waited.wait == "all" and waited.agents[0].cost_pico
            assert (await client.result("one")).answer == "Here."
            with pytest.raises(ServiceError) as wrong:
                await client.start("again", role="scout", name="one")
            assert wrong.value.code == "E_NAME_EXISTS"

    with lab(tmp_path, Worker("Here.")) as it:
        for key in ("OUTLAY_HOME", "XDG_CONFIG_HOME", "OUTLAY_AGENT_IDLE_S"):
            monkeypatch.setenv(key, it.environment[key])
        asyncio.run(work(it))
    code = "import outlay, sys; assert 'asyncio' not in sys.modules"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


def test_the_skill_is_installed_shown_and_removed(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.environment |= {"HOME": str(tmp_path / "home"), "CLAUDE_CONFIG_DIR": None, "XDG_CONFIG_HOME": None}
        text = it.run("skill", "show").stdout
        assert text.startswith("---\nname: outlay-subagents\n") and "outlay agent wait" in text
        places = {
            ("--for", "claude"): tmp_path / "home" / ".claude",
            ("--for", "codex"): tmp_path / "home" / ".agents",
            ("--for", "opencode", "--project"): it.folder / ".opencode",
        }
        for arguments, folder in places.items():
            assert it.run("skill", "install", *arguments).returncode == 0
            file = folder / "skills" / "outlay-subagents" / "SKILL.md"
            assert file.read_text() == text
            assert it.run("skill", "uninstall", *arguments).returncode == 0 and not file.parent.exists()
        missing = it.run("skill", "uninstall")
        assert missing.returncode == 2 and "no skill at" in missing.stderr
