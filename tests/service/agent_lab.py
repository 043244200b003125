"""A project whose agents are worked on by a real worker, against the scripted model server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from modelserver import Script, serving
from outlay.cli.agent import command
from outlay.ledger import Ledger, verify
from project import until

PRICE = "price = {input = 3, output = 15, cache_read = 0.3}"


def _is_gone(pid: int) -> bool:
    """Whether a process has ended: one on its way out has already lost its command line."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class AgentLab:
    """`outlay agent` in a folder of its own, with a state folder of its own."""

    def __init__(
        self,
        folder: Path,
        base_url: str,
        *,
        concurrent: int = 8,
        key_env: str = "",
        model: str = "openai-chat:scripted-large",
    ) -> None:
        self.folder = folder / "project"
        (self.folder / ".git").mkdir(parents=True)
        self.home = folder / "state"
        config = folder / "config" / "outlay"
        config.mkdir(parents=True)
        config.joinpath("agents.toml").write_text(
            f'model = "main"\nconcurrent = {concurrent}\n'
            f'[models.main]\nspec = "{model}@{base_url}"\n{PRICE}\n' + (f'key_env = "{key_env}"\n' if key_env else "")
        )
        self.environment: dict[str, str | None] = os.environ | {
            "OUTLAY_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "OUTLAY_AGENT_IDLE_S": "600",  # a test that wants the worker's end says so
            "NO_COLOR": "1",
            "COLUMNS": "150",
        }
        self.environment["OUTLAY_MODEL"] = None

    def agent(self, *arguments: str, code: int | None = 0, stdin: str | None = None) -> dict[str, Any]:
        """The line of JSON that `outlay agent ARGUMENTS` prints, with this exit code (None: any). The command runs in
        this process, which saves its start; the worker is a process of its own."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            done = CliRunner().invoke(command, arguments, input=stdin, env=self.environment)
        finally:
            os.chdir(before)
        said = f"exit {done.exit_code}\n{done.stdout}\n{done.stderr}\n{done.exception!r}"
        assert code is None or done.exit_code == code, said
        lines = done.stdout.splitlines()
        assert len(lines) == 1, said
        told: dict[str, Any] = json.loads(lines[0])
        return told

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "outlay", *arguments],
            cwd=self.folder,
            env={key: value for key, value in self.environment.items() if value is not None},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, name: str, prompt: str, *more: str) -> dict[str, Any]:
        found: dict[str, Any] = self.agent("start", "--name", name, *more, prompt)["agent"]
        return found

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.agent("status", name)["agents"][0]
        return found

    def refused(self, *arguments: str) -> str:
        """The code of a command that cannot be done."""
        told = self.agent(*arguments, code=2)
        assert told["ok"] is False and told["error"]
        return str(told["code"])

    def ledger(self) -> Ledger:
        return Ledger(self.home / "ledger.db")

    def calls(self) -> list[Any]:
        with self.ledger() as ledger:
            return list(ledger.calls())

    # ---- processes

    def processes(self) -> dict[str, list[int]]:
        """Live keepers and workers of this lab's state folder."""
        told: dict[int, tuple[bytes, int]] = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes()
                words = command.split(b"\0")
                if b"worker" not in words or b"agent" not in words:
                    continue
                home = f"OUTLAY_HOME={self.home}".encode()
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX" and home in (folder / "environ").read_bytes().split(b"\0"):
                    told[int(folder.name)] = (command, int(parent))
        found: dict[str, list[int]] = {"keeper": [], "worker": []}
        for pid, (command, parent) in told.items():
            if told.get(parent, (b"",))[0] != command:  # a child that is about to be another program
                found["worker" if b"--serve" in command.split(b"\0") else "keeper"].append(pid)
        return found

    def holds(self, who: str) -> bool:
        """Whether a keeper, or a worker, has come so far as to hold its lock."""
        with (self.home / "service" / f"{who}.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def kill(self, *whom: str) -> None:
        """kill -9 of the keeper, the worker, or both, once they live. Both at one moment: neither starts the other."""
        pids = [pid for who in whom for pid in until(lambda who=who: self.processes()[who])]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        for pid in pids:
            until(lambda pid=pid: _is_gone(pid))

    def end(self) -> None:
        """Nothing of this lab stays behind."""

        def all_gone() -> bool:
            pids = [pid for each in self.processes().values() for pid in each]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not pids  # until then: each of the two may just have started the other

        until(all_gone)

    def is_whole(self) -> bool:
        with self.ledger() as ledger:
            return verify(ledger).problems == []


@contextmanager
def lab(folder: Path, script: Script, *, wire: str = "openai", **options: Any) -> Iterator[AgentLab]:
    with serving(script, keep_bodies=True) as server:
        it = AgentLab(folder, server.base_url(wire), **options)
        try:
            yield it
        finally:
            it.end()
