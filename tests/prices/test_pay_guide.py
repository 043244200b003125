"""The guide's commands print what the guide shows. `python tests/prices/test_pay_guide.py` brings it up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "pay.md"
_BLOCK = re.compile(r"```console\n\$ (outlay [^\n]*)\n(.*?)```", re.DOTALL)


def printed(command: str, state: Path) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OUTLAY_HOME": str(state), "COLUMNS": "80",
        "HOME": str(state), "LANG": "C.UTF-8", "NO_COLOR": "1", "TZ": "UTC",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", command], cwd=GUIDE.parent / "pay", env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def test_the_guides_commands_print_what_it_shows(tmp_path):
    blocks = _BLOCK.findall(GUIDE.read_text())
    assert len(blocks) == 3
    for command, shown in blocks:
        # The book's id changes with the list; where lines end does not matter.
        got, want = (
            re.sub(r"book [0-9a-f]{16}", "book ID", " ".join(t.split())) for t in (printed(command, tmp_path), shown)
        )
        assert got == want, f"run: python {Path(__file__).name}\n{got}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        text = _BLOCK.sub(lambda m: f"```console\n$ {m[1]}\n{printed(m[1], Path(name))}```", GUIDE.read_text())
    GUIDE.write_text(text)
