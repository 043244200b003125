"""results.jsonl: what is written is read; selections; names of arms."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.economics.trials import Trial
from outlay.errors import InputError
from outlay.experiments.results import find_arm, merge, pico_of, read_jsonl, select, write_jsonl
from outlay.tokens import Usage

counts = st.integers(0, 10**9)
trials = st.builds(
    lambda task, arm, good, cost, tokens, wall: Trial(
        task=task, arm=arm, success=good, cost_pico=cost, tokens=tokens, wall_ms=wall, source="s",
        outcome="succeeded" if good else "stopped",
    ),
    st.text(min_size=1), st.text(min_size=1), st.booleans(), st.none() | st.integers(1, 10**18),
    st.none() | st.builds(Usage, fresh=counts, cache_read=counts, output=counts), st.none() | counts,
)  # fmt: skip


@given(st.lists(trials, min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("r") / "results.jsonl"
    write_jsonl(made, path)
    assert list(read_jsonl(path).trials) == made


def test_a_line_needs_little_and_zero_is_unknown(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(
        '{"task": "t", "arm": "a", "success": true, "cost_usd": 0.1}\n\n'
        '{"task": "u", "arm": "a", "success": false, "cost_usd": 0, "outcome": "errored"}\n'
        '{"task": "v", "arm": "a", "success": false, "cost_usd": 0, "free": true}\n'
    )
    results = read_jsonl(path)
    assert [trial.cost_pico for trial in results.trials] == [100_000_000_000, None, 0]
    assert [finding.kind for finding in results.findings] == ["unknown cost"]


def test_tries_that_nobody_paid_for_are_said_to_be_such(tmp_path):
    path = tmp_path / "results.jsonl"
    played = Trial(task="t", arm="a", success=True, outcome="succeeded", cost_pico=5, played="recorded")
    write_jsonl([played, Trial(task="u", arm="a", success=False, cost_pico=5)], path)
    results = read_jsonl(path)
    assert results.trials[0] == msgspec.structs.replace(played, source=str(path))
    assert [finding.text for finding in results.findings] == [
        "1 try's answers were recorded: nothing was paid, their cost is at the goal's prices"
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"task": "t", "arm": "a"}', "success"),
        ('{"task": "t", "arm": "a", "success": true, "cost": 1}', "unknown field"),
        ('{"task": "t", "arm": "a", "success": true, "cost_usd": -1}', "cost_usd is -1"),
        ('{"task": "", "arm": "a", "success": true}', "names its task"),
        ('{"task": "t", "arm": "a", "success": true, "outcome": "failed"}', "outcome"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path, line, says):
    path = tmp_path / "results.jsonl"
    path.write_text(f'{{"task": "t", "arm": "a", "success": true}}\n{line}\n')
    with pytest.raises(InputError, match=says) as error:
        read_jsonl(path)
    assert "line 2" in str(error.value)


def make(tmp_path, *names):
    path = tmp_path / "r.jsonl"
    write_jsonl([Trial(task=t, arm=a, success=True, outcome="succeeded", cost_pico=1) for a, t in names], path)
    return read_jsonl(path)


def test_files_with_the_same_arm_and_task_become_repeats(tmp_path):
    one = make(tmp_path, ("a", "t"), ("a", "u"))
    assert [(t.task, t.repeat) for t in merge([one, one]).trials] == [("t", 0), ("u", 0), ("t", 1), ("u", 1)]


def test_tasks_and_arms_are_chosen_by_pattern(tmp_path):
    results = make(tmp_path, ("a", "django__1"), ("a", "flask__1"), ("b [x]", "django__1"))
    assert len(select(results, ["django__*"]).trials) == 2
    assert len(select(results, [], ["b [x]"]).trials) == 1  # a name is taken as it is before it is a pattern
    with pytest.raises(InputError, match="did you mean 'flask__1'"):
        select(results, ["flask_1"])


def test_an_arm_is_found_by_the_beginning_or_a_part_of_its_name(tmp_path):
    results = make(tmp_path, ("GPT-5 (medium)", "t"), ("GPT-5 mini", "t"), ("Opus", "t"))
    assert find_arm(results, "opus") == "Opus" and find_arm(results, "mini") == "GPT-5 mini"
    with pytest.raises(InputError, match="several arms"):
        find_arm(results, "gpt")
    with pytest.raises(InputError, match="no arm 'Opsu'; did you mean 'Opus'"):
        find_arm(results, "Opsu")


@pytest.mark.parametrize(
    ("said", "pico"),
    [(0.04282165999999999, 42821660000), ("1e-12", 1), (0, 0)]
    + [(bad, None) for bad in (None, "x", -1, float("nan"), float("inf"), True)],
)
def test_a_published_amount_is_rounded_to_a_picodollar_or_unknown(said, pico):
    assert pico_of(said) == pico
