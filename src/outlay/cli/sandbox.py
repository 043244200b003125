"""`outlay sandbox`: run a command as agents and checks run theirs."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import click

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_TIMED_OUT = 124
_NO_BOUND_S = 365 * 86_400.0


class _Bytes(click.ParamType[int]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().lower().removesuffix("ib").removesuffix("b")
        unit = text[-1:] if text[-1:].isalpha() else ""
        number = text.removesuffix(unit) if unit else text
        if unit not in _UNITS or not number.isdigit() or int(number) < 1:
            self.fail(f"not a size: {value}; give it like 512M or 4G", param, ctx)
        return int(number) * _UNITS[unit]


@click.group(name="sandbox")
def command() -> None:
    """Run commands as agents and checks run theirs."""


@command.command(
    name="exec",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    epilog="Example: outlay sandbox exec --timeout 60 --network example.org,files.example.org -- curl -sO https://files.example.org/data.csv",
)
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default="this folder",
    help="Folder that the command sees as /workspace.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.0),
    default=0.0,
    metavar="S",
    help="Seconds; 0: none. [default: 0]",
)
@click.option(
    "--network", default="none", show_default=True, metavar="none|HOST,...", help="Hosts it may reach by HTTP(S)."
)
@click.option("--read-only", is_flag=True, help="The workspace cannot be changed.")
@click.option(
    "--protect", multiple=True, metavar="PATH", help="A path of the workspace that stays as it is; repeatable."
)
@click.option("--memory", type=_Bytes(), default="4G", show_default=True, help="Memory of all its processes together.")
@click.option("--processes", type=click.IntRange(min=2), default=512, show_default=True, help="Processes and threads.")
@click.option(
    "--with",
    "backend",
    type=click.Choice(["bubblewrap", "landlock", "seatbelt", "docker", "podman"]),
    default="bubblewrap",
    show_default=True,
    help="What confines it; all but bubblewrap are weaker.",
)
@click.option("--image", metavar="NAME", help="Local image, for docker and podman.")
@click.argument("argv", nargs=-1, required=True, metavar="-- COMMAND...")
def execute(
    workspace: Path,
    timeout_s: float,
    network: str,
    read_only: bool,
    protect: tuple[str, ...],
    memory: int,
    processes: int,
    backend: str,
    image: str | None,
    argv: tuple[str, ...],
) -> None:
    """Run COMMAND in the sandbox; its output and exit code are passed through.

    Inside, the system is read-only, the workspace is /workspace, the environment is empty, and there is no network but
    the hosts named; hooks and configuration of git repositories, and .outlay, cannot be changed, and new ones that make
    git run programs are set aside (renamed) at the end. Exit code 124:
    timeout; 2: bad input or no sandbox on this machine; 4: interrupted; else the command's own (127: no such program;
    128+n: ended by signal n).
    """
    from outlay.sandbox.planted import Repositories
    from outlay.sandbox.types import Bounds, Command

    if (image is not None) != (backend in ("docker", "podman")):
        raise click.UsageError("--image goes with --with docker or --with podman, which need it")
    hosts = (
        () if network.strip().lower() in ("", "none") else tuple(part for part in network.split(",") if part.strip())
    )
    bounds = Bounds(
        wall_s=timeout_s or _NO_BOUND_S,
        cpu_s=2**31,
        memory_bytes=memory,
        processes=processes,
        workspace_bytes=2**62,
        workspace_files=2**62,
        output_bytes=2**62,
    )
    folder = workspace.resolve()
    repositories = None if read_only else Repositories(folder)
    found = [] if repositories is None else repositories.protected
    wanted = Command(
        argv=argv,
        workspace=folder,
        writable=not read_only,
        protected=(*protect, *_of_the_project(workspace), *found),
        hosts=hosts,
        bounds=bounds,
    )
    try:
        code = asyncio.run(_run(wanted, backend, image or ""))
    finally:
        for path in [] if repositories is None else repositories.set_aside():
            shown = path.relative_to(folder)
            click.echo(f"outlay: set aside, because git would run what it says: {shown}", err=True)
    sys.exit(code)


def _of_the_project(workspace: Path) -> list[str]:
    """What a command could plant for the user's own tools to run later, and the project's state."""
    planted = [".outlay"] if (workspace / ".outlay").is_dir() else []
    git = workspace / ".git"
    if git.is_dir() and not git.is_symlink():
        planted += [".git/hooks", ".git/config", ".git/config.worktree"]
    return planted


async def _run(wanted: object, backend: str, image: str) -> int:
    from outlay.sandbox.probe import open_backend
    from outlay.sandbox.types import Command

    assert isinstance(wanted, Command)
    sandbox = open_backend(backend, image)
    task = asyncio.ensure_future(sandbox.run(wanted, _print))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        finished = await task
    except asyncio.CancelledError:
        return 4
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    finally:
        sandbox.close()
    if finished.ended == "timed_out":
        click.echo(f"outlay: ended after {wanted.bounds.wall_s:g} s (--timeout)", err=True)
        return _TIMED_OUT
    if finished.ended == "out_of_memory":
        size = wanted.bounds.memory_bytes // 2**20
        click.echo(f"outlay: out of memory at {size} MiB; give more with --memory", err=True)
    return finished.exit_code


def _print(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
