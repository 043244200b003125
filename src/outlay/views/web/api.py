"""The window's questions and answers: docs/reference/serve-api.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from outlay.errors import InputError, OutlayError
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.service.errors import ServiceError
from outlay.views.facts import price_book, run_of
from outlay.views.steering import Wish, fulfil
from outlay.views.web import calls_page, over_time, session_page
from outlay.views.web.guard import Guard
from outlay.views.web.live import run_json, stream, telling_all, telling_run, watch_of
from outlay.views.web.paging import most, number

T = TypeVar("T")


class Api:
    """Answers from one ledger at one price book. Reading happens in threads, so that no question holds up another."""

    def __init__(self, ledger: Ledger, book: PriceBook, guard: Guard) -> None:
        self.closing = asyncio.Event()
        """Set when the window closes: streams end then."""
        self._ledger = ledger
        self._book = book
        self._guard = guard

    def routes(self) -> list[web.RouteDef]:
        """Every path under /api."""
        get, post = web.get, web.post
        return [
            get("/api/runs", self.runs),
            get("/api/runs/{run}", self.run),
            get("/api/runs/{run}/report", self.report),
            get("/api/runs/{run}/cost", self.cost),
            get("/api/runs/{run}/timeline", self.timeline),
            get("/api/runs/{run}/events", self.events),
            post("/api/runs/{run}/do", self.do),
            get("/api/sessions/{session}", self.session),
            get("/api/sessions/{session}/dialog", self.dialog),
            get("/api/sessions/{session}/text", self.text),
            get("/api/sessions/{session}/search", self.search),
            get("/api/sessions/{session}/context", self.context),
            get("/api/events/{seq}", self.event_text),
            get("/api/calls", self.calls),
            get("/api/calls.csv", self.calls_csv),
            get("/api/audit", self.audit),
            get("/api/usage", self.usage),
            get("/api/imported/{root}/report", self.imported),
            get("/api/imported/{root}/cost", self.imported_cost),
            get("/api/live", self.live),
            post("/api/links", self.link),
        ]

    # ---- runs

    async def runs(self, request: web.Request) -> web.Response:
        from outlay.views.run_list import list_runs

        wanted = most(request, 50)
        found = await _apart(lambda: list_runs(self._ledger, self._book, most=wanted))
        total = self._ledger.reader.execute("SELECT count(*) FROM runs").fetchone()[0]
        return _json({"runs": found, "total": total, "price_book": self._book.id})

    async def run(self, request: web.Request) -> web.Response:
        run = self._run(request)
        return _json(await _apart(lambda: run_json(self._ledger, self._book, watch_of(self._ledger, run, self._book))))

    async def report(self, request: web.Request) -> web.Response:
        from outlay.views.report import build

        run = self._run(request)
        return _json(await _apart(lambda: build(self._ledger, run, self._book)))

    async def cost(self, request: web.Request) -> web.Response:
        run = self._run(request)

        def work() -> over_time.CostOverTime:
            names = {
                row["id"]: row["name"]
                for row in self._ledger.rows("SELECT id, name FROM sessions WHERE run = ?", (run,))
            }
            return over_time.cost_over_time(self._ledger.calls("run = ?", (run,)), names, self._book_of(run))

        return _json(await _apart(work))

    async def timeline(self, request: web.Request) -> web.Response:
        run, session = self._run(request), request.query.get("session", "")
        begin, end = number(request, "from_ms"), number(request, "to_ms")
        return _json(
            await _apart(lambda: over_time.timeline(self._ledger, run, session=session, from_ms=begin, to_ms=end))
        )

    async def events(self, request: web.Request) -> web.Response:
        run, wanted, end = self._run(request), most(request), number(request, "end")
        stream_, types = request.query.get("stream", ""), request.query.get("types", "")
        kinds = [kind for kind in types.split(",") if kind]
        found = await _apart(
            lambda: session_page.event_page(self._ledger, run, stream=stream_, types=kinds, end=end, most=wanted)
        )
        return _json({"events": found})

    async def do(self, request: web.Request) -> web.Response:
        run = self._run(request)
        try:
            wish = msgspec.json.decode(await request.read(), type=Wish)
        except msgspec.DecodeError as error:
            raise InputError(f"what is wanted is not understood: {error}") from None
        return _json({"state": await fulfil(self._ledger, run, wish)})

    # ---- sessions

    async def session(self, request: web.Request) -> web.Response:
        return _json(session_page.session_row(self._ledger, self._session(request)))

    async def dialog(self, request: web.Request) -> web.Response:
        session, wanted = self._session(request), most(request)
        start, end = number(request, "start"), number(request, "end")
        return _json(
            await _apart(lambda: session_page.dialog_page(self._ledger, session, start=start, end=end, most=wanted))
        )

    async def text(self, request: web.Request) -> web.Response:
        session = self._session(request)
        n, part = number(request, "n", 0) or 0, number(request, "part", 0) or 0
        return _json({"text": await _apart(lambda: session_page.whole(self._ledger, session, n, part))})

    async def search(self, request: web.Request) -> web.Response:
        session, words = self._session(request), request.query.get("words", "")
        return _json({"matches": await _apart(lambda: session_page.search(self._ledger, session, words))})

    async def context(self, request: web.Request) -> web.Response:
        session = self._session(request)
        return _json(await _apart(lambda: over_time.context(self._ledger, session)))

    async def event_text(self, request: web.Request) -> web.Response:
        text = request.match_info["seq"]
        if not text.isdecimal() or len(text) > 18:
            raise InputError(f"{text!r} is no event's number")
        return _json({"text": await _apart(lambda: session_page.event_text(self._ledger, int(text)))})

    # ---- calls

    async def calls(self, request: web.Request) -> web.Response:
        wanted, start = most(request), max(number(request, "start", 0) or 0, 0)
        book = self._book_of(request.query.get("run", ""))
        return _json(await _apart(lambda: calls_page.call_page(self._ledger, book, request.query, start, wanted)))

    async def calls_csv(self, request: web.Request) -> web.Response:
        book = self._book_of(request.query.get("run", ""))
        text = await _apart(lambda: calls_page.calls_csv(self._ledger, book, request.query))
        return web.Response(
            text=text, content_type="text/csv", headers={"Content-Disposition": 'attachment; filename="calls.csv"'}
        )

    async def audit(self, request: web.Request) -> web.Response:
        from outlay.views.audit import audit

        key = request.query.get("key", "")
        if not key:
            raise InputError("no key; say which call")

        def work() -> Any:
            row = self._ledger.rows("SELECT run FROM calls WHERE key = ?", (key,))
            return audit(self._ledger, self._book_of(row[0]["run"] if row else ""), key)

        return _json(await _apart(work))

    # ---- sessions of other tools

    async def usage(self, request: web.Request) -> web.Response:
        from outlay.views import usage_command

        asked = usage_command.request(
            {"timezone": request.query.get("timezone") or None, "homes": (), "others": (),
             "no_read": request.query.get("read") != "1", "total": False, "by": request.query.get("by", "session"),
             "everything": True, "how": "json", "sources": (), "sessions": (), "projects": (),
             "since": request.query.get("since", ""), "until": request.query.get("until", ""), "prices": (),
             "partial": False}
        )  # fmt: skip

        def work() -> dict[str, Any]:
            told: dict[str, Any] = msgspec.json.decode(usage_command.once(asked))
            keys = [group["key"] for group in told["groups"]][:500]
            return told | {"labels": usage_command.labels(self._ledger, asked.question.by, keys)}

        return _json(await _apart(work))

    async def imported(self, request: web.Request) -> web.Response:
        from outlay.views import imported

        root = request.match_info["root"]
        found = await _apart(lambda: imported.build(self._ledger, root, self._book))
        if found is None:
            raise web.HTTPNotFound(reason=f"no session {root!r} of another tool; read transcripts first")
        return _json(found)

    async def imported_cost(self, request: web.Request) -> web.Response:
        from outlay.views import imported

        def work() -> over_time.CostOverTime:
            found = imported.facts(self._ledger, request.match_info["root"])
            names = {session.id: session.name for session in found.sessions}
            return over_time.cost_over_time(found.calls, names, self._book)

        return _json(await _apart(work))

    # ---- the window itself

    async def live(self, request: web.Request) -> web.StreamResponse:
        run = request.query.get("run", "")
        if run:
            self._known(run)
        tell = await _apart(lambda: telling_run(self._ledger, run, self._book)) if run else telling_all(self._ledger)
        return await stream(request, self._ledger, self.closing, tell)

    async def link(self, request: web.Request) -> web.Response:
        return _json({"url": f"{request.scheme}://{request.host}/?token={self._guard.new_link()}"})

    # ---- what is meant

    def _run(self, request: web.Request) -> str:
        return self._known(request.match_info["run"])

    def _known(self, run: str) -> str:
        if not self._ledger.rows("SELECT 1 FROM runs WHERE id = ?", (run,)):
            raise web.HTTPNotFound(reason=f"no run {run!r} in this ledger")
        return run

    def _session(self, request: web.Request) -> str:
        session = request.match_info["session"]
        if not self._ledger.rows("SELECT 1 FROM sessions WHERE id = ?", (session,)):
            raise web.HTTPNotFound(reason=f"no session {session!r} in this ledger")
        return session

    def _book_of(self, run: str | None) -> PriceBook:
        """The price book, with the prices of the run's goal on top."""
        if not run or not self._ledger.rows("SELECT 1 FROM runs WHERE id = ?", (run,)):
            return self._book
        return price_book(self._book, run_of(self._ledger, run))


@web.middleware
async def say_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Errors of ours as JSON: `error` for people, `code` where programs need one."""
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except ServiceError as error:
        return web.json_response({"error": str(error), "code": error.code}, status=409)
    except InputError as error:
        return web.json_response({"error": str(error)}, status=409 if request.method == "POST" else 400)
    except OutlayError as error:
        return web.json_response({"error": str(error)}, status=503)


async def _apart(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
