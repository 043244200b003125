"""`outlay policy`, as typed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flows import EXAMPLE

from outlay.policy.load import load
from outlay.policy.ready import READY

PROGRAM = [sys.executable, "-c", "from outlay.cli import main; main()"]


def outlay(*arguments: str, cwd: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "LANG": "C.UTF-8"}
    return subprocess.run(
        [*PROGRAM, "policy", *arguments], cwd=cwd, env=environ, input=typed, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(EXAMPLE.read_text())
    return tmp_path


def test_check_tells_warnings_by_line_and_strict_makes_them_count(folder: Path) -> None:
    done = outlay("check", "policy.toml", cwd=folder)
    assert done.returncode == 0 and done.stderr == ""
    first, last = done.stdout.splitlines()
    assert first.startswith("policy.toml:20: warning: unlabelled data (internal) may go to any model")
    assert last == "policy.toml: 6 models, 5 tools, 6 kinds of data, 3 releases, 1 warning"
    assert outlay("check", "policy.toml", "--strict", cwd=folder).returncode == 1


def test_check_tells_errors_by_line_with_code_2(folder: Path) -> None:
    (folder / "bad.toml").write_text(EXAMPLE.read_text().replace("vendor:anthropic", "vendor:antropic"))
    done = outlay("check", "bad.toml", cwd=folder)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "bad.toml:34: error: data.whoop.may_go_to: no vendor 'antropic'; did you mean 'anthropic'?" in done.stdout
    done = outlay("check", "bad.toml", "--json", cwd=folder)
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], [error["line"] for error in told["errors"]]) == (2, False, [34, 59])
    assert outlay("check", "absent.toml", cwd=folder).returncode == 2


def test_a_policy_is_named_by_option_or_as_check_is_given_it(folder: Path) -> None:
    (folder / "policy.toml").rename(folder / "other.toml")
    asked = ("--data", "whoop", "--to", "gemini")
    assert outlay("explain", *asked, cwd=folder).returncode == 2
    by_option = outlay("explain", *asked, "--policy", "other.toml", cwd=folder)
    assert by_option.returncode == 0 and by_option.stdout == outlay("explain", "other.toml", *asked, cwd=folder).stdout
    assert outlay("matrix", "other.toml", cwd=folder).returncode == 0


def test_explain_has_exactly_the_documented_keys(folder: Path) -> None:
    done = outlay("explain", "--data", "xyz", "--to", "gemini-router", "--json", cwd=folder)
    told = json.loads(done.stdout)
    assert list(told) == ["allowed", "label", "recipient", "hops", "because", "releases"]
    assert (done.returncode, told["allowed"], told["label"]) == (1, False, ["xyz"])
    assert [hop["name"] for hop in told["hops"]] == ["gemini-router", "openrouter"]
    assert {why["line"] for why in told["because"]} == {23}
    assert [(release["name"], release.get("bits")) for release in told["releases"]] == [
        ("xyz_fact", 17.3), ("xyz_summary", None),
    ]  # fmt: skip


def test_explain_says_yes_with_the_line_and_no_with_who_is_cleared(folder: Path) -> None:
    done = outlay("explain", "--data", "health", "--to", "gemini", cwd=folder)
    assert done.returncode == 0
    assert "line 29: health may go to vendor:google & term:no-train, and gemini is" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    done = outlay("explain", "--data", "xyz", "--data", "laptop", "--to", "qwen-30b", cwd=folder)
    assert done.returncode == 1 and "cleared   laptop and xyz together: nobody" in done.stdout
    done = outlay("explain", "--data", "health", "--to", "gemini", "--purpose", "advertising", cwd=folder)
    assert done.returncode == 1 and "for coaching, medical only" in done.stdout


def test_unknown_names_and_a_missing_file_are_told_in_one_line(folder: Path) -> None:
    for arguments, hint in (
        (("--data", "helth", "--to", "gemini"), "did you mean 'health'?"),
        (("--data", "health", "--to", "gemni"), "did you mean 'gemini'?"),
        (("--data", "health", "--to", "gemini", "--policy", "no.toml"), "cannot read the policy no.toml"),
    ):
        done = outlay("explain", *arguments, cwd=folder)
        assert done.returncode == 2 and hint in done.stderr and done.stderr.count("\n") == 1
    (folder / "policy.toml").unlink()
    assert "outlay policy init" in outlay("matrix", cwd=folder).stderr


def test_the_matrix_fits_80_columns_and_says_the_same_in_every_form(folder: Path) -> None:
    shown = outlay("matrix", "--tools", cwd=folder).stdout
    assert max(map(len, (line.rstrip() for line in shown.split("\n\n")[0].splitlines()))) <= 80
    assert "health   scrub       no       yes      no            no" in shown
    told = json.loads(outlay("matrix", "--json", cwd=folder).stdout)
    assert told["purpose"] == "coaching" and list(told["data"]) == list(load(EXAMPLE).data)
    assert told["data"]["health"]["claude-opus"] == {"allowed": False, "releases": ["health_scrub"]}
    lines = outlay("matrix", "--markdown", cwd=folder).stdout.splitlines()
    assert lines[0] == "| data | claude-opus | gpt-5 | gemini | gemini-router | gpt-oss-120b | qwen-30b |"
    assert lines[5] == "| health | scrub | no | yes | no | no | yes |"
    for row in lines[2:]:
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        assert [cell == "yes" for cell in cells] == [cell["allowed"] for cell in told["data"][name].values()]
    nobody = json.loads(outlay("matrix", "--json", "--purpose", "advertising", cwd=folder).stdout)["data"]["health"]
    assert not any(cell["allowed"] for cell in nobody.values())


def test_init_from_flags_writes_what_was_said(tmp_path: Path) -> None:
    flags = ["--model", "opus=anthropic", "--model", "qwen3=device@http://127.0.0.1:8080/v1", "--others",
             "anthropic, device", "--term", "anthropic=no-train,zdr", "--data", "diary=path:/home/*/diary/**",
             "--trust", "diary=device", "--data", "plans=mcp:jira/*", "--purpose", "work"]  # fmt: skip
    done = outlay("init", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    policy = load(tmp_path / "policy.toml")
    assert policy.models["opus"].hops[0].terms == {"no-train", "zdr"} and policy.purpose == "work"
    assert [rule.text for rule in policy.data["diary"].may_go_to] == ["place:device"]
    assert policy.data["plans"].may_go_to == () and policy.data["keys"].may_go_to == ()
    again = outlay("init", *flags, cwd=tmp_path)
    assert again.returncode == 2 and "--force" in again.stderr


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (["--model", "a=antropic", "--others", "any"], "did you mean 'anthropic'?"),
        (["--model", "a=anthropic"], "--others"),
        (["--others", "any"], "--model"),
        (["--model", "a=device", "--others", "any"], "a=device@http://127.0.0.1:8080/v1"),
        (["--model", "a=anthropic", "--others", "anthropc"], "did you mean 'anthropic'?"),
        (["--model", "a=anthropic", "--others", "any", "--trust", "x=any"], "--data x=SOURCE"),
        (["--model", "a=anthropic", "--others", "any", "--data", "x=paht:/a"], "did you mean 'path'?"),
        (["--model", "a=anthropic", "--others", "any", "--data", "ordinary=path:/a"], "is taken"),
        (["--model", "a=anthropic", "--model", "a=openai", "--others", "any"], "given twice"),
        (["--model", "a=anthropic", "--others", "term:zdr"], "no term 'zdr'"),
        (["--ready", "privat"], "did you mean 'private'?"),
        (["--ready", "private", "--others", "any"], "leave the other options out"),
    ],
)
def test_init_refuses_what_cannot_be_meant_and_writes_nothing(tmp_path: Path, flags: list[str], hint: str) -> None:
    done = outlay("init", *flags, cwd=tmp_path)
    assert done.returncode == 2 and hint in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_asks_and_asks_again_for_what_cannot_be_used(tmp_path: Path) -> None:
    answers = ["", "opus=antropic", "opus=anthropic", "opus=openai", "qwen3=device@http://127.0.0.1:8080/v1", "",
               "no-train", "anthrpic", "anthropic, device", "health", "path:data", "path:/data/health/**", "",
               "device", "health", ""]  # fmt: skip
    done = outlay("init", cwd=tmp_path, typed="\n".join(answers) + "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("one at least", "did you mean 'anthropic'", "'opus' is there already", "a path begins with", "who?"):
        assert said in done.stdout
    policy = load(tmp_path / "policy.toml")
    assert [rule.text for rule in policy.data["ordinary"].may_go_to] == ["place:device", "vendor:anthropic"]
    assert [rule.text for rule in policy.data["health"].may_go_to] == ["place:device"]


def test_init_that_is_broken_off_writes_nothing(tmp_path: Path) -> None:
    assert outlay("init", cwd=tmp_path, typed="opus=anthropic\n").returncode == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", READY)
def test_a_ready_policy_is_written_checked_and_printed(tmp_path: Path, name: str) -> None:
    assert outlay("init", "--ready", name, cwd=tmp_path).returncode == 0
    assert outlay("check", "policy.toml", "--strict", cwd=tmp_path).returncode == 0
    assert outlay("ready", name, cwd=tmp_path).stdout == (tmp_path / "policy.toml").read_text()
    assert name in outlay("ready", cwd=tmp_path).stdout and name in json.loads(
        outlay("ready", "--json", cwd=tmp_path).stdout
    )


def test_a_goal_whose_model_its_policy_does_not_know_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(EXAMPLE.read_text())
    (tmp_path / "GOAL.md").write_text(
        "---\nmodels: {main: 'openai:m@http://127.0.0.1:9/v1'}\npolicy: policy.toml\n"
        "checks: [{name: a, command: 'true'}]\n---\nDo it.\n"
    )
    environ = os.environ | {"OUTLAY_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [*PROGRAM, "run", "GOAL.md"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "the policy knows no model 'main'" in done.stderr
