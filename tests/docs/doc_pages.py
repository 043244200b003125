"""What the documentation shows as typed and printed, run for real in a folder of its own.

    python tests/docs/doc_pages.py [PAGE ...]

makes the documented recording again and writes into the pages what their commands print now.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("docs/guides/first-run")
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"

VARYING = [
    (re.compile(r"\b(?=\w*\d)(?=\w*[a-z])[0-9a-z]{16,64}\b"), "ID"),  # ids of runs, hashes
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?"), "WHEN"),
    (re.compile(r"\b\d\d:\d\d(:\d\d)?\b"), "WHEN"),
    (re.compile(r"\b\d+(\.\d+)?m?s\b"), "SOME-TIME"),
    (re.compile(r"\b\d+(\.\d+)? ([KMGT]i)?B\b"), "SOME-SIZE"),
    (re.compile(r"\S*/docs/guides/first-run"), "FOLDER"),
    (re.compile(r"\S*/ledger\.db"), "LEDGER"),
    (re.compile(r"genai-prices \S+ \S+"), "LIST"),
]
"""What differs from run to run, and what stands for it when two outputs are compared."""


@dataclass
class Step:
    """One command of a page, and the output that the page shows under it."""

    command: str
    shown: list[str] = field(default_factory=list)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in that language."""
    return [body for name, body in _BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def steps(page: Path) -> list[Step]:
    """The commands of a page's `console` blocks: `$ ` begins one, `> ` goes on with it, `...` is any output."""
    found: list[Step] = []
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            elif line.startswith("> ") and not found[-1].shown:
                found[-1].command += "\n" + line[2:]
            else:
                found[-1].shown.append(line)
    return found


def play(todo: list[Step], folder: Path) -> list[str]:
    """Type the commands into one shell, in an empty folder with the documented example; what each printed."""
    shutil.copytree(ROOT / EXAMPLE, folder / EXAMPLE)
    (folder / "home").mkdir()
    script = "\n".join(f"(exit ${{code:-0}})\n{step.command}\ncode=$?\nprintf '{_MARK}'" for step in todo)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "OUTLAY_HOME": str(folder / "state"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    told = done.stdout.replace(str(folder / "home"), "/home/you").replace(str(folder), "/home/you/outlay")
    return told.split(_MARK)[:-1]


def plain(lines: list[str]) -> list[str]:
    """The words of an output without what differs from run to run; where lines break does not matter."""
    text = "\n".join(lines)
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.split()


def agrees(shown: list[str], printed: str) -> bool:
    """Whether the page shows what was printed; a line `...` stands for any lines."""
    got = plain(printed.splitlines())
    parts: list[list[str]] = [[]]
    for line in shown:
        if line.strip() == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    first, *between = [plain(part) for part in parts]
    if not between:
        return got == first
    *between, last = between
    if got[: len(first)] != first:
        return False
    at = len(first)
    for part in between:
        places = [n for n in range(at, len(got) - len(part) + 1) if got[n : n + len(part)] == part]
        if not places:
            return False
        at = places[0] + len(part)
    return len(got) - at >= len(last) and got[len(got) - len(last) :] == last


def refresh(page: Path, folder: Path) -> None:
    """Write into the page what its commands print now. Outputs that are shown in part are for a person to mend."""
    text = page.read_text(encoding="utf-8")
    todo = steps(page)
    for step, output in zip(todo, play(todo, folder), strict=True):
        if agrees(step.shown, output):
            continue
        old, new = "\n".join(step.shown), "\n".join(output.splitlines())
        if "..." in step.shown or old not in text or not old:
            print(f"{page}: mend by hand: $ {step.command}\n{output}")
        else:
            text = text.replace(old, new, 1)
    page.write_text(text, encoding="utf-8")


def record(folder: Path) -> None:
    """Make the documented recording again from its answers: needed whenever a prompt or a tool's text has changed."""
    play([step for step in steps(ROOT / "docs" / "reference" / "recordings.md") if step.command[:3] != "cmp"], folder)
    shutil.copy(folder / EXAMPLE / "again.jsonl", ROOT / EXAMPLE / "recording.jsonl")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        record(Path(place))
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            refresh(Path(name), Path(place))
