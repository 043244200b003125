"""What the start of a confined command costs, beside bubblewrap alone with the same view of the system.

    python benchmarks/sandbox.py [--repeats 100] [--json]

CPU is what the children used (getrusage) plus, for the sandbox, what this process used for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from outlay.sandbox.landlock import landlock_version, open_landlock
from outlay.sandbox.probe import find_program, open_sandbox
from outlay.sandbox.types import Command
from outlay.sandbox.workspace import Hub

_PLAIN = "--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64"
_KERNEL = "--proc /proc --dev /dev --tmpfs /tmp"
# Without --as-pid-1 the work of bubblewrap's own process 1 would be in nobody's account.
_NAMESPACES = "--unshare-all --die-with-parent --new-session --as-pid-1"


def cpu_s() -> float:
    """CPU seconds of this process and its ended children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measure(work: Callable[[], None], repeats: int) -> tuple[float, float]:
    """Milliseconds of CPU (mean) and of wall time (median) of one call."""
    work()
    walls, began = [], cpu_s()
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        walls.append(time.perf_counter() - start)
    return (cpu_s() - began) / repeats * 1000, statistics.median(walls) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outlay-benchmark-") as folder:
        rows = _rows(Path(folder), options.repeats)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'':<42}{'CPU ms':>8}{'wall ms':>9}{'CPU x':>7}")
    plain = rows["plain bubblewrap"]["cpu_ms"]
    for name, row in rows.items():
        print(f"{name:<42}{row['cpu_ms']:>8.2f}{row['wall_ms']:>9.2f}{row['cpu_ms'] / plain:>7.2f}")


def _rows(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    workspace = folder / "workspace"
    workspace.mkdir()
    bwrap = [
        str(find_program()),
        *_PLAIN.split(),
        *_KERNEL.split(),
        "--bind",
        str(workspace),
        "/workspace",
        "--chdir",
        "/workspace",
    ]
    sandbox = open_sandbox(folder)
    loop = asyncio.new_event_loop()
    command = Command(("true",), workspace)
    rows = {}

    def row(name: str, work: Callable[[], None], count: int = repeats) -> None:
        cpu_ms, wall_ms = measure(work, count)
        rows[name] = {"cpu_ms": cpu_ms, "wall_ms": wall_ms}

    row("plain bubblewrap", lambda: _run([*bwrap, *_NAMESPACES.split(), "true"]))
    row("strict sandbox", lambda: _ignore(loop.run_until_complete(sandbox.run(command))))
    if landlock_version():
        basic = open_landlock()
        row("basic sandbox (Landlock)", lambda: _ignore(loop.run_until_complete(basic.run(command))))
        basic.close()

    async def fifty() -> None:
        await asyncio.gather(*(sandbox.run(command) for _ in range(50)))

    row("50 strict sandboxes at once", lambda: loop.run_until_complete(fifty()), max(1, repeats // 25))
    source = folder / "source"
    source.mkdir()
    for number in range(700):
        (source / f"file{number}.txt").write_text(f"{number}\n" * 100)
    (folder / "run").mkdir()
    hub = loop.run_until_complete(Hub.create(sandbox, folder / "run", source))
    names = iter(range(10**9))
    row("checkout of 700 files", lambda: _ignore(loop.run_until_complete(hub.checkout(f"s{next(names)}", hub.base))), 5)
    changed = loop.run_until_complete(hub.checkout("main", hub.base)) / "file1.txt"

    def snapshot() -> None:
        changed.write_text(f"{next(names)}")
        loop.run_until_complete(hub.snapshot("main"))

    row("snapshot, one file changed", snapshot, 20)
    row("snapshot, nothing changed", lambda: _ignore(loop.run_until_complete(hub.snapshot("main"))), 20)
    row("restore", lambda: loop.run_until_complete(hub.restore("main", hub.base)), 20)
    sandbox.close()
    loop.close()
    return rows


def _run(argv: list[str]) -> None:
    subprocess.run(argv, check=True)


def _ignore(_: object) -> None:
    pass


if __name__ == "__main__":
    main()
