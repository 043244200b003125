"""Workspaces: one hub per run, a bare repository in the run's folder; a clone of its own for every session.

Layout of the hub's folder: `hub.json` (written last: the hub is whole), `hub.git`, `ws/<session>` (working directory),
`git/<session>` (its `.git`, which only the session's own commands use).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox import git as scripts
from outlay.sandbox.deliver import DeliveryConflict, apply_change
from outlay.sandbox.git import GitProblem, git
from outlay.sandbox.types import Mount, Sandbox

__all__ = ["Change", "DeliveryConflict", "GitProblem", "Hub", "Merge", "NestedRepository"]

_ALWAYS_EXCLUDED = ("/.outlay/", ".outlay-*.tmp")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_UNKNOWN = re.compile(r"'([^']+)' does not have a commit checked out")
_IN_REPOSITORY = re.compile(r"[Pp]athspec '[^']*' is in submodule '([^']+)'")
_DIFF_BYTES = 256 * 2**20


class NestedRepository(GitProblem):
    """A workspace holds another git repository, whose content a snapshot would lose."""

    def __init__(self, paths: Sequence[str]) -> None:
        shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        super().__init__(
            f"{shown}: a git repository inside the workspace cannot be kept; remove its .git, or leave the folder out "
            "(.gitignore, or `exclude` of the workspace)"
        )
        self.paths = tuple(paths)


class Change(msgspec.Struct, frozen=True):
    """One path that differs between two commits."""

    path: str
    status: Literal["A", "D", "M", "T"]
    """Added, deleted, modified, another type (file, link)."""
    mode: str
    """Mode after the change: `100644`, `100755`, `120000`; `000000` when deleted."""
    old: str
    """Blob id before; zeros when added."""
    new: str


class Merge(msgspec.Struct, frozen=True):
    """Two changes brought together. `commit` holds both; where they conflict, both stand between markers."""

    commit: str
    conflicts: tuple[str, ...]


class _Record(msgspec.Struct, frozen=True):
    base: str
    version: int = 1


def _reference(name: str) -> str:
    """A session's name as a file and reference name: unique, without slashes, never hidden or `..`."""
    if not name or len(name) > 150:
        raise InputError(f"bad name for a workspace: {name!r}; give 1 to 150 characters")
    text = quote(name, safe="").replace("~", "%7E")
    text = re.sub(r"^[.]|[.]{2}|[.]$|[.]lock$", lambda match: match[0].replace(".", "%2E"), text)
    return text


def _id(commit: str) -> str:
    if not _COMMIT.fullmatch(commit):
        raise InputError(f"not a commit id: {commit!r}")
    return commit


def _exclusions(source: Path, exclude: Sequence[str]) -> str:
    own = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        own = (source / ".git" / "info" / "exclude").read_text()
    return "\n".join([*_ALWAYS_EXCLUDED, own.rstrip("\n"), *exclude]) + "\n"


class Hub:
    """The commits of a run, and a working directory for each session. One operation per session at a time; operations
    of different sessions run side by side. Every operation can be repeated after a crash at any moment."""

    def __init__(self, sandbox: Sandbox, folder: Path, base: str) -> None:
        self._sandbox = sandbox
        self.folder = folder
        self.base = base
        """Commit of the source as it was when the run began."""
        self.at: str | None = None
        """Where a session's commands see its working directory besides /workspace."""
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def repository(self) -> Path:
        return self.folder / "hub.git"

    @classmethod
    async def create(
        cls, sandbox: Sandbox, folder: Path, source: Path, exclude: Sequence[str] = (), *, history: bool = True
    ) -> Hub:
        """A hub from a user's folder: its history when it is a git repository and `history` is wanted, and the files
        as they are now, without what its ignore files or `exclude` (patterns as in .gitignore) leave out. A hub that is
        whole is opened, one whose making was cut is made anew. Raises InputError, NestedRepository,
        EnvironmentProblem."""
        source = source.resolve()
        if not source.is_dir():
            raise InputError(f"no such folder: {source}; the workspace must exist")
        if (folder / "hub.json").exists():
            return await cls.open(sandbox, folder)
        repository = folder / "hub.git"
        try:
            shutil.rmtree(repository, ignore_errors=True)
            for part in ("info", "outlay/index", "outlay/out", "outlay/empty", "outlay/stage"):
                (repository / part).mkdir(parents=True)
            (folder / "ws").mkdir(exist_ok=True)
            (folder / "git").mkdir(exist_ok=True)
            (repository / "info" / "exclude").write_text(_exclusions(source, exclude))
            (repository / "info" / "attributes").write_text(scripts.ATTRIBUTES)
            (repository / "outlay" / "config").write_text(scripts.CONFIG)
        except OSError as error:
            raise EnvironmentProblem(f"cannot make a workspace in {folder}: {error.strerror}") from None
        arguments = (scripts.HUB, "source", *(() if history else ("plain",)))
        answer = await git(sandbox, repository, scripts.CREATE, arguments, index="source", workspace=source)
        _raise_for(answer, f"cannot read {source}")
        base = answer.content.decode().strip()
        record = folder / "hub.json.new"
        record.write_bytes(msgspec.json.encode(_Record(_id(base))))
        record.rename(folder / "hub.json")
        return cls(sandbox, folder, base)

    @classmethod
    async def open(cls, sandbox: Sandbox, folder: Path) -> Hub:
        """A hub that exists. What killed processes left behind is removed."""
        try:
            record = msgspec.json.decode((folder / "hub.json").read_bytes(), type=_Record)
        except FileNotFoundError:
            raise InputError(f"no workspace in {folder}; the run was cut before it began, start it anew") from None
        hub = cls(sandbox, folder, record.base)
        for lock in [*hub.repository.glob("*.lock"), *(hub.repository / "refs").rglob("*.lock")]:
            lock.unlink(missing_ok=True)
        for temporary in hub.repository.glob("objects/??/tmp_obj_*"):
            temporary.unlink(missing_ok=True)
        for part in ("out", "stage"):
            shutil.rmtree(hub.repository / "outlay" / part, ignore_errors=True)
            (hub.repository / "outlay" / part).mkdir()
        return hub

    def path(self, name: str) -> Path:
        """The session's working directory on the host; use `outlay.sandbox.files` to look into it."""
        return self.folder / "ws" / _reference(name)

    def is_laid_out(self, name: str) -> bool:
        """Whether the session has a working directory."""
        return (self.folder / "git" / f"{_reference(name)}.ready").exists()

    def mounts(self, name: str) -> tuple[Mount, ...]:
        """What a session's commands need besides the workspace for git to work: its own `.git`, as a mountpoint so that
        it cannot be swapped, and the hub's objects, read-only."""
        again = () if self.at is None else (Mount(self.path(name), self.at, writable=True),)
        return (
            Mount(self.folder / "git" / _reference(name), "/workspace/.git", writable=True),
            Mount(self.repository / "objects", f"{scripts.HUB}/objects"),
            *again,
        )

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def checkout(self, name: str, commit: str) -> Path:
        """Lay out a session's working directory at `commit`, with a repository of its own in which `git status`,
        `diff`, `log` and `show COMMIT` work. A directory that exists is restored to `commit`."""
        reference = _reference(name)
        workspace, own = self.path(name), self.folder / "git" / reference
        ready = self.folder / "git" / f"{reference}.ready"
        if ready.exists():
            await self.restore(name, commit)
            return workspace
        async with self._lock(name):
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir(parents=True)
            (workspace / ".git").mkdir(parents=True, exist_ok=True)
            answer = await git(
                self._sandbox,
                self.repository,
                scripts.CHECKOUT,
                (reference, _id(commit)),
                index=reference,
                workspace=workspace,
                writable=True,
                mounts=(Mount(own, scripts.SESSION, writable=True),),
            )
            _raise_for(answer, f"cannot lay out the workspace of {name}")
            ready.touch()
        return workspace

    async def snapshot(self, name: str) -> str:
        """The session's working directory as a commit on top of its last one; that one again when nothing changed.
        Raises NestedRepository, and GitProblem for files that cannot be read."""
        reference = _reference(name)
        async with self._lock(name):
            answer = await self._git(scripts.SNAPSHOT, (reference, f"snapshot of {name}"), name)
        _raise_for(answer, f"cannot keep the workspace of {name}")
        return answer.content.decode().strip()

    async def restore(self, name: str, commit: str) -> None:
        """Make the working directory equal to `commit`: reset changed files, remove new ones, keep ignored ones."""
        async with self._lock(name):
            answer = await self._git(scripts.RESTORE, (_reference(name), _id(commit)), name, writable=True)
        _raise_for(answer, f"cannot restore the workspace of {name}")

    async def _git(self, script: str, arguments: tuple[str, ...], name: str, writable: bool = False) -> scripts.Answer:
        workspace = self.path(name)
        if not workspace.is_dir():
            raise InputError(f"no workspace named {name!r}; check it out first")
        return await git(
            self._sandbox,
            self.repository,
            script,
            arguments,
            index=_reference(name),
            workspace=workspace,
            writable=writable,
        )

    async def merge(self, ours: str, theirs: str, base: str) -> Merge:
        """Bring the changes from `base` to `ours` and to `theirs` together. Conflicts are data: the commit holds both
        versions between markers (of binary files ours; theirs is in the commit's second parent)."""
        if theirs in (base, ours):
            return Merge(_id(ours), ())
        if ours == base:
            return Merge(_id(theirs), ())
        arguments = (_id(ours), _id(theirs), _id(base), f"merge {theirs[:12]} into {ours[:12]}")
        async with self._lock("/merge"):
            answer = await git(self._sandbox, self.repository, scripts.MERGE, arguments)
        _raise_for(answer, f"cannot merge {theirs[:12]} into {ours[:12]}")
        commit, _, *paths = answer.content.split(b"\0")
        conflicts = dict.fromkeys(os.fsdecode(path) for path in paths if path)
        return Merge(_id(commit.decode()), tuple(conflicts))

    async def diff(self, a: str, b: str) -> tuple[Change, ...]:
        """The paths that differ between two commits, sorted; a rename is a deletion and an addition."""
        answer = await git(self._sandbox, self.repository, scripts.DIFF, (_id(a), _id(b)), max_bytes=_DIFF_BYTES)
        _raise_for(answer, f"cannot compare {a[:12]} with {b[:12]}")
        return parse_changes(answer.content)

    async def diff_text(self, a: str, b: str, max_bytes: int) -> str:
        """The difference as unified text, cut after `max_bytes`."""
        arguments = (_id(a), _id(b), str(max_bytes))
        answer = await git(self._sandbox, self.repository, scripts.DIFF_TEXT, arguments)
        _raise_for(answer, f"cannot compare {a[:12]} with {b[:12]}")
        return answer.content.decode(errors="replace")

    async def read(self, commit: str, path: str, max_bytes: int) -> bytes:
        """A file of a commit, cut after `max_bytes`. Raises InputError when it has none of this path."""
        arguments = (_id(commit), path.removeprefix("./"), str(max_bytes))
        answer = await git(self._sandbox, self.repository, scripts.READ, arguments)
        if answer.exit_code == 91:
            raise InputError(f"no such file in the workspace: {path}; check its spelling and that it is not ignored")
        _raise_for(answer, f"cannot read {path}")
        return answer.content

    async def files(self, commit: str) -> dict[str, str]:
        """Every file and link of a commit: path -> blob id."""
        answer = await git(self._sandbox, self.repository, scripts.FILES, (_id(commit),))
        _raise_for(answer, f"cannot list {commit[:12]}")
        found = (record.split(b"\t", 1) for record in answer.content.split(b"\0") if record)
        return {os.fsdecode(path): facts.split()[2].decode() for facts, path in found}

    async def without(self, commit: str, paths: Sequence[str]) -> str:
        """A commit with the files of another one but these paths. It has no parent."""
        name = secrets.token_hex(8)
        listed = self.repository / "outlay" / "stage" / f"without-{name}"
        listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
        try:
            arguments = (_id(commit), f"{scripts.HUB}/outlay/stage/{listed.name}")
            answer = await git(self._sandbox, self.repository, scripts.WITHOUT, arguments, index=f"without-{name}")
        finally:
            listed.unlink(missing_ok=True)
        _raise_for(answer, f"cannot leave files out of {commit[:12]}")
        return answer.content.decode().strip()

    async def deliver(self, commit: str, destination: Path, base: str) -> int:
        """Bring the change from `base` to `commit` into the user's folder; the number of files that it changes. Each
        file there must be as in `base`, or already as in `commit` (delivered before): otherwise nothing is touched and
        DeliveryConflict lists the paths. A crash in the middle is repaired by delivering again."""
        changes = await self.diff(base, commit)
        if not changes:
            return 0
        stage = f"stage/{commit[:16]}-{base[:16]}"
        index = f"deliver-{commit[:16]}"
        folder = self.repository / "outlay" / stage
        shutil.rmtree(folder, ignore_errors=True)
        (self.repository / "outlay" / "index" / f"{index}.lock").unlink(missing_ok=True)
        arguments = (_id(base), _id(commit), f"{scripts.HUB}/outlay/{stage}")
        try:
            # The work tree is the hub's empty folder; the files go where --prefix says.
            answer = await git(self._sandbox, self.repository, scripts.EXPORT, arguments, index=index)
            _raise_for(answer, f"cannot take files out of {commit[:12]}")
            await asyncio.to_thread(apply_change, changes, folder, destination)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return len(changes)


def parse_changes(raw: bytes) -> tuple[Change, ...]:
    """`git diff-tree -r -z --raw`: `:old_mode new_mode old new status NUL path NUL`."""
    fields = raw.split(b"\0")
    changes = []
    for header, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        _, mode, old, new, status = header.decode().split()
        changes.append(Change(os.fsdecode(path), status[0], mode, old, new))  # type: ignore[arg-type]
    return tuple(changes)


def _raise_for(answer: scripts.Answer, what: str) -> None:
    if answer.exit_code == 0:
        return
    if answer.exit_code == scripts.NESTED_EXIT:
        records = [record for record in answer.content.split(b"\0") if record]
        raise NestedRepository([os.fsdecode(record.split(b"\t", 1)[1]) for record in records])
    if match := _UNKNOWN.search(answer.message) or _IN_REPOSITORY.search(answer.message):
        raise NestedRepository([match[1].rstrip("/")])
    lines = [line for line in answer.message.splitlines() if line.startswith(("error", "fatal"))]
    raise GitProblem(f"{what}: {'; '.join(lines[:3]) or answer.message[-300:] or f'exit code {answer.exit_code}'}")
