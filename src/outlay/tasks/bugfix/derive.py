"""Make the hidden scenes of this task: what the mended repository shows in each, and whether the broken one shows it too.

    python3 derive.py

Writes `probe/scenes.json` (what is played) and `hidden/expected.json` (what must be seen; `mended` are the scenes that the bug
spoils).
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
HELD = "tests/test_importer.py"
SCENES = 60


def roll(high: int, *key: object) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "big") % high


def row(n: int, at: object) -> list:
    return [f"B-{roll(14, n, at, 'code')}", "abc"[roll(3, n, at, "place")], 10 + 5 * roll(6, n, at, "weight")]


def scene(n: int) -> list:
    """A course of some 24 steps; even ones set savepoints and go back to them, odd ones only once or never."""
    steps: list = [["insert", *row(n, f"start{at}")] for at in range(4)]
    names: list[str] = []
    for at in range(20):
        kind = roll(10, n, at)
        if kind < 3:
            steps.append(["insert", *row(n, at)])
        elif kind == 3:
            steps.append(
                [
                    "update",
                    1 + roll(6, n, at, "id"),
                    {"place": "abc"[roll(3, n, at, "to")], "weight": 10 + 5 * roll(6, n, at, "w")},
                ]
            )
        elif kind == 4:
            steps.append(["delete", 1 + roll(6, n, at, "id")])
        elif kind == 5 and n % 2 == 0:
            rows = [row(n, f"{at}/{place}") for place in range(5)]
            steps.append(["import", rows, [[rows[3][0], f"M-{at}"]]])
        elif kind < 7 and (n % 2 == 0 or not names):
            names.append("xyz"[roll(3, n, at, "name")])
            steps.append(["set", names[-1]])
        elif names and n % 2 == 0:
            steps.append(["roll_back" if kind < 9 else "release", names[roll(len(names), n, at, "which")]])
        else:
            steps.append(["insert", *row(n, f"{at}more")])
    return steps


def played(repository: Path, scenes: list) -> list:
    program = "import json, sys; from ask import answer; print(json.dumps([answer(s) for s in json.load(sys.stdin)], default=str))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], input=json.dumps(scenes), capture_output=True, text=True, check=True,
        env={"PYTHONPATH": f"{HERE / 'probe'}:{repository}"},
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> None:
    scenes = [scene(n) for n in range(SCENES)]
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-B", HERE / "generate.py", place], check=True)
        broken = played(Path(place), scenes)
        shutil.copytree(HERE / "solution", place, dirs_exist_ok=True)
        right = played(Path(place), scenes)
    spoiled = [n for n in range(SCENES) if broken[n] != right[n]]
    print(f"{len(spoiled)} of {SCENES} scenes are spoiled by the bug")
    digest = hashlib.sha256((HERE / "core" / HELD).read_bytes()).hexdigest()
    truth = {"unchanged": {HELD: digest}, "mended": spoiled, "answers": [brief(saw) for saw in right]}
    (HERE / "probe" / "scenes.json").write_text(json.dumps(scenes))
    (HERE / "hidden" / "expected.json").write_text(json.dumps(truth))


def brief(saw: list) -> str:
    """What was seen, as a digest: the judge only compares."""
    return hashlib.sha256(json.dumps(saw, sort_keys=True).encode()).hexdigest()


main()
