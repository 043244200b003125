"""What share of the broken rules is put right, and 0 when anything behaves otherwise than before.

Nothing of the work runs here: its answers are compared and its source is read, by the very `rules.py` that the workspace shows,
once that is known to be unchanged.
"""

import hashlib
import importlib.util
import json
from pathlib import Path

WORKSPACE = Path("/workspace")
SHOWN = 8


def zero(reason: str) -> None:
    print(f"nothing counts: {reason}\nscore: 0")


def changed(digests: dict[str, str]) -> str | None:
    for name, digest in digests.items():
        path = WORKSPACE / name
        if path.is_symlink() or not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return name
    return None


def answers() -> dict[int, dict]:
    found: dict[int, dict] = {}
    for line in Path("/answers").read_text(errors="replace").splitlines():
        try:
            answer = json.loads(line)
            found[answer.pop("n")] = answer
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def main() -> None:
    truth = json.loads(Path("/hidden/expected.json").read_text())
    if name := changed(truth["unchanged"]):
        return zero(f"{name} was changed")
    came = answers()
    other = [number for number, wanted in enumerate(truth["answers"]) if came.get(number) != wanted]
    print(f"behaves as before: {len(truth['answers']) - len(other)} of {len(truth['answers'])} cases")
    if other:
        return zero(f"case {other[0]} gave {str(came.get(other[0]))[:300]}")
    spec = importlib.util.spec_from_file_location("rules", WORKSPACE / "rules.py")
    rules = importlib.util.module_from_spec(
        spec
    )  # by its path: a folder of the workspace must not be searched for modules
    spec.loader.exec_module(rules)
    try:
        if (WORKSPACE / "ferry").is_symlink():
            return zero("ferry is a link")
        if refused := rules.not_plain(WORKSPACE / "ferry"):
            return zero("; ".join(refused[:SHOWN]))
        left = rules.broken(WORKSPACE / "ferry")
    except (SyntaxError, ValueError, RecursionError, OSError) as error:
        return zero(f"the source cannot be read: {error!r}")
    print("\n".join(left[:SHOWN]))
    print(f"rules broken: {len(left)}, before: {truth['broken_before']}")
    print(f"score: {max(0.0, 1 - len(left) / truth['broken_before']):.4f}")


main()
