"""The host's hands in a workspace that may be full of traps."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.sandbox.files import FileProblem, Folder, find, glob_pattern, read_text, split, write_text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("print('ä')\n")
    (folder / "src" / "deep" / "x.py").write_text("x")
    (folder / "README.md").write_text("read me")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core]")
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path)
    (folder / "file-link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "fifo")
    return folder


@pytest.fixture(params=[True, False], ids=["openat2", "stepwise"])
def folder(root: Path, request: pytest.FixtureRequest) -> Folder:
    opened = Folder(root)
    opened._openat2 = request.param
    return opened


def test_regular_files_are_read_whole_or_in_part(folder: Folder) -> None:
    assert folder.read("src/main.py", 100) == "print('ä')\n".encode()
    assert folder.read("/workspace/./src//main.py", 100) == folder.read("src/main.py", 100)
    assert folder.read_part("README.md", 5, 10) == (b"me", 7)
    with pytest.raises(FileProblem, match=r"README\.md is too large: 7 bytes"):
        folder.read("README.md", 6)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("out/secret", "symbolic link|not a folder"),
        ("file-link", "symbolic link"),
        ("fifo", "not a regular file"),
        ("src", "folder"),
        ("", "folder"),
        ("../secret", "outside"),
        ("src/../../secret", "outside"),
        ("/etc/passwd", "outside"),
        (".git/config", "belongs to git"),
        ("src/.GIT/config", "belongs to git"),
        ("README.md/x", "not a folder"),
        ("a\0b", "NUL"),
        ("/proc/self/environ", "outside"),
    ],
)
def test_traps_are_refused_in_one_line(folder: Folder, path: str, words: str) -> None:
    with pytest.raises(FileProblem, match=words) as caught:
        folder.read(path, 1000)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileProblem):
        folder.write(path, b"x")


def test_a_wrong_path_names_near_ones(folder: Folder) -> None:
    with pytest.raises(FileProblem, match=r"^no such file: src/mian\.py; near: src/main\.py$"):
        folder.read("src/mian.py", 100)


def test_writing_replaces_whole_and_keeps_permissions(folder: Folder, root: Path) -> None:
    (root / "README.md").chmod(0o640)
    folder.write("README.md", b"new")
    assert (root / "README.md").read_bytes() == b"new" and (root / "README.md").stat().st_mode & 0o777 == 0o640
    folder.write("a/b/c", b"made", executable=True)
    assert (root / "a" / "b" / "c").stat().st_mode & 0o111
    assert not [path for path in root.rglob("*") if path.name.endswith(".tmp")]


def test_removing_takes_empty_folders_along_and_absent_is_fine(folder: Folder, root: Path, tmp_path: Path) -> None:
    folder.remove("src/deep/x.py")
    folder.remove("src/deep/x.py")
    assert not (root / "src" / "deep").exists() and (root / "src").exists()
    folder.remove("file-link")
    assert (tmp_path / "secret").exists()


def test_walking_follows_no_link_and_skips_git(folder: Folder) -> None:
    found = {entry.path: entry.kind for entry in folder.walk()}
    assert found == {
        "README.md": "file",
        "fifo": "other",
        "file-link": "link",
        "out": "link",
        "src/deep/x.py": "file",
        "src/main.py": "file",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.py", ["src/deep/x.py", "src/main.py"]),
        ("src/*.py", ["src/main.py"]),
        ("src/**/*.py", ["src/deep/x.py", "src/main.py"]),
        ("**/[wx].p?", ["src/deep/x.py"]),
        ("/workspace/README.md", ["README.md"]),
        ("nothing*", []),
    ],
)
def test_globs_match_relative_paths(root: Path, pattern: str, expected: list[str]) -> None:
    assert find(root, pattern) == expected


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_a_problem(text: str) -> None:
    try:
        glob_pattern(text).fullmatch("src/main.py")
    except FileProblem:
        pass


@given(st.text(max_size=40))
def test_no_path_leaves_the_workspace(text: str) -> None:
    try:
        parts = split(text)
    except FileProblem:
        return
    assert all(part not in ("", ".", "..", ".git") and "/" not in part and "\0" not in part for part in parts)


def test_text_is_read_and_written_as_text(root: Path) -> None:
    write_text(root, "new/ü.txt", "grüße\n")
    assert read_text(root, "new/ü.txt") == "grüße\n"
    (root / "binary").write_bytes(b"\0\1")
    with pytest.raises(FileProblem, match="binary file"):
        read_text(root, "binary")
    with pytest.raises(FileProblem, match="surrogates"):
        write_text(root, "x", "\ud800")


def test_a_folder_swapped_for_a_link_meanwhile_never_leads_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.py").write_text("secret")
    done = threading.Event()
    deep, kept = root / "src" / "deep", root / "src" / "kept"
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not done.is_set():
            deep.rename(kept)
            with contextlib.suppress(FileExistsError):  # the writer, finding nothing there, makes the folder anew
                deep.symlink_to(tmp_path / "deep")
                deep.unlink()
            while kept.exists():
                shutil.rmtree(deep, ignore_errors=True)
                with contextlib.suppress(OSError):
                    kept.rename(deep)
            swaps += 1

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        with Folder(root) as folder:
            for _ in range(3000):
                try:
                    assert folder.read_part("src/deep/x.py", 0, 10)[0] == b"x"
                    folder.write("src/deep/x.py", b"x")
                except FileProblem:
                    pass
    finally:
        done.set()
        swapper.join()
    assert swaps > 10
    assert (tmp_path / "deep" / "x.py").read_text() == "secret"
