"""What the policy costs: decisions, labels, secret scanning, in CPU time of one core.

    python benchmarks/policy.py

1. Decides a request of 200 parts, each with a label of its own (new objects every time, so no hash is known), with the
   policy of tests/policy/example.toml and with a large one (60 kinds of data with 8 rules each, 20 models with two
   hops); allowed and refused.
2. Labels a path, scans texts for secrets (plain ones, and ones made to be slow), loads the policy.
"""

from __future__ import annotations

import random
import string
import sys
import time
from collections.abc import Callable
from pathlib import Path

from outlay.policy.decide import decide_parts
from outlay.policy.load import load, load_text
from outlay.policy.secrets import scan
from outlay.policy.source import label_path
from outlay.policy.types import Policy

EXAMPLE = Path(__file__).parents[1] / "tests" / "policy" / "example.toml"
PARTS = 200
BOUND_US = 50.0


def per_call_us(work: Callable[[], object], repeats: int) -> float:
    """CPU microseconds of one call: the middle of 5 measurements."""
    for _ in range(repeats // 10 + 1):
        work()
    found = []
    for _ in range(5):
        before = time.process_time_ns()
        for _ in range(repeats):
            work()
        found.append((time.process_time_ns() - before) / repeats / 1000)
    return sorted(found)[2]


def large() -> Policy:
    """60 kinds of data with 8 rules each (the fitting one stands last), 20 models with a hop in between."""
    lines = ["version = 1", "[defaults]", 'unlabelled = "d00"', "[models]"]
    for n in range(20):
        lines.append(
            f'm{n} = {{ place = "cloud", vendor = "v{n}", via = ["r{n}"], terms = ["t{n}"], '
            f'endpoint = "https://h{n}" }}'
        )
    for n in range(60):
        rules = [f"vendor:v{k} & term:t{k + 10}" for k in range(6)] + ["vendor:v9 & term:t9", "vendor:r9"]
        lines += [f"[data.d{n:02}]", f"may_go_to = {rules!r}".replace("'", '"')]
    return load_text("\n".join(lines), "large")


def labels_of(policy: Policy, names: list[str]) -> list[frozenset[str]]:
    """Labels of 200 parts as a session has them: some unlabelled, others of one to three names."""
    rng = random.Random(7)
    parts = []
    for _ in range(PARTS):
        count = rng.choice((0, 0, 1, 1, 2, 3))
        parts.append(frozenset(rng.sample(names, min(count, len(names)))))
    return parts


def decisions() -> bool:
    example, big = load(EXAMPLE), large()
    cases = [
        ("example, allowed", example, ["whoop", "internal"], "claude-opus"),
        ("example, allowed, 3 names", example, ["health", "whoop", "internal"], "gemini"),
        ("example, refused", example, ["xyz", "laptop", "health", "whoop"], "gpt-5"),
        ("large, allowed, 60 names", big, list(big.data), "m9"),
        ("large, refused, 60 names", big, list(big.data), "m3"),
    ]
    good = True
    for name, policy, names, recipient in cases:
        parts = labels_of(policy, names)
        decision = decide_parts(policy, parts, recipient)
        assert decision.allowed == ("allowed" in name), decision
        fresh = iter([[frozenset(list(part)) for part in parts] for _ in range(5 * 100 + 11)])
        took = per_call_us(lambda policy=policy, to=recipient, new=fresh: decide_parts(policy, next(new), to), 100)  # type: ignore[misc]
        bound = BOUND_US if policy is example else None
        good = good and (bound is None or took <= bound)
        verdict = "" if bound is None else f"   bound {bound:.0f}: {'ok' if took <= bound else 'FAILED'}"
        print(f"decide {PARTS} parts, {name:<27}{took:8.1f} us{verdict}")
    return good


def others() -> None:
    policy = load(EXAMPLE)
    took = per_call_us(lambda: label_path(policy, "/home/ann/Private/diary/2026/11.md"), 500)
    print(f"label a path, 6 patterns                       {took:8.1f} us")
    words = random.Random(3).choices(["the", "token", "count", "is", "1234", "if", "x =", "secret", "run"], k=160_000)
    texts = {
        "prose and code": " ".join(words)[:1_000_000],
        "one long word": "eyJ" + "a" * 1_000_000,
        "eyJ.eyJ.eyJ.": "eyJaaaaaaaaaa." * 70_000,
        "://a:b://a:b": "://a:b" * 160_000,
        "token=token=": "token=" * 160_000,
        "BEGIN BEGIN ": "-----BEGIN PRIVATE KEY" * 40_000,
        "letters": "".join(random.Random(4).choices(string.ascii_letters + string.digits + "_-.", k=1_000_000)),
    }
    for name, text in texts.items():
        took = per_call_us(lambda text=text: scan(text), 1)  # type: ignore[misc]
        print(f"scan for secrets, {name:<29}{took / 1000 / (len(text) / 1e6):8.1f} ms a million characters")
    took = per_call_us(lambda: load(EXAMPLE), 10)
    print(f"load the example policy                        {took / 1000:8.1f} ms")


if __name__ == "__main__":
    fine = decisions()
    others()
    sys.exit(0 if fine else 1)
