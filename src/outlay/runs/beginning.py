"""A run that does not begin leaves nothing behind."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outlay import home
from outlay.clock import Clock
from outlay.errors import EnvironmentProblem, LedgerError
from outlay.ledger import Ledger


@contextmanager
def beginning(root: Path, run: str, clock: Clock) -> Iterator[Path]:
    """The new run's folder below the state folder `root`. When the body fails before the run is in the ledger,
    everything that was created meanwhile is removed again. Raises EnvironmentProblem for a disk that takes nothing."""
    folder = root / "runs" / run
    created = [place for place in (root, root / "sandbox", folder.parent) if not place.exists()]
    try:
        for each in (root, folder.parent, folder):
            home.ensure(each)
        yield folder
    except BaseException as error:
        if not _in_ledger(root / "ledger.db", run, clock):
            shutil.rmtree(folder, ignore_errors=True)
            _remove(root, created)
        if isinstance(error, OSError):
            raise EnvironmentProblem(f"cannot write below {root}: {error.strerror or error}") from None
        raise


def _in_ledger(path: Path, run: str, clock: Clock) -> bool:
    """Whether the run reached the ledger; also when that cannot be told."""
    try:
        if not path.exists() or path.stat().st_size == 0:
            return False
        with Ledger(path, clock) as ledger:
            return bool(ledger.rows("SELECT id FROM runs WHERE id = ?", (run,)))
    except (OSError, LedgerError):
        return True


def _remove(root: Path, created: list[Path]) -> None:
    """What was made for this run alone. SQLite leaves an empty file when it cannot make a ledger."""
    with contextlib.suppress(OSError):
        ledger = root / "ledger.db"
        if root in created and ledger.exists() and ledger.stat().st_size == 0:
            ledger.unlink()
        if root / "sandbox" in created:
            shutil.rmtree(root / "sandbox", ignore_errors=True)
    for place in reversed(created):
        with contextlib.suppress(OSError):
            place.rmdir()
