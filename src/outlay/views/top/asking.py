"""What comes up over the screen: a line to write, a yes or no, what waits for approval, the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from outlay.ledger import Event
from outlay.views.wording import plural, printable

_LEAVE = Binding("escape", "leave", "Leave")


class Write(ModalScreen[str | None]):
    """One line of text, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [_LEAVE]

    def __init__(self, title: str, about: str, text: str = "") -> None:
        super().__init__()
        self._title, self._about, self._text = title, about, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self._title, markup=False, classes="title")
            yield Input(self._text, select_on_focus=False)
            yield Static(f"{self._about}\nEnter does it, Escape leaves".strip(), markup=False, classes="about")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_leave(self) -> None:
        self.dismiss(None)


class Sure(ModalScreen[bool]):
    """Yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes"), Binding("n", "leave", "No"), _LEAVE,
    ]  # fmt: skip

    def __init__(self, question: str, about: str = "") -> None:
        super().__init__()
        self._question, self._about = question, about

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self._question, markup=False, classes="title")
            yield Static(f"{self._about}\ny does it, n or Escape leaves".strip(), markup=False, classes="about")

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)


class Approve(ModalScreen[tuple[str, bool] | None]):
    """What waits for a person, to the byte: one release after the other; the decision on one, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "decide(True)", "Approve"),
        Binding("n", "decide(False)", "Deny"),
        Binding("left", "turn(-1)", "Before"),
        Binding("right", "turn(1)", "Next"),
        _LEAVE,
    ]

    def __init__(self, waiting: Sequence[Event]) -> None:
        super().__init__()
        self._waiting = waiting
        self._at = 0

    def compose(self) -> ComposeResult:
        with Vertical(classes="box large"):
            yield Static("", markup=False, id="release", classes="title")
            with VerticalScroll():
                yield Static("", markup=False, id="bytes")
            yield Static("y approves these bytes once, n denies, ← → shows the others, Escape leaves", classes="about")

    def on_mount(self) -> None:
        self.action_turn(0)

    def action_turn(self, by: int) -> None:
        self._at = (self._at + by) % len(self._waiting)
        event = self._waiting[self._at]
        head, content = event.head, event.payload
        place = f"{self._at + 1} of {len(self._waiting)}: " if len(self._waiting) > 1 else ""
        size = plural(len(content or b""), "byte")
        self.query_one("#release", Static).update(
            f"{place}{head['id']}  release {head['release']} to {head['to']}, asked by {head['session']}, {size}"
        )
        shown = "(redacted)" if content is None else printable(content.decode("utf-8", "backslashreplace"))
        self.query_one("#bytes", Static).update(shown)

    def action_decide(self, approved: bool) -> None:
        self.dismiss((self._waiting[self._at].head["id"], approved))

    def action_leave(self) -> None:
        self.dismiss(None)


HELP = """\
MOVING
 ↑ ↓ Home End PgUp  along the lines; the mouse does, too
 → ←                show and hide the sessions of a run
 Enter              into a session's dialog; there: unfold, fold again
 Tab  Esc           the other half of the screen; back to the runs
 z                  the dialog alone, or beside the runs again
FINDING
 /  n  N            in a session, or in all of a run; next, before
STEERING
 m                  a message for an agent at work, or new instructions
 a                  approve or deny what waits for a person
 p  r               pause a run at its next safe point; resume it
 c                  cancel a run or an agent
OTHER
 t  q               light or dark; leave (what works goes on)
SIGNS
 ▶ running  ◇ waiting  … queued  ✓ done, succeeded  ✗ failed, timed out
 ⊘ cancelled  ■ stopped  ‖ paused  ! interrupted  ? lost
 ▸ more to unfold  ▾ unfolded  ▌ the cursor  » found"""


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "leave", "Leave")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box help"):
            yield Static(HELP, markup=False)

    def action_leave(self) -> None:
        self.dismiss(None)
