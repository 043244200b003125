"""What every grouping of `outlay usage` costs over many calls, in CPU seconds of a whole process.

python benchmarks/usage_queries.py --calls 100000
python benchmarks/usage_queries.py --calls 10000000     (makes a ledger of 2 GB first; takes minutes)
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from outlay.economics.usage import GROUPINGS
from outlay.ledger import Ledger, Transaction
from outlay.ledger import calls as table

MODELS = ["claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "gpt-5.2-codex"]
TOOLS = ["", "Bash", "Read", "Edit", "Bash,Read", "Grep", "Task"]
CALLS_PER_SESSION = 200


def rows(calls: int, seed: int, ids: table.Ids, tx: Transaction) -> Iterator[tuple[object, ...]]:
    """Calls of sessions with subagents, over two years."""
    r = random.Random(seed)
    services = [ids.service(tx.conn, table.Service(m, "", "openai" if "gpt" in m else "anthropic")) for m in MODELS]
    tools = [ids.toolset(tx.conn, names) for names in TOOLS]
    first = 1_735_689_600_000
    for n in range(calls):
        if n % CALLS_PER_SESSION == 0:
            session, project = f"{seed}-{n:012d}", f"/home/dev/project{r.randint(1, 40)}"
            main = ids.caller(
                tx.conn, table.Caller("claude", "", None, session, session, None, "main", "main", project, session)
            )
            subs = []
            for agent in (f"a{n:09d}", f"b{n:09d}"):
                name = f"{session}/{agent}"
                caller = table.Caller("claude", "", None, session, name, session, agent, "Explore", project, name)
                subs.append(ids.caller(tx.conn, caller))
        ended = first + n * (2 * 365 * 86_400_000 // calls)
        yield (
            "claude", f"msg_{n:012d}", main if n % 4 else subs[n // 4 % 2], services[r.randrange(4)],
            tools[r.randrange(7)], ended, r.randrange(900), r.randrange(165_000), r.randrange(5000), 0,
            r.randrange(3000), 0, 0, 0, n, 0, None,
        )  # fmt: skip


def fill(path: Path, calls: int) -> None:
    """A ledger with so many calls."""
    with Ledger(path) as ledger:
        ids = table.Ids()
        columns = ", ".join(table.COPY)
        insert = f"INSERT INTO call_facts ({columns}) VALUES ({', '.join('?' * len(table.COPY))})"

        def work(tx: Transaction) -> None:
            tx.conn.execute("PRAGMA cache_size = -262144")
            tx.conn.executemany(insert, rows(calls, 1, ids, tx))

        ledger.write(work)


def cpu(command: list[str], env: dict[str, str]) -> float:
    """CPU seconds of a command and its children, without the answers that were kept."""
    shutil.rmtree(Path(env["OUTLAY_HOME"]) / "ledger.db.answers", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="keep the ledger here and use it again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "ledger.db").exists():
            started = time.process_time()
            fill(home / "ledger.db", arguments.calls)
            print(f"made a ledger of {arguments.calls:,} calls in {time.process_time() - started:.1f} CPU s")
        env = {**os.environ, "OUTLAY_HOME": str(home)}
        base = [str(Path(sys.executable).with_name("outlay")), "usage", "--no-read"]
        print(
            f"first question: {cpu([*base, '--total'], env):.2f} CPU s (makes the columnar copy where there are many)"
        )
        for by in ("total", *GROUPINGS):
            command = [*base, "--total"] if by == "total" else [*base, "--by", by]
            print(f"{by:<8} {min(cpu(command, env) for _ in range(3)):.3f} CPU s")


if __name__ == "__main__":
    main()
