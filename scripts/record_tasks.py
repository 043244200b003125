"""Record the shipped tasks' example runs again, from the answers that their recordings hold.

    python scripts/record_tasks.py [TASK ...]      default: all

Needed whenever a prompt, a tool's text or a task has changed. The answers are given by hand once more, through
`manual:`; tools, sandbox, checks and verifier are real. A recording is replaced only when the run succeeds and its work
passes the verifier.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from outlay.experiments.layout import make_workspace
from outlay.experiments.shipped import shipped
from outlay.experiments.task import load_task
from outlay.experiments.verify import Verifier, verify
from outlay.sandbox.probe import open_sandbox

LONGEST_S = 300


def write_answers(recording: Path, folder: Path) -> None:
    """The answers of a recording as files for `manual:`."""
    folder.mkdir()
    for line in recording.read_text().splitlines()[1:]:
        entry = json.loads(line)
        parts = entry["reply"]["message"]["parts"]
        answer = {
            "text": "".join(part["text"] for part in parts if part["type"] == "text"),
            "tool_calls": [
                {"name": part["name"], "arguments": json.loads(part["arguments"])}
                for part in parts
                if part["type"] == "tool_call"
            ],
        }
        stem = f"{entry['session'].replace('/', '.')}-{entry['n']:03}"
        (folder / f"{stem}.answer.json").write_text(json.dumps(answer))


def record(folder: Path, place: Path) -> bool:
    """Play one task's answers again in `place`; whether its recording was replaced."""
    task, sandbox = load_task(folder), open_sandbox(place / "cache")
    asyncio.run(make_workspace(sandbox, task, place / "workspace"))
    for file in folder.glob("*.toml"):
        shutil.copy(file, place)
    (place / "GOAL.md").write_text(task.text.replace("recorded:recording.jsonl", "manual:answers"))
    write_answers(folder / "recording.jsonl", place / "answers")
    command = [sys.executable, "-m", "outlay", "run", "GOAL.md", "--record", "recording.jsonl", "--plain"]
    environment = os.environ | {"OUTLAY_HOME": str(place / "state")}
    subprocess.run(command, cwd=place, env=environment, stdin=subprocess.DEVNULL, timeout=LONGEST_S, check=True)
    assert isinstance(task.verifier, Verifier)
    verdict = asyncio.run(verify(sandbox, task.verifier, place / "workspace"))
    if verdict.passed:
        shutil.copy(place / "recording.jsonl", folder / "recording.jsonl")
    else:
        print(f"{task.name}: its recording stays as it was; the work does not pass:\n{verdict.output}")
    return verdict.passed


def main() -> int:
    tasks = shipped()
    done = []
    for name in sys.argv[1:] or tasks:
        with tempfile.TemporaryDirectory() as place:
            done.append(record(tasks[name], Path(place)))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
