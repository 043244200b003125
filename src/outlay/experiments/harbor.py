"""Harbor's task folders (Terminal-Bench 2), read as they are: `task.toml`, `instruction.md`, `environment/`,
`tests/test.sh`, which leaves its reward in /logs/verifier. Held against the task model and the verifier of harbor
0.25.0, and against folders that its `harbor init` made.

No container is built. What a Dockerfile copies into its WORKDIR is the workspace; its image and RUN lines are noted,
and so is what else task.toml asks for."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.experiments.task import Task
from outlay.experiments.verify import SHOWN_CHARS, Verdict
from outlay.runs.yaml_lines import decode
from outlay.sandbox.types import Bounds, Command, Mount, Sandbox

TESTS, LOGS = "/tests", "/logs"
_DEFAULT_TIMEOUT_S = 600.0
"""Of the verifier, where task.toml names none (Harbor's own; its agents then have no limit)."""
_CANARY = re.compile(r"\A(?:\s*(?:<!--.*canary.*-->|#.*canary.*)\n)+\s*", re.IGNORECASE)
"""Marks at the top of an instruction against training on it; Harbor shows them to no agent either."""
_VARIABLE = re.compile(r"\$\{\w+(?::-[^}]*)?\}")


class RewardTests(msgspec.Struct, frozen=True, kw_only=True):
    """A verifier as Harbor has it: a script beside the work, which writes a reward."""

    tests: Path
    at: str
    """Where the workspace stands besides /workspace."""
    timeout_s: float = _DEFAULT_TIMEOUT_S
    environment: tuple[tuple[str, str], ...] = ()
    """Variables of `[verifier.env]`."""


def load_harbor(folder: Path) -> Task:
    """Read a Harbor task. Raises InputError that says what of it is missing or cannot be read."""
    try:
        said = tomllib.loads(decode((folder / "task.toml").read_bytes(), str(folder / "task.toml")))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{folder / 'task.toml'}: {error}") from None
    goal, tests = folder / "instruction.md", folder / "tests"
    for needed in (goal, tests / "test.sh"):
        if not needed.is_file():
            raise InputError(f"{folder}: a Harbor task without {needed.relative_to(folder)}")
    if said.get("steps"):
        raise InputError(f"{folder}: a Harbor task of several steps cannot be run yet")
    about = _table(said, "metadata")
    at, notes = _environment(folder / "environment")
    at = str(_table(said, "environment").get("workdir") or at).rstrip("/") or at
    wall_s = _seconds(folder, _table(said, "agent"), None)
    limits = "" if wall_s is None else f"limits: {{wall: {wall_s:g}s}}\n"
    words = _CANARY.sub("", decode(goal.read_bytes(), str(goal))).strip()
    where = f"\n\n({at} is the workspace.)" if at != "/workspace" else ""
    named = _table(said, "task")
    return Task(
        name=str(named.get("name") or folder.name).rpartition("/")[2],
        description=str(named.get("description") or about.get("description") or ""),
        tags=tuple(str(tag) for tag in (named.get("keywords") or about.get("tags") or ())),
        folder=folder,
        goal=goal,
        text=f"---\n{limits}---\n{words}{where}\n",
        workspace=folder / "environment" if (folder / "environment").is_dir() else None,
        verifier=RewardTests(
            tests=tests,
            at=at,
            timeout_s=_seconds(folder, _table(said, "verifier"), _DEFAULT_TIMEOUT_S) or _DEFAULT_TIMEOUT_S,
            environment=tuple(
                (str(name), str(value))
                for name, value in _table(_table(said, "verifier"), "env").items()
                if not _VARIABLE.search(str(value))
            ),
        ),
        at=at,
        notes=(*notes, *_asks_more(said)),
    )


def _asks_more(said: dict[str, Any]) -> list[str]:
    """What task.toml asks for and is not had here."""
    environment, verifier = _table(said, "environment"), _table(said, "verifier")
    notes = [
        f"not done here: [environment] {key}"
        for key in ("docker_image", "env", "mcp_servers", "gpus", "tpu", "healthcheck", "skills_dir")
        if environment.get(key)
    ]
    if environment.get("os", "linux") != "linux":
        notes.append(f"not done here: [environment] os = {environment['os']}")
    if verifier.get("environment_mode") == "separate" or verifier.get("environment"):
        notes.append("not done here: a verifier in a container of its own (tests see the workspace as it was left)")
    if any(_VARIABLE.search(str(value)) for value in _table(verifier, "env").values()):
        notes.append("not done here: [verifier.env] from variables of this machine")
    return notes


def _table(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _seconds(folder: Path, table: dict[str, Any], otherwise: float | None) -> float | None:
    value = table.get("timeout_sec", otherwise)
    if value is None:
        return None
    if not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{folder / 'task.toml'}: timeout_sec is {value!r}, not a number of seconds")
    return float(value)


def _environment(folder: Path) -> tuple[str, list[str]]:
    """Where the Dockerfile puts its work, and what of it is not done here."""
    at, notes = "/app", []
    dockerfile = folder / "Dockerfile"
    if dockerfile.is_file():
        for line in dockerfile.read_text(errors="replace").replace("\\\n", " ").splitlines():
            word, _, rest = line.strip().partition(" ")
            if word.upper() == "WORKDIR":
                at = rest.strip().rstrip("/") or "/app"
            elif word.upper() in ("FROM", "RUN", "ADD", "ENV"):
                notes.append(f"not done here: {word.upper()} {' '.join(rest.split())[:100]}")
            elif word.upper() == "COPY" and (note := _copied(rest, at)):
                notes.append(note)
    if (folder / "docker-compose.yaml").is_file():
        notes.append("not done here: docker-compose.yaml")
    return at, notes


def _copied(words: str, at: str) -> str:
    """A note on a COPY whose result is not what the workspace is: the environment's files at WORKDIR."""
    parts = [part for part in shlex.split(words) if not part.startswith("--")]
    *sources, target = parts or [""]
    place = target if target.startswith("/") else f"{at}/{target}"
    inside = place.rstrip("/.") == at.rstrip("/") or all(f"{at}/{s}".rstrip("/") == place.rstrip("/") for s in sources)
    return "" if inside else f"not done here: COPY {words.strip()} (its files stand at the top of the workspace)"


async def reward(sandbox: Sandbox, tests: RewardTests, workspace: Path) -> Verdict:
    """Run `tests/test.sh` beside the workspace (it may change it) and read the reward that it leaves."""
    with tempfile.TemporaryDirectory(prefix="outlay-reward-") as place:
        logs = Path(place)
        (logs / "verifier").mkdir()
        (logs / "agent").mkdir()
        (logs / "artifacts").mkdir()
        finished = await sandbox.run(
            Command(
                argv=("/bin/bash", "-c", f'cd "{tests.at}" && exec /bin/bash {TESTS}/test.sh'),
                workspace=workspace,
                mounts=(*seen_at(workspace, tests.at), Mount(tests.tests, TESTS), Mount(logs, LOGS, writable=True)),
                environment=tests.environment,
                bounds=Bounds(wall_s=tests.timeout_s),
            )
        )
        score = _reward(logs / "verifier")
    output = (finished.head + finished.tail).decode(errors="replace")[-SHOWN_CHARS:]
    if score is None:
        output += f"\nno reward was written ({finished.ended.replace('_', ' ')}, exit {finished.exit_code})"
    return Verdict(passed=score is not None and score >= 1, score=score, output=output, wall_ms=finished.wall_ms)


def seen_at(workspace: Path, at: str) -> tuple[Mount, ...]:
    """The workspace a second time, where the task's words say that it is."""
    return () if at == "/workspace" else (Mount(workspace, at, writable=True),)


def _reward(folder: Path) -> float | None:
    """`reward` (else the least number) of `reward.json`, or the number in `reward.txt`; None without a finite one.
    Where both are, `reward.json` counts, as in Harbor."""
    try:
        if (folder / "reward.json").is_file():
            found = json.loads((folder / "reward.json").read_text())
            values = found if isinstance(found, dict) else {"reward": found}
            value = float(values.get("reward", min(values.values())))
        else:
            value = float((folder / "reward.txt").read_text().strip())
    except (OSError, ValueError, TypeError):
        return None
    return value if math.isfinite(value) else None


def copy_environment(source: Path, target: Path) -> None:
    """The workspace of a Harbor task: its environment without what only builds containers."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("Dockerfile", "docker-compose.yaml"))
