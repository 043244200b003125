"""`outlay top` in a terminal of tmux, beside a run that works."""

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelserver import Answer, Tool, serving
from project import Project, until

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A terminal of 80 x 24 in which one command runs."""

    def __init__(self, it: Project, *command: str) -> None:
        self._tmux = ["tmux", "-L", f"outlay-{uuid.uuid4().hex[:12]}", "-f", os.devnull]
        settings = [f"OUTLAY_HOME={it.home}", "NO_COLOR=1", "TERM=screen-256color", "LC_ALL=C.UTF-8"]
        words = ["env", *settings, sys.executable, "-m", "outlay", *command]
        # The shell stays, so that what the command leaves behind can be read.
        line = " ".join(words) + "; echo left with $?; exec sleep 600"
        environment = {key: value for key, value in os.environ.items() if key != "TMUX"}
        start = ["-u", "new-session", "-d", "-x", "80", "-y", "24", "sh", "-c", line]
        subprocess.run([*self._tmux, *start], cwd=it.folder, env=environment, check=True, timeout=120)

    def text(self, *options: str) -> str:
        shown = [*self._tmux, "capture-pane", "-p", *options]
        return subprocess.run(shown, capture_output=True, text=True, check=True, timeout=120).stdout

    def press(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *keys], check=True, timeout=120)

    def until(self, *words: str) -> str:
        """The screen once all of these words are on it."""
        seen = ""

        def there() -> bool:
            nonlocal seen
            seen = self.text()
            return all(word in seen for word in words)

        try:
            until(there, timeout=240)
        except AssertionError:
            raise AssertionError(f"not on the screen: {words}\n{seen}") from None
        return seen

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True, timeout=120)


@contextmanager
def terminal(it: Project, *command: str) -> Iterator[Terminal]:
    opened = Terminal(it, *command)
    try:
        yield opened
    finally:
        opened.end()


def test_a_live_run_is_watched_and_cancelled_from_the_terminal(tmp_path: Path) -> None:
    def script(call):
        return Answer(f"Step {call.turn}.", (Tool("shell", {"command": f"echo turn {call.turn}; sleep 1.5"}),))

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="limits: {usd: 50, turns: 50000}\n")
        run = it.start("run", str(it.goal), "--plain", "--name", "steady")
        try:
            until(
                lambda: it.home.exists() and (it.home / "ledger.db").exists() and it.events("tool.result"), timeout=240
            )
            with terminal(it, "top") as screen:
                shown = screen.until("steady", "running", "1 at work", "limits", "net tokens/min", "main")
                assert all(len(line) <= 80 for line in shown.splitlines())
                screen.press("Down")
                screen.until("→ shell", "▸", "context")
                later = max(int(event.head["tokens"]) for event in it.events("call.result"))
                until(lambda: max(int(event.head["tokens"]) for event in it.events("call.result")) > later, timeout=240)
                colours = {int(n) for n in re.findall(r"[34]8;5;(\d+)", screen.text("-e"))}
                assert all(n in (0, 7, 8, 15, 16, 231) or n >= 232 for n in colours), f"NO_COLOR: greys only, {colours}"
                screen.press("?")
                screen.until("MOVING", "STEERING", "a message", "» found", "▸ more to unfold")
                screen.press("q")
                until(lambda: "STEERING" not in screen.text(), timeout=240)
                assert it.run_row()["status"] == "running"
                screen.press("c")
                screen.until("Cancel steady?")
                screen.press("y")
                screen.until("none at work", "cancelled")
                screen.press("q")
                screen.until("left with 0")
            assert run.wait(180) == 4
            assert it.run_row()["outcome"] == "cancelled"
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
        assert it.chain_is_whole()
