"""How many of the questions are answered right. One answer each: a list of candidates is none. Nothing of the work is run."""

import json
from pathlib import Path

LONGEST = 80


def said(value: object) -> str:
    """Case and spacing do not count."""
    return " ".join(value.casefold().split()) if isinstance(value, str) and len(value) <= LONGEST else ""


def main() -> None:
    key = json.loads(Path("/hidden/key.json").read_text())
    try:
        answers = json.loads(Path("/answers").read_text(errors="replace"))
        assert isinstance(answers, dict)
    except (ValueError, AssertionError, RecursionError) as error:
        print(f"nothing counts: answers.json is no JSON object: {error!r}\nscore: 0")
        return
    right = [number for number, answer in key.items() if said(answers.get(number)) == answer.casefold()]
    print(
        f"right: {', '.join(right) or 'none'}; wrong or missing: {', '.join(sorted(set(key) - set(right))) or 'none'}"
    )
    print(f"score: {len(right) / len(key):.4f}")


main()
