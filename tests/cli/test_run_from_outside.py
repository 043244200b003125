"""Runs in the background, seen and steered from other processes, as JSON, from other folders."""

import json
from pathlib import Path

from modelserver import Answer, Call, Tool, Worker, serving
from project import Project, until


def shell(command: str) -> Answer:
    return Answer("", (Tool("shell", {"command": command}),))


def slow(call: Call) -> Answer:
    return shell("sleep 0.3; echo x >> done.txt") if call.turn < 8 else Answer("Done.")


def test_a_detached_run_is_followed_paused_and_resumed_from_elsewhere(tmp_path: Path) -> None:
    with serving(slow) as server:
        it = Project(tmp_path / "a project", server.base_url("openai"))
        it.write_goal(check="test $(wc -l < done.txt) = 8")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        it.folder = elsewhere
        began = json.loads(it.outlay("run", str(it.goal), "--detach", "--json", "--name", "Ünï côdé").stdout)
        assert set(began) == {"run", "pid", "log"}
        run = began["run"]
        follower = it.start("show", run, "--follow", "--plain")
        until(lambda: len(server.records) >= 2)
        assert it.outlay("cancel", run[:12], "--pause").stdout.split() == [run, "paused"]
        out, err = follower.communicate(timeout=300)
        assert follower.returncode == 0 and "paused" in out and "Traceback" not in err, out + err
        again = it.outlay("cancel", run, "--pause")
        assert again.returncode == 2 and "is paused" in again.stderr
        resumed = json.loads(it.outlay("resume", "Ünï côdé", "--detach", "--json").stdout)
        assert resumed["run"] == run and resumed["pid"] != began["pid"]
        watch = it.outlay("show", run, "--follow", "--plain")
        assert "succeeded" in watch.stdout
        assert (it.workspace / "done.txt").read_text().count("x") == 8
        turns = [record["turn"] for record in server.records]
        assert sorted(turns) == list(range(9))
        refused = it.outlay("resume", run, "--detach")
        assert refused.returncode == 2 and "has succeeded" in refused.stderr and refused.stdout == ""


def test_json_is_all_that_stdout_holds(tmp_path: Path) -> None:
    with serving(Worker("Done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(task="[[turns=1 tool=write path=done.txt content=first]]")
        ran = it.outlay("run", str(it.goal), "--json")
        told = json.loads(ran.stdout)
        assert (told["outcome"], told["exit_code"], ran.returncode, ran.stderr) == ("succeeded", 0, 0, "")
        assert told["report"]
        run = told["run"]
        more = it.outlay("resume", run, "[[turns=1 tool=write path=more.txt content=x]]", "--json")
        assert json.loads(more.stdout)["outcome"] == "succeeded" and more.stderr == ""
        assert [line["id"] if "id" in line else line["run"] for line in json.loads(it.outlay("runs", "--json").stdout)]
        assert json.loads(it.outlay("show", run, "--json").stdout)["run"]
        assert json.loads(it.outlay("show", run, "--session", "main", "--json").stdout)
        for line in it.outlay("show", run, "--events", "--json").stdout.splitlines():
            assert {"seq", "type"} <= set(json.loads(line))
        assert json.loads(it.outlay("report", run, "--format", "json").stdout)
        assert json.loads(it.outlay("deliver", run, "--json").stdout)["files"] == 2
        failed = it.outlay("run", str(it.goal), "--json", "--limit", "usd=x")
        assert failed.returncode == 2 and failed.stdout == ""


def test_a_detached_run_that_cannot_start_says_why(tmp_path: Path) -> None:
    with serving(Worker("Done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        (it.workspace / "inner" / ".git").mkdir(parents=True)
        (it.workspace / "inner" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        for name in ("objects", "refs"):
            (it.workspace / "inner" / ".git" / name).mkdir()
        done = it.outlay("run", str(it.goal), "--detach")
        assert done.returncode == 2 and "inner" in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not it.home.exists()


def test_a_folder_of_five_thousand_files_is_worked_in(tmp_path: Path) -> None:
    with serving(Worker("Done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        for n in range(5_000):
            folder = it.workspace / f"folder {n // 100}"
            folder.mkdir(exist_ok=True)
            (folder / f"file-{n}.txt").write_text(f"{n}\n" * 20)
        it.write_goal(task='[[turns=3 tool=shell command="ls | wc -l > done.txt"]]')
        it.run()
        assert (it.workspace / "done.txt").read_text().strip() == "51"
