"""`outlay top` by keyboard and mouse: textual's own Pilot over ledgers of real and recorded runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from recorded_run import RUN, Recorder, start, whole
from textual.pilot import Pilot
from textual.widgets import Input, Static

from modelserver import Answer, Tool, serving
from outlay.agents.labels import decision, waiting
from outlay.cli.top import command
from outlay.errors import InputError
from outlay.ledger import Call, Entry, Ledger
from outlay.prices.book import load
from outlay.tokens import Usage
from outlay.views.top.app import Top
from outlay.views.top.asking import Approve, Help, Sure, Write
from outlay.views.top.dialog_view import DialogView
from outlay.views.top.pages import PAGE, Pages
from outlay.views.top.run_tree import RunTree
from project import ALL_TOOLS, Project

SMALL = (80, 24)
WIDE = (140, 40)


async def until(pilot: Pilot[None], true: Callable[[], object], timeout: float = 180) -> None:
    """Wait for what the screen is to show."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "\n".join(shown(pilot))
        await pilot.pause(0.02)


def shown(pilot: Pilot[None]) -> list[str]:
    """The lines of the tree, then those of the dialog, as they are on the screen."""
    app = pilot.app
    widgets = (app.screen_stack[0].query_one(RunTree), app.screen_stack[0].query_one(DialogView))
    return [widget.render_line(y).text.rstrip() for widget in widgets for y in range(widget.size.height)]


def has(pilot: Pilot[None], *words: str) -> bool:
    return any(all(word in line for word in words) for line in shown(pilot))


def drive(ledger: Ledger, work: Callable[[Pilot[None], Top], object], size: tuple[int, int] = SMALL, **chosen: str):
    async def driven() -> None:
        app = Top(ledger, load(), **chosen)
        async with app.run_test(size=size) as pilot:
            await work(pilot, app)  # type: ignore[misc]

    asyncio.run(driven())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State folder of a real run: a main agent that starts a helper, tools, a check that passes."""

    def script(call):
        if "help out" in call.task:
            return Answer("", (Tool("finish", {"answer": "helped"}),))
        if call.turn == 0:
            return Answer("I list the files.", (Tool("shell", {"command": "seq 30; printf '\\033[31mred'"}),))
        if call.turn == 1:
            agents = [{"name": "aid", "role": "helper", "task": "help out"}]
            return Answer("", (Tool("start", {"agents": agents, "wait": True}),))
        if call.turn == 2:
            return Answer("", (Tool("shell", {"command": "touch done.txt"}),))
        return Answer("", (Tool("finish", {"answer": "all done"}),))

    folder = tmp_path_factory.mktemp("played")
    with serving(script) as server:
        it = Project(folder, server.base_url("openai"))
        it.write_goal(
            team="team:\n  shape: lead\n  main: main\n  roles:\n"
            f"    - {{name: main, model: main, tools: {ALL_TOOLS}}}\n"
            "    - {name: helper, description: helps, model: main, tools: [read, write]}\n",
            more="limits: {usd: 2, turns: 50}\n",
            task="Make done.txt and say so. " + "Words. " * 400,
        )
        it.run("--name", "real-one")
    return it.home


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_a_real_run_is_looked_through_by_keyboard(played: Path, size: tuple[int, int]) -> None:
    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "real-one", "succeeded", "$") and has(pilot, "run succeeded"))
        await until(pilot, lambda: has(pilot, "main", "done", "turns") and has(pilot, "aid", "done"))
        await pilot.press("down")
        await until(pilot, lambda: has(pilot, "▸", "→ shell") and has(pilot, "ended"))
        assert app.chosen[1].endswith(":main")
        await pilot.press("enter", "home")
        await until(pilot, lambda: has(pilot, "▌▸", "task") and has(pilot, "more line"))
        view = app.query_one(DialogView)
        while "→ shell" not in view.entries[view.cursor].lines[0][0]:
            await pilot.press("down")
        await pilot.press("down")
        folded = view.virtual_size.height
        await pilot.press("enter")
        await until(pilot, lambda: has(pilot, "▌▾", "tool result shell"))
        await until(pilot, lambda: view.virtual_size.height >= folded + 30)
        assert not any("\x1b" in line for line in shown(pilot))
        await pilot.press("enter", "z")
        await until(pilot, lambda: view.size.height > size[1] - 12)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.focused, RunTree))

    with Ledger(played / "ledger.db") as ledger:
        drive(ledger, work, size)


def test_what_is_searched_is_found_in_all_sessions_of_the_run(played: Path) -> None:
    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "aid", "done"))
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.screen, Write) and isinstance(app.focused, Input))
        app.screen.query_one(Input).value = "HELPED"
        await pilot.press("enter")
        await until(pilot, lambda: app.hits and has(pilot, "»") | has(pilot, "▌"))
        sessions = {session for _, session, _ in app.hits}
        assert len(sessions) == 2, app.hits
        first = app.chosen
        for _ in app.hits:
            await pilot.press("n")
        await until(pilot, lambda: app.chosen == first)
        await pilot.press("N")
        await until(pilot, lambda: app.chosen != first)

    with Ledger(played / "ledger.db") as ledger:
        drive(ledger, work)


def test_the_mouse_chooses_and_unfolds(played: Path) -> None:
    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "aid", "done"))
        await pilot.click(RunTree, offset=(10, 2))
        await until(pilot, lambda: app.chosen[1].endswith("aid") and has(pilot, "ended"))
        view = app.query_one(DialogView)
        at = next(y for y in range(view.size.height) if "→ finish" in view.render_line(y).text)
        await pilot.click(DialogView, offset=(10, at))
        await pilot.click(DialogView, offset=(10, at))
        await until(pilot, lambda: has(pilot, "▌▾") and has(pilot, "tool call finish"))

    with Ledger(played / "ledger.db") as ledger:
        drive(ledger, work, WIDE)


def test_the_facts_say_money_limits_checks_context_and_rate(tmp_path: Path) -> None:
    recorder = start(tmp_path)

    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "nested-lists"))
        await pilot.press("down")
        await until(pilot, lambda: app.chosen[1])
        facts = app.query_one("#facts", Static)

        def told(*words: str) -> bool:
            lines = "\n".join(facts.render_line(y).text for y in range(facts.size.height))
            return all(word in lines for word in words)

        await until(pilot, lambda: told("$0.1260", "✗ tests failed: exit 1", "6 % of $2.00"))
        await until(pilot, lambda: told("context", "of 200k", "net tokens/min", "/h"))

    drive(recorder.ledger, work)


def test_help_lists_the_keys_and_goes_away(played: Path) -> None:
    async def work(pilot: Pilot[None], app: Top) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help))

    with Ledger(played / "ledger.db") as ledger:
        drive(ledger, work)


def test_a_release_is_approved_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    recorder = start(tmp_path)
    recorder._open(f"{RUN}:policy", "policy")
    head = {"id": "a1", "release": "summary", "to": "big", "session": "main", "call": "1", "sha256": "0" * 64}
    recorder.note(f"{RUN}:policy", "approval.asked", head, b"row \x1b[2J 7731")

    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "waits for approval a1"))
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Approve))
        assert "row \\x1b[2J 7731" in str(app.screen.query_one("#bytes", Static).render())
        await pilot.press("y")
        await until(pilot, lambda: decision(recorder.ledger, RUN, "a1"))
        await until(pilot, lambda: has(pilot, "a1 approved"))
        assert not waiting(recorder.ledger, RUN)

    drive(recorder.ledger, work)


def test_cancelling_asks_first_and_ends_a_run_that_nobody_works_on(tmp_path: Path) -> None:
    start(tmp_path).ledger.close()  # its lease ended long ago

    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "converter", "interrupted"))
        for answer in ("n", "y"):
            await pilot.press("c")
            await until(pilot, lambda: isinstance(app.screen, Sure))
            assert has(pilot, "converter", "interrupted")
            await pilot.press(answer)
            await until(pilot, lambda: not isinstance(app.screen, Sure))
        await until(pilot, lambda: has(pilot, "converter", "cancelled"))

    with Ledger(tmp_path / "ledger.db") as ledger:
        drive(ledger, work)
        assert ledger.rows("SELECT outcome FROM runs")[0]["outcome"] == "cancelled"


def test_what_cannot_be_done_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    recorder = whole(tmp_path)

    async def work(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: has(pilot, "converter", "succeeded"))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Sure))
        await pilot.press("y")
        await until(pilot, lambda: any("has ended: succeeded" in note.message for note in app._notifications))
        await pilot.press("a")
        await until(pilot, lambda: any("waits for approval" in note.message for note in app._notifications))

    drive(recorder.ledger, work)


def test_what_comes_while_it_is_watched_is_shown_and_followed(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    main = f"{RUN}:main"

    async def work(pilot: Pilot[None], app: Top) -> None:
        view = app.query_one(DialogView)
        await until(pilot, lambda: app.chosen[1] == main and view.entries)
        for n in range(40):
            recorder.note(main, "message.added", {"kind": "instructions"}, msgspec.json.encode(f"note {n}"))
        await until(pilot, lambda: has(pilot, "note 39"))
        await pilot.press("tab", "home")
        recorder.note(main, "message.added", {"kind": "instructions"}, b'"one more"')
        await until(pilot, lambda: "one more" in view.entries[-1].lines[1][0])
        assert view.cursor == 0 and view.scroll_offset.y == 0
        recorder.session("late", "scout", "small", main)
        await until(pilot, lambda: has(pilot, "late", "running"))

    drive(recorder.ledger, work, run=RUN, session=main)


def long_session(recorder: Recorder, turns: int) -> str:
    """A session with four events a turn."""
    main = recorder.session("main", "main", "main")
    call = Call(
        source="outlay", key="", run=RUN, session=main, agent="main", role="main", model="claude-sonnet-5-5",
        provider="anthropic", ended_ms=recorder.clock.now_ms(), usage=Usage(fresh=4, cache_read=20_000, output=300),
        quality="exact",
    )  # fmt: skip

    def write(t) -> None:
        entries = []
        for turn in range(turns):
            asked = {"type": "tool_call", "id": str(turn), "name": "shell", "arguments": '{"command":"make"}'}
            reply = {"role": "assistant", "parts": [{"type": "text", "text": f"Step {turn}."}, asked]}
            ran = {"call_id": str(turn), "name": "shell"}
            entries += [
                Entry("call.intent", {"model": "main", "attempt": 1}),
                Entry("call.result", {"key": f"{main}#{turn}", "stop": "tools"}, msgspec.json.encode(reply)),
                Entry("tool.intent", ran, b'{"command":"make"}'),
                Entry("tool.result", ran | {"is_error": False, "chars": 2500}, b"a line of output\n" * 150),
            ]
        t.append(RUN, main, recorder.epochs[main], entries)
        t.record_calls([msgspec.structs.replace(call, key=f"{main}#{turn}") for turn in range(turns)])

    recorder.ledger.write(write)
    return main


def test_a_session_of_20_000_events_opens_at_its_end_and_is_all_there_soon_after(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    main = long_session(recorder, 5000)
    pages = Pages(recorder.ledger, main)
    begun = time.process_time()
    assert 0 < len(pages.older()) < 2 * PAGE
    assert time.process_time() - begun < 1, "the first page alone is read before something is shown"

    async def work(pilot: Pilot[None], app: Top) -> None:
        view = app.query_one(DialogView)
        begun = time.process_time()
        await until(pilot, lambda: view.entries)
        print(f"a session of 20,000 events opened in {time.process_time() - begun:.2f} s of CPU")
        await until(pilot, lambda: len(view.entries) == 15_001)
        await until(pilot, lambda: has(pilot, "a line of output") and view.cursor == 15_000)
        await pilot.press("tab", "home")
        await until(pilot, lambda: has(pilot, "task"))
        begun = time.process_time()
        for key in ("pagedown", "pagedown", "down", "enter", "end", "home"):
            await pilot.press(key)
        assert time.process_time() - begun < 5
        await until(pilot, lambda: view.cursor == 0)

    drive(recorder.ledger, work, run=RUN, session=main)


def test_older_runs_are_listed_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlay.views.top.app.RUNS", 1)
    recorder = whole(tmp_path)
    recorder.ledger.write(
        lambda t: t.put("runs", id="old", name="older", goal_path="", workspace="", status="ended",
                        outcome="failed", started_ms=1, main="old:main")
    )  # fmt: skip

    async def work(pilot: Pilot[None], app: Top) -> None:
        tree = app.query_one(RunTree)
        await until(pilot, lambda: has(pilot, "1 older run") and has(pilot, "nested-lists"))
        await pilot.press("end")
        await until(pilot, lambda: tree.cursor_node is tree.root.children[-1])
        await pilot.press("enter")
        await until(pilot, lambda: has(pilot, "older", "failed"))

    drive(recorder.ledger, work)


def test_without_a_terminal_ledger_or_run_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    assert isinstance(CliRunner().invoke(command, []).exception, InputError)
    whole(tmp_path).ledger.close()
    for words, said in (([], "needs a terminal"), (["nope"], "no run 'nope'"), ([RUN, "--session", "x"], "no session")):
        assert said in str(CliRunner().invoke(command, words).exception)
