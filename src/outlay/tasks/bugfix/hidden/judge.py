"""The share of scenes spoiled by the bug that are right now; 0 when a scene that was right is so no more, or the failing test was
touched. Nothing of the work runs here: what was seen is compared."""

import hashlib
import json
from pathlib import Path


def zero(reason: str) -> None:
    print(f"nothing counts: {reason}\nscore: 0")


def answers() -> dict[int, str]:
    found: dict[int, str] = {}
    for line in Path("/answers").read_text(errors="replace").splitlines():
        try:
            answer = json.loads(line)
            found[answer["n"]] = hashlib.sha256(json.dumps(answer["saw"], sort_keys=True).encode()).hexdigest()
        except (ValueError, KeyError, TypeError):
            continue
    return found


def main() -> None:
    truth = json.loads(Path("/hidden/expected.json").read_text())
    for name, digest in truth["unchanged"].items():
        path = Path("/workspace", name)
        if path.is_symlink() or not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return zero(f"{name} was changed")
    came = answers()
    right = {n for n, wanted in enumerate(truth["answers"]) if came.get(n) == wanted}
    mended = set(truth["mended"])
    others = set(range(len(truth["answers"]))) - mended
    print(
        f"scenes that the bug spoiled: {len(mended & right)} of {len(mended)} right\nothers: {len(others & right)} of {len(others)} right"
    )
    if others - right:
        return zero("what was right is right no more")
    print(f"score: {len(mended & right) / len(mended):.4f}")


main()
