"""Runs and agents with their sessions below them."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from outlay.views.facts import SessionFacts
from outlay.views.top.desk import Picture, RunRow, Seen
from outlay.views.wording import cost, date_time, percent, plural, printable

MARKS = {
    "running": "▶", "waiting": "◇", "queued": "…", "done": "✓", "succeeded": "✓", "failed": "✗", "cancelled": "⊘",
    "timed_out": "✗", "stopped": "■", "lost": "?", "interrupted": "!", "paused": "‖",
}  # fmt: skip
"""A sign beside the word of each state."""
_STYLES = {"▶": "cyan", "◇": "yellow", "✓": "green", "✗": "red", "⊘": "red", "■": "red", "!": "bold red", "‖": "yellow"}
_LEAST_NAME = 12


class Row(msgspec.Struct, frozen=True):
    """A line of the tree: what it is of, and its words."""

    run: str
    """Empty: the line that stands for older runs."""
    session: str
    """Empty: the run itself."""
    name: str
    state: str
    figures: tuple[str, ...]
    """From the one that is left out last to the one that is left out first where there is no room."""


class RunTree(Tree[Row]):
    """Keeps its lines in step with a picture of the ledger."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "open", "Open", show=False),
        Binding("left,h", "close", "Close", show=False),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__("", id=id)
        self.show_root = False
        self.auto_expand = False
        self.guide_depth = 2
        self._runs: dict[str, TreeNode[Row]] = {}
        self._sessions: dict[str, TreeNode[Row]] = {}
        self._older: TreeNode[Row] | None = None
        self._newest_ms = 0

    # ---- in step

    def update_from(self, picture: Picture) -> None:
        """Bring in what is new and say anew what has changed."""
        first = not self._runs
        for row in picture.rows if first else reversed(picture.rows):
            node = self._runs.get(row.id)
            if node is None:
                node = self._add_run(row, on_top=not first and row.started_ms >= self._newest_ms)
            _say(node, _run_row(row))
            if seen := picture.seen.get(row.id):
                self._update_sessions(node, seen)
        self._newest_ms = max((row.started_ms for row in picture.rows), default=0)
        self._say_older(picture.older)

    def _add_run(self, row: RunRow, *, on_top: bool) -> TreeNode[Row]:
        at = {"before": 0} if on_top and self.root.children else {"before": self._older} if self._older else {}
        node = self._runs[row.id] = self.root.add(row.name, _run_row(row), **at)
        return node

    def _update_sessions(self, node: TreeNode[Row], seen: Seen) -> None:
        for session in seen.view.sessions:
            known = self._sessions.get(session.id)
            if known is None:
                parent = self._sessions.get(session.parent or "", node)
                parent.allow_expand = True
                data = _session_row(session, seen)
                known = self._sessions[session.id] = parent.add(session.name, data, expand=True, allow_expand=False)
            _say(known, _session_row(session, seen))

    def _say_older(self, count: int) -> None:
        row = Row("", "", f"… {plural(count, 'older run')}: Enter shows more", "", ())
        if count and self._older is None:
            self._older = self.root.add_leaf(row.name, row)
        elif count and self._older is not None:
            _say(self._older, row)
        elif self._older is not None:
            self._older.remove()
            self._older = None

    # ---- choosing

    def action_open(self) -> None:
        """Show what is below the line; when it is shown, go there."""
        node = self.cursor_node
        if node is not None and node.allow_expand and not node.is_expanded:
            node.expand()
        elif node is not None and node.children:
            self.move_cursor(node.children[0])

    def action_close(self) -> None:
        """Hide what is below the line, or go to the line above it."""
        node = self.cursor_node
        if node is not None and node.allow_expand and node.is_expanded:
            node.collapse()
        elif node is not None and node.parent is not None and not node.parent.is_root:
            self.move_cursor(node.parent)

    def node_of(self, run: str, session: str = "") -> TreeNode[Row] | None:
        """The line of a run or session, if there is one."""
        return self._sessions.get(session) if session else self._runs.get(run)

    def expanded(self) -> list[str]:
        """Runs whose sessions are shown."""
        return [run for run, node in self._runs.items() if node.is_expanded]

    # ---- drawing

    def render_label(self, node: TreeNode[Row], base_style: Style, style: Style) -> Text:
        """The name at the left, state and figures at the right, as many as there is room for."""
        row = node.data
        if row is None or not row.run:
            return Text(row.name if row else "", style)
        icon = ("▾ " if node.is_expanded else "▸ ") if node.allow_expand else "  "
        mark = MARKS.get(row.state, " ")
        depth = 0
        above = node.parent
        while above is not None and not above.is_root:
            depth, above = depth + 1, above.parent
        room = max(self.scrollable_content_region.width, 20) - depth * self.guide_depth - 5
        figures = [row.state.replace("_", " "), *row.figures]
        while len(figures) > 1 and cell_len("  ".join(figures)) > room - _LEAST_NAME:
            figures.pop()
        right = "  ".join(figures)
        name_room = max(room - cell_len(right) - 1, 4)
        name = row.name if cell_len(row.name) <= name_room else set_cell_size(row.name, name_room - 1) + "…"
        mark_style = style + Style.parse(_STYLES.get(mark, "")) if node is not self.cursor_node else style
        return Text.assemble((icon, style), (mark, mark_style), (f" {set_cell_size(name, name_room)} {right}", style))


def _say(node: TreeNode[Row], row: Row) -> None:
    if node.data != row:
        node.data = row
        node.set_label(row.name)


def _run_row(row: RunRow) -> Row:
    spend = cost(row.spend) if row.spend is not None else "…"
    kind = ("agent",) if row.agent else ()
    return Row(row.id, "", printable(row.name), row.state, (spend, date_time(row.started_ms), *kind))


def _session_row(session: SessionFacts, seen: Seen) -> Row:
    spend = seen.view.spends.get(session.id)
    full = session.context_tokens / session.window_tokens if session.window_tokens else None
    figures = (cost(spend) if spend else "–", plural(session.turns, "turn"), percent(full), session.model)
    name = printable(session.name if session.parent is None else session.name.rpartition("/")[2])
    return Row(seen.view.id, session.id, name, session.status, figures)
