"""Many agents in the background at once: memory per session, time of a status of all, what a cancel leaves.

Every session is in the middle of a model call that does not end; the worker is the real one, in a process of its own.

    python benchmarks/service.py [--sessions 500] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASK = "[[tool=glob pattern=* delay_s=86400]] wait"
LONGEST_S = 300.0


def rss_kb(pid: int) -> int:
    """Resident memory of a process, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def processes(home: str) -> list[int]:
    """Live processes, our own left out, whose state folder is `home`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if not dead and f"OUTLAY_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


async def measure(folder: Path, sessions: int) -> dict[str, float]:
    """The figures. Raises AssertionError when something does not happen in time."""
    from outlay import Client

    async with Client(folder) as client:
        first = await client.start(TASK, role="scout", name="first")
        pid = (await until(client, ["first"]))[0].pid
        before = rss_kb(pid)
        begun = time.monotonic()
        names = [f"a{number}" for number in range(sessions)]
        for name in names:
            await client.start(TASK, role="scout", name=name)
        started_s = time.monotonic() - begun
        await until(client, names)
        await asyncio.sleep(2)
        after = rss_kb(pid)
        status_ms = []
        for _ in range(5):
            cpu = time.process_time()
            assert len(await client.status()) == sessions + 1
            status_ms.append((time.process_time() - cpu) * 1000)
        ticks = worker_ticks(pid)
        await asyncio.sleep(5)
        idle_percent = (worker_ticks(pid) - ticks) / os.sysconf("SC_CLK_TCK") / 5 * 100
        cpu = time.process_time()
        begun = time.monotonic()
        ended = await client.cancel(wait_s=LONGEST_S)
        cancel_s = time.monotonic() - begun
        assert {agent.status for agent in ended} == {"cancelled"}, "not all were cancelled"
        assert first.name == "first"
    return {
        "sessions": sessions,
        "memory_per_session_kb": (after - before) / sessions,
        "worker_mb": after / 1024,
        "status_of_all_cpu_ms": min(status_ms),
        "start_ms_each": started_s / sessions * 1000,
        "worker_cpu_percent_while_all_wait": idle_percent,
        "cancel_all_s": cancel_s,
    }


def worker_ticks(pid: int) -> int:
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(facts[11]) + int(facts[12])


async def until(client, names):
    """The agents, once all of them are in a model call."""
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        agents = await client.status(names)
        if all(agent.status == "running" and agent.doing == "thinking" for agent in agents):
            return agents
        await asyncio.sleep(0.5)
    raise AssertionError("the agents did not begin in time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        server = subprocess.Popen(
            [sys.executable, "-m", "modelserver"], cwd=HERE.parent / "tests", stdout=subprocess.PIPE, text=True
        )
        try:
            url = json.loads(server.stdout.readline())["url"]
            (folder / "config" / "outlay").mkdir(parents=True)
            (folder / "config" / "outlay" / "agents.toml").write_text(
                f'concurrent = {options.sessions + 1}\nmodel = "openai-chat:scripted-large@{url}/v1"\n'
            )
            home = str(folder / "state")
            os.environ |= {"OUTLAY_HOME": home, "XDG_CONFIG_HOME": str(folder / "config"), "OUTLAY_AGENT_IDLE_S": "1"}
            project = folder / "project"
            project.mkdir()
            try:
                figures = asyncio.run(measure(project, options.sessions))
                end = time.monotonic() + 60
                while processes(home) and time.monotonic() < end:
                    time.sleep(0.2)
                figures["processes_left"] = len(processes(home))
            finally:
                for pid in processes(home):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        finally:
            server.kill()
            server.wait()
    if options.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:36} {value:10.1f}")


if __name__ == "__main__":
    main()
