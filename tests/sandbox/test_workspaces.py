"""Hubs: commits of a run, working directories of its sessions."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from outlay.errors import InputError
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.types import Command
from outlay.sandbox.workspace import Change, DeliveryConflict, Hub, NestedRepository

IDENTITY = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run_git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=folder, env=os.environ | IDENTITY, capture_output=True, check=True)
    return answer.stdout.decode()


def tree(folder: Path) -> dict[str, Any]:
    """Path -> content, link target or mode, of everything but git's own folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] == ".git":
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("".join(f"line {n}\n" for n in range(20)))
    (folder / "ü with space\nand newline.txt").write_bytes(b"dos\r\nlines\r\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/main.py")
    (folder / ".gitattributes").write_text("* text=auto eol=crlf\n*.bin filter=lfs\n")
    (folder / ".gitignore").write_text("*.log\n/build/\n")
    (folder / "debug.log").write_text("ignored")
    (folder / "data.bin").write_bytes(bytes(range(256)) * 20)
    (folder / ".outlay").mkdir()
    (folder / ".outlay" / "ledger.db").write_text("never copied")
    (folder / "private").mkdir()
    (folder / "private" / "notes").write_text("excluded")
    return folder


KEPT = {".gitattributes", ".gitignore", "data.bin", "link", "run.sh", "src/main.py", "ü with space\nand newline.txt"}
Body = Callable[[Hub], Coroutine[Any, Any, None]]


@pytest.fixture
def with_hub(sandbox: Bubblewrap, source: Path, tmp_path: Path) -> Callable[[Body], None]:
    def run(body: Body) -> None:
        async def main() -> None:
            await body(await Hub.create(sandbox, folder, source, ["private/"]))

        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        asyncio.run(main())

    return run


def test_a_session_gets_the_users_files_byte_for_byte_without_what_is_left_out(
    with_hub: Callable[[Body], None], source: Path
) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        assert set(tree(workspace)) == KEPT
        assert all(tree(workspace)[path] == tree(source)[path] for path in KEPT)

    with_hub(body)


def test_the_same_content_has_the_same_commit_id_everywhere(sandbox: Bubblewrap, source: Path, tmp_path: Path) -> None:
    async def main() -> None:
        commits = set()
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            hub = await Hub.create(sandbox, tmp_path / name, source)
            workspace = await hub.checkout("main", hub.base)
            (workspace / "new").write_text("same")
            commits.add(await hub.snapshot("main"))
        assert len(commits) == 1

    asyncio.run(main())


def test_a_repository_keeps_its_history_and_its_dirty_files(sandbox: Bubblewrap, source: Path, tmp_path: Path) -> None:
    run_git(source, "init", "-q", "-b", "main", ".")
    run_git(source, "add", "-f", "src", "debug.log", "private")
    run_git(source, "commit", "-qm", "first")
    (source / "src" / "main.py").write_text("dirty\n")
    (source / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\ntouch /tmp/outlay-hook-ran\n")

    async def main() -> None:
        (tmp_path / "run").mkdir()
        hub = await Hub.create(sandbox, tmp_path / "run", source, ["private"])
        workspace = await hub.checkout("main", hub.base)
        # What is tracked although ignored stays; what is excluded goes although tracked.
        assert set(tree(workspace)) == {*KEPT, "debug.log"}
        assert (workspace / "src" / "main.py").read_text() == "dirty\n"
        script = "git log --format=%s; git status --short; git show HEAD~1:src/main.py | head -1"
        finished = await sandbox.run(Command(("sh", "-c", script), workspace, mounts=hub.mounts("main")))
        assert finished.head == b"source\nfirst\nline 0\n"

    asyncio.run(main())
    assert run_git(source, "log", "--format=%s") == "first\n"


def test_a_clean_repository_is_its_own_base(sandbox: Bubblewrap, source: Path, tmp_path: Path) -> None:
    run_git(source, "init", "-q", ".")
    (source / ".gitattributes").unlink()
    run_git(source, "add", ".")
    run_git(source, "commit", "-qm", "first")
    run_git(source, "rm", "-rq", "--cached", ".outlay")
    run_git(source, "commit", "-qm", "second")
    hub = asyncio.run(Hub.create(sandbox, tmp_path, source))
    assert hub.base == run_git(source, "rev-parse", "HEAD").strip()


def test_agents_see_status_diff_log_and_commits_of_others(
    sandbox: Bubblewrap, with_hub: Callable[[Body], None]
) -> None:
    async def body(hub: Hub) -> None:
        other = await hub.checkout("other", hub.base)
        (other / "theirs").write_text("from the other")
        commit = await hub.snapshot("other")
        workspace = await hub.checkout("team/main", hub.base)
        script = f"""git status --short; echo x >>run.sh; git diff --stat | tail -1; git show {commit}:theirs; echo
git commit -qam mine && git log --format=%s | head -1; touch /hub/objects/x || echo no"""
        finished = await sandbox.run(Command(("sh", "-c", script), workspace, mounts=hub.mounts("team/main")))
        assert finished.head.startswith(b" 1 file changed, 1 insertion(+)\nfrom the other\nmine\n"), finished.head
        assert finished.head.endswith(b"no\n")

    with_hub(body)


def test_planted_git_code_never_runs_and_git_cannot_be_swapped(
    sandbox: Bubblewrap, with_hub: Callable[[Body], None]
) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        script = """
mkdir -p .git/hooks; for hook in pre-commit post-checkout post-index-change reference-transaction; do
printf '#!/bin/sh\\ntouch /workspace/ran /hub/ran' >.git/hooks/$hook; chmod +x .git/hooks/$hook; done
git config core.fsmonitor 'touch /workspace/ran #'; git config core.hooksPath /workspace/.git/hooks
git config filter.x.clean 'touch /workspace/ran; cat'; git config filter.x.smudge 'touch /workspace/ran; cat'
git config diff.x.textconv 'touch /workspace/ran; cat'; git config merge.x.driver 'touch /workspace/ran'
echo '* filter=x diff=x merge=x' >.gitattributes; echo changed >run.sh
mv .git moved || rmdir .git || echo kept"""
        finished = await sandbox.run(Command(("sh", "-c", script), workspace, mounts=hub.mounts("main")))
        assert finished.head.endswith(b"kept\n")
        commit = await hub.snapshot("main")
        await hub.diff_text(hub.base, commit, 10_000)
        await hub.restore("main", hub.base)
        await hub.merge(commit, hub.base, hub.base)
        assert not (workspace / "ran").exists() and not (hub.repository / "ran").exists()

    with_hub(body)


def test_snapshot_and_restore_bring_back_every_kind_of_change(with_hub: Callable[[Body], None]) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        before = tree(workspace)
        assert await hub.snapshot("main") == hub.base
        (workspace / "src" / "main.py").unlink()
        (workspace / "src" / "main.py").mkdir()
        (workspace / "src" / "main.py" / "now a folder").write_text("x")
        (workspace / "run.sh").chmod(0o644)
        (workspace / "link").unlink()
        (workspace / "link").symlink_to("/etc/passwd")
        (workspace / "big").write_bytes(random.Random(1).randbytes(20_000_000))
        (workspace / "empty folder").mkdir()
        (workspace / "data.bin").unlink()
        (workspace / "old.log").write_text("ignored, stays")
        changed = await hub.snapshot("main")
        after = tree(workspace)
        assert await hub.snapshot("main") == changed
        await hub.restore("main", hub.base)
        assert tree(workspace) == before | {"old.log": (b"ignored, stays", False)}
        await hub.restore("main", changed)
        await hub.restore("main", changed)
        assert tree(workspace) == after
        assert await hub.snapshot("main") == changed

    with_hub(body)


def test_restore_undoes_hidden_files_locked_folders_and_nested_repositories(with_hub: Callable[[Body], None]) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        before = tree(workspace)
        (workspace / ".gitignore").write_text("*\n")
        (workspace / "hidden").write_text("x")
        (workspace / "locked").mkdir()
        (workspace / "locked" / "file").write_text("x")
        (workspace / "locked").chmod(0o500)
        (workspace / "nested").mkdir()
        run_git(workspace / "nested", "init", "-q", ".")
        os.mkfifo(workspace / "fifo")
        await hub.restore("main", hub.base)
        assert tree(workspace) == before
        assert {path.name for path in workspace.iterdir()} == {name.split("/")[0] for name in before} | {".git"}

    with_hub(body)


@pytest.mark.parametrize("committed", [True, False])
def test_a_nested_repository_is_refused_by_name_until_it_is_none(
    with_hub: Callable[[Body], None], committed: bool
) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        nested = workspace / "vendor" / "ünested"
        nested.mkdir(parents=True)
        (nested / "file").write_text("would be lost")
        run_git(nested, "init", "-q", ".")
        if committed:
            run_git(nested, "add", ".")
            run_git(nested, "commit", "-qm", "x")
        with pytest.raises(NestedRepository, match="vendor/ünested: a git repository inside"):
            await hub.snapshot("main")
        shutil.rmtree(nested / ".git")
        changes = await hub.diff(hub.base, await hub.snapshot("main"))
        assert [change.path for change in changes] == ["vendor/ünested/file"]

    with_hub(body)


def test_a_submodule_of_the_users_folder_is_refused_or_left_out(
    sandbox: Bubblewrap, source: Path, tmp_path: Path
) -> None:
    nested = source / "vendor"
    nested.mkdir()
    (nested / "file").write_text("x")
    run_git(nested, "init", "-q", ".")
    run_git(nested, "add", ".")
    run_git(nested, "commit", "-qm", "x")
    (tmp_path / "run").mkdir()
    with pytest.raises(NestedRepository, match="vendor"):
        asyncio.run(Hub.create(sandbox, tmp_path / "run", source))
    hub = asyncio.run(Hub.create(sandbox, tmp_path / "run", source, ["/vendor/"]))
    assert len(hub.base) == 40


def test_merges_keep_both_sides_and_name_their_conflicts(with_hub: Callable[[Body], None]) -> None:
    async def body(hub: Hub) -> None:
        ours = await hub.checkout("ours", hub.base)
        theirs = await hub.checkout("theirs", hub.base)
        (ours / "src" / "main.py").write_text("first\n" + (ours / "src" / "main.py").read_text())
        (theirs / "src" / "main.py").write_text((theirs / "src" / "main.py").read_text() + "last\n")
        (ours / "only ours").write_text("o")
        (theirs / "only theirs").write_text("t")
        merge = await hub.merge(await hub.snapshot("ours"), await hub.snapshot("theirs"), hub.base)
        assert merge.conflicts == ()
        await hub.restore("ours", merge.commit)
        lines = (ours / "src" / "main.py").read_text().splitlines()
        assert lines[0] == "first" and lines[-1] == "last" and {"only ours", "only theirs"} <= set(tree(ours))
        await hub.restore("theirs", merge.commit)
        (ours / "ü with space\nand newline.txt").write_text("ours\n")
        (theirs / "ü with space\nand newline.txt").write_text("theirs\n")
        (ours / "data.bin").write_bytes(b"\0ours")
        (theirs / "data.bin").write_bytes(b"\0theirs")
        (ours / "run.sh").unlink()
        (theirs / "run.sh").write_text("changed\n")
        second = await hub.merge(await hub.snapshot("ours"), await hub.snapshot("theirs"), merge.commit)
        assert set(second.conflicts) == {"ü with space\nand newline.txt", "data.bin", "run.sh"}
        text = await hub.read(second.commit, "ü with space\nand newline.txt", 1000)
        assert text == b"<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> theirs\n"
        assert await hub.read(second.commit, "run.sh", 100) == b"changed\n"
        assert await hub.read(f"{await hub.snapshot('theirs')}", "data.bin", 100) == b"\0theirs"

    with_hub(body)


def test_reading_and_comparing_commits(with_hub: Callable[[Body], None]) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        (workspace / "run.sh").unlink()
        (workspace / "tab\tname").write_text("x")
        (workspace / "link").unlink()
        (workspace / "link").write_text("a file now")
        commit = await hub.snapshot("main")
        changes = await hub.diff(hub.base, commit)
        assert [(change.path, change.status, change.mode) for change in changes] == [
            ("link", "T", "100644"),
            ("run.sh", "D", "000000"),
            ("tab\tname", "A", "100644"),
        ]
        assert isinstance(changes[0], Change) and changes[2].old == "0" * 40
        assert "deleted file mode 100755" in await hub.diff_text(hub.base, commit, 10_000)
        assert len(await hub.diff_text(hub.base, commit, 20)) == 20
        assert await hub.read(hub.base, "./src/main.py", 6) == b"line 0"
        for path in ("absent", "src"):
            with pytest.raises(InputError, match=path):
                await hub.read(hub.base, path, 10)
        with pytest.raises(InputError):
            await hub.read("--help", "x", 10)

    with_hub(body)


def test_delivery_changes_what_changed_and_can_be_repeated(with_hub: Callable[[Body], None], source: Path) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        (workspace / "src" / "main.py").unlink()
        (workspace / "run.sh").write_text("changed\n")
        (workspace / "deep" / "er").mkdir(parents=True)
        (workspace / "deep" / "er" / "tool").write_text("#!/bin/sh\n")
        (workspace / "deep" / "er" / "tool").chmod(0o755)
        (workspace / "link").unlink()
        (workspace / "link").symlink_to("run.sh")
        commit = await hub.snapshot("main")
        (source / "the user's own").write_text("kept")
        assert await hub.deliver(commit, source, hub.base) == 4
        assert {path: tree(source)[path] for path in tree(workspace)} == tree(workspace)
        assert not (source / "src").exists() and (source / "the user's own").read_text() == "kept"
        assert (source / ".outlay" / "ledger.db").exists() and (source / "debug.log").exists()
        (source / "run.sh").unlink()
        shutil.copy(workspace / "run.sh", source / "run.sh")
        assert await hub.deliver(commit, source, hub.base) == 4

    with_hub(body)


def test_delivery_touches_nothing_when_the_user_changed_a_file(with_hub: Callable[[Body], None], source: Path) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        (workspace / "run.sh").write_text("changed\n")
        (workspace / "src" / "main.py").unlink()
        (workspace / "new").write_text("x")
        commit = await hub.snapshot("main")
        (source / "src" / "main.py").write_text("the user's\n")
        (source / "new").mkdir()
        (source / "new" / "file").write_text("the user's")
        before = tree(source)
        with pytest.raises(DeliveryConflict) as caught:
            await hub.deliver(commit, source, hub.base)
        assert set(caught.value.paths) == {"src/main.py", "new"}
        assert tree(source) == before

    with_hub(body)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "src/../../x", ".git/config"])
def test_links_that_lead_out_are_not_delivered(with_hub: Callable[[Body], None], source: Path, target: str) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        (workspace / "evil").symlink_to(target)
        commit = await hub.snapshot("main")
        with pytest.raises(DeliveryConflict, match="evil"):
            await hub.deliver(commit, source, hub.base)
        assert not (source / "evil").is_symlink()

    with_hub(body)


def test_outlays_own_folder_is_not_delivered_even_when_an_ignore_file_lets_it_in(
    with_hub: Callable[[Body], None], source: Path
) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        (workspace / ".gitignore").write_text("!/.outlay/\n")
        (workspace / ".outlay").mkdir()
        (workspace / ".outlay" / "policy.toml").write_text("evil")
        commit = await hub.snapshot("main")
        with pytest.raises(DeliveryConflict, match=r"own state: \.outlay/policy\.toml"):
            await hub.deliver(commit, source, hub.base)

    with_hub(body)


def test_delivery_does_not_write_through_a_link_in_the_users_folder(
    with_hub: Callable[[Body], None], source: Path, tmp_path: Path
) -> None:
    async def body(hub: Hub) -> None:
        workspace = await hub.checkout("main", hub.base)
        (workspace / "elsewhere").mkdir()
        (workspace / "elsewhere" / "file").write_text("x")
        commit = await hub.snapshot("main")
        (tmp_path / "outside").mkdir()
        (source / "elsewhere").symlink_to(tmp_path / "outside")
        with pytest.raises(DeliveryConflict, match="elsewhere/file"):
            await hub.deliver(commit, source, hub.base)
        assert not (tmp_path / "outside" / "file").exists()

    with_hub(body)


def test_sessions_work_side_by_side(with_hub: Callable[[Body], None]) -> None:
    async def body(hub: Hub) -> None:
        names = [f"worker.{number}" for number in range(8)]

        async def work(name: str) -> str:
            workspace = await hub.checkout(name, hub.base)
            (workspace / name).write_text(name)
            return await hub.snapshot(name)

        commits = await asyncio.gather(*map(work, names))
        together = hub.base
        for commit in commits:
            merge = await hub.merge(together, commit, hub.base)
            assert merge.conflicts == ()
            together = merge.commit
        assert sorted(change.path for change in await hub.diff(hub.base, together)) == names

    with_hub(body)


def test_names_of_sessions_cannot_leave_the_folder(with_hub: Callable[[Body], None]) -> None:
    async def body(hub: Hub) -> None:
        paths = {hub.path(name) for name in ("../x", "a/b", "a.b", "..", ".", "a%2Fb", "x.lock")}
        assert len(paths) == 7 and all(path.parent == hub.folder / "ws" for path in paths)
        assert await hub.checkout("../a b/~^:ü..lock", hub.base)
        with pytest.raises(InputError):
            hub.path("")

    with_hub(body)


WORKER = """
import asyncio, sys
from pathlib import Path
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.workspace import Hub

async def main(cache, folder, source, destination):
    hub = await Hub.create(open_sandbox(Path(cache)), Path(folder), Path(source))
    print("created", flush=True)
    workspace = await hub.checkout("main", hub.base)
    for number in range(4):
        for file in range(30):
            (workspace / f"file {file}").write_text(f"{number} {file}" * 1000)
        commit = await hub.snapshot("main")
        await hub.restore("main", hub.base)
        await hub.restore("main", commit)
    await hub.deliver(commit, Path(destination), hub.base)
    print("done", commit, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def test_operations_killed_at_any_moment_can_be_repeated(sandbox: Bubblewrap, source: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    shutil.copytree(source, tmp_path / "destination", symlinks=True)
    folders = [tmp_path / name for name in ("cache", "run", "source", "destination")]
    folders[1].mkdir()

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, folders)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    began = time.monotonic()
    out = start().communicate()[0]
    assert out.startswith("created\ndone ")
    whole_s = time.monotonic() - began
    expected = out.split()[-1]
    shutil.rmtree(folders[1])
    shutil.rmtree(folders[3])
    shutil.copytree(source, folders[3], symlinks=True)
    folders[1].mkdir()
    for _ in range(10):
        process = start()
        time.sleep(rng.uniform(0.1, whole_s * 0.95))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    out, err = start().communicate()
    assert out == f"created\ndone {expected}\n", err
    assert (folders[3] / "file 29").read_text() == "3 29" * 1000
    assert run_git(folders[1] / "hub.git", "fsck", "--no-dangling", "--strict") == ""
