"""A real sandbox for all tests here; without one they are skipped with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outlay.errors import EnvironmentProblem
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.types import Command, Finished


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    try:
        opened = open_sandbox(tmp_path_factory.mktemp("sandbox-cache"))
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))
    yield opened
    opened.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def confined(sandbox: Bubblewrap, workspace: Path) -> Callable[..., Finished]:
    """Run a shell script in the sandbox."""

    def run(script: str, **options: Any) -> Finished:
        command = Command(("/bin/sh", "-c", script), options.pop("workspace", workspace), **options)
        return asyncio.run(sandbox.run(command))

    return run
