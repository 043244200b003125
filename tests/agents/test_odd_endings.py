"""Sessions that end oddly: paused together, cancelled in the middle of a turn, with a ledger that cannot be written."""

import os
import signal
import sqlite3
import time
from pathlib import Path

from modelserver import Answer, Call, Tool, serving
from outlay.agents.history import rebuild
from project import ALL_TOOLS, Project, until

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, write, shell, agents]}}
"""


def tool(tool_name: str, /, **arguments: object) -> Answer:
    return Answer("", (Tool(tool_name, arguments),))


def start(*tasks: tuple[str, str], wait: bool = False) -> Answer:
    agents = [{"name": name, "role": "worker", "task": task} for name, task in tasks]
    return tool("start", agents=agents, wait=wait)


def whole(it: Project) -> None:
    """Every conversation in the ledger can be rebuilt, every intent has an end, nothing is left at work."""
    with it.ledger() as ledger:
        for name, row in it.sessions().items():
            events = list(ledger.events(row["id"]))
            history = rebuild(events)
            assert history.open_intent is None, name
            asked = [e.head["call_id"] for e in events if e.type == "tool.intent"]
            answered = [e.head["call_id"] for e in events if e.type == "tool.result"]
            assert len(answered) == len(set(answered)) and set(answered) <= set(asked), name
            if row["status"] not in ("running", "queued", "waiting"):
                assert sorted(asked) == sorted(answered), name
                assert sum(e.type == "session.ended" for e in events) >= 1, name
        calls = {c.key for c in ledger.calls()}
        intents = list(ledger.events(types=["call.intent"]))
        assert len(calls) == len(intents)
    assert it.chain_is_whole()


def test_a_pause_reaches_a_subagent_while_the_main_agent_is_being_answered(tmp_path: Path) -> None:
    """The subagent pauses first; the main agent, whose next step is to wait for it, must not take it as ended."""
    let_go = {"main": False}

    async def script(call: Call) -> Answer:
        import asyncio

        if "work" in call.task:
            return tool("shell", command="sleep 0.2; echo x >> w.txt") if call.turn < 6 else Answer("worked")
        if call.turn == 1:
            while not let_go["main"]:
                await asyncio.sleep(0.02)
            return tool("wait", names=["w"])
        return [start(("w", "work")), Answer(), tool("shell", command="cp w.txt done.txt"), Answer("Done.")][
            min(call.turn, 3)
        ]

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, task="lead", check="test $(wc -l < done.txt) = 6")
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: any(r for r in server.records if r["turn"] >= 2))
        os.kill(process.pid, signal.SIGINT)
        until(lambda: it.events("tool.result", stream=f"{it.run_row()['id']}:main/w"))
        time.sleep(1)
        let_go["main"] = True
        out, err = process.communicate(timeout=180)
        assert process.returncode == 5, out + err
        assert it.sessions()["main/w"]["status"] == "running"
        done = it.outlay("resume", it.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        (waited,) = [e for e in it.events("tool.result") if e.head["name"] == "wait"]
        assert b"w: done" in waited.payload
        whole(it)


def test_a_cancelled_subagent_can_be_sent_on_and_its_conversation_stays_whole(tmp_path: Path) -> None:
    lead = [
        start(("w", "work")),
        tool("shell", command="sleep 0.7"),
        tool("cancel", name="w"),
        tool("send", name="w", message="now finish"),
        tool("wait", names=["w"]),
        Answer("Done."),
    ]

    def script(call: Call) -> Answer:
        if "work" not in call.task:
            return lead[min(call.turn, 5)]
        return Answer("finished after all") if "now finish" in call.last else tool("shell", command="sleep 60")

    with serving(script, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, task="lead", check="true")
        it.run()
        assert it.sessions()["main/w"]["status"] == "done"
        (waited,) = [e for e in it.events("tool.result") if e.head["name"] == "wait"]
        assert b"finished after all" in waited.payload
        assert any("now finish" in r["body"] and "the session was ended here" in r["body"] for r in server.records)
        whole(it)


def test_a_failed_main_agent_leaves_no_subagent_at_work(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if "work" in call.task:
            if "deeper" not in call.task and call.turn == 0:
                return start(("deep", "work deeper"))
            return tool("shell", command="sleep 60")
        return start(("a", "work"), ("b", "work")) if call.turn == 0 else Answer("I refuse.", stop="refusal")

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, task="lead", more="limits: {depth: 2}\n")
        it.run(code=1)
        states = {name: row["status"] for name, row in it.sessions().items()}
        assert states.pop("main") == "failed" and set(states.values()) == {"cancelled"}
        whole(it)


def test_a_run_that_is_cancelled_leaves_whole_conversations_at_any_moment(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if "work" in call.task:
            return tool("shell", command="sleep 0.05; date > d.txt")
        return start(*((f"w{n}", "work") for n in range(4)), wait=True)

    with serving(script) as server:
        for moment in range(4):
            it = Project(tmp_path / str(moment), server.base_url("openai"))
            it.write_goal(team=TEAM, task="lead")
            process = it.start("run", str(it.goal), "--plain")
            before = len(server.records)
            until(lambda before=before, moment=moment: len(server.records) > before + 7 + 3 * moment)
            assert it.outlay("cancel", it.run_row()["id"]).returncode == 0
            assert process.wait(timeout=300) == 4
            process.communicate()
            assert {row["status"] for row in it.sessions().values()} == {"cancelled"}
            whole(it)


def test_a_ledger_that_cannot_be_written_for_a_subagent_stops_the_run_which_can_be_resumed(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if "work" in call.task:
            return tool("shell", command="sleep 0.2; echo x >> w.txt") if call.turn < 8 else Answer("worked")
        return [start(("w", "work"), wait=True), tool("shell", command="cp w.txt done.txt"), Answer("Done.")][
            min(call.turn, 2)
        ]

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, task="lead", check="test $(wc -l < done.txt) = 8")
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: any(r["turn"] >= 2 for r in server.records))
        with sqlite3.connect(it.home / "ledger.db") as ledger:
            ledger.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON events WHEN NEW.stream LIKE '%/w' "
                "BEGIN SELECT RAISE(FAIL, 'disk I/O error'); END"
            )
        out, err = process.communicate(timeout=180)
        assert process.returncode == 2 and "Traceback" not in err, out + err
        assert "disk I/O error" in err and "outlay resume" in err and err.count("\n") == 1, err
        with sqlite3.connect(it.home / "ledger.db") as ledger:
            ledger.execute("DROP TRIGGER broken")
        done = it.outlay("resume", it.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        assert it.chain_is_whole()
