"""MCP servers and skills are loaded on demand: real servers of the official SDK, real SKILL.md folders."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from modelserver import Answer, Call, Tool, serving
from outlay.agents.skill import LIST_CHARS, Skill, read_skill, skill_list
from project import Project, until

SERVER = """
import os, sys, time
from mcp.server.mcpserver import MCPServer

open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
server = MCPServer("tools")

@server.tool()
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

@server.tool()
def token() -> str:
    return os.environ.get("TOKEN", "none") + " " + os.environ.get("OPENAI_API_KEY", "no key")

@server.tool()
def fail() -> str:
    raise ValueError("this tool always fails")

@server.tool()
def crash() -> str:
    os._exit(3)

if "http" in sys.argv:
    server.run("streamable-http", port=int(sys.argv[3]))
else:
    server.run()
"""


def mcp(server: str, tool: str | None = None, **arguments: object) -> Answer:
    given = {"server": server} | ({"tool": tool} if tool else {}) | ({"arguments": arguments} if arguments else {})
    return Answer("", (Tool("mcp", given),))


def goal(it: Project, servers: dict[str, object], task: str = "go") -> None:
    tools = "[read, shell, mcp]"
    team = f"team:\n  roles:\n    - {{name: main, model: main, tools: {tools}}}\n"
    it.write_goal(team=team, check="true", more=f"mcp: {json.dumps(servers)}\n", task=task)


def results(it: Project) -> list[tuple[str, bool]]:
    return [(e.payload.decode(), e.head["is_error"]) for e in it.events("tool.result")]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_stdio_server_is_started_on_first_use_and_ended_with_the_run(tmp_path: Path) -> None:
    steps = [
        Answer("", (Tool("shell", {"command": "true"}),)),
        mcp("tools"),
        mcp("tools", "add", a=2, b=3),
        mcp("tools", "token"),
        mcp("tools", "fail"),
        mcp("tools", "fly"),
        mcp("tools", "crash"),
        mcp("tools", "add", a=20, b=3),
        mcp("broken"),
        mcp("missing"),
        mcp("nobody"),
    ]
    pids = tmp_path / "pids"
    seen: list[bool] = []

    def script(call: Call) -> Answer:
        if call.turn == 1:
            seen.append(pids.exists())
        return steps[call.turn] if call.turn < len(steps) else Answer("Done.")

    with serving(script) as model:
        it = Project(tmp_path, model.base_url("openai"))
        (tmp_path / "server.py").write_text(SERVER)
        command = [str(tmp_path / "server.py"), str(pids)]
        goal(
            it,
            {
                "tools": {"command": sys.executable, "args": command, "env": {"TOKEN": "${MY_TOKEN}"}},
                "broken": {"command": sys.executable, "args": ["-c", "import sys; sys.exit('no such database')"]},
                "missing": {"command": str(tmp_path / "nothing-here")},
            },
        )
        it.environment |= {"MY_TOKEN": "abc123token", "OPENAI_API_KEY": "sk-never-shown"}
        it.run()
        said = results(it)
        assert seen == [False]
        assert "add: Add two numbers. arguments: {" in said[1][0]
        assert said[2] == ("5", False)
        assert said[3] == ("abc123token no key", False)
        assert said[4][1] and "tool fail" in said[4][0]
        assert said[5][1] and "fly" in said[5][0]
        assert said[6][1] and "MCP server tools" in said[6][0]
        assert said[7] == ("23", False)  # a server that died is started anew
        assert said[8][1] and "no such database" in said[8][0]
        assert said[9][1] and "nothing-here" in said[9][0]
        assert said[10][1] and "there is no MCP server 'nobody'; there are" in said[10][0]
        started = [int(pid) for pid in pids.read_text().split()]
        assert len(started) == 2 and not any(alive(pid) for pid in started)
        goal_in_ledger = it.events("run.started")[0].payload
        assert b"${MY_TOKEN}" in goal_in_ledger and b"abc123token" not in goal_in_ledger


def test_a_streamable_http_server_is_used_and_outlives_the_run(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "server.py").write_text(SERVER)
    arguments = [sys.executable, str(tmp_path / "server.py"), str(tmp_path / "pids"), "http", str(port)]
    steps = [mcp("web"), mcp("web", "add", a=1, b=1), mcp("web", "fail"), mcp("gone")]
    with (
        subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process,
        serving(lambda call: steps[call.turn] if call.turn < len(steps) else Answer("Done.")) as model,
    ):
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        it = Project(tmp_path, model.base_url("openai"))
        goal(it, {"web": {"url": f"http://127.0.0.1:{port}/mcp"}, "gone": {"url": "http://127.0.0.1:9/mcp"}})
        it.run()
        said = results(it)
        assert "add: Add two numbers." in said[0][0] and said[1] == ("2", False)
        assert said[2][1] and "tool fail" in said[2][0]
        assert said[3][1] and "MCP server gone" in said[3][0]
        assert process.poll() is None
        process.terminate()


def test_a_variable_that_is_not_set_is_bad_input(tmp_path: Path) -> None:
    it = Project(tmp_path, "http://127.0.0.1:9/v1")
    goal(it, {"tools": {"command": "x", "env": {"TOKEN": "Bearer ${NOT_SET_ANYWHERE}"}}})
    done = it.outlay("run", str(it.goal))
    assert done.returncode == 2 and "NOT_SET_ANYWHERE" in done.stderr and not it.home.exists()


# ---- skills


def skill(folder: Path, front: str = "", body: str = "Do it so.") -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(f"---\n{front}\n---\n{body}" if front else body)
    return folder / "SKILL.md"


def test_skills_of_the_workspace_and_of_the_goal_are_listed_and_loaded_on_demand(tmp_path: Path) -> None:
    steps = [Answer("", (Tool("skill", {"name": name}),)) for name in ("tables", "release", "secret")]
    with serving(lambda call: steps[call.turn] if call.turn < 3 else Answer("Done."), keep_bodies=True) as model:
        it = Project(tmp_path, model.base_url("openai"))
        skill(it.workspace / ".claude/skills/tables", "name: tables\ndescription: How to draw tables", "Draw lines.")
        skill(it.workspace / ".outlay/skills/release", "description: >\n  Make a\n  release", "Tag it.")
        outside = skill(tmp_path / "elsewhere/secret", "description: private", "secret words")
        (it.workspace / ".claude/skills/secret").symlink_to(outside.parent)
        skill(tmp_path / "more/own", "description: [not, a, text", "Own.")
        it.write_goal(check="true", more="skills: [more]\n")
        it.run()
        system = json.loads(model.records[0]["body"])["messages"][0]["content"]
        assert "- own\n- release: Make a release\n- tables: How to draw tables" in system
        assert "Draw lines" not in model.records[0]["body"]
        said = results(it)
        assert "Draw lines." in said[0][0] and "Tag it." in said[1][0]
        assert said[2][1] and "there is no skill 'secret'; there are own, release, tables" in said[2][0]


def test_the_list_of_skills_is_bounded() -> None:
    many = [Skill(f"skill-{n:03}", Path("x"), "word " * 200) for n in range(500)]
    text = skill_list(many)
    assert len(text) <= LIST_CHARS
    assert max(len(line) for line in text.splitlines()) <= 115
    assert text.splitlines()[0].endswith("…")


def test_odd_skill_files_still_have_a_name(tmp_path: Path) -> None:
    assert read_skill(skill(tmp_path / "a", "", "no front matter")).description == ""
    assert read_skill(skill(tmp_path / "b", "a: b: c")).description == ""
    assert read_skill(skill(tmp_path / "c", "description: 3")).description == "3"
    binary = tmp_path / "d"
    binary.mkdir()
    (binary / "SKILL.md").write_bytes(os.urandom(5000))
    assert read_skill(binary / "SKILL.md").name == "d"
