"""The tasks that come with Outlay, by name. What each measures: docs/guides/tasks.md."""

from __future__ import annotations

from pathlib import Path

from outlay.errors import InputError
from outlay.experiments.task import is_task

TASKS = Path(__file__).parents[1] / "tasks"


def shipped() -> dict[str, Path]:
    """Name and folder of each shipped task."""
    return {folder.name: folder for folder in sorted(TASKS.iterdir()) if is_task(folder)}


def find_task(said: str, start: Path) -> Path:
    """What a person means: a path, from the folder `start`, or the name of a shipped task.

    Raises InputError with the names there are.
    """
    path = start / said
    if path.exists():
        return path
    found = shipped()
    if said not in found:
        raise InputError(f"no task {said}: no such folder, and none of those that ship ({', '.join(found)})")
    return found[said]
