"""What a run is started with beside its goal, and how it ended, with the exit codes."""

from __future__ import annotations

from typing import Literal

import msgspec

OutcomeName = Literal["succeeded", "failed", "stopped", "cancelled", "lost"]
EXIT_CODES: dict[str, int] = {"succeeded": 0, "failed": 1, "stopped": 3, "cancelled": 4, "lost": 1}
PAUSED_EXIT_CODE = 5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line adds to a goal file; kept with the run, for its resume."""

    name: str = ""
    models: tuple[str, ...] = ()
    workspace: str | None = None
    limits: tuple[str, ...] = ()
    record: str | None = None


class Result(msgspec.Struct, frozen=True):
    """How a run, or this activation of it, ended."""

    run: str
    outcome: OutcomeName | None
    """None: paused, can be resumed."""
    reason: str

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome] if self.outcome else PAUSED_EXIT_CODE
