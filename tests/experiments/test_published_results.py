"""Others' results are read as they stand, and their contradictions named."""

import zipfile

import msgspec
import pytest
import yaml

from experiments.published_samples import (
    AIDER,
    BOARD,
    INSTANCES,
    board,
    board_arm,
    harbor_trial,
    harness_report,
    inspect_log,
    inspect_sample,
    needs_data,
    put,
    trajectory,
)
from outlay.economics.success import arm_stats
from outlay.errors import InputError
from outlay.experiments.published import read_files
from outlay.experiments.report import build
from outlay.experiments.results import find_arm, trials_of
from outlay.tokens import Usage

ROWS = {f"t{i}": (i % 2 == 0, 0.5 + i) for i in range(10)}


def kinds(results, arm=None):
    return [finding.kind for finding in results.findings if arm in (None, finding.arm)]


def test_the_bash_only_board_gives_every_task_of_every_arm(tmp_path):
    results = read_files([put(tmp_path / "b.json", board(board_arm("A", ROWS), board_arm("B", ROWS)))])
    assert len(results.trials) == 20 and results.arms == ["A", "B"] and not results.findings
    assert trials_of(results, "A")[1].cost_pico == 1_500_000_000_000


def test_rows_that_contradict_their_headline_are_named(tmp_path):
    wrong = board_arm("wrong", ROWS, resolved=90.0)
    dear = board_arm("dear", ROWS, cost=99.0)
    near = board_arm("near", {f"t{i}": (i < 324, 1.0) for i in range(500)}, resolved=64.93)
    results = read_files([put(tmp_path / "b.json", board(wrong, dear, near))])
    assert kinds(results, "wrong") == ["contradiction"] and "5 of 10" in results.findings[0].text
    assert kinds(results, "dear") == ["contradiction"]
    assert kinds(results, "near") == ["denominator"] and "499" in results.findings[-1].text


def test_costs_of_zero_are_unknown(tmp_path):
    free = board_arm("free", {t: (good, 0.0) for t, (good, _) in ROWS.items()})
    results = read_files([put(tmp_path / "b.json", board(free))])
    assert kinds(results) == ["unknown cost"] and all(trial.cost_pico is None for trial in results.trials)


def test_a_second_file_with_the_same_costs_and_other_verdicts_contradicts_the_first(tmp_path):
    rows = {f"t{i}": (i % 2 == 0, 0.5 + i) for i in range(30)}
    moved = {"m": {t: {"resolved": not good, "cost": cost, "api_calls": 1} for t, (good, cost) in rows.items()}}
    files = [put(tmp_path / "a.json", board(board_arm("A", rows))), put(tmp_path / "b.json", moved)]
    results = read_files(files)
    assert results.contradicted() == {"A", "m"} and "30 of 30" in results.findings[0].text
    assert not read_files(files[:1]).findings


def test_aider_rows_are_totals_with_their_own_denominators(tmp_path):
    row = {"model": "m", "edit_format": "diff", "test_cases": 224, "total_tests": 225, "pass_rate_2": 50.0,
           "pass_num_2": 112, "total_cost": 22.4, "seconds_per_case": 30, "dirname": "2025"}  # fmt: skip
    rows = [row, row | {"model": "free", "total_cost": 0.0}, row | {"model": "odd", "pass_num_2": 150}]
    path = tmp_path / "leaderboard.yml"
    path.write_text(yaml.safe_dump(rows))
    results = read_files([path])
    assert [total.mean_pico for total in results.totals] == [10**11, None, 10**11]
    assert kinds(results, "m, diff") == ["denominator"] and "unknown cost" in kinds(results, "free, diff")
    assert "contradiction" in kinds(results, "odd, diff")


def test_an_aider_row_over_other_cases_is_not_ranked_with_the_rest(tmp_path):
    row = {"edit_format": "diff", "test_cases": 133, "pass_rate_2": 50.4, "total_cost": 2.0, "dirname": "2025-01-01-x"}
    rows = [row | {"model": name, "date": "2025-01-01"} for name in ("a", "b", "b")]
    rows.append(row | {"model": "c", "test_cases": 36, "pass_rate_2": 50.0})
    path = tmp_path / "l.yml"
    path.write_text(yaml.safe_dump(rows))
    results = read_files([path])
    assert kinds(results, "c, diff") == ["other tasks"] and results.arms[0] == "a, diff"
    assert [row.arm for row in build(results).rows if not row.ranked] == ["c, diff"]


def test_aider_successes_are_only_stated_when_one_number_fits(tmp_path):
    path = tmp_path / "l.yml"
    base = {"model": "m", "edit_format": "diff", "total_cost": 1.0, "dirname": "d"}
    path.write_text(yaml.safe_dump([base | {"test_cases": 133, "pass_rate_2": 68.4}]))
    assert read_files([path]).totals[0].successes == 91  # 91 / 133 = 68.42 %


def test_trajectories_need_the_harness_to_say_what_was_resolved(tmp_path):
    folder = tmp_path / "run"
    put(folder / "a" / "a.traj.json", trajectory("a"))
    put(folder / "b" / "b.traj.json", trajectory("b", status="LimitsExceeded"))
    put(folder / "c" / "c.traj.json", trajectory("c", cost=0.0, status="KeyError"))
    with pytest.raises(InputError, match="does not say whether a was resolved"):
        read_files([folder])
    report = put(tmp_path / "model.run.json", harness_report(["a"], ["b", "c"]))
    a, b, c = read_files([folder, report]).trials
    assert (a.outcome, b.outcome, c.outcome) == ("succeeded", "stopped", "errored")
    assert a.tokens == Usage(fresh=1373, cache_read=1984, output=217) and a.wall_ms == 3500
    assert (a.cost_pico, c.cost_pico) == (30_000_000_000, None)


def test_terminal_bench_runs_have_repeats_and_no_costs(tmp_path):
    rows = [
        {"task_id": "x", "trial_name": "x.1", "is_resolved": True, "failure_mode": "unset"},
        {"task_id": "x", "trial_name": "x.2", "is_resolved": False, "failure_mode": "agent_timeout"},
        {"task_id": "y", "trial_name": "y.1", "is_resolved": False, "failure_mode": "unset"},
        {"task_id": "y", "trial_name": "y.2", "is_resolved": False, "failure_mode": "parse_error"},
    ]
    put(tmp_path / "run_metadata.json", {"agent_name": "terminus", "model_name": "m"})
    stated = {"results": rows, "accuracy": 0.25, "pass_at_k": {"1": 0.25, "2": 0.9}}
    results = read_files([put(tmp_path / "results.json", stated)])
    assert [t.repeat for t in results.trials] == [0, 1, 0, 1] and results.arms == ["terminus / m"]
    assert [t.outcome for t in results.trials] == ["succeeded", "stopped", "failed", "errored"]
    assert arm_stats(list(results.trials)).pass_at == {1: 0.25, 2: 0.5}
    assert kinds(results) == ["unknown cost", "contradiction"]  # pass@2 is 0.5, not 0.9


def test_harbor_trials_carry_cost_tokens_and_endings(tmp_path):
    put(tmp_path / "j" / "x" / "result.json", harbor_trial("x", 1.0, 0.2))
    put(tmp_path / "j" / "y" / "result.json", harbor_trial("y", 0.0, 0.0, "AgentTimeoutError"))
    put(tmp_path / "j" / "result.json", {"n_total_trials": 2, "stats": {}})
    results = read_files([tmp_path / "j"])
    x, y = results.trials
    assert x.arm == "terminus-2 / m" and x.success and x.cost_pico == 200_000_000_000 and x.wall_ms == 90_000
    assert x.tokens == Usage(fresh=40, cache_read=60, output=9)
    assert y.outcome == "stopped" and y.cost_pico is None and kinds(results) == ["unknown cost"]


def test_a_hal_run_states_one_cost_for_all_tasks(tmp_path):
    upload = {
        "config": {"agent_name": "agent", "benchmark_name": "taubench_airline"},
        "results": {"accuracy": 0.5, "successful_tasks": ["0"], "failed_tasks": ["1"], "total_cost": 3.0},
        "raw_eval_results": {"0": {"reward": 1.0}, "1": "error: no answer"},
    }
    results = read_files([put(tmp_path / "run_UPLOAD.json", upload)])
    assert [t.outcome for t in results.trials] == ["succeeded", "errored"] and not results.findings
    assert results.totals[0].mean_pico == 15 * 10**11
    upload["results"]["accuracy"] = 0.9
    assert "contradiction" in kinds(read_files([put(tmp_path / "run_UPLOAD.json", upload)]))


def test_an_openhands_folder_gives_an_arm_per_benchmark(tmp_path):
    folder = tmp_path / "claude"
    scores = [
        {
            "benchmark": "commit0",
            "score": 50.0,
            "metric": "accuracy",
            "cost_per_instance": 2.0,
            "average_runtime": 60.0,
        },
        {"benchmark": "swe-bench", "score": 74.4, "metric": "accuracy", "cost_per_instance": 0.0},
    ]
    put(folder / "scores.json", scores)
    put(folder / "metadata.json", {"agent_name": "Claude Code", "model": "sonnet"})
    rows = {"babel": {"cost": None, "resolved": False}, "jinja": {"cost": 2.0, "resolved": True}}
    put(folder / "instance_results" / "commit0.json", rows)
    results = read_files([folder])
    assert results.arms == ["sonnet (Claude Code): commit0", "sonnet (Claude Code): swe-bench"]
    assert [t.task for t in results.trials] == ["commit0/babel", "commit0/jinja"]
    assert results.findings[0].text == "1 of 2 instances have no cost"
    assert results.totals[0].mean_pico is None and kinds(results)[1] == "unknown cost"


def test_inspect_logs_give_epochs_as_repeats(tmp_path):
    samples = [inspect_sample("q", 1, "C"), inspect_sample("q", 2, "I", limit={"type": "token", "limit": 5})]
    log = inspect_log(samples, accuracy=0.5)
    results = read_files([put(tmp_path / "log.json", log)])
    one, two = results.trials
    assert (one.arm, one.repeat, two.repeat, two.outcome) == ("mockllm/model on demo", 0, 1, "stopped")
    assert one.tokens == Usage(fresh=100, cache_read=20, output=7, reasoning=3) and one.wall_ms == 400
    assert not results.findings
    assert kinds(read_files([put(tmp_path / "log.json", inspect_log(samples, accuracy=0.9))])) == ["contradiction"]


def test_an_inspect_archive_is_read_like_its_json(tmp_path):
    samples = [inspect_sample("q/x", 1, 1.0), inspect_sample("r", 1, False, cost=None, error={"message": "x"})]
    log = inspect_log(samples)
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", msgspec.json.encode(log | {"samples": None}))
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", msgspec.json.encode(sample))
    good, bad = read_files([path]).trials
    assert good.success and bad.outcome == "errored" and bad.cost_pico is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.json", '{"some": "thing"}', "no format that is known"),
        ("x.json", "{", "x.json"),
        ("x.yml", "a: [", "x.yml"),
        ("x.json", '{"leaderboards": [{"name": "Lite", "results": []}]}', "bash-only"),
        ("x.json", '{"leaderboards": [{"name": "bash-only", "results": [{"name": "a"}]}]}', "a field is missing"),
        ("x.jsonl", '{"task": "t", "arm": "a"}', "line 1"),
        ("x.eval", "PK", "no Inspect log"),
    ],
)
def test_what_is_no_result_is_refused_by_name(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        read_files([tmp_path / name])
    with pytest.raises(InputError, match="no file or folder"):
        read_files([tmp_path / "missing"])


@needs_data
def test_the_real_board_has_25_arms_of_500_tasks_and_one_contradiction():
    results = read_files([BOARD])
    assert len(results.trials) == 25 * 500 and len(results.arms) == 31
    assert results.contradicted() == {"Claude 3.7 Sonnet (20250219)"}
    drift = {finding.arm for finding in results.findings if finding.kind == "denominator"}
    assert {"Claude 4 Sonnet (20250514)", "Llama 4 Maverick Instruct", "GPT-4o (2024-11-20)"} <= drift
    assert "unknown cost" in kinds(results, "Gemini 2.0 flash")


@needs_data
def test_the_real_per_instance_file_has_the_boards_costs_and_other_verdicts():
    alone = read_files([INSTANCES])
    assert len(alone.trials) == 2000 and not alone.findings
    both = read_files([BOARD, INSTANCES])
    assert {"gpt-5", "gpt-5-mini", "sonnet-4", "sonnet-4-5"} <= both.contradicted()


@needs_data
@pytest.mark.parametrize(("name", "rows"), [("polyglot", 69), ("edit", 98)])
def test_the_real_aider_boards_are_read_whole(name, rows):
    results = read_files([AIDER / f"{name}_leaderboard.yml"])
    assert len(results.totals) == rows == len(results.arms)
    assert all(total.mean_pico != 0 for total in results.totals) and "unknown cost" in kinds(results)
    assert find_arm(results, results.arms[0]) == results.arms[0]
