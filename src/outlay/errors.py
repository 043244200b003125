"""The exception tree. Every error says what happened, to what, and what to do.

Exit codes of the command line (documented in docs/reference/cli.md):
0 succeeded, 1 failed, 2 bad input, 3 stopped by a limit, 4 cancelled, 5 paused (can be resumed).
"""

from __future__ import annotations


class OutlayError(Exception):
    """Root of the tree. `str(error)` is one line for a person; `exit_code` is what the command exits with."""

    exit_code = 2


class InputError(OutlayError):
    """The user gave something that cannot work: a file, a flag, a name, a missing key."""


class KeyMissing(InputError):
    """A model needs a key that is nowhere. `variable` is the environment variable that would hold it."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(message)
        self.variable = variable


class EnvironmentProblem(OutlayError):
    """The machine lacks what the work needs: no bubblewrap, a full disk, a read-only folder."""


class DiskProblem(EnvironmentProblem):
    """A disk cannot be written while a run is under way: the work stops where it is and can be resumed."""


class LedgerError(OutlayError):
    """The ledger cannot be opened, written or verified."""


class Fenced(LedgerError):
    """Another process took this session's lease; what was about to be written was not."""


class LimitReached(OutlayError):
    """A limit stops the work. `limit` names it (`usd`, `net_tokens`, `turns`, `wall_s`, ...)."""

    exit_code = 3

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class Cancelled(OutlayError):
    """A person cancelled the work."""

    exit_code = 4


class Paused(OutlayError):
    """The run pauses at a safe point; nothing is under way and it can be resumed."""

    exit_code = 5
