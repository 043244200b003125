"""What each session may see of the workspace: a hub whose sessions get only the files that their models may see.

Commits that go in and out are whole; what is laid out for a session leaves files out, and what comes back from it is
put together with them again. So everybody else goes on as without a policy.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Mapping
from pathlib import Path

import msgspec

from outlay.agents.history import History
from outlay.agents.labels import Labels
from outlay.errors import OutlayError
from outlay.policy.source import join, label_path
from outlay.policy.types import Label
from outlay.sandbox.types import Mount
from outlay.sandbox.workspace import Change, GitProblem, Hub, Merge


class Seat(msgspec.Struct, frozen=True):
    """Who sits at a place: what its model is cleared for, and its history, which knows its label."""

    cleared: Label
    history: History


class _View(msgspec.Struct, frozen=True):
    shown: str
    """The commit as the session has it."""
    whole: str
    """The same with what is left out."""
    labels: Mapping[str, Label]
    """Path -> label, for the files with one that it sees."""


class Sight:
    """A hub as seen by sessions with different clearances. The same operations as `Hub`."""

    def __init__(self, hub: Hub, labels: Labels, workspace: Path, open_names: Label) -> None:
        """workspace: folder of the user whose rules for paths hold. open_names: the data names that may come to be in
        the hub's objects; a session that is not cleared for all of them gets no git."""
        self._hub = hub
        self._labels = labels
        self._workspace = workspace
        self._open_names = open_names
        self._seats: dict[str, Seat] = {}
        self._views: dict[str, _View] = {}
        self._by_path: dict[str, Label] = {}
        self._since: dict[str, tuple[str, Label]] = {}
        """Place -> the commit from which on its changes have no label yet, and the label that they have."""
        self._publishing = asyncio.Lock()
        self.folder = hub.folder
        self.base = hub.base

    async def prepare(self) -> None:
        """Learn what the user's files are, and which labels they have."""
        files = await self._hub.files(self.base)
        self._labels.know(files.values())
        self._open_names |= join(self.of_path(path) for path in files)

    def seat(self, name: str, seat: Seat) -> None:
        """Say who will sit at a place, before it is laid out."""
        self._seats[name] = seat
        if name not in self._since:  # rebuilt: what an earlier process had not written down yet is labelled as a whole
            self._since[name] = (seat.history.synced, seat.history.label)

    def of_path(self, path: str) -> Label:
        """The label that the policy's rules give a path of the workspace; empty when none does."""
        found = self._by_path.get(path)
        if found is None:
            policy = self._labels.policy
            label = label_path(policy, posixpath.join(str(self._workspace), path))
            found = frozenset() if label == {policy.defaults.unlabelled} else label
            self._by_path[path] = found
        return found

    def visible(self, name: str) -> Label:
        """The labels of all files at a place, joined: what a command there may read."""
        view = self._views.get(name)
        return join(view.labels.values()) if view else frozenset()

    async def settle(self, name: str) -> _View:
        """What is laid out at a place; also at one that an earlier process left."""
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = await self._view(name, self._seats[name].history.commit)
        return view

    def label_at(self, name: str, path: str) -> Label:
        """The label of a file at a place, besides the label of who sits there."""
        view = self._views.get(name)
        clean = posixpath.normpath(path).lstrip("/")
        return (view.labels.get(clean, frozenset()) if view else frozenset()) | self.of_path(clean)

    def sees(self, name: str, path: str, blob: str) -> bool:
        """Whether who sits at a place may know of a file of a commit."""
        return (self.of_path(path) | self._labels.of_file(path, blob)) <= self._seats[name].cleared

    # ---- as a hub

    def path(self, name: str) -> Path:
        return self._hub.path(name)

    def mounts(self, name: str) -> tuple[Mount, ...]:
        """What git needs, unless the objects may hold what this session must not see."""
        mounts = self._hub.mounts(name)
        if self._open_names <= self._seats[name].cleared:
            return mounts
        return tuple(mount for mount in mounts if mount.target == self._hub.at)

    @property
    def at(self) -> str | None:
        return self._hub.at

    @at.setter
    def at(self, place: str | None) -> None:
        self._hub.at = place

    def is_laid_out(self, name: str) -> bool:
        return self._hub.is_laid_out(name)

    async def checkout(self, name: str, commit: str) -> Path:
        view = await self._view(name, commit)
        workspace = await self._hub.checkout(name, view.shown)
        self._views[name] = view
        return workspace

    async def restore(self, name: str, commit: str) -> None:
        view = self._views.get(name)
        if view is None or view.whole != commit:
            view = await self._view(name, commit)
        await self._hub.restore(name, view.shown)
        self._views[name] = view

    async def snapshot(self, name: str) -> str:
        """The whole commit: what the session has, and what was left out for it. Files that it changed get its label."""
        shown, view = await self._hub.snapshot(name), await self.settle(name)
        if shown == view.shown:
            return view.whole
        whole = shown
        if view.shown != view.whole:
            whole = (await self._hub.merge(shown, view.whole, view.shown)).commit
        label = self._seats[name].history.label
        if self._since[name][1] != label:
            async with self._publishing:
                await self._publish(name)
            self._since[name] = (view.whole, label)
        self._views[name] = msgspec.structs.replace(view, shown=shown, whole=whole)
        return whole

    async def merge(self, ours: str, theirs: str, base: str) -> Merge:
        """As `Hub.merge`; a file that holds something of both sides has the labels of both."""
        await self._publish_all()
        try:
            merged = await self._hub.merge(ours, theirs, base)
        except GitProblem:  # its words may hold names of files
            raise OutlayError("the changes could not be brought together; what git said is kept from you") from None
        if merged.commit in (ours, theirs):
            return merged
        their = {change.path: change for change in await self._hub.diff(base, theirs)}
        our = {change.path: change for change in await self._hub.diff(base, ours)}
        every = self._joined([*their.values(), *our.values()])
        for change in await self._hub.diff(ours, merged.commit):
            their_change, our_change = their.get(change.path), our.get(change.path)
            if change.status == "D" or (their_change and their_change.new == change.new):
                continue
            known = [each for each in (their_change, our_change) if each]
            label = self._joined(known) if known else every
            if label:
                await self._labels.label_files([(change.path, change.new)], label)
        return merged

    def _joined(self, changes: list[Change]) -> Label:
        return join(self._labels.of_file(each.path, each.new) | self.of_path(each.path) for each in changes)

    async def diff(self, a: str, b: str) -> tuple[Change, ...]:
        return await self._hub.diff(a, b)

    async def read(self, commit: str, path: str, max_bytes: int) -> bytes:
        return await self._hub.read(commit, path, max_bytes)

    async def deliver(self, commit: str, destination: Path, base: str) -> int:
        return await self._hub.deliver(commit, destination, base)

    # ---- leaving out and labelling

    async def _view(self, name: str, commit: str) -> _View:
        await self._publish_all()
        cleared = self._seats[name].cleared
        found = {
            path: label
            for path, blob in (await self._hub.files(commit)).items()
            if (label := self.of_path(path) | self._labels.of_file(path, blob))
        }
        hidden = [path for path, label in found.items() if not label <= cleared]
        shown = await self._hub.without(commit, hidden) if hidden else commit
        return _View(shown, commit, {path: label for path, label in found.items() if label <= cleared})

    async def _publish_all(self) -> None:
        """Write down the labels of all that was changed, before anybody else is given any of it."""
        async with self._publishing:
            for name in list(self._since):
                await self._publish(name)

    async def _publish(self, name: str) -> None:
        """Label what a session changed until its last snapshot; done then and not after each one, for its cost."""
        before, label = self._since[name]
        view = self._views.get(name)
        after = view.whole if view else self._seats[name].history.commit
        if before and after and before != after:
            await self._label_changes(before, after, label)
            self._since[name] = (after, label)

    async def _label_changes(self, before: str, after: str, label: Label) -> None:
        if label <= {self._labels.policy.defaults.unlabelled}:
            return
        changes = await self._hub.diff(before, after)
        await self._labels.label_files([(c.path, c.new) for c in changes if c.status != "D"], label)
