"""The window's server: who gets in, what it answers, what it does."""

import asyncio
import contextlib
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from recorded_run import RUN, Recorder, start, whole
from yarl import URL

from outlay.ledger import Entry, Ledger
from outlay.prices.book import load
from outlay.views.report import build
from outlay.views.web.calls_page import FILTERS
from outlay.views.web.server import Window, serving

POST = {"X-Outlay": "1"}


@contextlib.asynccontextmanager
async def client(ledger: Ledger, *, enter: bool = True, token: str = "") -> AsyncIterator[tuple[Any, Window]]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with serving(ledger, load(), token=token) as window, aiohttp.ClientSession(window.url, cookie_jar=jar) as web:
        if enter:
            async with web.get(window.link()) as answer:
                assert answer.status == 200
        yield web, window


async def status(web: Any, path: str, **options: Any) -> int:
    async with web.get(path, **options) as answer:
        return int(answer.status)


async def ask(web: Any, path: str, **query: Any) -> Any:
    async with web.get(URL(f"/api/{path}", encoded=True).update_query(query)) as answer:
        assert answer.status == 200, await answer.text()
        return json.loads(await answer.read())


async def refused(web: Any, path: str) -> tuple[int, str]:
    async with web.get(URL(f"/api/{path}", encoded=True)) as answer:
        return answer.status, json.loads(await answer.read())["error"]


async def do(web: Any, run: str, **wish: Any) -> tuple[int, dict[str, Any]]:
    async with web.post(f"/api/runs/{run}/do", json=wish, headers=POST) as answer:
        return answer.status, json.loads(await answer.read())


def with_window(recorder: Recorder, work: Callable[[Any, Window], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with client(recorder.ledger, **options) as (web, window):
            await work(web, window)

    asyncio.run(main())


# ---- who gets in


def test_a_link_opens_the_window_once_and_leaves_a_cookie_that_scripts_cannot_read(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        assert await status(web, "/") == 401
        assert await status(web, "/api/runs") == 401
        link = window.link()
        async with web.get(link, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert await status(web, "/") == 200
        web.cookie_jar.clear()
        assert await status(web, link) == 401
        assert await status(web, "/?token=guessed") == 401

    with_window(whole(tmp_path), work, enter=False)


def test_a_link_is_not_used_up_by_a_browser_that_looks_ahead(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        link = window.link()
        assert await status(web, link, headers={"Sec-Purpose": "prefetch"}) == 401
        assert await status(web, link) == 200

    with_window(whole(tmp_path), work, enter=False)


def test_a_page_in_the_window_can_make_a_link_for_another_browser(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        async with web.post("/api/links", json={}, headers=POST) as answer:
            url = (await answer.json())["url"]
        web.cookie_jar.clear()
        assert await status(web, url) == 200
        assert await status(web, "/api/runs") == 200

    with_window(whole(tmp_path), work)


def test_foreign_pages_and_foreign_names_are_refused(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        assert await status(web, "/api/runs", headers={"Host": "evil.example.org"}) == 403
        assert await status(web, "/api/runs", headers={"Origin": "http://evil.example.org"}) == 403
        assert await status(web, "/api/runs", headers={"Origin": "http://127.0.0.1:1"}) == 403
        assert await status(web, "/api/runs", headers={"Sec-Fetch-Site": "same-site"}) == 403
        assert await status(web, "/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}) == 200
        async with web.post(f"/api/runs/{RUN}/do", json={"do": "cancel"}) as answer:
            assert answer.status == 403 and "X-Outlay" in await answer.text()

    with_window(start(tmp_path), work)


def test_programs_get_in_by_a_token_of_their_own(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        assert await status(web, "/api/runs", headers={"Authorization": "Bearer sesame"}) == 200
        assert await status(web, "/api/runs", headers={"Authorization": "Bearer sesam"}) == 401
        assert await status(web, "/api/runs", headers={"Authorization": "Bearer "}) == 401

    with_window(whole(tmp_path), work, enter=False, token="sesame")


def test_every_answer_forbids_foreign_code_and_caching(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        for path in ("/", "/static/app.js", "/api/runs", "/nowhere", "/api/nowhere"):
            async with web.get(path) as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cache-Control"] == "no-store"
        for path in ("/static/nothing.js", "/static/..%2Fapi.py", "/api/nowhere", "/static/%2e%2e/server.py"):
            assert await status(web, URL(path, encoded=True)) == 404

    with_window(whole(tmp_path), work)


# ---- what it answers


def test_the_report_and_the_curve_of_cost_agree_with_the_command(tmp_path: Path) -> None:
    recorder = whole(tmp_path)

    async def work(web: Any, window: Window) -> None:
        report = build(recorder.ledger, RUN, load())
        shown = await ask(web, f"runs/{RUN}/report")
        assert shown["total"]["known"]["fresh"] == report.total.known.fresh
        cost = await ask(web, f"runs/{RUN}/cost")
        assert sum(curve["pico"][-1] for curve in cost["curves"]) == report.total.known.total
        assert {curve["name"] for curve in cost["curves"]} == {"main", "scout", "blocks/nested-lists"}
        listed = await ask(web, "runs")
        assert listed["total"] == 1 and listed["runs"][0]["run"]["id"] == RUN

    with_window(recorder, work)


def test_pages_of_a_dialog_put_together_are_the_dialog(tmp_path: Path) -> None:
    recorder = whole(tmp_path)
    session = f"{RUN}:blocks%2Fnested-lists"

    async def work(web: Any, window: Window) -> None:
        everything = await ask(web, f"sessions/{session}/dialog", most=1000)
        assert not everything["before"] and not everything["after"]
        forth, page = [], await ask(web, f"sessions/{session}/dialog", start=0, most=4)
        while page["first"] is not None:
            forth += page["items"]
            page = await ask(web, f"sessions/{session}/dialog", start=page["last"] + 1, most=4)
        back, page = [], await ask(web, f"sessions/{session}/dialog", most=4)
        while page["first"] is not None:
            back = page["items"] + back
            page = await ask(web, f"sessions/{session}/dialog", end=page["first"], most=4)
        assert forth == back == everything["items"] and len(forth) > 10
        long = max(everything["items"], key=lambda item: item["chars"])
        assert len(long["text"]) == 2000 < long["chars"]
        told = await ask(web, f"sessions/{session}/text", n=long["n"], part=long["part"])
        assert len(told["text"]) == long["chars"]
        found = await ask(web, f"sessions/{session}/search", words="EDIT")
        assert {match["tool"] for match in found["matches"]} == {"edit"}

    with_window(recorder, work)


def test_the_timeline_has_calls_tools_and_ends_and_can_be_cut_to_a_stretch(tmp_path: Path) -> None:
    recorder = whole(tmp_path)

    async def work(web: Any, window: Window) -> None:
        all_ = await ask(web, f"runs/{RUN}/timeline")
        assert [lane["name"] for lane in all_["lanes"]] == ["main", "scout", "blocks/nested-lists"]
        assert {span["kind"] for span in all_["spans"]} == {"call", "tool", "mark"}
        calls = sum(span["count"] for span in all_["spans"] if span["kind"] == "call")
        assert calls == len(list(recorder.ledger.calls()))
        middle = (all_["from_ms"] + all_["to_ms"]) // 2
        half = await ask(web, f"runs/{RUN}/timeline", from_ms=middle, to_ms=all_["to_ms"])
        assert 0 < len(half["spans"]) < len(all_["spans"])
        one = await ask(web, f"runs/{RUN}/timeline", session=f"{RUN}:scout")
        assert [lane["name"] for lane in one["lanes"]] == ["scout"]

    with_window(recorder, work)


def test_every_figure_leads_to_its_calls_and_they_add_up(tmp_path: Path) -> None:
    recorder = whole(tmp_path)

    async def work(web: Any, window: Window) -> None:
        report = await ask(web, f"runs/{RUN}/report")
        for line in report["by_model"]:
            page = await ask(web, "calls", run=RUN, model=line["name"], most=1000)
            assert page["total"] == line["spend"]["calls"] == len(page["lines"])
            assert sum(each["spend"]["known"]["output"] for each in page["lines"]) == line["spend"]["known"]["output"]
        for line in report["by_role"]:
            assert (await ask(web, "calls", run=RUN, role=line["name"]))["total"] == line["spend"]["calls"]
        first = await ask(web, "calls", run=RUN, most=3)
        rest = await ask(web, "calls", run=RUN, start=3, most=1000)
        assert len(first["lines"]) + len(rest["lines"]) == first["total"] == report["total"]["calls"]
        failed = await ask(web, "calls", run=RUN, status="failed")
        assert failed["total"] == 1
        edits = await ask(web, "calls", run=RUN, tool="edit")
        assert 0 < edits["total"] < first["total"]
        key = first["lines"][0]["call"]["key"]
        assert (await ask(web, "audit", key=key))["call"]["key"] == key
        async with web.get("/api/calls.csv", params={"run": RUN}) as answer:
            assert "attachment" in answer.headers["Content-Disposition"]
            rows = list(csv.DictReader(io.StringIO(await answer.text())))
        assert len(rows) == first["total"]
        known = sum(float(row["cost_usd"]) for row in rows if row["cost_usd"])
        assert round(known, 4) == 0.1321

    with_window(recorder, work)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_a_value_and_never_a_query(name: str, tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        assert (await ask(web, "calls", **{name: "' OR 1=1 --"}))["total"] == 0

    with_window(whole(tmp_path), work)


def test_wrong_questions_are_answered_in_words(tmp_path: Path) -> None:
    async def work(web: Any, window: Window) -> None:
        assert await refused(web, "runs/nope") == (404, "no run 'nope' in this ledger")
        assert (await refused(web, "sessions/nope/dialog"))[0] == 404
        assert (await refused(web, f"sessions/{RUN}:main/dialog?start=x"))[1] == "start='x' is not a whole number"
        assert (await refused(web, "runs?most=100000"))[1] == "most=100000: from 1 to 1000"
        assert (await refused(web, "audit?key=nope"))[0] == 400
        assert (await refused(web, "events/x"))[0] == 400
        assert (await refused(web, "usage?by=nonsense"))[0] == 400
        assert (await refused(web, "imported/nope/report"))[0] == 404
        assert (await refused(web, f"sessions/{RUN}:main/search?words="))[1] == "no words to look for"
        async with web.post(f"/api/runs/{RUN}/do", data=b"{", headers=POST) as answer:
            assert answer.status == 409

    with_window(whole(tmp_path), work)


def test_sessions_of_other_tools_are_read_listed_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home" / ".claude" / "projects" / "-home-me-app"
    folder.mkdir(parents=True)
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 2000, "output_tokens": 100}
    message = {
        "id": "m1",
        "model": "claude-opus-4-5-20251101",
        "stop_reason": "end_turn",
        "usage": usage,
        "content": [],
    }
    said = {"type": "assistant", "sessionId": "one", "cwd": "/home/me/app", "timestamp": "2026-01-05T08:00:00.000Z"}
    (folder / "one.jsonl").write_text(json.dumps(said | {"message": message}) + "\n")

    async def work(web: Any, window: Window) -> None:
        assert (await ask(web, "usage", by="source"))["total"]["calls"] == 22
        read = await ask(web, "usage", by="session", read="1")
        assert {"one", RUN} == {group["key"] for group in read["groups"]} and "app" in read["labels"]["one"]
        report = await ask(web, "imported/one/report")
        assert report["total"]["usage"]["fresh"] == 1000
        cost = await ask(web, "imported/one/cost")
        assert cost["curves"][0]["pico"][-1] == 8_500 * 10**6
        calls = await ask(web, "calls", root="one")
        assert [line["call"]["key"] for line in calls["lines"]] == ["m1"]

    with_window(whole(tmp_path), work)


# ---- live


def test_what_happens_is_told_at_once_and_once(tmp_path: Path) -> None:
    recorder = start(tmp_path)

    async def work(web: Any, window: Window) -> None:
        async with web.get("/api/live", params={"run": RUN}, timeout=aiohttp.ClientTimeout(total=60)) as answer:
            assert answer.content_type == "text/event-stream"
            first = await _told(answer)
            assert first["run"]["checks"][0]["passed"] is False
            await asyncio.to_thread(recorder.check, "tests", 2, True)
            told = await _told(answer)
            while told["run"]["checks"][0]["passed"] is not True:
                told = await _told(answer)
            assert [n["text"] for n in told["notices"]].count("check tests passed") == 1

    with_window(recorder, work)


def test_a_window_with_listeners_closes(tmp_path: Path) -> None:
    recorder = start(tmp_path)

    async def main() -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as web:
            async with serving(recorder.ledger, load()) as window:
                await web.get(window.link())
                answer = await web.get(f"{window.url}/api/live")
                await answer.content.readuntil(b"\n\n")
            with contextlib.suppress(aiohttp.ClientError):
                assert await asyncio.wait_for(answer.content.read(), 60) is not None

    asyncio.run(main())


async def _told(answer: Any) -> Any:
    while True:
        block = (await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 60)).decode()
        if block.startswith("event:"):
            return json.loads(block.partition("data: ")[2])


# ---- stepping in


def test_an_interrupted_run_can_be_cancelled_from_the_window(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    recorder.ledger.write(lambda t: t.release("test"))

    async def work(web: Any, window: Window) -> None:
        assert await do(web, RUN, do="cancel") == (200, {"state": "cancelled"})
        assert (await ask(web, f"runs/{RUN}"))["run"]["outcome"] == "cancelled"
        code, told = await do(web, RUN, do="cancel")
        assert (code, told["error"]) == (409, f"run {RUN} has ended: cancelled")
        code, told = await do(web, RUN, do="send", text="hello")
        assert code == 409 and "outlay resume" in told["error"]
        assert (await do(web, RUN, do="dance"))[0] == 409

    with_window(recorder, work)


def test_a_release_that_waits_is_shown_and_decided_upon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    recorder = start(tmp_path)
    stream = f"{RUN}:policy"
    recorder._open(stream, "policy")
    head = {"id": "a1", "release": "summary", "to": "main", "session": "main", "call": "c1", "sha256": "00"}
    entry = Entry("approval.asked", head, b"three \x1b[31mpatients")
    recorder.ledger.write(lambda t: t.append(RUN, stream, recorder.epochs[stream], [entry]))

    async def work(web: Any, window: Window) -> None:
        waiting = (await ask(web, f"runs/{RUN}"))["waiting"]
        assert waiting[0]["id"] == "a1" and waiting[0]["content"] == "three \\x1b[31mpatients"
        code, told = await do(web, RUN, do="approve", id="a1")
        assert code == 200 and told["state"].startswith("a1 approved")
        assert (await ask(web, f"runs/{RUN}"))["waiting"] == []
        assert (await do(web, RUN, do="deny", id="a1"))[0] == 409

    with_window(recorder, work)
