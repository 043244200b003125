"""What Outlay's loop costs: CPU per turn and memory per session, beside pydantic-ai's Agent and a bare loop.

Every measurement is a process of its own against a scripted model server of its own, so that only the loop's CPU is
counted. Nothing leaves this machine; the peers' virtualenv is made on first use.

    python benchmarks/loop/measure.py            # everything, about 10 minutes
    python benchmarks/loop/measure.py --quick    # 1 and 20 sessions, under a minute
    python benchmarks/loop/measure.py --json loop.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from job import WARM_TURNS, Job
from prompt import READER, fixed, openai_tools, sizes

from outlay.ledger import Ledger, verify

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
PEERS = HERE.parent / ".venv-peers"
NOTE_CHARS = 1_500
Rows = tuple[tuple[int, int, int], ...]
"""Sessions, turns of each, repeats."""
FULL: Rows = ((1, 30, 5), (100, 30, 3), (1_000, 10, 1))
QUICK: Rows = ((1, 30, 3), (20, 30, 1))
LONG: Rows = ((1_000, 30, 1),)
"""The peer would need too long for it: measured for the others only."""


@dataclass(frozen=True)
class Loop:
    """A loop under measurement."""

    name: str
    script: str
    peer: bool = False
    """Runs in the peers' virtualenv."""
    streamed: bool = True


LOOPS = (
    Loop("outlay", "ours.py"),
    Loop("pydantic-ai", "peer_pydantic_ai.py", peer=True, streamed=False),
    Loop("pydantic-ai, streamed", "peer_pydantic_ai.py", peer=True),
    Loop("bare aiohttp + msgspec", "bare.py"),
)


@dataclass(frozen=True)
class Cell:
    """Medians of the repeats of one loop with so many sessions."""

    loop: str
    sessions: int
    turns: int
    repeats: int
    cpu_ms_per_turn: float
    """User and system mode together."""
    system_ms_per_turn: float
    lowest_cpu_ms_per_turn: float
    highest_cpu_ms_per_turn: float
    peak_rss_mib: float
    kib_per_session: float | None
    """(peak with so many sessions - peak with 1) / (sessions - 1); None with 1 session."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 20 sessions, few repeats")
    parser.add_argument("--prompt", action="store_true", help="only the size of the fixed prompt")
    parser.add_argument("--only", help="only loops whose name begins with this, such as outlay")
    parser.add_argument("--sessions", type=int, action="append", help="only rows of this many sessions; repeatable")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too; - for the standard output only")
    options = parser.parse_args(arguments)
    loops = [loop for loop in LOOPS if loop.name.startswith(options.only or "")]
    if not loops:
        parser.error(f"no loop begins with {options.only!r}; there are {', '.join(loop.name for loop in LOOPS)}")
    out = sys.stderr if options.json == "-" else sys.stdout
    figures: dict[str, Any] = {"prompt": [asdict(size) for size in sizes()]}
    if not options.prompt:
        rows = QUICK if options.quick else FULL
        long = () if options.quick else LONG
        if options.sessions:
            rows = tuple(row for row in rows if row[0] in options.sessions)
            long = tuple(row for row in long if row[0] in options.sessions)
        figures["machine"] = _machine()
        figures["loops"] = [asdict(cell) for cell in _cells(loops, rows, long)]
        print(_loop_table(figures["loops"]), file=out)
    print(_prompt_table(figures["prompt"]), file=out)
    if options.json:
        text = json.dumps(figures, indent=1)
        print(text) if options.json == "-" else Path(options.json).write_text(text + "\n")
    too_long = [size for size in figures["prompt"] if size["tokens"] >= size["limit_tokens"]]
    return 1 if too_long else 0


# ---- measuring


def _cells(loops: Sequence[Loop], rows: Rows, long: Rows) -> list[Cell]:
    if any(loop.peer for loop in loops):
        _make_peers()
    cells: list[Cell] = []
    alone: dict[str, float] = {}
    for sessions, turns, repeats, who in [
        *((*row, loops) for row in rows),
        *((*row, [loop for loop in loops if not loop.peer]) for row in long),
    ]:
        found: dict[str, list[dict[str, float]]] = {loop.name: [] for loop in who}
        for _ in range(repeats):
            for loop in who:  # in turns, so that what else the machine does hits all of them
                found[loop.name].append(_measure(loop, sessions, turns))
        for name, measured in found.items():
            cells.append(_cell(name, sessions, turns, measured, alone))
            print(f"measured {name}, {sessions} x {turns}", file=sys.stderr)
    return cells


def _cell(name: str, sessions: int, turns: int, measured: list[dict[str, float]], alone: dict[str, float]) -> Cell:
    per_turn = [1000 * (m["user_s"] + m["system_s"]) / sessions / turns for m in measured]
    system = statistics.median(1000 * m["system_s"] / sessions / turns for m in measured)
    peak = statistics.median(m["peak_rss_kib"] for m in measured)
    if sessions == 1:
        alone[name] = peak
    each = (peak - alone[name]) / (sessions - 1) if sessions > 1 and name in alone else None
    middle = statistics.median(per_turn)
    return Cell(name, sessions, turns, len(measured), middle, system, min(per_turn), max(per_turn), peak / 1024, each)


def _measure(loop: Loop, sessions: int, turns: int) -> dict[str, float]:
    """One process of its own; its turns must be those that the server counted."""
    system, tools = fixed(READER, main=False, leads=False)
    with tempfile.TemporaryDirectory(prefix="loop-") as name:
        folder = Path(name)
        _write_notes(folder, turns)
        with _server(folder) as base_url:
            job = Job(base_url, sessions, turns, system, openai_tools(tools), name)
            (folder / "job.json").write_text(json.dumps(asdict(job)))
            environment = {"PATH": os.environ["PATH"], "HOME": name, "OUTLAY_HOME": str(folder / "home")}
            environment |= {"PYTHONPATH": str(REPOSITORY / "src")} if not loop.peer else {}
            environment |= {"LOOP_STREAMED": "1"} if loop.streamed else {}
            python = PEERS / "bin" / "python" if loop.peer else sys.executable
            done = subprocess.run(
                [python, HERE / loop.script, folder / "job.json"], env=environment, capture_output=True, text=True
            )
        if done.returncode:
            raise SystemExit(f"{loop.name}, {sessions} sessions: exit {done.returncode}\n{done.stderr[-4000:]}")
        calls = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
        whole = sum(call["outcome"] == "whole" and call["stream"] == loop.streamed for call in calls)
        if whole != len(calls) or whole != sessions * turns + WARM_TURNS:
            raise SystemExit(f"{loop.name}, {sessions} sessions: {whole} of {len(calls)} calls as expected")
        if loop.name == "outlay":
            _check_ledger(folder / "ledger.db", calls)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _check_ledger(path: Path, calls: list[dict[str, Any]]) -> None:
    """Our side must have done its whole work: every call in the ledger with the server's counters, the chain whole."""
    with Ledger(path) as ledger:
        verdict = verify(ledger)
        row = ledger.rows("SELECT count(*) AS calls, sum(fresh) AS fresh, sum(output) AS output FROM calls")[0]
    billed = {name: sum(call["billed"][name] for call in calls) for name in ("fresh", "output")}
    if verdict.problems or row != {"calls": len(calls)} | billed:
        raise SystemExit(f"the ledger does not hold what the server counted: {row}, {verdict.problems[:3]}")


def _write_notes(folder: Path, turns: int) -> None:
    notes = folder / "workspace" / "notes"
    notes.mkdir(parents=True)
    line = "The {}th line of the {}th note says what a line of a small source file says: not much.\n"
    for number in range(turns):
        text = "".join(line.format(at, number) for at in range(100))[: NOTE_CHARS - 1]
        (notes / f"{number}.txt").write_text(text + "\n")


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    """The scripted model server as a process of its own; its base URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "modelserver", "--log", folder / "truth.jsonl"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "tests")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"] + "/v1"
    finally:
        server.terminate()
        server.wait(30)


def _make_peers() -> None:
    """The peers' virtualenv, as `peers.txt` says; brought up to date when that file has changed."""
    wanted, done = HERE / "peers.txt", PEERS / "installed.txt"
    if done.exists() and done.read_text() == wanted.read_text():
        return
    print(f"making {PEERS.relative_to(REPOSITORY)} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
    subprocess.run(
        [PEERS / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
        check=True,
    )
    done.write_text(wanted.read_text())


def _machine() -> dict[str, str]:
    """What was measured on; the peers' versions only where they are installed (`--only outlay` needs none)."""
    python = PEERS / "bin" / "python"
    versions = {}
    if python.exists():
        command = [python, "-m", "pip", "list", "--format", "json"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        versions = {row["name"]: row["version"] for row in json.loads(listed.stdout)}
    names = ("pydantic-ai-slim", "openai")
    return {"python": platform.python_version(), "cpus": str(os.cpu_count())} | {
        name: versions[name] for name in names if name in versions
    }


# ---- showing


def _loop_table(cells: list[dict[str, Any]]) -> str:
    lines = [f"{'sessions':>8} {'turns':>5}  {'loop':24} {'CPU ms/turn':>11} {'lowest-highest':>15} "
             f"{'system':>6} {'x outlay':>8} {'KiB/session':>11} {'peak MiB':>8} {'of':>2}"]  # fmt: skip
    for cell in cells:
        ours = next(
            (c["cpu_ms_per_turn"] for c in cells
             if c["loop"] == "outlay" and (c["sessions"], c["turns"]) == (cell["sessions"], cell["turns"])),
            None,
        )  # fmt: skip
        ratio = f"{cell['cpu_ms_per_turn'] / ours:.2f}" if ours else "-"
        each = "-" if cell["kib_per_session"] is None else f"{cell['kib_per_session']:.0f}"
        spread = f"{cell['lowest_cpu_ms_per_turn']:.2f}-{cell['highest_cpu_ms_per_turn']:.2f}"
        head = f"{cell['sessions']:>8,} {cell['turns']:>5}  {cell['loop']:24} {cell['cpu_ms_per_turn']:>11.2f}"
        memory = f"{each:>11} {cell['peak_rss_mib']:>8.0f} {cell['repeats']:>2}"
        lines.append(f"{head} {spread:>15} {cell['system_ms_per_turn']:>6.2f} {ratio:>8} {memory}")
    return "\n".join(lines) + "\n"


def _prompt_table(found: list[dict[str, Any]]) -> str:
    lines = [f"{'fixed prompt':12} {'wire':17} {'system':>6} {'request':>7} {'tokens':>6} {'limit':>6}"]
    lines += [
        f"{size['agent']:12} {size['wire']:17} {size['system_chars']:>6,} {size['request_chars']:>7,} "
        f"{size['tokens']:>6,} {size['limit_tokens']:>6,}"
        for size in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
