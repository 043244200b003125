"""Laying out the workspace that a trial of a task starts from."""

from __future__ import annotations

import shutil
from pathlib import Path

from outlay.errors import InputError
from outlay.experiments.harbor import copy_environment
from outlay.experiments.task import Task
from outlay.experiments.verify import Verifier
from outlay.sandbox.types import Bounds, Command, Mount, Sandbox

TASK = "/task"


async def make_workspace(sandbox: Sandbox, task: Task, place: Path) -> None:
    """Copy or generate the workspace of `task` into the folder `place`, which must not exist.

    Raises InputError when the generator fails.
    """
    if task.generate is None:
        if task.workspace is None:
            place.mkdir(parents=True)
        elif isinstance(task.verifier, Verifier):
            shutil.copytree(task.workspace, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy_environment(task.workspace, place)
        return
    place.mkdir(parents=True)
    done = await sandbox.run(
        Command(
            argv=("/bin/bash", "-c", task.generate.command),
            workspace=place,
            mounts=(Mount(task.generate.folder, TASK),),
            bounds=Bounds(wall_s=task.generate.timeout_s),
        )
    )
    if done.ended != "exited" or done.exit_code != 0:
        said = (done.head + done.tail).decode(errors="replace").strip()[-300:]
        raise InputError(f"task {task.name}: its generator failed ({done.ended}, exit {done.exit_code}): {said}")
