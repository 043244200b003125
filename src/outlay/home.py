"""Where Outlay keeps its state: `OUTLAY_HOME`, else the XDG data folder (`~/.local/share/outlay`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from outlay.errors import EnvironmentProblem


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder; it may not exist yet. Layout: `ledger.db`, `runs/<run>/`, `prices/`, `plans/`."""
    if explicit := environ.get("OUTLAY_HOME"):
        return Path(explicit).expanduser().resolve()
    data = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "outlay"


def ensure(folder: Path) -> Path:
    """Create `folder`, readable by its owner only, or say in one line why that is impossible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write to {folder}: {error.strerror}; set OUTLAY_HOME to a folder you can write to"
        ) from None
    return folder
