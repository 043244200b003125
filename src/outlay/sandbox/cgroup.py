"""Bounds on a whole command (memory, processes) and its use of the machine, by control groups v1 or v2.

Sources: Documentation/admin-guide/cgroup-v1/memory.rst, pids.rst, cpuacct.rst; cgroup-v2.rst of Linux.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_WANTED = ("memory", "pids", "cpuacct")
_PREFIX = "outlay-"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _field(path: Path, name: str) -> int | None:
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return None


def _number(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdigit() else None


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Group:
    """The control group of one command: a folder in each hierarchy, by controller."""

    kind: Literal["v1", "v2"]
    folders: dict[str, Path]

    @property
    def paths(self) -> list[Path]:
        return list(dict.fromkeys(self.folders.values()))

    def bound(self, memory_bytes: int, processes: int) -> None:
        memory, pids = self.folders.get("memory"), self.folders.get("pids")
        if pids:
            _write(pids / "pids.max", str(processes))
        if memory and self.kind == "v1":
            _write(memory / "memory.limit_in_bytes", str(memory_bytes))
            _write(memory / "memory.memsw.limit_in_bytes", str(memory_bytes))
        elif memory:
            _write(memory / "memory.max", str(memory_bytes))
            _write(memory / "memory.swap.max", "0")
            _write(memory / "memory.oom.group", "1")

    def cpu_ms(self) -> int | None:
        if self.kind == "v2":
            micros = _field(next(iter(self.folders.values())) / "cpu.stat", "usage_usec")
            return None if micros is None else micros // 1000
        folder = self.folders.get("cpuacct")
        nanos = _number(folder / "cpuacct.usage") if folder else None
        return None if nanos is None else nanos // 1_000_000

    def memory_peak_bytes(self) -> int | None:
        folder = self.folders.get("memory")
        if folder is None:
            return None
        return _number(folder / ("memory.max_usage_in_bytes" if self.kind == "v1" else "memory.peak"))

    def out_of_memory(self) -> bool:
        folder = self.folders.get("memory")
        if folder is None:
            return False
        return bool(_field(folder / ("memory.oom_control" if self.kind == "v1" else "memory.events"), "oom_kill"))

    def kill(self) -> None:
        """End whatever is left in the group."""
        for folder in self.paths:
            if self.kind == "v2" and _write(folder / "cgroup.kill", "1"):
                continue
            for pid in (_read(folder / "cgroup.procs") or "").split():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), 9)

    def remove(self) -> bool:
        """Whether nothing of the group is left."""
        gone = True
        for folder in self.paths:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                gone = False
        return gone


class Groups:
    """Makes groups below the one this process is in. `kind` is `none` where that is not allowed."""

    def __init__(self, kind: Literal["v1", "v2", "none"], parents: dict[str, Path], why: str = "") -> None:
        self.kind = kind
        self.parents = parents
        self.why = why
        self._numbers = itertools.count()
        self._leftover: list[Group] = []

    @property
    def controllers(self) -> tuple[str, ...]:
        return tuple(self.parents)

    def create(self, memory_bytes: int, processes: int) -> Group | None:
        """A bounded group without members, or None where control groups cannot be used."""
        if self.kind == "none":
            return None
        self._leftover = [group for group in self._leftover if not group.remove()]
        name = f"{_PREFIX}{os.getpid()}-{next(self._numbers)}"
        group = Group(self.kind, {controller: parent / name for controller, parent in self.parents.items()})
        try:
            for folder in group.paths:
                folder.mkdir(exist_ok=True)
        except OSError:
            group.remove()
            return None
        group.bound(memory_bytes, processes)
        return group

    def release(self, group: Group) -> None:
        """Remove the group of a command that has ended; one that is still busy is tried again later."""
        group.kill()
        if not group.remove():
            self._leftover.append(group)

    def close(self) -> None:
        deadline = time.monotonic() + 1
        while self._leftover and time.monotonic() < deadline:
            self._leftover = [group for group in self._leftover if not group.remove()]
            if self._leftover:
                time.sleep(0.01)


def _mounts() -> list[tuple[str, str, str, set[str]]]:
    """(root, mount point, type, options of the file system) of every control group hierarchy."""
    found = []
    for line in (_read(Path("/proc/self/mountinfo")) or "").splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(), right.split()
        if rest and rest[0] in ("cgroup", "cgroup2"):
            found.append((fields[3], fields[4], rest[0], set(rest[2].split(","))))
    return found


def _own(mount: str, root: str, path: str) -> Path:
    """The folder of this process's group; inside a container the hierarchy may begin below the real root."""
    relative = path.removeprefix(root) if root != "/" else path
    folder = Path(mount) / relative.lstrip("/")
    return folder if folder.is_dir() else Path(mount)


def _sweep(parent: Path) -> None:
    """Remove groups of processes that were killed before they could."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            Group("v1", {"": folder}).kill()
            with contextlib.suppress(OSError):
                folder.rmdir()


def _usable(parent: Path) -> bool:
    trial = parent / f"{_PREFIX}{os.getpid()}-trial"
    try:
        trial.mkdir(exist_ok=True)
        trial.rmdir()
    except OSError:
        return False
    _sweep(parent)
    return True


def _v2_parent(own: Path) -> Path | None:
    """A group whose children have the memory and pids controllers; processes may live only in its leaves, so that
    this process moves to a leaf when it is alone in its group."""
    if not os.access(own / "cgroup.procs", os.W_OK) or not os.access(own, os.W_OK):
        return None
    if not {"memory", "pids"} <= set((_read(own / "cgroup.controllers") or "").split()):
        return None
    if not {"memory", "pids"} <= set((_read(own / "cgroup.subtree_control") or "").split()):
        if (_read(own / "cgroup.procs") or "").split() != [str(os.getpid())]:
            return None
        leaf = own / f"{_PREFIX}host"
        try:
            leaf.mkdir(exist_ok=True)
        except OSError:
            return None
        if not _write(leaf / "cgroup.procs", str(os.getpid())):
            return None
        if not _write(own / "cgroup.subtree_control", "+memory +pids"):
            _write(own / "cgroup.procs", str(os.getpid()))
            return None
    return own if _usable(own) else None


def find_groups() -> Groups:
    """What this process may use of the machine's control groups."""
    paths: dict[str, str] = {}
    for line in (_read(Path("/proc/self/cgroup")) or "").splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            paths[name] = path
    parents: dict[str, Path] = {}
    for root, mount, kind, options in _mounts():
        if kind == "cgroup":
            for controller in _WANTED:
                if controller in options and controller in paths:
                    parent = _own(mount, root, paths[controller])
                    if _usable(parent):
                        parents[controller] = parent
    if "memory" in parents or "pids" in parents:
        return Groups("v1", parents)
    for root, mount, kind, _ in _mounts():
        if kind == "cgroup2" and "" in paths:
            own = _own(mount, root, paths[""])
            if own.name == f"{_PREFIX}host":
                own = own.parent
            if parent_v2 := _v2_parent(own):
                return Groups("v2", {"memory": parent_v2, "pids": parent_v2})
    return Groups("none", {}, "this user may not create control groups here")
