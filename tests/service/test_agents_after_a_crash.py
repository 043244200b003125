"""kill -9 of worker, keeper or both at the worst moments: nothing is lost, nothing is paid twice, nothing hangs."""

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from agent_lab import AgentLab, lab

from modelserver import Answer, Tool, Worker
from project import until

WORKER, BOTH = ("worker",), ("keeper", "worker")


def steps(turns: int, delay_s: float = 0.6):
    """A model that appends a line in each turn."""

    def script(call):
        if call.turn >= turns:
            return Answer("All lines are there.")
        return Answer("", (Tool("shell", {"command": f"echo {call.turn} >> lines.txt"}),), delay_s=delay_s)

    return script


def turns_of(it: AgentLab, name: str) -> int:
    return int(it.status(name)["turns"])


@pytest.mark.parametrize("whom", [WORKER, BOTH], ids=["worker", "keeper and worker"])
def test_an_agent_goes_on_after_a_kill_as_if_nothing_had_been(tmp_path, whom):
    with lab(tmp_path, steps(5)) as it:
        it.start("lines", "write")
        for before in (1, 3):
            until(lambda before=before: turns_of(it, "lines") >= before)
            it.kill(*whom)
        waited = it.agent("wait", "lines", "--timeout", "300")
        assert waited["agents"][0]["status"] == "done", waited
        it.agent("deliver", "lines")
        assert (it.folder / "lines.txt").read_text().split() == ["0", "1", "2", "3", "4"]
        answered = [call for call in it.calls() if call.status == "ok"]
        assert len(answered) == 6 and len([c for c in it.calls() if c.status == "lost"]) <= 2
        assert it.is_whole()


def test_agents_in_parallel_and_in_the_queue_outlive_their_worker(tmp_path):
    with lab(tmp_path, Worker("Done."), concurrent=2) as it:
        for number in range(4):
            it.start(f"a{number}", "[[turns=2 tool=glob pattern=* delay_s=1]] x", "--role", "scout")
        until(lambda: any(agent["turns"] for agent in it.agent("status")["agents"]))
        it.kill(*WORKER)
        waited = it.agent("wait", "a0", "a1", "a2", "a3", "--timeout", "300")
        assert waited["wait"] == "all" and {agent["status"] for agent in waited["agents"]} == {"done"}
        assert all(agent["turns"] == 3 for agent in waited["agents"])


def halt_between_writes(pid: int, ledger: Path) -> None:
    """Stop a process at a moment when it does not hold the ledger's lock."""
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None, timeout=1)) as conn:
        while True:
            os.kill(pid, signal.SIGSTOP)
            try:
                conn.execute("BEGIN IMMEDIATE")
                conn.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)


def test_what_was_sent_or_resumed_or_cancelled_before_a_kill_holds_after_it(tmp_path):
    def script(call):
        if "enough" in call.last:
            return Answer("Told to end.")
        return Answer("", (Tool("glob", {"pattern": "*"}),), delay_s=0.2)

    with lab(tmp_path, script) as it:
        it.start("told", "go", "--role", "scout")
        it.start("ended", "go", "--role", "scout")
        until(lambda: turns_of(it, "told") and turns_of(it, "ended"))
        worker = it.processes()["worker"][0]
        halt_between_writes(worker, it.home / "ledger.db")
        it.agent("send", "told", "enough")
        with it.ledger() as ledger:
            ledger.write(lambda t: t.conn.execute("UPDATE runs SET wanted = 'cancel' WHERE name = 'ended'"))
        os.kill(worker, signal.SIGKILL)
        waited = it.agent("wait", "told", "ended", "--timeout", "300", code=4)
        assert {agent["name"]: agent["status"] for agent in waited["agents"]} == {"told": "done", "ended": "cancelled"}
        it.agent("resume", "told", "and once more: enough")
        it.kill(*BOTH)
        assert it.agent("wait", "told", "--timeout", "300")["agents"][0]["resumed"] == 1
        assert len(it.agent("search", "told", "enough", "--kind", "instructions")["matches"]) == 2


def test_a_question_and_children_outlive_a_kill(tmp_path):
    def script(call):
        if "look here" in call.task:
            return Answer("Found it.", delay_s=1)
        calls = (
            Tool("start", {"agents": [{"name": "eye", "role": "scout", "task": "look here"}]}),
            Tool("wait", {"names": ["eye"]}),
            Tool("ask", {"question": "is that enough?"}),
        )
        return Answer("", (calls[call.turn],)) if call.turn < len(calls) else Answer("Good.")

    with lab(tmp_path, script) as it:
        it.start("lead", "find it", "--role", "worker", "--subagents")
        until(lambda: it.status("lead")["children"])
        it.kill(*WORKER)
        assert it.agent("wait", "lead", "--timeout", "300", code=5)["wait"] == "question"
        it.kill(*BOTH)
        until(lambda: it.status("lead")["question"] == "is that enough?")
        it.agent("send", "lead", "yes")
        (agent,) = it.agent("wait", "lead", "--timeout", "300")["agents"]
        assert agent["status"] == "done" and agent["children"][0]["status"] == "done"
        found = it.agent("search", "lead", "^yes$", "--kind", "tool_result")["matches"]
        assert len(found) == 1


def test_status_tells_the_truth_while_nobody_works(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.environment["OUTLAY_AGENT_IDLE_S"] = "1"
        it.start("slow", "[[tool=glob pattern=* delay_s=600]] x", "--role", "scout")
        until(lambda: it.status("slow")["status"] == "running")
        (worker,) = it.processes()["worker"]
        it.kill(*BOTH)
        standing = it.status("slow")
        assert standing["status"] in ("queued", "running") and standing["pid"] != worker
        assert it.agent("cancel", "slow")["agents"][0]["status"] == "cancelled"
        until(lambda: it.processes() == {"keeper": [], "worker": []})  # idle: both have ended by themselves


def test_keeper_and_worker_start_each_other_again(tmp_path):
    with lab(tmp_path, Worker("Done.")) as it:
        it.start("slow", "[[tool=glob pattern=* delay_s=600]] x", "--role", "scout")
        until(lambda: it.status("slow")["status"] == "running")
        (keeper,) = until(lambda: it.processes()["keeper"])
        (worker,) = it.processes()["worker"]
        it.kill("keeper")
        until(lambda: [pid for pid in it.processes()["keeper"] if pid != keeper])
        assert it.processes()["worker"] == [worker]
        it.kill("worker")
        until(lambda: [pid for pid in it.processes()["worker"] if pid != worker])
        until(lambda: it.status("slow")["status"] == "running")
        it.agent("cancel", "slow")
