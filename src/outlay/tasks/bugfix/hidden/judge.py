"""The share of scenes spoiled by the bug that are right now; 0 when a scene that was right is so no more, when savepoints are
copies, or when the failing test was touched. Nothing of the work runs here: what was seen is compared."""

import hashlib
import json
from pathlib import Path

MOST_BYTES = 1_500_000
"""Of five savepoints on 2,000 rows: 640,000 where buckets are shared, 3,900,000 where they are copied."""


def zero(reason: str) -> None:
    print(f"nothing counts: {reason}\nscore: 0")


def answers() -> dict:
    found = {}
    for line in Path("/answers").read_text(errors="replace").splitlines():
        try:
            answer = json.loads(line)
            found[answer["n"]] = answer["saw"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def brief(saw: object) -> str:
    return hashlib.sha256(json.dumps(saw, sort_keys=True).encode()).hexdigest()


def main() -> None:
    truth = json.loads(Path("/hidden/expected.json").read_text())
    for name, digest in truth["unchanged"].items():
        path = Path("/workspace", name)
        if path.is_symlink() or not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return zero(f"{name} was changed")
    came = answers()
    right = {n for n, wanted in enumerate(truth["answers"]) if n in came and brief(came[n]) == wanted}
    mended = set(truth["mended"])
    others = set(range(len(truth["answers"]))) - mended
    print(
        f"scenes that the bug spoiled: {len(mended & right)} of {len(mended)} right\nothers: {len(others & right)} of {len(others)} right"
    )
    if others - right:
        return zero("what was right is right no more")
    taken = came.get("savepoints")
    if not isinstance(taken, int) or taken > MOST_BYTES:
        return zero(f"five savepoints on 2,000 rows take {str(taken)[:80]} bytes: what is not written is copied")
    print(f"score: {len(mended & right) / len(mended):.4f}")


main()
