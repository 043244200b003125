"""A goal to its end: the command line, real sandbox, real git, real ledger, a scripted model server."""

import json

import pytest

from modelserver import Answer, Call, FaultPlan, Tool, Worker, serving
from project import ALL_TOOLS, Project, prefix_holds

WIRES = ["openai-chat", "anthropic", "openai-responses", "google"]


def project(tmp_path, server, wire="openai-chat"):
    return Project(tmp_path, server.base_url("openai" if wire.startswith("openai") else wire), codec=wire)


def scripted(steps):
    """A script by task: {words of the task: [answer, answer, ...]}; a step past the end finishes."""

    def script(call: Call) -> Answer | FaultPlan:
        for words, answers in steps.items():
            if words in call.task:
                return answers[call.turn] if call.turn < len(answers) else finish("that is all")
        raise AssertionError(f"no script for {call.task[:80]}")

    return script


def finish(text="done"):
    return Answer("", (Tool("finish", {"answer": text}),))


def write(path, content):
    return Answer("", (Tool("write", {"path": path, "content": content}),))


def shell(command, **more):
    return Answer("", (Tool("shell", {"command": command, **more}),))


def start(*agents, wait=True):
    given = [{"name": n, "role": "worker", "task": task} for n, task in agents]
    return Answer("", (Tool("start", {"agents": given, "wait": wait}),))


LEAD = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, write, edit, shell, grep, glob]}}
    - {{name: reader, description: reads, model: main, tools: [read, grep, glob]}}
"""


@pytest.mark.parametrize("wire", WIRES)
def test_a_goal_is_reached_delivered_and_accounted_for(tmp_path, wire):
    steps = {"go": [write("done.txt", "yes"), shell("cat done.txt && ls"), finish("it is done")]}
    with serving(scripted(steps)) as server:
        it = project(tmp_path, server, wire)
        it.write_goal()
        done = it.run()
        assert (it.workspace / "done.txt").read_text() == "yes"
        assert it.run_row()["outcome"] == "succeeded"
        calls = it.calls()
        assert len(calls) == len(server.records) == 3
        for name in ("fresh", "cache_read", "output"):
            assert sum(getattr(c.usage, name) for c in calls) == sum(r["usage"][name] for r in server.records)
        assert "succeeded" in done.stdout
        assert it.chain_is_whole()


def test_subagents_work_side_by_side_and_their_changes_are_merged(tmp_path):
    steps = {
        "lead this": [
            write("base.txt", "base"),
            start(("a", "write a"), ("b", "write b"), ("c", "write c")),
            shell("cat base.txt a.txt b.txt c.txt && git log --oneline | head -1"),
            finish(),
        ],
        "write a": [write("a.txt", "A"), shell("cat base.txt")],
        "write b": [shell("printf B > b.txt"), finish("b written")],
        "write c": [write("c.txt", "C"), finish("c written")],
    }
    with serving(scripted(steps), keep_bodies=True) as server:
        it = project(tmp_path, server)
        it.write_goal(check="cat a.txt b.txt c.txt | grep -q ABC", team=LEAD, task="lead this")
        it.run()
        assert (it.workspace / "b.txt").read_text() == "B"
        assert {name: row["status"] for name, row in it.sessions().items()} == dict.fromkeys(
            ["main", "main/a", "main/b", "main/c"], "done"
        )
        assert len(it.events("merge")) == 3
        (result,) = [e for e in it.events("tool.result") if e.head["name"] == "start"]
        assert b"b written" in result.payload and b"changed and merged: b.txt" in result.payload
        assert prefix_holds(server.records)
        assert len(it.calls()) == len(server.records)


def test_a_conflict_is_data_for_the_main_agent_and_loses_nothing(tmp_path):
    steps = {
        "lead this": [
            write("f.txt", "one\n"),
            start(("a", "be a"), ("b", "be b")),
            shell("cat f.txt"),
            write("f.txt", "both\n"),
            finish(),
        ],
        "be a": [write("f.txt", "from a\n"), finish()],
        "be b": [write("f.txt", "from b\n"), finish()],
    }
    with serving(scripted(steps)) as server:
        it = project(tmp_path, server)
        it.write_goal(check="grep -q both f.txt", team=LEAD, task="lead this")
        it.run()
        results = [e.payload.decode() for e in it.events("tool.result")]
        assert any("CONFLICTS in f.txt" in text for text in results)
        shown = next(text for text in results if "<<<<<<<" in text)
        assert "from a" in shown and "from b" in shown


def test_failed_checks_go_back_until_they_pass(tmp_path):
    steps = {"go": [finish("surely"), write("done.txt", "x"), Answer("Now it is done.")]}
    with serving(scripted(steps)) as server:
        it = project(tmp_path, server)
        it.write_goal()
        it.run()
        assert [e.head["passed"] for e in it.events("check.finished")] == [False, True]
        first = it.events("tool.result")[0].payload.decode()
        assert "1 of 1 checks failed" in first and "test -f done.txt" in first


def test_what_a_check_changes_is_not_part_of_the_result(tmp_path):
    with serving(scripted({"go": [write("done.txt", "x"), finish()]})) as server:
        it = project(tmp_path, server)
        it.write_goal(check="touch left-behind && rm done.txt")
        it.run()
        assert sorted(p.name for p in it.workspace.iterdir()) == ["done.txt"]


def test_a_number_printed_is_held_against_its_threshold(tmp_path):
    with serving(
        scripted({"go": [write("n.txt", "score 3"), finish(), write("n.txt", "score 7"), finish()]})
    ) as server:
        it = project(tmp_path, server)
        it.write_goal()
        rule = 'pass: {at_least: 5, pattern: "score (\\\\d+)"}'
        text = it.goal.read_text().replace('"test -f done.txt", timeout: 300s', f'"cat n.txt", {rule}')
        it.goal.write_text(text)
        it.run()
        assert [e.head["value"] for e in it.events("check.finished")] == [3, 7]


def test_protected_files_cannot_be_edited_by_tool_or_command(tmp_path):
    steps = {"go": [write("t.sh", "exit 0"), shell("echo exit 0 > t.sh; rm -f t.sh; mv t.sh u.sh"), finish(), finish()]}
    with serving(scripted(steps)) as server:
        it = project(tmp_path, server)
        (it.workspace / "t.sh").write_text("exit 1\n")
        it.write_goal(check="sh t.sh", more="limits: {turns: 4}\n")
        it.goal.write_text(it.goal.read_text().replace("{path: workspace}", "{path: workspace, protect: [t.sh]}"))
        it.run(code=3)
        assert (it.workspace / "t.sh").read_text() == "exit 1\n"
        assert "protected" in it.events("tool.result")[0].payload.decode()


def test_a_limit_stops_the_run_with_exit_code_3_and_names_itself(tmp_path):
    with serving(lambda call: shell(f"echo {call.turn}")) as server:
        it = project(tmp_path, server)
        it.write_goal(more="limits: {usd: 0.05}\n")
        done = it.run(code=3)
        row = it.run_row()
        assert row["outcome"] == "stopped" and "usd" in row["reason"]
        assert "usd" in done.stdout
        spent = sum(
            3_000_000 * c.usage.fresh + 15_000_000 * c.usage.output + 300_000 * c.usage.cache_read for c in it.calls()
        )
        assert spent <= 5 * 10**10
        assert not (it.workspace / "done.txt").exists()
        done = it.outlay("resume", row["id"], "--limit", "usd=0.08", "--plain")
        assert done.returncode == 3


def test_a_model_that_fails_for_good_fails_the_run(tmp_path):
    with serving(lambda call: FaultPlan("auth")) as server:
        it = project(tmp_path, server)
        it.write_goal()
        it.run(code=1)
        assert it.run_row()["outcome"] == "failed" and "model main" in it.run_row()["reason"]


def test_malformed_and_unknown_tool_calls_are_answered_as_errors(tmp_path):
    odd = (
        Tool("write", '{"path": "x'),
        Tool("fly", {}),
        Tool("read", {"file": "a"}),
        Tool("read", {"path": "../../x"}),
    )
    with serving(scripted({"go": [Answer("", odd), write("done.txt", ""), finish()]})) as server:
        it = project(tmp_path, server)
        it.write_goal()
        it.run()
        texts = [e.payload.decode() for e in it.events("tool.result") if e.head["is_error"]]
        assert len(texts) == 4
        assert "not valid JSON" in texts[0] and "no tool 'fly'" in texts[1] and "path" in texts[2]


def test_a_subagent_asks_and_is_answered_and_goes_on_later_with_new_instructions(tmp_path):
    def lead(call):
        return [
            start(("a", "ask me"), wait=False),
            Answer("", (Tool("wait", {}),)),
            Answer("", (Tool("send", {"name": "a", "message": "blue"}),)),
            Answer("", (Tool("wait", {"names": ["a"]}),)),
            Answer("", (Tool("look", {"name": "a"}),)),
            Answer("", (Tool("send", {"name": "a", "message": "write more"}), Tool("wait", {"names": ["a"]}))),
            shell("cat colour.txt more.txt > done.txt"),
            finish(),
        ][call.turn]

    def worker(call):
        return [
            Answer("", (Tool("ask", {"question": "Which colour?"}),)),
            write("colour.txt", call.results[0].content if call.results else "?"),
            finish("coloured"),
            write("more.txt", "more"),
            finish("more written"),
        ][call.turn]

    with serving(lambda call: worker(call) if "ask me" in call.task else lead(call), keep_bodies=True) as server:
        it = project(tmp_path, server)
        it.write_goal(team=LEAD, task="lead this")
        it.run()
        assert (it.workspace / "done.txt").read_text() == "bluemore"
        assert it.sessions()["main/a"]["resumed"] == 1
        results = [e.payload.decode() for e in it.events("tool.result", stream=f"{it.run_row()['id']}:main")]
        assert "a asks\nWhich colour?" in results[1]
        assert prefix_holds(server.records)


def test_a_subagents_failure_cancellation_and_time_out_are_answers(tmp_path):
    def script(call):
        if "lead" in call.task:
            return [
                start(("bad", "break"), ("slow", "sleep"), wait=False),
                Answer("", (Tool("wait", {"names": ["bad"]}),)),
                Answer("", (Tool("cancel", {"name": "slow"}),)),
                Answer("", (Tool("wait", {"names": ["slow"]}),)),
                start(("late", "sleep")),
                write("done.txt", ""),
                finish(),
            ][call.turn]
        return FaultPlan("bad_request") if "break" in call.task else shell("sleep 60")

    with serving(script) as server:
        it = project(tmp_path, server)
        it.write_goal(team=LEAD, task="lead this", more="limits: {session: {wall: 3s}}\n")
        it.goal.write_text(it.goal.read_text().replace("session: {wall: 3s}", "session: {wall: 4s}"))
        it.run()
        status = {name: row["status"] for name, row in it.sessions().items()}
        assert status == {"main": "done", "main/bad": "failed", "main/slow": "cancelled", "main/late": "timed_out"}


def test_a_long_answer_is_shortened_and_kept_in_a_file_that_can_be_read(tmp_path):
    long = "fact " * 3000
    steps = {
        "lead": [
            start(("a", "tell")),
            Answer("", (Tool("read", {"path": "/output/answer-a-1.md", "limit": 5}),)),
            shell("tail -c 5 /output/answer-a-1.md > done.txt"),
            finish(),
        ],
        "tell": [finish(long)],
    }
    with serving(scripted(steps)) as server:
        it = project(tmp_path, server)
        it.write_goal(team=LEAD, task="lead this")
        it.run()
        first = it.events("tool.result", stream=f"{it.run_row()['id']}:main")[0].payload.decode()
        assert len(first) < 6_300 and "/output/answer-a-1.md" in first
        assert (it.workspace / "done.txt").read_text() == "fact "


def test_long_output_of_a_command_is_shortened_and_kept(tmp_path):
    steps = {
        "go": [shell("seq 1 100000"), Answer("", (Tool("glob", {"pattern": "*"}),)), write("done.txt", ""), finish()]
    }
    with serving(scripted(steps)) as server:
        it = project(tmp_path, server)
        it.write_goal()
        it.run()
        text = it.events("tool.result")[0].payload.decode()
        assert len(text) < 9_000 and "\n2\n" in text and "100000" in text and "the whole is in /output/" in text


def test_the_fixed_prompt_is_small(tmp_path):
    steps = {"lead": [start(("a", "tell")), write("done.txt", ""), finish()], "tell": [finish()]}
    with serving(scripted(steps), keep_bodies=True) as server:
        it = project(tmp_path, server)
        it.write_goal(team=LEAD, task="lead this")
        it.run()
        bodies = [json.loads(r["body"]) for r in server.records if r["turn"] == 0]
        sizes = sorted(len(b["messages"][0]["content"]) + len(json.dumps(b["tools"])) for b in bodies)
        assert sizes[0] / 4 < 1_200 and sizes[1] / 4 < 2_000


def test_a_plan_in_the_task_is_worked_through(tmp_path):
    task = '[[turns=12 tool=shell command="echo {turn} >> done.txt"]]'
    with serving(Worker("Done.")) as server:
        it = project(tmp_path, server)
        it.write_goal(task=task)
        it.run()
        assert (it.workspace / "done.txt").read_text().split() == [str(n) for n in range(12)]


def test_a_small_window_is_used_to_its_end_and_never_exceeded(tmp_path):
    with serving(lambda call: shell("seq 1 300")) as server:
        it = project(tmp_path, server)
        it.write_goal()
        it.goal.write_text(it.goal.read_text().replace("    price:", "    window: 8k\n    price:"))
        done = it.run(code=3)
        assert "context" in done.stdout
        assert len(server.records) > 3
        for record in server.records:
            assert sum(record["usage"][name] for name in ("fresh", "cache_read", "output")) < 8_192
