"""Paths as goal files write them."""

from __future__ import annotations

from pathlib import Path


def beside(folder: Path, written: str) -> Path:
    """The path `written` as seen from `folder`; `~` is a home folder where there is one, else just a name."""
    try:
        return folder / Path(written).expanduser()
    except RuntimeError:  # `~somebody` whom this machine does not know
        return folder / written
