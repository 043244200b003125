"""Commands in containers of Docker or Podman, when one is present and asked for by name.

Options: docker-run(1), podman-run(1). Tested as a command line only; see docs/reference/sandbox.md.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from outlay.errors import EnvironmentProblem, InputError
from outlay.sandbox.capture import Capture
from outlay.sandbox.confine import check, confine
from outlay.sandbox.profile import ENVIRONMENT, HOME, WORKSPACE
from outlay.sandbox.types import Command, Finished, Mount, Tier

CONTAINER_PROGRAMS = ("docker", "podman")
_PROBE_S = 20
_CLIENT_NAMES = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")
"""What the program needs of the environment to find its service."""


def container_version(program: str) -> str:
    """`Docker 28.2.2 (server)` and the like. Raises EnvironmentProblem when it is not present or does not answer."""
    found = shutil.which(program)
    if found is None:
        raise EnvironmentProblem(
            f"{program} is not present; install {program}, if commands are to run in its containers"
        )
    argv = [found, "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(f"{found} does not answer ({error}); start its service") from None
    if answer.returncode != 0:
        last = answer.stderr.strip().rpartition("\n")[2].rstrip(".?")
        raise EnvironmentProblem(f"{found} is here, but: {last}; start its service")
    return f"{answer.stdout.strip()}: `outlay sandbox exec --with {program} --image IMAGE`"


def _mount(mount: Mount) -> list[str]:
    if "," in str(mount.source) or "," in mount.target:
        raise InputError(f"containers cannot have a path with a comma: {mount.source}; rename it")
    words = f"type=bind,source={mount.source},target={mount.target}"
    return ["--mount", words if mount.writable else f"{words},readonly"]


def arguments(command: Command, image: str, name: str, user: str) -> list[str]:
    """Everything after the program's name. user: `UID:GID` that files in the workspace shall belong to."""
    bounds = command.bounds
    words = ["run", "--rm", "--init", "--name", name, "--pull", "never", "--network", "none", "--read-only"]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ipc", "private", "--hostname", "sandbox"]
    words += ["--memory", str(bounds.memory_bytes), "--memory-swap", str(bounds.memory_bytes)]
    words += ["--pids-limit", str(bounds.processes), "--ulimit", f"fsize={bounds.file_bytes}"]
    words += ["--ulimit", "core=0", "--shm-size", str(bounds.tmp_bytes), "--user", user]
    for folder in ("/tmp", HOME):
        words += ["--tmpfs", f"{folder}:rw,nosuid,nodev,mode=1777,size={bounds.tmp_bytes}"]
    words += _mount(Mount(command.workspace, WORKSPACE, command.writable))
    for mount in command.mounts:
        words += _mount(mount)
    for path in command.protected:
        source = command.workspace / path
        if not source.exists():
            raise InputError(f"a container cannot keep {path!r} absent; make it, or use the strict sandbox")
        words += _mount(Mount(source, f"{WORKSPACE}/{path}"))
    for key, value in (ENVIRONMENT | dict(command.environment)).items():
        words += ["--env", f"{key}={value}"]
    return [*words, "--workdir", WORKSPACE, "--entrypoint", command.argv[0], image, *command.argv[1:]]


class Container:
    """Runs each command in a container of its own. Make one with `open_container`."""

    tier: Tier = "basic"

    def __init__(self, program: str, image: str) -> None:
        self._program = program
        self._image = image

    def close(self) -> None:
        """Nothing is held."""

    async def run(self, command: Command, listener: Callable[[bytes], None] | None = None) -> Finished:
        """Run to the end, to a bound or to cancellation; the container is removed in any case. Use of the machine is
        not measured: the container belongs to the service. Raises InputError on what a container cannot do here."""
        check(command)
        if command.hosts or command.forwards or command.served:
            raise InputError("containers have no network here; only the strict sandbox lets a command reach hosts")
        name = f"outlay-{uuid4().hex[:16]}"
        argv = arguments(command, self._image, name, f"{os.getuid()}:{os.getgid()}")
        with contextlib.ExitStack() as stack:
            capture = Capture(command.bounds.output_bytes, command.output, listener)
            stack.callback(capture.close)
            stack.callback(self._remove, name)
            finished = await confine(lambda ready: self._argv(argv), command, capture, None)
        if finished.exit_code == 125 and finished.ended == "exited":
            message = finished.head.decode(errors="replace").strip().rpartition("\n")[2]
            raise EnvironmentProblem(f"{self._program} could not make a container: {message}")
        return finished

    def _argv(self, argv: list[str]) -> list[str]:
        known = [f"{name}={os.environ[name]}" for name in _CLIENT_NAMES if name in os.environ]
        return ["/usr/bin/env", *known, "/bin/sh", "-c", 'echo >&0; exec "$@" </dev/null', "sh", self._program, *argv]

    def _remove(self, name: str) -> None:
        subprocess.run([self._program, "rm", "--force", name], capture_output=True, timeout=_PROBE_S, check=False)


def open_container(program: str, image: str) -> Container:
    """Containers of `program` (docker, podman) from a local image. Raises EnvironmentProblem when it is not present."""
    container_version(program)
    return Container(str(Path(shutil.which(program) or program)), image)
