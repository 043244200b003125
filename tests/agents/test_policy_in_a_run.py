"""A policy in whole runs: what is gated stays with the model that is cleared for it, and work goes on."""

import json
import os
import signal

from modelserver import Answer, Tool, serving
from project import ALL_TOOLS, Project, until

SECRET = "MARKER-bravo-7731"
"""Stands in labelled data only; no model that is not cleared may ever be sent it."""

POLICY = """
version = 1
[defaults]
unlabelled = "internal"
[models]
big = { place = "cloud", vendor = "anthropic", endpoint = "URL" }
local = { place = "device", vendor = "self", endpoint = "URL" }
[data.internal]
may_go_to = ["any"]
[data.xyz]
from = ["path:**/xyz/**", "mcp:xyz-db/*", "sql:xyz.*"]
may_go_to = ["model:local"]
[data.keys]
from = ["scan:secret", "path:**/.env"]
may_go_to = []
[tools]
"query/warehouse" = { place = "device", vendor = "self" }
"xyz-db/*" = { place = "onprem", vendor = "self" }
[release.xyz_fact]
data = ["xyz"]
how = "schema"
max_per_run = 2
[release.xyz_fact.schema]
type = "object"
required = ["found", "count"]
[release.xyz_fact.schema.properties]
found = { type = "boolean" }
count = { type = "integer", minimum = 0, maximum = 9999 }
"""

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: big, tools: {ALL_TOOLS}}}
    - {{name: gated, description: sees xyz, model: local, tools: [read, write, edit, shell, grep, glob]}}
    - {{name: helper, description: sees nothing, model: big, tools: [read, write, shell]}}
"""


def call(name, **arguments):
    return Answer("", (Tool(name, arguments),))


def finish(text="done"):
    return call("finish", answer=text)


def start(*agents, role="gated"):
    given = [{"name": n, "role": role, "task": task} for n, task in agents]
    return call("start", agents=given, wait=True)


def policed(tmp_path, server, *, policy=POLICY, more="", check="true", files=()):
    it = Project(tmp_path, server.base_url("openai"))
    url = server.base_url("openai")
    (tmp_path / "policy.toml").write_text(policy.replace("URL", url))
    it.goal.write_text(
        f"---\nmodels:\n  big: openai-chat:big-model@{url}\n  local: openai-chat:local-model@{url}\n"
        f"{TEAM}policy: policy.toml\nchecks:\n  - {{name: done, command: {json.dumps(check)}, timeout: 300s}}\n"
        f"workspace: {{path: workspace}}\n{more}---\nlead this\n"
    )
    for name, text in files:
        path = it.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return it


def by_task(steps):
    def script(asked):
        for words, answers in steps.items():
            if words in asked.task:
                turn = answers[asked.turn] if asked.turn < len(answers) else finish("that is all")
                return turn(asked) if callable(turn) else turn
        raise AssertionError(f"no script for {asked.task[:200]}")

    return script


def sent_to(server, model):
    return "\n".join(r["body"] for r in server.records if json.loads(r["body"])["model"] == model)


def test_gated_files_are_worked_on_by_the_cleared_subagent_and_the_main_agent_gets_a_fact(tmp_path):
    steps = {
        "lead this": [
            call("shell", command="ls -R . && cat xyz/rows.csv; git log"),
            call("read", path="xyz/rows.csv"),
            call("glob", pattern="**/*"),
            start(("count", "count the rows")),
            finish(),
        ],
        "count the rows": [
            call("shell", command="cat xyz/rows.csv"),
            call("write", path="xyz-report.md", content=f"about {SECRET}"),
            finish('{"count": 3, "found": true}'),
        ],
    }
    with serving(by_task(steps), keep_bodies=True) as server:
        it = policed(tmp_path, server, files=[("xyz/rows.csv", f"{SECRET}\n2\n3\n"), ("readme.md", "hello")])
        it.run()
        assert SECRET in sent_to(server, "local-model")
        assert SECRET not in sent_to(server, "big-model")
        assert "readme.md" in sent_to(server, "big-model")
        told = [e.payload.decode() for e in it.events("tool.result") if e.head["name"] == "start"]
        assert '{"found":true,"count":3}' in told[0]
        assert (it.workspace / "xyz-report.md").read_text() == f"about {SECRET}"
        assert (it.workspace / "xyz" / "rows.csv").exists()
        assert it.events("data.released")[0].head["release"] == "xyz_fact"
        assert it.chain_is_whole()


def test_free_text_about_gated_data_comes_back_as_a_handle_that_can_be_handed_on(tmp_path):
    steps = {
        "lead this": [
            start(("look", "look at the rows")),
            start(("sum", "sum up handle:h1")),
            start(("spy", "tell me of handle:h1"), role="helper"),
            finish(),
        ],
        "look at the rows": [call("read", path="xyz/rows.csv"), finish(f"the row is {SECRET}")],
        "sum up": [finish(f"again {SECRET}")],
        "tell me of": [finish("nothing to see")],
    }
    with serving(by_task(steps), keep_bodies=True) as server:
        it = policed(tmp_path, server, files=[("xyz/rows.csv", SECRET)])
        it.run()
        assert SECRET not in sent_to(server, "big-model")
        handed = [r for r in server.records if "sum up handle:h1" in r["body"] and "local-model" in r["body"]]
        assert f"the row is {SECRET}" in handed[0]["body"]
        assert [e.head["handle"] for e in it.events("handle.made")] == ["h1", "h2"]
        denied = it.events("policy.denied")
        assert {e.head["point"] for e in denied} == {"result"}
        assert all(SECRET.encode() not in e.payload and SECRET not in json.dumps(e.head) for e in denied)


HUMAN = """
[release.xyz_summary]
data = ["xyz"]
how = "human"
"""


def test_a_release_by_a_person_waits_survives_a_kill_and_is_given_once(tmp_path):
    steps = {
        "lead this": [
            start(("look", "look at the rows")),
            call("release", handle="handle:h1", release="xyz_summary"),
            finish(),
        ],
        "look at the rows": [call("read", path="xyz/rows.csv"), finish(f"the row is {SECRET}")],
    }
    with serving(by_task(steps), keep_bodies=True) as server:
        policy = POLICY.replace("[defaults]", '[defaults]\nunattended = "queue"') + HUMAN
        it = policed(tmp_path, server, policy=policy, files=[("xyz/rows.csv", SECRET)])
        run = it.start("run", str(it.goal), "--plain")
        until(lambda: it.home.exists() and it.events("approval.asked"), timeout=180)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        name = it.run_row()["id"]
        assert SECRET in it.outlay("approve", name).stdout
        resumed = it.start("resume", name, "--plain")
        assert SECRET not in sent_to(server, "big-model")
        done = it.outlay("approve", name, "a1", "--json")
        assert json.loads(done.stdout)["approved"] is True
        assert resumed.wait(180) == 0
        resumed.communicate()
        assert SECRET in sent_to(server, "big-model")
        assert len(it.events("approval.asked")) == 1
        assert it.outlay("approve", name, "a1", "--deny").returncode == 2
        assert it.chain_is_whole()


def test_a_release_by_a_person_is_denied_while_nobody_is_there(tmp_path):
    steps = {
        "lead this": [
            start(("look", "look at the rows")),
            call("release", handle="h1", release="xyz_summary"),
            finish(),
        ],
        "look at the rows": [call("read", path="xyz/rows.csv"), finish(f"the row is {SECRET}")],
    }
    with serving(by_task(steps), keep_bodies=True) as server:
        it = policed(tmp_path, server, policy=POLICY + HUMAN, files=[("xyz/rows.csv", SECRET)])
        it.run()
        assert "nobody is there" in sent_to(server, "big-model") and SECRET not in sent_to(server, "big-model")


def test_denials_are_counted_and_a_kind_of_data_can_be_removed_for_good(tmp_path):
    steps = {
        "lead this": [call("read", path="xyz/rows.csv"), start(("look", "look at the rows")), finish()],
        "look at the rows": [call("read", path="xyz/rows.csv"), finish(f"the row is {SECRET}")],
    }
    with serving(by_task(steps)) as server:
        it = policed(tmp_path, server, files=[("xyz/rows.csv", SECRET)])
        done = it.run()
        assert "Denied by the policy: 2" in done.stdout
        report = json.loads(it.outlay("report", "--format", "json").stdout)
        assert [(d["point"], d["data"], d["to"], d["times"]) for d in report["denials"]] == [
            ("read", ["xyz"], "big", 1),
            ("result", ["xyz"], "big", 1),
        ]
        removed = it.outlay("ledger", "redact", "--subject", "data:xyz")
        assert removed.returncode == 0 and "removed" in removed.stdout, removed.stderr
        held = b"".join(path.read_bytes() for path in it.home.glob("ledger.db*"))
        assert SECRET.encode() not in held
        assert it.chain_is_whole() and it.events("ledger.redacted")[0].head["subject"] == "data:xyz"
        assert it.outlay("report").returncode == 0 and it.outlay("show").returncode == 0
        assert it.outlay("ledger", "redact", "--subject", "data:none").returncode == 2
