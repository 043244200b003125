"""Agents in the background through the command line: what each command promises."""

import json

from agent_lab import lab

from modelserver import Answer, FaultPlan, Tool, Worker
from project import until

READ = "[[tool=read path=dates.py]]"


def test_an_agent_is_started_waited_for_and_read(tmp_path):
    with lab(tmp_path, Worker("It is in dates.py.")) as it:
        (it.folder / "dates.py").write_text("def parse(): ...\n")
        started = it.start("dates", f"{READ} where are dates parsed?", "--role", "scout")
        assert started["name"] == "dates" and started["status"] in ("queued", "running", "done")
        waited = it.agent("wait", "dates")
        assert waited["wait"] == "all" and not waited["timed_out"] and waited["pending"] == []
        (agent,) = waited["agents"]
        assert agent["status"] == "done" and agent["turns"] == 2 and agent["role"] == "scout"
        assert agent["cost_pico"] == sum(
            call.usage.fresh * 3_000_000 + call.usage.cache_read * 300_000 + call.usage.output * 15_000_000
            for call in it.calls()
        )
        assert agent["full_percent"] > 0 and agent["dialog_tokens"] > 0 and agent["pid"] is None
        result = it.agent("result", "dates")["result"]
        assert result["answer"] == "It is in dates.py." and result["ended"] and result["take_with"] is None
        table = it.run("agent", "status", "--table").stdout
        headings = table.splitlines()[1].split()
        assert " ".join(headings) == (
            "NAME STATUS MODEL PID STARTED COMPLETED RUNTIME RESUMED TURNS DIALOG_TOKENS FULL COST"
        )
        assert "DONE AGENTS" in table and "dates" in table


def test_a_result_that_is_not_there_yet_says_so(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.start("slow", "[[tool=glob pattern=* delay_s=600]] x", "--role", "scout")
        until(lambda: it.status("slow")["status"] == "running")
        told = it.agent("result", "slow", code=5)["result"]
        assert told["answer"] is None and told["ended"] is False and "running" in told["reason"]
        waited = it.agent("wait", "slow", "--timeout", "0.3", code=5)
        assert waited["wait"] == "timeout" and waited["timed_out"] and waited["pending"] == ["slow"]
        assert it.agent("cancel", "slow")["agents"][0]["status"] == "cancelled"
        told = it.agent("result", "slow", code=4)["result"]
        assert told["answer"] is None and told["ended"] and told["reason"] == "cancelled"
        assert it.refused("cancel", "slow") == "E_NOT_RUNNING"


def test_agents_work_in_parallel_and_wait_takes_any_or_all(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        for name, delay in (("quick", 0.1), ("slow", 600), ("slower", 600)):
            it.start(name, f"[[tool=glob pattern=* delay_s={delay}]] x", "--role", "scout")
        waited = it.agent("wait", "--any", "quick", "slow", "slower")
        assert waited["wait"] == "any" and waited["pending"] == ["slow", "slower"]
        until(lambda: [it.status(name)["status"] for name in ("slow", "slower")] == ["running", "running"])
        assert len(it.agent("cancel", "--all")["agents"]) == 2
        waited = it.agent("wait")
        assert (waited["wait"], waited["pending"], waited["agents"]) == ("all", [], []), "all have ended before"


def test_no_more_agents_work_at_once_than_configured(tmp_path):
    with lab(tmp_path, Worker("Done."), concurrent=2) as it:
        for number in range(4):
            it.start(f"a{number}", "[[tool=glob pattern=* delay_s=600]] x", "--role", "scout")
        until(lambda: [a["status"] for a in it.agent("status")["agents"]].count("running") == 2)
        assert [a["status"] for a in it.agent("status")["agents"]] == ["running"] * 2 + ["queued"] * 2
        it.agent("cancel", "a0")
        until(lambda: it.status("a2")["status"] == "running")
        it.agent("cancel", "a3")
        assert it.status("a3")["status"] == "cancelled" and it.status("a3")["turns"] == 0
        it.agent("cancel", "--all")


def test_an_agent_is_resumed_twice_and_knows_what_it_did(tmp_path):
    with lab(tmp_path, lambda call: Answer(f"I was told {sum(m.role == 'user' for m in call.messages)} things.")) as it:
        it.start("memory", "one", "--role", "scout")
        it.agent("wait", "memory")
        for times in (1, 2):
            assert it.agent("resume", "memory", "and another")["agent"]["resumed"] == times
            it.agent("wait", "memory")
            told = it.agent("result", "memory")["result"]
            assert told["answer"] == f"I was told {times + 1} things."
        assert it.status("memory")["turns"] == 3
        assert it.refused("send", "memory", "hello") == "E_NOT_RUNNING"


def test_a_question_ends_the_wait_and_is_answered_by_send(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.start("asker", '[[tool=ask question="red or blue?"]] choose', "--role", "scout")
        waited = it.agent("wait", "asker", code=5)
        assert waited["wait"] == "question"
        assert waited["agents"][0]["question"] == "red or blue?" and waited["agents"][0]["status"] == "waiting"
        it.agent("send", "asker", "blue")
        assert it.agent("wait", "asker")["agents"][0]["status"] == "done"
        found = it.agent("search", "asker", "^blue$")["matches"]
        assert [match["kind"] for match in found] == ["answer", "tool_result"]


def test_an_agent_parked_with_its_question_goes_on_when_it_is_answered(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.environment["OUTLAY_AGENT_IDLE_S"] = "1"
        it.start("asker", '[[tool=ask question="red or blue?"]] choose', "--role", "scout")
        it.agent("wait", "asker", code=5)
        until(lambda: it.processes() == {"keeper": [], "worker": []})  # idle: nobody works on it any more
        standing = it.status("asker")
        assert standing["status"] == "waiting" and standing["question"] == "red or blue?" and standing["pid"] is None
        it.agent("send", "asker", "blue")
        assert it.agent("wait", "asker")["agents"][0]["status"] == "done"
        assert len([call for call in it.calls() if call.status == "ok"]) == 2


def test_what_is_sent_to_an_agent_at_work_enters_before_its_next_turn(tmp_path):
    def script(call):
        if "stop now" in call.last or any("stop now" in text for m in call.messages for text in m.texts):
            return Answer("Stopped as told.")
        return Answer("", (Tool("glob", {"pattern": "*"}),), delay_s=0.2)

    with lab(tmp_path, script) as it:
        it.start("endless", "go", "--role", "scout")
        until(lambda: it.status("endless")["turns"] > 1)
        it.agent("send", "endless", "stop now")
        assert it.agent("wait", "endless")["agents"][0]["status"] == "done"
        assert it.agent("result", "endless")["result"]["answer"] == "Stopped as told."


def test_limits_and_timeouts_end_an_agent_by_their_names(tmp_path):
    with lab(tmp_path, lambda call: Answer("", (Tool("glob", {"pattern": "*"}),), delay_s=0.1)) as it:
        it.start("few", "go", "--role", "scout", "--limit", "turns=2")
        it.start("short", "go", "--role", "scout", "--timeout", "1s")
        it.start("poor", "go", "--role", "scout", "--limit", "usd=0.02")
        waited = it.agent("wait", "few", "short", "poor", code=3)
        states = {agent["name"]: agent["status"] for agent in waited["agents"]}
        assert states == {"few": "stopped", "short": "timed_out", "poor": "stopped"}
        few = it.status("few")
        assert few["turns"] == 2 and "turns" in few["reason"]
        assert it.status("poor")["known_cost_pico"] <= 0.02 * 10**12
        it.agent("resume", "few", "go on", "--limit", "turns=4")
        it.agent("wait", "few", code=3)
        assert it.status("few")["turns"] == 4


def test_a_model_that_fails_is_a_failure_and_no_silence(tmp_path):
    with lab(tmp_path, lambda call: FaultPlan("not_found", message="no such model")) as it:
        it.start("lost", "go", "--role", "scout")
        assert it.agent("wait", "lost", code=1)["agents"][0]["status"] == "failed"
        told = it.agent("result", "lost", code=1)["result"]
        assert told["answer"] is None and "no such model" in told["reason"]


def test_children_are_shown_below_their_parent_and_their_cost_is_its_own(tmp_path):
    def script(call):
        if "look here" in call.task:
            return Answer("Found it.")
        steps = [
            Answer("", (Tool("start", {"agents": [{"name": "eye", "role": "scout", "task": "look here"}]}),)),
            Answer("", (Tool("wait", {"names": ["eye"]}),)),
        ]
        return steps[call.turn] if call.turn < 2 else Answer("It found it.")

    with lab(tmp_path, script) as it:
        it.start("lead", "find it", "--role", "worker", "--subagents")
        (agent,) = it.agent("wait", "lead")["agents"]
        (child,) = agent["children"]
        assert child["name"] == "lead/eye" and child["status"] == "done" and child["role"] == "scout"
        assert agent["cost_pico"] == agent["own_cost_pico"] + child["cost_pico"]
        assert child["ended_ms"] >= child["started_ms"] and child["net_tokens"] > 0
        assert "- eye" in it.run("agent", "status", "--table").stdout
        assert it.agent("search", "look here", "--kind", "task")["matches"][0]["name"] == "lead/eye"


def test_a_writing_agent_works_in_a_clone_and_says_how_to_take_its_work(tmp_path):
    with lab(tmp_path, Worker("Written.")) as it:
        it.start("scribe", "[[tool=write path=notes.txt content=hello]] write")
        it.agent("wait", "scribe")
        result = it.agent("result", "scribe")["result"]
        assert result["changed_files"] == 1 and result["take_with"] == "outlay agent deliver scribe"
        assert not (it.folder / "notes.txt").exists()
        assert it.agent("deliver", "scribe")["files"] == 1
        assert (it.folder / "notes.txt").read_text() == "hello"
        assert it.agent("result", "scribe")["result"]["take_with"] is None
        it.start("again", "[[tool=write path=more.txt content=x]] write", "--deliver", "always")
        it.agent("wait", "again")
        assert (it.folder / "more.txt").read_text() == "x"
        (it.folder / "notes.txt").write_text("mine now")
        it.agent("resume", "scribe", "[[tool=write path=notes.txt content=theirs]] write")
        it.agent("wait", "scribe")
        assert it.refused("deliver", "scribe") == "E_DELIVERY"
        assert (it.folder / "notes.txt").read_text() == "mine now"


def test_ask_prints_the_answer_and_one_line_on_its_cost(tmp_path):
    with lab(tmp_path, Worker("It is in dates.py.")) as it:
        done = it.run("agent", "ask", "--role", "scout", "where are dates parsed?")
        assert done.returncode == 0 and done.stdout == "It is in dates.py.\n"
        assert done.stderr.startswith("[scout-1: done, 1 turns, ") and "$0." in done.stderr
        assert it.agent("ask", "--json", "again")["result"]["name"] == "scout-2"
        logs = it.run("agent", "logs", "scout-1").stdout
        assert "where are dates parsed?" in logs and "It is in dates.py." in logs
        told = [json.loads(line) for line in it.run("agent", "logs", "scout-1", "--json").stdout.splitlines()]
        assert [said["kind"] for said in told] == ["task", "model", "ended"]


def test_wrong_input_has_a_code_and_changes_nothing(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        (it.folder / "big.txt").write_bytes(b"x" * 300_000)
        cases = {
            "E_PROMPT_REQUIRED": ("start",),
            "E_NAME_INVALID": ("start", "--name", "a/b", "x"),
            "E_ROLE_NOT_FOUND": ("start", "--role", "nobody", "x"),
            "E_MODEL_INVALID": ("start", "--model", "gpt", "x"),
            "E_CWD_INVALID": ("start", "--folder", "nowhere", "x"),
            "E_FILE_INVALID": ("start", "--file", "big.txt", "x"),
            "E_LIMIT_INVALID": ("start", "--limit", "gold=1", "x"),
            "E_NAME_NOT_FOUND": ("result", "nobody"),
            "E_NAME_REQUIRED": ("result",),
            "E_PATTERN_INVALID": ("search", "("),
            "E_PATTERN_REQUIRED": ("search",),
            "E_WAIT_NAME_REQUIRED": ("wait",),
            "E_CMD_UNKNOWN": ("begin",),
            "E_ARG_UNKNOWN": ("start", "--modle", "x"),
        }
        for code, arguments in cases.items():
            assert it.refused(*arguments) == code, arguments
        said = {
            ("start", "--timeout", "5x", "x"): "timeout '5x' is no time such as 90, 60s, 5m or 2h",
            ("start", "--limit", "usd=5x", "x"): "--limit usd: usd wants an amount in USD such as 2 or 0.50, has '5x'",
            ("start", "--model", "gpt", "x"): "model 'gpt': no provider in 'gpt'; did you mean 'openai:gpt'?",
        }
        for wrong, error in said.items():
            assert it.agent(*wrong, code=2)["error"] == error
        assert it.agent("status")["agents"] == []
        it.environment["OUTLAY_MODEL"] = ""
        (tmp_path / "config" / "outlay" / "agents.toml").write_text("")
        assert it.refused("start", "x") == "E_MODEL_REQUIRED"
        (tmp_path / "config" / "outlay" / "agents.toml").write_text("modle = 1")
        assert it.refused("start", "x") == "E_CONFIG_INVALID"
        assert it.processes() == {"keeper": [], "worker": []}


def test_a_name_is_free_again_only_when_it_is_asked_for(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.start("one", "x", "--role", "scout")
        it.agent("wait", "one")
        assert it.refused("start", "--name", "one", "x") == "E_NAME_EXISTS"
        it.start("one", "[[tool=glob pattern=* delay_s=600]] y", "--role", "scout", "--replace")
        assert it.refused("start", "--name", "one", "--replace", "x") == "E_NAME_EXISTS"
        assert it.refused("resume", "one", "x") == "E_NOT_ENDED"
        for verb in ("cancel", "resume"):
            refused = it.run(verb, it.status("one")["run"])
            assert refused.returncode == 2 and f"outlay agent {verb} one" in refused.stderr
        it.agent("cancel", "one")


def test_old_flags_and_standard_input_are_understood(tmp_path):
    with lab(tmp_path, lambda call: Answer(call.last[:40])) as it:
        it.agent("start", "--name", "old", "--prompt", "by flag", "--cwd", str(it.folder), "--agent", "scout")
        it.agent("wait", "--name", "old")
        it.agent("resume", "--name", "old", "--prompt", "more of it")
        it.agent("wait", "old")
        assert it.agent("result", "--name", "old")["result"]["answer"] == "more of it"
        assert it.agent("search", "--name", "old", "--pattern", "by flag")["matches"]
        told = [it.agent("search", "by flag", "--role", role)["matches"] for role in ("any", "user", "assistant")]
        assert [[found["kind"] for found in matches] for matches in told] == [["task", "model"], ["task"], ["model"]]
        assert it.agent("status", "--name", "old", "--wait-terminal")["agents"][0]["status"] == "done"
        assert it.agent("result", "--name", "old", "--json")["result"]["ended"]
        assert (
            it.agent("resume", "--name", "old", "--prompt", "again", "--cwd", str(it.folder))["agent"]["resumed"] == 2
        )
        assert it.refused("cancel", "--name", "nobody", "--signal", "KILL") == "E_NAME_NOT_FOUND"
        it.agent("wait", "old")
        it.agent("start", "--name", "piped", "--role", "scout", "-", stdin="from a pipe")
        it.agent("wait", "piped")
        assert it.agent("result", "piped")["result"]["answer"] == "from a pipe"
