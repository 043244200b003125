"""Precision and recall of the findings against the key; their harmonic mean is the score. Nothing of the work is run."""

import json
from pathlib import Path

MOST = 40
LEAST_PRECISION = 0.4
"""Below this a list is a guess at everything."""


def zero(reason: str) -> None:
    print(f"nothing counts: {reason}\nscore: 0")


def named(finding: dict) -> tuple[str, frozenset[str]]:
    return str(finding["kind"]), frozenset(str(name) for name in finding["requirements"])


def main() -> None:
    key = {named(each): each["why"] for each in json.loads(Path("/hidden/key.json").read_text())}
    try:
        findings = json.loads(Path("/answers").read_text(errors="replace"))
        said = {named(each) for each in findings}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return zero(f"findings.json cannot be read: {error!r}")
    if not said or len(findings) > MOST:
        return zero(f"{len(findings)} findings; 1 to {MOST} are asked for")
    right = said & set(key)
    precision, recall = len(right) / len(said), len(right) / len(key)
    for kind in ("contradiction", "gap", "ambiguity"):
        total, hit = [sum(k == kind for k, _ in each) for each in (key, right)]
        print(f"{kind:14} {hit} of {total} found, {sum(k == kind for k, _ in said) - hit} said wrongly")
    print(f"precision: {precision:.3f}\nrecall: {recall:.3f}")
    if precision < LEAST_PRECISION:
        return zero(f"less than {LEAST_PRECISION:.0%} of the findings are right")
    print(f"score: {2 * precision * recall / (precision + recall):.4f}")


main()
