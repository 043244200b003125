"""Commands and what became of them; how a sandbox is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

Tier = Literal["vm", "strict", "basic", "none"]
Ended = Literal["exited", "timed_out", "out_of_memory", "process_limit", "output_limit", "disk_limit", "cancelled"]


class Mount(msgspec.Struct, frozen=True):
    """A folder or file of the host made visible inside the sandbox."""

    source: Path
    target: str
    """Absolute path inside the sandbox."""
    writable: bool = False


class Forward(msgspec.Struct, frozen=True):
    """A way out of the sandbox: what connects to `127.0.0.1:port` inside reaches a unix socket of the host."""

    port: int
    socket: Path


class Served(msgspec.Struct, frozen=True):
    """A way in: what connects to a listening socket of the host reaches `127.0.0.1:port` inside. The socket is handed
    over as a descriptor, so that nothing inside can put another in its place."""

    descriptor: int
    port: int


class Bounds(msgspec.Struct, frozen=True):
    """What one command may use."""

    wall_s: float = 120.0
    cpu_s: float | None = None
    """CPU seconds of any one process; None: as much as the wall time allows."""
    memory_bytes: int = 4 * 2**30
    processes: int = 512
    file_bytes: int = 2 * 2**30
    """Largest file that may be written."""
    tmp_bytes: int = 1 * 2**30
    """Size of /tmp and /dev/shm, each."""
    workspace_bytes: int = 16 * 2**30
    """Most that it may add to the workspace (and to other folders that it can write to)."""
    workspace_files: int = 1_000_000
    """Most files and folders that it may make or change there."""
    output_bytes: int = 32 * 2**20
    """Most that stdout and stderr together may print before the command is ended."""


class Command(msgspec.Struct, frozen=True):
    """One confined command."""

    argv: tuple[str, ...]
    workspace: Path
    """Folder of the host that is `/workspace` inside, and the working directory."""
    writable: bool = True
    """Whether the workspace may be changed."""
    protected: tuple[str, ...] = ()
    """Paths relative to the workspace that stay read-only (and cannot be created when absent)."""
    mounts: tuple[Mount, ...] = ()
    hosts: tuple[str, ...] = ()
    """Host names the command may reach; empty: no network."""
    environment: tuple[tuple[str, str], ...] = ()
    forwards: tuple[Forward, ...] = ()
    served: tuple[Served, ...] = ()
    stdin: int | None = None
    """Descriptor of the host that the command reads as its input; None: there is none."""
    bounds: Bounds = Bounds()
    output: Path | None = None
    """File of the host that receives all output (stdout and stderr as they came); None: kept in memory only."""


class Use(msgspec.Struct, frozen=True):
    """What a command used of the machine, its processes together."""

    cpu_ms: int | None = None
    memory_peak_bytes: int | None = None
    """None where the machine cannot tell."""
    written_bytes: int | None = None
    """Written to files on disk, as the kernel accounts it (getrusage(2), ru_oublock): whole pages, rewritten ones
    once each time they became dirty; file systems in memory do not count."""


class Finished(msgspec.Struct, frozen=True):
    """What became of a command."""

    exit_code: int
    """As the shell reports it: 128 + n when ended by signal n."""
    ended: Ended
    head: bytes
    """The first bytes of the output, stdout and stderr as they came (at most 64 KiB)."""
    tail: bytes
    """The last bytes where `head` is not all of it (at most 64 KiB)."""
    output_bytes: int
    """How much was printed in all."""
    wall_ms: int
    cpu_ms: int
    memory_peak_bytes: int | None
    """None where the machine cannot tell."""
    written_bytes: int | None = None

    @property
    def use(self) -> Use:
        """What it used of the machine."""
        return Use(self.cpu_ms, self.memory_peak_bytes, self.written_bytes)


class Sandbox(Protocol):
    """Runs commands, confined."""

    tier: Tier

    async def run(self, command: Command, listener: Callable[[bytes], None] | None = None) -> Finished:
        """Run to the end, to a bound or to cancellation; no process is left behind in any case. `listener` is called
        with output as it comes."""
