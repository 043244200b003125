"""The real Claude Code under a policy: a workspace by clearance, one label for the session, checked at the gateway."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from driven_project import DrivenProject, until, with_project

from modelserver.script import Answer, Call, Tool
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]

SECRET = "MARKER-bravo-7731"
PLAIN_TOOLS = "[read, write, edit, glob, grep, shell]"
POLICY = """
version = 1
[defaults]
unlabelled = "internal"
[models]
big-model = { place = "cloud", vendor = "anthropic", endpoint = "URL" }
local-model = { place = "device", vendor = "self", endpoint = "URL" }
[data.internal]
may_go_to = ["any"]
[data.xyz]
from = ["path:**/xyz/**"]
may_go_to = ["model:local-model"]
[data.keys]
from = ["scan:secret", "path:**/.env"]
may_go_to = []
[tools]
"net/example.org" = { place = "cloud", vendor = "internet" }
[release.xyz_fact]
data = ["xyz"]
how = "schema"
max_per_run = 4
[release.xyz_fact.schema]
type = "object"
required = ["count"]
properties = { count = { type = "integer", minimum = 0, maximum = 99 } }
"""


def bash(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "do it"})


def gated(
    project: DrivenProject, roles: list[str], *, policy: str = POLICY, check: str = "true", more: str = ""
) -> None:
    url = project.server.base_url("anthropic")
    (project.folder / "policy.toml").write_text(policy.replace("URL", url))
    models = {"big": f"claude-code:big-model@{url}", "local": f"claude-code:local-model@{url}"}
    project.write(models, roles, check=check, more=f"policy: policy.toml\n{more}")
    for name, text in (("xyz/rows.csv", f"row {SECRET}\n"), (".env", "k=1\n"), ("readme.md", "hello\n")):
        path = project.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def sent_to(project: DrivenProject, model: str) -> str:
    return "\n".join(r["body"] for r in project.server.records if json.loads(r["body"])["model"] == model)


def test_it_sees_the_files_of_its_model_and_its_answer_reaches_the_lead_as_a_fact_or_a_handle(tmp_path: Path) -> None:
    """Claude Code leads; another one, on the cleared model, works on what is gated."""

    def said(call: Call) -> Answer:
        if "COUNT" in call.task:
            return (
                Answer("", tools=(bash("cat xyz/rows.csv; cat xyz/rows.csv > copy.txt"),)),
                Answer('{"count": 1}'),
            )[min(call.turn, 1)]
        if "TELL" in call.task:
            read = Tool("Read", {"file_path": "/workspace/xyz/rows.csv"})
            return Answer("", tools=(read,)) if call.turn == 0 else Answer(f"it says {SECRET}")
        return (
            Answer("", tools=(bash("ls -aR .; cat xyz/rows.csv; git log -p"),)),
            Answer("", tools=(start("count", "COUNT the rows"),)),
            Answer("", tools=(start("tell", "TELL me the row"),)),
            Answer("", tools=(bash("cat copy.txt; ls"),)),
            Answer("All done."),
        )[min(call.turn, 4)]

    def start(name: str, task: str) -> Tool:
        return Tool("mcp__outlay__start", {"agents": [{"name": name, "role": "gated", "task": task}], "wait": True})

    async def work(project: DrivenProject) -> None:
        main = f"{{name: main, model: big, tools: {PLAIN_TOOLS[:-1]}, agents]}}"
        gated(project, [main, f"{{name: gated, description: sees xyz, model: local, tools: {PLAIN_TOOLS}}}"])
        await project.run_here()
        assert SECRET in sent_to(project, "local-model")
        assert SECRET not in sent_to(project, "big-model")
        assert "readme.md" in sent_to(project, "big-model")
        told = [e.payload.decode() for e in project.events("tool.result") if e.head["name"] == "start"]
        assert '{"count":1}' in told[0] and "handle:h1" in told[1]
        held = {e.stream.rpartition(":")[2]: e.head["label"] for e in project.events("agent.holds")}
        assert held == {"main/count": ["internal", "xyz"], "main/tell": ["internal", "xyz"]}
        assert (project.workspace / "copy.txt").read_text() == f"row {SECRET}\n"
        assert project.calls_equal_the_servers() and project.chain_is_whole()

    with_project(tmp_path, ("claude",), said, work, keep_bodies=True)


def test_its_label_outlives_the_file_and_a_kill(tmp_path: Path) -> None:
    """It reads what is gated, removes it, is killed and goes on: what it writes then is gated all the same."""

    def said(call: Call) -> Answer:
        body = call.body.decode()
        if "READ" in call.task:
            if not killed and SECRET not in body:  # killed, it may not remember having read it
                return Answer("", tools=(bash("cat xyz/rows.csv; rm -r xyz"),))
            if killed and "report.txt" not in body:
                return Answer("", tools=(bash("echo known > report.txt"),))
            return Answer("It was removed.") if killed else Answer("slow " * 200, chunks=200, chunk_delay_s=2)
        if not killed:
            return Answer("", tools=(start,))
        if not waited:
            waited.append(True)
            known = any(event.head["name"] == "main/reader" for event in projects[0].events("session.started"))
            return Answer("", tools=(Tool("mcp__outlay__wait", {"names": ["reader"]}) if known else start,))
        if "cat report.txt" not in body:
            return Answer("", tools=(bash("ls -a; cat report.txt"),))
        return Answer("All done.")

    killed: list[bool] = []
    waited: list[bool] = []
    projects: list[DrivenProject] = []
    agents = [{"name": "reader", "role": "gated", "task": "READ the rows"}]
    start = Tool("mcp__outlay__start", {"agents": agents, "wait": True})

    async def work(project: DrivenProject) -> None:
        projects.append(project)
        main = f"{{name: main, model: big, tools: {PLAIN_TOOLS[:-1]}, agents]}}"
        gated(project, [main, f"{{name: gated, description: sees xyz, model: local, tools: {PLAIN_TOOLS}}}"])
        run = project.start("run", str(project.goal), "--plain")
        await until(lambda: SECRET in sent_to(project, "local-model"))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        killed.append(True)
        done = await project.outlay_here("resume", project.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in sent_to(project, "big-model")
        (listed,) = [
            e for e in project.events("tool.result") if e.stream.endswith(":main") and e.head["name"] == "Bash"
        ]
        assert b"readme.md" in listed.payload and b"known" not in listed.payload
        assert (project.workspace / "report.txt").read_text() == "known\n"  # the delivery is the user's, and whole
        assert project.chain_is_whole()

    with_project(tmp_path, ("claude",), said, work, keep_bodies=True)


def test_a_secret_in_its_conversation_is_refused_at_the_gateway(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        key = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]
        return Answer("", tools=(bash(f"echo {key[:10]}''{key[10:]}"),)) if call.turn == 0 else Answer("done")

    async def work(project: DrivenProject) -> None:
        gated(project, [f"{{name: main, model: big, tools: {PLAIN_TOOLS}}}"], check="false")
        done = await project.run_here(code=1)
        assert "keys" in done.stdout
        denied = project.events("policy.denied")[0].head
        assert (denied["point"], denied["forbidden"]) == ("model", ["keys"])
        assert len(project.server.records) == 1

    with_project(tmp_path, ("claude",), said, work, keep_bodies=True)


def test_its_network_is_what_may_get_all_that_it_may_be_told(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        command = "curl -sS -m 5 http://example.org 2>&1 | head -3; env | grep -i proxy; true"
        return Answer("", tools=(bash(command),)) if call.turn == 0 else Answer("done")

    async def work(project: DrivenProject) -> None:
        gated(project, [f"{{name: main, model: local, tools: {PLAIN_TOOLS}}}"])
        text = project.goal.read_text().replace("{path: workspace}", "{path: workspace, hosts: [example.org]}")
        project.goal.write_text(text)
        await project.run_here()
        (told,) = [e.payload.decode() for e in project.events("tool.result") if e.head["name"] == "Bash"]
        assert "http_proxy" not in told.lower()

    with_project(tmp_path, ("claude",), said, work, keep_bodies=True)
