"""Pausing, cancelling, being killed, going on: finished calls are not paid again, changes not lost or applied twice."""

import os
import random
import re
import signal
import time
from collections import Counter, defaultdict

import pytest

from modelserver import Answer, FaultPlan, Tool, Worker, serving
from outlay.ledger import Ledger
from project import Project, prefix_holds, until

TEAM = """team:
  shape: lead
  main: main
  roles:
    - {name: main, model: main, tools: [read, write, edit, shell, agents]}
    - {name: worker, description: works, model: main, tools: [write, shell]}
"""


def test_ctrl_c_pauses_at_a_safe_point_and_resume_goes_on_from_there(tmp_path):
    with serving(Worker("Done."), keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(task='[[turns=15 tool=shell command="echo {turn} >> done.txt; sleep 0.2"]]')
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: len(server.records) > 4)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 5, out + err
        assert it.run_row()["status"] == "paused" and "outlay resume" in out
        before = len(server.records)
        done = it.outlay("resume", it.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (it.workspace / "done.txt").read_text().split() == [str(n) for n in range(15)]
        assert 0 < before < len(server.records) == 16
        assert prefix_holds(server.records)
        assert not [call for call in it.calls() if call.status != "ok"]


def test_ctrl_c_twice_cancels(tmp_path):
    with serving(lambda call: Answer("", (Tool("shell", {"command": "sleep 30"}),))) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: (it.home / "ledger.db").exists() and it.events("tool.intent"))
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 4, out + err
        assert it.run_row()["outcome"] == "cancelled"
        assert it.sessions()["main"]["status"] == "cancelled"
        assert not (it.workspace / "done.txt").exists()


def test_a_run_can_be_cancelled_while_its_checks_run(tmp_path):
    with serving(Worker("Done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(check="sleep 25")
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: (it.home / "ledger.db").exists() and it.events("check.started"))
        assert it.outlay("cancel", it.run_row()["id"]).returncode == 0
        process.communicate(timeout=300)
        assert process.returncode == 4
        assert it.sessions()["main"]["status"] == "cancelled"


def test_cancel_from_another_process_reaches_a_detached_run(tmp_path):
    with serving(lambda call: Answer("", (Tool("shell", {"command": "sleep 30"}),))) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        done = it.outlay("run", str(it.goal), "--detach")
        assert done.returncode == 0, done.stderr
        run = done.stdout.split()[0]
        until(lambda: it.events("tool.intent"))
        assert run in it.outlay("runs").stdout
        assert "main" in it.outlay("show", run).stdout
        assert it.outlay("cancel", run).returncode == 0
        assert it.run_row()["outcome"] == "cancelled"
        again = it.outlay("cancel", run)
        assert again.returncode == 2 and "has ended" in again.stderr


def test_a_finished_run_goes_on_with_new_instructions(tmp_path):
    with serving(Worker("Done."), keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(task="[[turns=1 tool=write path=done.txt content=first]]")
        it.run()
        refused = it.outlay("resume")
        assert refused.returncode == 2
        refused = it.outlay("resume", it.run_row()["id"])
        assert refused.returncode == 2 and "succeeded" in refused.stderr
        done = it.outlay("resume", it.run_row()["id"], "[[turns=1 tool=write path=more.txt content=second]]", "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (it.workspace / "more.txt").read_text() == "second"
        assert prefix_holds(server.records)


def test_two_processes_cannot_work_on_one_run(tmp_path):
    with serving(lambda call: Answer("", (Tool("shell", {"command": "sleep 5"}),))) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: (it.home / "ledger.db").exists() and it.events("tool.intent"))
        second = it.outlay("resume", it.run_row()["id"], "--plain")
        assert second.returncode == 2 and "another process" in second.stderr
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_and_resume(tmp_path, kills: int, seed: int, agents: int = 4, turns: int = 6, faults: int = 0) -> None:
    """A run with parallel subagents whose commands append to files, killed again and again at random moments.

    faults: one call in so many goes wrong.
    """
    names: dict[str, str] = {}
    worker = Worker("Done.")

    def script(call):
        # The outermost plan of the main task holds the subagents' plans; their own tasks begin with their name.
        names.setdefault(call.conversation, re.match(r"\w+", call.task)[0])
        return worker(call)

    plan = '[[turns={turns} tool=shell command="echo {{turn}} >> {name}.txt"]]'
    tasks = {f"w{n}": f"w{n} " + plan.format(turns=turns, name=f"w{n}") for n in range(agents)}
    started = [{"name": name, "role": "worker", "task": task} for name, task in tasks.items()]

    def lead(call):
        if not call.task.startswith("lead"):
            return script(call)
        names.setdefault(call.conversation, "main")
        steps = [
            Answer("", (Tool("shell", {"command": "echo begin >> main.txt"}),)),
            Answer("", (Tool("start", {"agents": started}),)),
            Answer("", (Tool("shell", {"command": "echo working >> main.txt"}),)),
            Answer("", (Tool("wait", {"names": list(tasks)}),)),
            Answer("", (Tool("shell", {"command": "echo end >> main.txt; touch done.txt"}),)),
        ]
        return steps[call.turn] if call.turn < len(steps) else Answer("All done.")

    def faulty(call):
        said = lead(call)
        kinds = ("rate_limit", "server", "cut", "reset", "overloaded")
        if not faults or call.n % faults:
            return said
        return FaultPlan(kinds[call.n // faults % len(kinds)], answer=said, retry_after="0.1")

    rng = random.Random(seed)
    with serving(faulty, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, task="lead this")
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: (it.home / "ledger.db").exists() and it.events("run.started"))
        done = 0
        while done < kills:
            time.sleep(rng.random() * 1.2)
            if process.poll() is not None:
                break
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            done += 1
            process = it.start("resume", it.run_row()["id"], "--plain")
        out, err = process.communicate(timeout=300)
        ended_before_the_last_resume = process.returncode == 2 and "has succeeded" in err
        words = f"after {done} kills: exit {process.returncode}\n{out[-3000:]}\n{err[-3000:]}"
        assert process.returncode == 0 or ended_before_the_last_resume, words

        for name in tasks:
            assert (it.workspace / f"{name}.txt").read_text().split() == [str(n) for n in range(turns)], name
        assert (it.workspace / "main.txt").read_text().split() == ["begin", "working", "end"]
        assert it.chain_is_whole()
        account(it, server, names, done)


def account(it: Project, server, names: dict[str, str], kills: int) -> None:
    """Every call that the server took is in the ledger; what was answered and recorded was paid once."""
    rows = defaultdict(list)
    for call in it.calls():
        rows[call.agent.rpartition("/")[2]].append(call)
    records = defaultdict(list)
    for record in server.records:
        records[names[record["conversation"]]].append(record)
    for name, seen in records.items():
        lost = sum(call.status == "lost" for call in rows[name])
        answered = [call for call in rows[name] if call.status == "ok"]
        assert lost <= kills
        assert len(answered) <= len(seen) <= len(rows[name])
        repeats = Counter(record["turn"] for record in seen)
        again = lost + sum(call.status in ("failed", "cut") for call in rows[name])
        assert sum(count - 1 for count in repeats.values()) <= again, (name, repeats, again)
        assert sorted(repeats) == list(range(len(answered)))
        last = {record["turn"]: record for record in seen}
        for turn, call in enumerate(answered):
            assert call.usage.output == last[turn]["billed"]["output"]
            assert call.usage.input == sum(last[turn]["billed"][k] for k in ("fresh", "cache_read"))
    assert prefix_holds([r for r in server.records if "body" in r])


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "faults"), [(1, 0), (2, 0), (3, 9)])
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path, seed, faults):
    kill_and_resume(tmp_path, kills=6, seed=seed, faults=faults)


def test_a_ledger_that_was_edited_is_found_out(tmp_path):
    with serving(Worker("Done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(task="[[turns=1 tool=write path=done.txt content=x]]")
        it.run()
        assert it.outlay("ledger", "verify").returncode == 0
        with Ledger(it.home / "ledger.db") as ledger:
            ledger.write(lambda t: t.conn.execute("DROP TRIGGER events_fixed"))
            ledger.write(lambda t: t.conn.execute("UPDATE events SET head = '{}' WHERE seq = 3"))
        done = it.outlay("ledger", "verify")
        assert done.returncode == 1 and "event 3" in done.stdout + done.stderr
