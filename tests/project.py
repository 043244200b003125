"""A project on disk, driven through the real command line against the scripted model server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outlay.ledger import Ledger, verify
from outlay.wires import codec

PRICE = "{input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6}"
ALL_TOOLS = "[read, write, edit, glob, grep, shell, todo, agents]"


class Project:
    """A goal file, its workspace and a ledger of their own."""

    def __init__(self, folder: Path, base_url: str, *, codec: str = "openai-chat") -> None:
        self.folder = folder
        self.home = folder / "state"
        self.workspace = folder / "workspace"
        self.workspace.mkdir(parents=True)
        self.model = f"{codec}:scripted-large@{base_url}"
        self.environment = os.environ | {"OUTLAY_HOME": str(self.home), "COLUMNS": "100", "NO_COLOR": "1"}
        self.goal = folder / "GOAL.md"

    def write_goal(self, *, check: str = "test -f done.txt", team: str = "", more: str = "", task: str = "go") -> None:
        """A goal with one model, one check and whatever else the test needs (YAML lines)."""
        team = team or f"team:\n  roles:\n    - {{name: main, model: main, tools: {ALL_TOOLS}}}\n"
        self.goal.write_text(
            f"---\nmodels:\n  main:\n    spec: {self.model}\n    price: {PRICE}\n{team}"
            f"checks:\n  - {{name: done, command: {json.dumps(check)}, timeout: 300s}}\n"
            f"workspace: {{path: workspace}}\n{more}---\n{task}\n"
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """`outlay ARGUMENTS` as a process of its own group."""
        return subprocess.Popen(
            [sys.executable, "-m", "outlay", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    def outlay(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """`outlay ARGUMENTS` to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"outlay {' '.join(arguments)} did not end\n{out}\n{err}") from None
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """`outlay run GOAL.md`, which must end with this exit code."""
        done = self.outlay("run", str(self.goal), "--plain", *arguments)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ledger(self) -> Ledger:
        return Ledger(self.home / "ledger.db")

    def calls(self) -> list[Any]:
        with self.ledger() as ledger:
            return list(ledger.calls())

    def events(self, *types: str, stream: str | None = None) -> list[Any]:
        with self.ledger() as ledger:
            return list(ledger.events(stream, types=types))

    def run_row(self) -> dict[str, Any]:
        with self.ledger() as ledger:
            return ledger.rows("SELECT * FROM runs ORDER BY started_ms DESC")[0]

    def sessions(self) -> dict[str, dict[str, Any]]:
        with self.ledger() as ledger:
            return {row["name"]: row for row in ledger.rows("SELECT * FROM sessions ORDER BY id")}

    def chain_is_whole(self) -> bool:
        with self.ledger() as ledger:
            return verify(ledger).problems == []


def until(true: Callable[[], Any], timeout: float = 120) -> Any:
    """Wait for a condition of the outside world."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def prefix_holds(records: list[dict[str, Any]]) -> bool:
    """Whether each request extends the one before it in its conversation, byte for byte (what follows the messages
    may vary from call to call)."""
    before: dict[str, bytes] = {}
    for record in records:
        body = record["body"].encode()
        if not body.startswith(before.get(record["conversation"], b"")):
            return False
        before[record["conversation"]] = body[: codec(record["wire"]).prefix_length(body)]
    return True
