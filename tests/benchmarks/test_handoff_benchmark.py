"""The economic rule against the other two, on the curves of the benchmark."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from outlay.prices import book


def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "handoff.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_handoffs", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["anthropic/claude-sonnet-4-5", "anthropic/claude-opus-4-5", "openai/gpt-5.1"])
def test_economic_is_never_much_worse_and_saves_a_quarter_of_long_sessions(name: str) -> None:
    handoffs = benchmark()
    provider, _, model = name.partition("/")
    card = book.load().rates(model, provider, handoffs.AT_MS)
    for kind in handoffs.KINDS.values():
        runs, saved = handoffs.compare(handoffs.curve(kind, 0), card)
        assert saved >= -0.02, kind
        assert saved >= 0.25 or kind.turns < 70, kind
        assert runs["economic"].widest < handoffs.WINDOW
