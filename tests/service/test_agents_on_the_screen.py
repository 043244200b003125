"""`outlay top` beside agents in the background: what is told, cancelled and set to work again by its keys."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_lab import lab
from textual.pilot import Pilot
from textual.widgets import Input, Static

from modelserver import Answer, Tool
from outlay.prices.book import load
from outlay.views.top.app import Top
from outlay.views.top.asking import Sure, Write


async def until(pilot: Pilot[None], true: Callable[[], object]) -> None:
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await pilot.pause(0.05)


def test_an_agent_is_told_something_cancelled_and_set_to_work_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(call):
        if "look again" in call.last:
            return Answer("", (Tool("ask", {"question": "how closely?"}),))
        if call.results and "very closely" in call.results[-1].content:
            return Answer("I looked again, very closely.")
        if "be brief" in call.last:
            return Answer("", (Tool("shell", {"command": "echo brief; sleep 600"}),))
        return Answer("", (Tool("shell", {"command": "sleep 0.2"}),))

    with lab(tmp_path, script) as it:
        it.start("ann", "work", "--role", "worker")
        for name in ("OUTLAY_HOME", "XDG_CONFIG_HOME", "OUTLAY_AGENT_IDLE_S"):
            monkeypatch.setenv(name, str(it.environment[name]))
        monkeypatch.delenv("OUTLAY_MODEL", raising=False)

        async def work() -> None:
            with it.ledger() as ledger:
                app = Top(ledger, load())
                async with app.run_test(size=(80, 24)) as pilot:

                    def state() -> str:
                        return app.picture.rows[0].state if app.picture and app.picture.rows else ""

                    def facts() -> str:
                        pane = app.query_one("#facts", Static)
                        return "\n".join(pane.render_line(y).text for y in range(pane.size.height))

                    async def write(text: str) -> None:
                        await pilot.press("m")
                        await until(pilot, lambda: isinstance(app.screen, Write) and isinstance(app.focused, Input))
                        app.screen.query_one(Input).value = text
                        await pilot.press("enter")

                    def heard(text: str) -> bool:
                        added = ledger.events(types=["message.added"])
                        return any(text.encode() in (event.payload or b"") for event in added)

                    await until(pilot, lambda: state() == "running" and app.chosen[0])
                    await write("be brief")
                    await until(pilot, lambda: heard("be brief"))
                    await pilot.press("c")
                    await until(pilot, lambda: isinstance(app.screen, Sure))
                    await pilot.press("y")
                    await until(pilot, lambda: state() == "cancelled")
                    await write("look again")
                    await until(pilot, lambda: "it asks: how closely?" in facts())
                    await write("very closely")
                    await until(pilot, lambda: state() == "done")
                    await pilot.press("p")
                    await until(pilot, lambda: isinstance(app.screen, Sure))
                    await pilot.press("y")
                    await until(pilot, lambda: any("cannot be paused" in note.message for note in app._notifications))

        asyncio.run(work())
        assert it.status("ann")["status"] == "done"
        assert it.is_whole()
