"""What a run sees of the user's folder and what it leaves there: git, odd names, modes, links, conflicts."""

import subprocess
from pathlib import Path

from modelserver import Answer, Call, Tool, serving
from project import Project, until


def shell(command: str) -> Answer:
    return Answer("", (Tool("shell", {"command": command}),))


def steps(*commands: str):
    def script(call: Call) -> Answer:
        return shell(commands[call.turn]) if call.turn < len(commands) else Answer("Done.")

    return script


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=u", "-c", "user.email=u@example.org")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_dirty_git_repository_is_seen_as_it_is_and_its_git_is_left_alone(tmp_path: Path) -> None:
    look = "git log --format=%s > log.txt; cat tracked.txt new.txt > seen.txt; ls -A >> seen.txt; touch done.txt"
    with serving(steps(look)) as server:
        it = Project(tmp_path, server.base_url("openai"))
        git(it.workspace, "init", "-q", "-b", "main")
        (it.workspace / "tracked.txt").write_text("committed\n")
        (it.workspace / ".gitignore").write_text("ignored.txt\n")
        git(it.workspace, "add", ".")
        git(it.workspace, "commit", "-qm", "the first commit")
        (it.workspace / "tracked.txt").write_text("changed, not committed\n")
        (it.workspace / "new.txt").write_text("untracked\n")
        (it.workspace / "ignored.txt").write_text("private\n")
        (it.workspace / ".outlay").mkdir()
        (it.workspace / ".outlay" / "secret").write_text("ours")
        head = git(it.workspace, "rev-parse", "HEAD")
        it.write_goal()
        it.run()
        seen = (it.workspace / "seen.txt").read_text()
        assert seen.startswith("changed, not committed\nuntracked\n")
        assert "ignored.txt" not in seen.split() and ".outlay" not in seen.split()
        assert "the first commit" in (it.workspace / "log.txt").read_text().splitlines()
        assert git(it.workspace, "rev-parse", "HEAD") == head
        assert git(it.workspace, "branch", "--list").split() == ["*", "main"]
        assert "?? done.txt" in git(it.workspace, "status", "--short")
        assert (it.workspace / "ignored.txt").read_text() == "private\n"


def test_modes_links_and_odd_names_arrive_as_they_were_made(tmp_path: Path) -> None:
    make = (
        "mkdir -p 'a folder/ünï'; echo hi > 'a folder/ünï/name with \"quotes\".txt'; echo '#!/bin/sh' > run.sh; "
        "chmod +x run.sh; ln -s run.sh link; rm old.txt; printf 'a\\r\\nb\\0c' > binary; touch done.txt -- -dash"
    )
    with serving(steps(make)) as server:
        it = Project(tmp_path / "a plâce", server.base_url("openai"))
        (it.workspace / "old.txt").write_text("old")
        (it.workspace / "keep me.txt").write_text("kept")
        it.write_goal()
        it.run()
        assert (it.workspace / 'a folder/ünï/name with "quotes".txt').read_text() == "hi\n"
        assert (it.workspace / "run.sh").stat().st_mode & 0o111
        assert (it.workspace / "link").readlink() == Path("run.sh")
        assert (it.workspace / "binary").read_bytes() == b"a\r\nb\0c"
        assert not (it.workspace / "old.txt").exists() and (it.workspace / "keep me.txt").read_text() == "kept"
        assert (it.workspace / "-dash").exists() and not (it.workspace / ".git").exists()


def test_a_file_that_the_user_changed_meanwhile_is_never_overwritten(tmp_path: Path) -> None:
    with serving(steps("echo agent > shared.txt; echo new > done.txt", "sleep 1")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "shared.txt").write_text("before\n")
        it.write_goal()
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: len(server.records) >= 2)
        (it.workspace / "shared.txt").write_text("the user's own\n")
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, out + err
        run = it.run_row()["id"]
        assert "not delivered: changed meanwhile: shared.txt" in " ".join(out.split())
        assert f"outlay deliver {run}" in " ".join(out.split())
        assert (it.workspace / "shared.txt").read_text() == "the user's own\n"
        assert not (it.workspace / "done.txt").exists()
        refused = it.outlay("deliver", run)
        assert refused.returncode == 2 and f"outlay deliver {run} --to DIR" in refused.stderr
        assert it.outlay("deliver", run, "--to", str(tmp_path / "result")).returncode == 0
        assert (tmp_path / "result" / "shared.txt").read_text() == "agent\n"
        assert (tmp_path / "result" / "done.txt").read_text() == "new\n"
        again = it.outlay("deliver", run, "--to", str(tmp_path / "result"))
        assert again.returncode == 0
        (it.workspace / "shared.txt").write_text("before\n")
        assert it.outlay("deliver", run).stdout == f"2 files brought to {it.workspace}\n"
        assert (it.workspace / "done.txt").exists() and it.chain_is_whole()


def test_the_work_of_a_run_that_failed_can_be_had(tmp_path: Path) -> None:
    with serving(steps("echo half > half.txt")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="limits: {turns: 2}\n")
        it.run(code=3)
        assert not (it.workspace / "half.txt").exists()
        assert it.outlay("deliver").stdout == f"1 file brought to {it.workspace}\n"
        assert (it.workspace / "half.txt").read_text() == "half\n"
