"""The demo: lay out the task `commonmark` in a folder of its own, and run its goal.

    python examples/commonmark/demo.py FOLDER [--model SPEC]

Without --model the models are played from `recording.jsonl`; all else is real: tools, sandbox, checks, ledger, report.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASK = Path(__file__).parents[2] / "src" / "outlay" / "tasks" / "commonmark"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="let this model work instead of the recording")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=arguments.folder))
    shutil.copytree(TASK / "workspace", place / "workspace", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("GOAL.md", "recording.jsonl"):
        shutil.copy(TASK / name, place / name)
    if arguments.model and "@http" in arguments.model:
        print("A server of your own has no price: the goal's limit in USD is left out.", flush=True)
        goal = place / "GOAL.md"
        goal.write_text(goal.read_text().replace("  usd: 5\n", ""))
    command = [sys.executable, "-m", "outlay", "run", str(place / "GOAL.md"), "--name", "commonmark"]
    for model in ("main", "small") if arguments.model else ():
        command += ["--model", f"{model}={arguments.model}"]
    if arguments.model is None:
        print("The models' answers are played from a recording; everything else is real.", flush=True)
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the run, too, and pauses it; it says how to go on
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        outlay = os.path.relpath(Path(sys.executable).with_name("outlay"))
        print(f"\nThe converter is in {place / 'workspace'}. Try:")
        print(f"  cd {place / 'workspace'} && echo '# Hi *there*' | python3 -m md2html -")
        print(f"  {outlay} show commonmark")
    return code


sys.exit(main())
