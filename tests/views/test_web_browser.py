"""The window in a real browser: a live run watched and cancelled by keyboard, every page checked for accessibility,
a long session, charts taken along."""

import asyncio
import csv
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from recorded_run import RUN, Recorder, whole

from browser import PATIENCE_MS, browser, chromium, needs_chromium, tab_to, visit, window
from modelserver import Answer, Call, Tool, serving
from outlay.ledger import Call as LedgerCall
from outlay.ledger import Entry
from outlay.tokens import Usage
from pinned_programs import needs_npm, program
from project import Project

pytestmark = needs_chromium


def session_path(name: str) -> str:
    return f"/sessions/{quote(f'{RUN}:{name}', safe='')}"


@pytest.mark.slow
def test_a_live_run_is_watched_and_cancelled_by_keyboard_alone(tmp_path: Path) -> None:
    gate, over = threading.Event(), threading.Event()

    async def script(call: Call) -> Answer:
        if call.turn == 0:
            return Answer("Let me look.", (Tool("shell", {"command": "echo seen from afar"}),))
        while (call.turn == 2 and not gate.is_set()) or (call.turn == 4 and not over.is_set()):
            await asyncio.sleep(0.05)
        return Answer("And again.", (Tool("shell", {"command": "echo once more"}),))

    async def watch(link: str, it: Project) -> None:
        async with browser(link) as page:
            await page.get_by_text("There are no runs in this ledger yet").wait_for()
            run = it.start("run", str(it.goal), "--plain", "--name", "watched")
            await page.get_by_role("link", name="watched").wait_for()  # it appears by itself
            await tab_to(page, "watched")
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", level=1, name="watched").wait_for()
            await page.wait_for_function("document.activeElement.textContent.trim() === 'watched'")
            await page.get_by_text("2 turns").first.wait_for()
            await tab_to(page, "main")
            await page.keyboard.press("Enter")
            await page.get_by_text("Let me look.").wait_for()
            gate.set()
            await page.get_by_text("And again.").nth(1).wait_for()  # the dialog grows by itself
            await tab_to(page, "watched")
            await page.keyboard.press("Enter")
            await tab_to(page, "Cancel …")
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Cancel watched?").wait_for()
            await tab_to(page, "Cancel it")
            await page.keyboard.press("Enter")
            await page.get_by_text("Now: cancelled.").wait_for()
            await page.get_by_role("group").get_by_text("Go on with it").wait_for()
            assert await asyncio.to_thread(run.wait, 180) == 4
            run.communicate()

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        try:
            with window(it.home) as told:
                asyncio.run(watch(told["link"], it))
        finally:
            over.set()
    assert it.run_row()["outcome"] == "cancelled"


PAGES = {
    "runs": "/",
    "run": f"/runs/{RUN}",
    "money": f"/runs/{RUN}/money",
    "timeline": f"/runs/{RUN}/timeline",
    "rules": f"/runs/{RUN}/rules",
    "events": f"/runs/{RUN}/events",
    "session": session_path("main"),
    "calls": f"/calls?run={RUN}",
    "audit": f"/audit?key={quote(f'{RUN}:main#2', safe='')}",
    "compare": f"/compare?a={RUN}&b={RUN}",
    "usage": "/usage?by=model",
}


_COMPLAINTS = "r => r.violations.map(v => `${v.id}: ${v.nodes[0].html.slice(0, 200)}`)"


@needs_npm
@pytest.mark.slow
def test_axe_finds_nothing_to_complain_about_on_any_page_in_light_and_dark(tmp_path: Path) -> None:
    whole(tmp_path).ledger.close()
    axe = program("axe").read_text()

    async def look(told: dict[str, str]) -> dict[str, list[str]]:
        found = {}
        async with browser(told["link"], color_scheme="light", reduced_motion="reduce") as page:
            for name, path in PAGES.items():
                await page.emulate_media(color_scheme="light")
                await visit(page, told["url"] + path)
                assert await page.get_by_text("This cannot be shown").count() == 0, name
                if name in ("money", "timeline", "session"):
                    await page.locator("figure svg").first.wait_for()
                    await page.get_by_text("As a table").first.click()
                await page.evaluate(axe)
                wrong = await page.evaluate(f"axe.run().then({_COMPLAINTS})")
                await page.emulate_media(color_scheme="dark")
                await page.locator("html[data-theme=dark]").wait_for()
                wrong += await page.evaluate(f"axe.run({{runOnly: ['color-contrast']}}).then({_COMPLAINTS})")
                if wrong:
                    found[name] = wrong
        return found

    with window(tmp_path) as told:
        assert asyncio.run(look(told)) == {}


def _long_session(folder: Path, turns: int) -> int:
    """A session of four events a turn, in one transaction; how many there are."""
    recorder = Recorder(folder)
    main = recorder.session("main", "main", "main")
    reply = json.dumps({"role": "assistant", "parts": [{"type": "text", "text": "I look at the next file."}]}).encode()

    def work(t: Any) -> None:
        entries, calls = [], []
        for turn in range(turns):
            recorder.clock.pass_ms(500)
            n = 2 + 4 * turn
            key = f"{main}#{n}"
            entries += [
                Entry("call.intent", {"model": "main", "attempt": 1}),
                Entry("call.result", {"key": key, "stop": "tools", "model": "main", "tokens": 1000 + turn}, reply),
                Entry("tool.intent", {"call_id": str(turn), "name": "read"}, b'{"path": "a.py"}'),
                Entry(
                    "tool.result",
                    {"call_id": str(turn), "name": "read", "is_error": False, "chars": 900, "wall_ms": 200},
                    f"{turn}: ".encode() + b"line of code\n" * 70,
                ),
            ]
            calls.append(
                LedgerCall(
                    source="outlay",
                    key=key,
                    run=RUN,
                    session=main,
                    agent="main",
                    role="main",
                    provider="anthropic",
                    model="claude-sonnet-5-5",
                    started_ms=recorder.clock.at_ms - 300,
                    ended_ms=recorder.clock.at_ms,
                    usage=Usage(fresh=10, cache_read=1000 + turn, cache_write_5m=200, output=50),
                    quality="exact",
                    tools="read",
                )
            )
        t.append(RUN, main, recorder.epochs[main], entries)
        t.record_calls(calls)
        t.update("sessions", main, turns=turns, context_tokens=1000 + turns)

    recorder.ledger.write(work)
    recorder.end_session(main)
    recorder.end()
    recorder.ledger.close()
    return 3 + 4 * turns


@pytest.mark.slow
def test_a_session_of_20000_events_opens_at_once_because_only_a_page_of_it_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = _long_session(tmp_path, 5_000)
    took: dict[str, float] = {}

    async def look(told: dict[str, str]) -> None:
        sizes: list[int] = []
        async with browser(told["link"]) as page:

            def weigh(response: Any) -> None:
                if "/dialog" in response.url:
                    sizes.append(int(response.headers["content-length"]))

            page.on("response", weigh)
            for name in ("first", "second"):
                begun = time.monotonic()
                await page.goto(told["url"] + session_path("main"))
                await page.locator("#dialog > li").first.wait_for()
                took[f"{name} opening"] = time.monotonic() - begun
            await page.get_by_text(f"of {events}; the latest").wait_for()
            begun = time.monotonic()
            await page.get_by_role("button", name="Earlier", exact=True).click()
            await page.get_by_text(f"of {events}", exact=False).wait_for()
            await page.get_by_role("button", name="Later", exact=True).and_(page.locator(":enabled")).wait_for()
            took["a page back"] = time.monotonic() - begun
            begun = time.monotonic()
            await page.get_by_label("Find in this dialog").fill("4321: line")
            await page.keyboard.press("Enter")
            await page.get_by_text("1 place", exact=True).wait_for()
            took["a search"] = time.monotonic() - begun
            await page.get_by_role("button", name="result read").click()
            await page.locator("li.marked").first.wait_for()
            assert await page.locator("#dialog > li").count() <= 130
            assert await page.locator("*").count() < 6_000
            await page.locator("figure svg .span").first.wait_for()
            assert 0 < max(sizes) < 200_000

    with window(tmp_path) as told:
        asyncio.run(look(told))
    with capsys.disabled():
        print(f"\n{events:,} events: " + ", ".join(f"{name} {s:.2f} s" for name, s in took.items()))


@pytest.mark.slow
def test_charts_can_be_taken_along_and_lead_to_their_calls(tmp_path: Path) -> None:
    whole(tmp_path).ledger.close()

    async def look(told: dict[str, str]) -> dict[str, bytes]:
        taken = {}
        async with browser(told["link"], accept_downloads=True) as page:
            await visit(page, f"{told['url']}/runs/{RUN}/money")
            await page.locator("figure svg path.fill").first.wait_for()
            for kind in ("SVG", "PNG", "CSV"):
                async with page.expect_download() as waiting:
                    await page.get_by_role("button", name=f"Download Known cost over time as {kind}").click()
                taken[kind] = Path(await (await waiting.value).path()).read_bytes()
            bar = page.locator("figure svg [data-href*='tool=edit']")
            await bar.locator("rect.fill").click()
            await page.get_by_role("heading", level=1, name="Calls").wait_for()
            await page.get_by_role("link", name="Call ").first.click()
            await page.get_by_text("Counters times rates").first.wait_for()
            await page.get_by_text("outlay audit").wait_for()
        return taken

    with window(tmp_path) as told:
        taken = asyncio.run(look(told))
    assert taken["SVG"].startswith(b"<svg") and b"var(" not in taken["SVG"] and b"main" in taken["SVG"]
    assert taken["PNG"].startswith(b"\x89PNG")
    rows = list(csv.reader(taken["CSV"].decode().splitlines()))
    assert rows[0][0] == "time" and round(sum(float(cell) for cell in rows[-1][1:]), 4) == 0.1321


@pytest.mark.slow
def test_a_window_that_was_killed_says_so_and_a_new_link_brings_it_back(tmp_path: Path) -> None:
    whole(tmp_path).ledger.close()
    command = [sys.executable, "-m", "outlay", "serve", "--json", "--port"]
    environment = os.environ | {"OUTLAY_HOME": str(tmp_path)}

    def begin(port: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
        process = subprocess.Popen([*command, port], env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    async def look() -> None:
        process, told = begin("0")
        try:
            async with chromium() as started:
                page = await started.new_page()
                page.set_default_timeout(PATIENCE_MS)
                await page.goto(told["link"])
                await page.get_by_text("live", exact=True).wait_for()
                process.kill()
                process.wait()
                await page.get_by_text("no connection; trying again").wait_for()
                process, again = begin(told["url"].rpartition(":")[2])
                await page.get_by_text("locked; open a new link").wait_for()
                await page.goto(again["link"])
                await page.get_by_text("live", exact=True).wait_for()
        finally:
            process.kill()
            process.wait()

    asyncio.run(look())
