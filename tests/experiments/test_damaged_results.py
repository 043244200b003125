"""Damaged or foreign files end in one clear error, never in a traceback."""

import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.published_samples import (
    board,
    board_arm,
    harbor_trial,
    inspect_log,
    inspect_sample,
    trajectory,
)
from outlay.errors import InputError
from outlay.experiments.published import read_files
from outlay.experiments.report import build

AIDER = [
    {
        "model": "m", "edit_format": "diff", "test_cases": 225, "pass_rate_2": 50.2, "pass_num_2": 113,
        "total_cost": 1.5, "total_tests": 225, "seconds_per_case": 3, "date": "2025-01-01", "dirname": "x",
    }
]  # fmt: skip
HAL = {
    "config": {"agent_name": "a", "benchmark_name": "b"},
    "results": {"accuracy": 0.5, "successful_tasks": ["0"], "failed_tasks": ["1"], "total_cost": 3.0},
    "raw_eval_results": {"0": {"reward": 1.0, "cost": 1.0}, "1": "error"},
}
TB = {"results": [{"task_id": "x", "trial_name": "x.1", "is_resolved": True, "failure_mode": "unset",
      "trial_started_at": "2025-01-01", "trial_ended_at": "x"}], "accuracy": 1.0, "pass_at_k": {"1": 1.0}}  # fmt: skip
SAMPLES = [
    board(board_arm("A", {f"t{i}": (i % 2 == 0, 0.5) for i in range(3)})),
    {"m": {"t": {"resolved": True, "cost": 0.5, "api_calls": 3}}},
    AIDER, HAL, TB, harbor_trial("x", 1.0, 0.2), inspect_log([inspect_sample("q", 1, "C")], accuracy=1.0),
    [{"benchmark": "gaia", "score": 50.0, "cost_per_instance": 1.0, "average_runtime": 3}], trajectory("t"),
]  # fmt: skip
odd = st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | st.text(max_size=4) | st.just([]) | st.just({})


def places(value, path=()):
    """Paths to every part of a decoded file."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


@st.composite
def damaged(draw):
    data = copy.deepcopy(draw(st.sampled_from(SAMPLES)))
    *way, last = draw(st.sampled_from([path for path in places(data) if path]))
    inside = data
    for key in way:
        inside = inside[key]
    if draw(st.booleans()):
        inside[last] = draw(odd)
    else:
        del inside[last]
    return data


@settings(max_examples=400)
@given(damaged())
def test_one_damaged_field_gives_a_report_or_an_error_for_people(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(data))
    try:
        results = read_files([path])
    except InputError as error:
        assert "damaged.json" in str(error)
    else:
        assert build(results).rows
