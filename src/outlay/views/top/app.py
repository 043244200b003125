"""The screen of `outlay top`: runs at the left (or above), what is chosen at the right (or below), keys to steer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar, Literal, TypeVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.widgets import Footer, Static

from outlay.errors import OutlayError
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.views.facts import WORKING, SessionFacts
from outlay.views.steering import Wish, fulfil
from outlay.views.top.asking import Approve, Help, Sure, Write
from outlay.views.top.desk import Desk, Picture, RunRow, Seen
from outlay.views.top.dialog_view import DialogView
from outlay.views.top.facts import facts_of
from outlay.views.top.pages import Entry, Pages
from outlay.views.top.run_tree import Row, RunTree
from outlay.views.watch import Notice
from outlay.views.wording import clock_time, plural, printable

T = TypeVar("T")
LOOK_S = 0.5
"""Time between two looks at the ledger."""
RUNS = 100
"""Runs that are listed at first, and how many more each time."""
OLDER = 2000
"""Events of a long dialog that are read at once behind what is shown already."""

Hit = tuple[str, str, tuple[int, int]]
"""A place that was found: name of the session, its id, the place in its dialog."""


class Top(App[None]):
    """Every run of a ledger. run, session: what is chosen at the start, by id; empty: the first line."""

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "outlay top"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as the class it is from declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("m", "message", "Message"),
        Binding("a", "approve", "Approve"),
        Binding("p", "pause", "Pause"),
        Binding("r", "resume", "Resume"),
        Binding("c", "cancel", "Cancel"),
        Binding("z", "zoom", "Zoom"),
        Binding("n", "hit(1)", "Next", show=False),
        Binding("N", "hit(-1)", "Before", show=False),
        Binding("t", "theme", "Theme", show=False),
        Binding("escape", "runs", "Back", show=False),
        Binding("q,ctrl+c", "quit", "Quit", key_display="q"),
    ]

    def __init__(self, ledger: Ledger, book: PriceBook, run: str = "", session: str = "") -> None:
        super().__init__()
        self.desk = Desk(ledger, book)
        self.ledger = ledger
        self.chosen = (run, session)
        self.picture: Picture | None = None
        self._pages: Pages | None = None
        self._shown: tuple[str, str] | None = None
        """What the dialog shows."""
        self._hits: list[Hit] = []
        self._hit = -1
        self._most = RUNS
        self._aimed = False
        """Whether the tree's cursor is where it should be; from then on it says what is chosen."""
        self._reader = ThreadPoolExecutor(1, "ledger-reader")
        """The one thread that reads for the screen, so that a long reading never holds up a key."""
        self._stir = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Horizontal(id="body"):
            yield RunTree(id="runs")
            with Vertical(id="chosen"):
                yield Static("", id="facts", markup=False)
                yield DialogView(id="dialog")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.query_one(RunTree).focus()
        self.run_worker(self._keep_up(), name="keep up", exclusive=True, group="keep up")

    # ---- keeping up with the ledger

    async def _keep_up(self) -> None:
        while True:
            try:
                await self._look()
            except NoMatches:
                if self.is_running:
                    raise
                return  # the screen was taken down while the ledger was read
            try:
                await asyncio.wait_for(self._stir.wait(), LOOK_S)
            except TimeoutError:
                pass
            self._stir.clear()

    async def _look(self) -> None:
        tree = self.query_one(RunTree)
        closely = dict.fromkeys([run for run in (self.chosen[0], *tree.expanded()) if run])
        try:
            self.picture = await self._read(partial(self.desk.look, closely, self._most))
        except (OutlayError, sqlite3.Error) as error:  # another process may hold the ledger for long
            self.notify(f"the ledger cannot be read: {error}", severity="error", markup=False)
            return
        tree.update_from(self.picture)
        if not self.chosen[0] and self.picture.rows:
            self.chosen = (self.picture.rows[0].id, "")
        self._choose_line(tree)
        self._say_title(self.picture)
        await self._show_chosen()

    def _choose_line(self, tree: RunTree) -> None:
        """At the start, and after a jump, put the tree's cursor on what is chosen."""
        if self._aimed:
            return
        node = tree.node_of(*self.chosen)
        run = tree.node_of(self.chosen[0])
        if run is not None:
            run.expand()
        if node is not None and node.line >= 0:
            tree.move_cursor(node)
            self._aimed = True
        else:  # its line is there once the tree has been drawn
            self._stir.set()

    async def _show_chosen(self) -> None:
        run, session = self.chosen
        seen = self.picture.seen.get(run) if self.picture else None
        if seen is None:
            return
        facts = next((one for one in seen.view.sessions if one.id == session), None)
        self._say_facts(seen, facts)
        if session:
            await self._show_dialog(run, session)
        else:
            self._show_news(run, seen)

    def _say_title(self, picture: Picture) -> None:
        found = f"  found {self._hit + 1} of {len(self._hits)} (n, N)" if self._hits else ""
        runs = plural(len(picture.rows) + picture.older, "run")
        text = f"outlay  {runs}, {picture.at_work or 'none'} at work{found}" if picture.rows else "outlay  no runs yet"
        self.query_one("#title", Static).update(text)

    def _say_facts(self, seen: Seen, facts: SessionFacts | None) -> None:
        pane = self.query_one("#facts", Static)
        pane.update(facts_of(seen, facts, self.size.width if self.size.width < 110 else self.size.width // 2))

    # ---- the dialog

    def _show_news(self, run: str, seen: Seen) -> None:
        view = self.query_one(DialogView)
        if self._shown != (run, ""):
            self._shown, self._pages = (run, ""), None
            view.show([])
        view.append([_news(n, notice) for n, notice in enumerate(seen.notices) if n >= len(view.entries)])

    async def _show_dialog(self, run: str, session: str) -> None:
        view = self.query_one(DialogView)
        if self._shown != (run, session):
            pages = await self._read(partial(Pages, self.ledger, session))
            entries = await self._read(pages.older)
            if self.chosen != (run, session):
                return
            self._shown, self._pages = (run, session), pages
            view.show(entries, pages.unfold)
            self._mark_hits(view)
            if pages.has_older:
                self.run_worker(self._read_older(pages), group="older", exclusive=True)
        elif self._pages is not None:
            pages = self._pages
            entries = await self._read(pages.newer)
            if self._pages is pages:
                view.append(entries)

    async def _read_older(self, pages: Pages) -> None:
        while pages.has_older and self._pages is pages:
            entries = await self._read(partial(pages.older, OLDER))
            if self._pages is pages:
                self.query_one(DialogView).prepend(entries)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    # ---- choosing

    @on(RunTree.NodeHighlighted)
    def _highlighted(self, event: RunTree.NodeHighlighted[Row]) -> None:
        row = event.node.data
        still = event.node is self.query_one(RunTree).cursor_node
        if self._aimed and still and row is not None and row.run and (row.run, row.session) != self.chosen:
            self.chosen = (row.run, row.session)
            self._stir.set()

    @on(RunTree.NodeSelected)
    def _selected(self, event: RunTree.NodeSelected[Row]) -> None:
        row = event.node.data
        if row is not None and not row.run:
            self._most += RUNS
            self._stir.set()
        elif row is not None and row.session:
            self.query_one(DialogView).focus()
        else:
            event.node.toggle()

    @on(RunTree.NodeExpanded)
    def _expanded(self) -> None:
        self._stir.set()

    def action_runs(self) -> None:
        """From the dialog to the runs."""
        self.screen.remove_class("zoomed")
        self.query_one(RunTree).focus()

    def action_zoom(self) -> None:
        self.screen.toggle_class("zoomed")
        target = DialogView if self.screen.has_class("zoomed") else RunTree
        self.query_one(target).focus()

    def action_theme(self) -> None:
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"

    def action_help(self) -> None:
        self.push_screen(Help())

    # ---- finding

    def action_search(self) -> None:
        run, session = self.chosen
        if run:
            where = session.rpartition(":")[2] if session else "all sessions of this run"
            self.push_screen(Write(f"Find in {where}", "Any text, in whatever case."), self._search)

    @property
    def hits(self) -> list[Hit]:
        """What the last search found."""
        return self._hits

    def _search(self, text: str | None) -> None:
        if text and text.strip():
            self.run_worker(self._find(text, *self.chosen), group="find", exclusive=True)

    async def _find(self, text: str, run: str, session: str) -> None:
        seen = self.picture.seen.get(run) if self.picture else None
        sessions = [one for one in seen.view.sessions if session in ("", one.id)] if seen else []

        def find() -> list[Hit]:
            return [(one.name, one.id, place) for one in sessions for place in Pages(self.ledger, one.id).find(text)]

        self._hits, self._hit = await self._read(find), -1
        if not self._hits:
            self.notify(f"{text!r} is nowhere in it", markup=False)
            self._mark_hits(self.query_one(DialogView))
            return
        await self._go_to_hit(0)

    async def action_hit(self, by: int) -> None:
        if self._hits:
            await self._go_to_hit((self._hit + by) % len(self._hits))

    async def _go_to_hit(self, number: int) -> None:
        self._hit = number
        _, session, place = self._hits[number]
        run = self.chosen[0]
        if self.chosen[1] != session:
            self.chosen = (run, session)
            self._aimed = False
            await self._look()
        view = self.query_one(DialogView)
        while not view.go_to(place) and (pages := self._pages) is not None and pages.has_older:
            view.prepend(await self._read(partial(pages.older, OLDER)))
        self._mark_hits(view)
        view.focus()
        if self.picture:
            self._say_title(self.picture)

    def _mark_hits(self, view: DialogView) -> None:
        view.hits = frozenset(place for _, session, place in self._hits if session == self.chosen[1])
        view.refresh()

    # ---- steering

    def action_message(self) -> None:
        if row := self._chosen_row():
            self._write_to(row, "")

    def _write_to(self, row: RunRow, text: str) -> None:
        """text: what was written before, and could not be sent."""
        wish: Literal["send", "resume"] = "send" if row.state in WORKING else "resume"
        about = "It is read before the next turn." if wish == "send" else "It is set to work again with it."

        def written(text: str | None) -> None:
            if text and text.strip():
                self._do(row.id, Wish(do=wish, text=text), lambda: self._write_to(row, text))

        self.push_screen(Write(f"Message for {printable(row.name)}", about, text), written)

    def action_cancel(self) -> None:
        self._if_sure("cancel", "What it is doing is cut, its work is kept, nothing is delivered.")

    def action_pause(self) -> None:
        self._if_sure("pause", "It pauses at its next safe point; its process ends; r resumes it.")

    def action_resume(self) -> None:
        self._if_sure("resume", "It goes on in the background and may spend money.")

    def action_approve(self) -> None:
        run = self.chosen[0]
        seen = self.picture.seen.get(run) if self.picture else None
        if seen is None or not seen.approvals:
            self.notify("Nothing of this run waits for approval.")
            return

        def decided(decision: tuple[str, bool] | None) -> None:
            if decision is not None:
                id, approved = decision
                self._do(run, Wish(do="approve" if approved else "deny", id=id))

        self.push_screen(Approve(seen.approvals), decided)

    def _chosen_row(self) -> RunRow | None:
        rows = self.picture.rows if self.picture else ()
        return next((row for row in rows if row.id == self.chosen[0]), None)

    def _if_sure(self, do: Literal["cancel", "pause", "resume"], about: str) -> None:
        if row := self._chosen_row():
            question = f"{do.capitalize()} {printable(row.name)}?"
            self.push_screen(Sure(question, about), lambda sure: self._do(row.id, Wish(do=do)) if sure else None)

    def _do(self, run: str, wish: Wish, refused: Callable[[], None] = lambda: None) -> None:
        """Do it beside the screen; say how it went. refused: what comes when it cannot be done."""
        self.run_worker(self._fulfil(run, wish, refused), group="steering")

    async def _fulfil(self, run: str, wish: Wish, refused: Callable[[], None]) -> None:
        try:
            words = await fulfil(self.ledger, run, wish)
        except OutlayError as error:
            self.notify(str(error), title=f"{wish.do}: not done", severity="error", timeout=10, markup=False)
            refused()
            return
        self.notify(words, title=wish.do, markup=False)
        self._stir.set()


def _news(n: int, notice: Notice) -> Entry:
    """A line of a run's news."""
    who = f"{notice.session}  " if notice.session else ""
    sign = {True: "✓", False: "✗", None: " "}[notice.good]
    style = {True: "green", False: "red", None: ""}[notice.good]
    text = printable(" ".join(f"{who}{notice.text}".split()))
    return Entry(place=(n, 0), lines=((f"{clock_time(notice.at_ms, seconds=True)} {sign} {text}", style),))
