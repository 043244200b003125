"""`shell` and `grep`: commands in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from outlay.agents.tool import Outcome, Refused, Tool, tool
from outlay.sandbox.types import Command, Finished, Mount
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session

HEAD_CHARS = 3_000
TAIL_CHARS = 5_000
LONGEST_S = 1_800
GREP_S = 60.0
OUTPUT = "/output"
"""Where a session sees its kept outputs, in the sandbox and with the read tool."""


class Shell(msgspec.Struct, frozen=True):
    command: str
    timeout_s: Annotated[int, Meta(ge=1, le=LONGEST_S)] = 120


class Grep(msgspec.Struct, frozen=True):
    pattern: Annotated[str, Meta(description="extended regular expression")]
    path: str = "."
    glob: Annotated[str | None, Meta(description="file names to search, such as *.py")] = None
    ignore_case: bool = False


async def _shell(session: Session, asked: tuple[ToolCall, Shell]) -> Outcome:
    call, arguments = asked
    crew = session.crew
    kept = crew.output_folder(session) / f"{len(session.history.messages)}-{_tail_of(call.id)}.txt"
    bounds = msgspec.structs.replace(crew.rules.bounds, wall_s=float(arguments.timeout_s))
    finished = await crew.sandbox.run(
        Command(
            argv=("/bin/bash", "-c", arguments.command),
            workspace=session.workspace,
            protected=crew.rules.protected,
            mounts=(*crew.hub.mounts(crew.place(session.name)), Mount(kept.parent, OUTPUT)),
            hosts=crew.hosts(session),
            bounds=bounds,
            output=kept,
        )
    )
    text = bounded(finished, f"{OUTPUT}/{kept.name}")
    if finished.output_bytes <= HEAD_CHARS + TAIL_CHARS:
        kept.unlink(missing_ok=True)
    commit = None
    try:
        commit = await session.snapshot()
    except Refused as problem:
        text += f"\n{problem}"
    ending = f"exit {finished.exit_code}" if finished.ended == "exited" else _ended(finished, arguments.timeout_s)
    return Outcome(
        text=f"{ending}\n{text}".rstrip(),
        is_error=finished.ended != "exited",
        commit=commit,
        use=finished.use,
    )


async def _grep(session: Session, asked: tuple[ToolCall, Grep]) -> Outcome:
    arguments = asked[1]
    options = ["-rnHIE", "--exclude-dir=.git"]
    options += ["-i"] if arguments.ignore_case else []
    options += [f"--include={arguments.glob}"] if arguments.glob else []
    script = 'LC_ALL=C grep "$@" 2>&1 | LC_ALL=C sort -s -t: -k1,1 -k2,2n | cut -c1-300; exit ${PIPESTATUS[0]}'
    finished = await session.crew.sandbox.run(
        Command(
            argv=("/bin/bash", "-c", script, "grep", *options, "-e", arguments.pattern, "--", arguments.path),
            workspace=session.workspace,
            writable=False,
            bounds=msgspec.structs.replace(session.crew.rules.bounds, wall_s=GREP_S),
        )
    )
    if finished.ended != "exited" or finished.exit_code > 1:
        raise Refused(f"grep failed ({_ended(finished, GREP_S)}): {finished.head[:500].decode(errors='replace')}")
    text = finished.head.decode(errors="replace").rstrip()
    lines = text.splitlines()
    if len(text) > HEAD_CHARS + TAIL_CHARS or finished.output_bytes > len(finished.head):
        shown = text[: HEAD_CHARS + TAIL_CHARS].rpartition("\n")[0].splitlines()
        return Outcome(text="\n".join(shown) + "\n(more lines match; narrow the search)", use=finished.use)
    return Outcome(text=text if lines else "no match", use=finished.use)


def _ended(finished: Finished, timeout_s: float) -> str:
    return {
        "exited": f"exit {finished.exit_code}",
        "timed_out": f"ended after {timeout_s:.0f} s: too long",
        "out_of_memory": "ended: out of memory",
        "process_limit": "ended: too many processes",
        "output_limit": "ended: printed too much",
        "disk_limit": "ended: wrote too much",
        "cancelled": "cancelled",
    }[finished.ended]


def bounded(finished: Finished, kept: str) -> str:
    """Output for a model: whole when short, else its beginning and end and where the whole is."""
    if finished.output_bytes <= HEAD_CHARS + TAIL_CHARS:
        return (finished.head + finished.tail).decode(errors="replace")
    last = finished.tail or finished.head
    head = finished.head[:HEAD_CHARS].decode(errors="replace")
    tail = last[-TAIL_CHARS:].decode(errors="replace")
    left_out = finished.output_bytes - HEAD_CHARS - TAIL_CHARS
    return f"{head}\n... {left_out} bytes left out; the whole is in {kept} ...\n{tail}"


def _tail_of(call_id: str) -> str:
    return "".join(c for c in call_id if c.isalnum())[-4:]


def shell_tool() -> Tool:
    text = "Run a bash command in the workspace; only files there last. Long output is shortened."
    return tool("shell", text, Shell, _shell, "workspace")


def grep_tool() -> Tool:
    return tool("grep", "Search file contents.", Grep, _grep)
