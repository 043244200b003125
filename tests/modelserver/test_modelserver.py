"""The scripted model server: its scripts, its truth log, its process."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from modelserver import Answer, FaultPlan, Tool, Worker, in_turn, serving, with_faults
from modelserver.rules import from_rules
from modelserver.worker import plans

TESTS = Path(__file__).parents[1]


def post(url, body, **headers):
    data = json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def chat(server, *messages, model="m", **headers):
    body = {"model": model, "messages": [{"role": "system", "content": "You work."}, *messages]}
    return post(server.base_url("openai-chat") + "/chat/completions", body, **headers)


def ask(text):
    return {"role": "user", "content": text}


def test_a_worker_follows_the_plan_in_its_task():
    task = 'Do it. [[turns=2 tool=shell calls=2 command="echo {turn}.{i}" n=3]]'
    task += ' then [[tool=read path=a.txt]] [[say="All done."]]'
    with serving(Worker()) as server:
        messages, said = [ask(task)], []
        for _ in range(10):
            _, answer = chat(server, *messages)
            message = answer["choices"][0]["message"]
            said.append([json.loads(call["function"]["arguments"]) for call in message.get("tool_calls", ())])
            if not message.get("tool_calls"):
                break
            messages.append(message)
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in message["tool_calls"]
            ]
    assert said == [
        [{"command": "echo 0.0", "n": 3}, {"command": "echo 0.1", "n": 3}],
        [{"command": "echo 1.0", "n": 3}, {"command": "echo 1.1", "n": 3}],
        [{"path": "a.txt"}],
        [],
    ]
    assert message["content"] == "All done."
    assert [record["turn"] for record in server.records] == [0, 1, 2, 3]
    assert len({record["conversation"] for record in server.records}) == 1


def test_a_plan_may_hold_the_plans_of_its_subagents():
    inner = '[[turns=2 tool=shell command="ls -l"]]'
    text = f"[[tool=agent calls=3 task={json.dumps('part {i}: ' + inner)}]]"
    (plan,) = plans(text)
    assert (plan.tool, plan.calls) == ("agent", 3)
    assert plan.arguments == {"task": "part {i}: " + inner}
    assert plans(plan.arguments["task"])[0].arguments == {"command": "ls -l"}


def test_new_instructions_with_a_plan_start_anew():
    with serving(Worker()) as server:
        messages = [ask("[[tool=shell command=a]]")]
        _, answer = chat(server, *messages)
        messages += [answer["choices"][0]["message"], ask("The check fails. [[tool=shell command=b]]")]
        _, answer = chat(server, *messages)
        assert json.loads(answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == {"command": "b"}
        messages += [answer["choices"][0]["message"], ask("ok")]
        assert chat(server, *messages)[1]["choices"][0]["message"]["content"] == "Done."


def test_the_simulated_cache_holds_what_the_last_request_began_with(tmp_path):
    log = tmp_path / "truth.jsonl"
    with serving(lambda call: Answer("word " * 10), log=log, keep_bodies=True) as server:
        first = [ask("a" * 400)]
        chat(server, *first)
        chat(server, *first, {"role": "assistant", "content": "word"}, ask("b" * 400))
        chat(server, *first, {"role": "assistant", "content": "word"}, ask("b" * 400), model="other")
        chat(server, ask("another task"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records == server.records
    usages = [record["usage"] for record in records]
    assert [usage["cache_read"] > 100 for usage in usages] == [False, True, False, False]
    total = usages[1]["fresh"] + usages[1]["cache_read"]
    assert total == usages[2]["fresh"]
    assert json.loads(records[0]["body"])["messages"][1]["content"] == "a" * 400
    assert len(records[0]["request_sha256"]) == 64


def test_anthropic_caches_nothing_without_marks():
    url = "/messages"
    body = {"model": "m", "max_tokens": 9, "messages": [ask("a" * 4000)]}
    with serving(lambda call: Answer("ok")) as server:
        for extra in ({}, {}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}):
            post(server.base_url("openai") + url, body | extra)
    usages = [record["usage"] for record in server.records]
    assert [usage["cache_read"] > 0 for usage in usages] == [False, False, True, True]
    assert usages[0]["fresh"] == sum(usages[3][name] for name in ("fresh", "cache_read", "cache_write_5m"))


def test_sessions_with_the_same_task_are_told_apart_by_their_header():
    with serving(lambda call: Answer("ok")) as server:
        for session in ("a", "b", "a"):
            chat(server, ask("same task"), **{"x-session-id": session})
    assert [record["conversation"] for record in server.records] == ["a", "b", "a"]
    assert [record["usage"]["cache_read"] > 0 for record in server.records] == [False, False, True]


def test_faults_by_rate_are_the_same_for_the_same_seed():
    def outcomes(seed):
        script = with_faults(lambda call: Answer("ok"), 0.4, ["rate_limit", "server"], seed=seed, retry_after="2")
        with serving(script) as server:
            for _ in range(30):
                chat(server, ask("go"))
        return [record["outcome"] for record in server.records]

    one = outcomes(1)
    assert one == outcomes(1)
    assert one != outcomes(2)
    assert {"429", "500", "whole"} == set(one)


def test_a_script_may_be_a_coroutine_and_see_the_call():
    seen = []

    async def script(call):
        await asyncio.sleep(0)
        seen.append((call.system, call.task, call.turn, call.last, [tool["name"] for tool in call.tools]))
        return Answer("ok")

    with serving(script) as server:
        tool = {"type": "function", "function": {"name": "shell", "parameters": {}}}
        body = {"model": "m", "messages": [{"role": "system", "content": "S"}, ask("T")], "tools": [tool]}
        post(server.base_url("openai-chat") + "/chat/completions", body)
    assert seen == [("S", "T", 0, "T", ["shell"])]


def test_a_turn_that_the_script_does_not_have_is_an_error():
    with serving(in_turn([])) as server:
        status, body = chat(server, ask("go"))
    assert status == 400
    assert "no turn 0" in body["error"]["message"]


def test_rules_choose_by_task_turn_and_result():
    script = from_rules(
        {
            "rules": [
                {"task": "broken", "times": 1, "fault": {"kind": "rate_limit", "retry_after": "1"}},
                {
                    "task": "build",
                    "turn": 0,
                    "answer": {"tools": [{"name": "shell", "arguments": {"command": "make"}}]},
                },
                {"result": "error", "answer": "It failed."},
                {"task": "list", "answers": ["one", "two"]},
            ]
        }
    )
    with serving(script) as server:
        assert chat(server, ask("broken"))[0] == 429
        assert chat(server, ask("broken"))[1]["choices"][0]["message"]["content"] == "Done."
        _, answer = chat(server, ask("build"))
        message = answer["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "error 2"}
        _, answer = chat(server, ask("build"), message, result)
        assert answer["choices"][0]["message"]["content"] == "It failed."
        assert chat(server, ask("list"))[1]["choices"][0]["message"]["content"] == "one"
    with pytest.raises(ValueError, match="whatever"):
        from_rules({"rules": [{"whatever": 1}]})
    with pytest.raises(ValueError, match="no fault"):
        FaultPlan("explosion")


def test_models_and_token_counts_are_served():
    with serving(Worker()) as server:
        with urllib.request.urlopen(server.url + "/v1/models", timeout=5) as answer:
            assert json.loads(answer.read())["data"][0]["id"] == "scripted-large"
        body = {"model": "m", "messages": [ask("a" * 400)]}
        assert post(server.url + "/v1/messages/count_tokens", body)[1]["input_tokens"] > 100
        contents = {"contents": [{"role": "user", "parts": [{"text": "a" * 400}]}]}
        assert post(server.url + "/v1beta/models/m:countTokens", contents)[1]["totalTokens"] > 100
        assert server.records == []


def test_as_a_process_it_prints_its_port_and_writes_the_log(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"rules": [{"answer": {"text": "hi", "output_tokens": 5}}]}))
    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "modelserver", "--port", "0", "--script", str(script), "--log", str(log)]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        where = json.loads(process.stdout.readline())
        body = {"model": "m", "messages": [ask("go")]}
        status, answer = post(where["url"] + "/v1/chat/completions", body)
        assert status == 200
        assert answer["usage"]["completion_tokens"] == 5
        process.terminate()
        assert process.wait(120) == 0
    (record,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert record["usage"]["output"] == 5
    assert record["outcome"] == "whole"


def test_a_tool_call_may_be_malformed_on_purpose():
    with serving(lambda call: Answer("", (Tool("shell", "{oops"),))) as server:
        _, answer = chat(server, ask("go"))
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{oops"
