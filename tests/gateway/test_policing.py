"""The policy at the gateway: labels by seat, secrets, substitutions and retries, for other agents' calls."""

import asyncio
import json

import pytest
from gateway_lab import body_for, lab

from modelserver import Answer, FaultPlan
from outlay.errors import InputError
from outlay.gateway.policing import SeatGate, read_labels
from outlay.policy.load import load_text
from outlay.runs.standalone import set_up

POLICY = """
version = 1
[defaults]
unlabelled = "internal"
[models]
m-1 = {{ place = "cloud", vendor = "anthropic", terms = ["no-train"], endpoint = "{url}" }}
local = {{ place = "device", endpoint = "{url}/v1" }}
[data.internal]
may_go_to = ["term:no-train", "place:device"]
[data.health]
may_go_to = ["place:device"]
[data.secret]
from = ["scan:secret"]
may_go_to = []
"""
MODELS = {"m-1": ("anthropic:m-1", "anthropic"), "m-chat": ("local", None), "local": ("openai-chat:q", "openai-chat")}
KEY = "AKIA" + "QWERTYUIOPASDFGH"


def policed(it, labels=()):
    """The lab's gateway under the policy."""
    policy = load_text(POLICY.format(url=it.server.url), "policy.toml")
    it.gateway.gateway.gate = SeatGate(policy, *read_labels(policy, labels))


async def ask(it, wire, text="go", seat="one"):
    path = {"anthropic": "/v1/messages", "openai-chat": "/v1/chat/completions"}[wire]
    async with it.post(f"/s/{seat}{path}", body_for(wire, text)) as answer:
        return answer.status, await answer.text()


def test_a_labelled_seat_reaches_only_models_that_are_cleared_for_it(tmp_path, monkeypatch):
    async def go():
        async with lab(lambda call: Answer("x"), tmp_path, monkeypatch, models=MODELS) as it:
            policed(it, ["coach=health"])
            assert (await ask(it, "anthropic"))[0] == 200
            status, words = await ask(it, "anthropic", seat="coach")
            assert status == 403 and "may not go to m-1" in words and "Do not retry" in words
            assert json.loads(words)["error"]["type"] == "permission_error"
            assert (await ask(it, "openai-chat", seat="coach"))[0] == 200  # a substitution that is cleared
            assert [record["path"] for record in it.server.records] == ["/v1/messages", "/v1/chat/completions"]
            (event,) = it.ledger.events(types=["policy.denied"])
            assert event.head["forbidden"] == ["health"] and event.head["recipient"] == "m-1"
            assert event.head["session"] == "coach" and b"Refused by the policy" in event.payload
            assert len(it.calls()) == 2
            assert it.gateway.server.metrics.refused("policy") == 1

    asyncio.run(go())


def test_a_secret_in_a_request_stops_it_wherever_it_stands(tmp_path, monkeypatch):
    async def go():
        async with lab(lambda call: Answer("x"), tmp_path, monkeypatch, models=MODELS) as it:
            policed(it)
            assert (await ask(it, "anthropic", "no secret here"))[0] == 200
            for text in (f"the key is {KEY}", f"line\n{KEY}\nline"):
                status, words = await ask(it, "anthropic", text)
                assert status == 403 and "secret" in words and KEY not in words
            assert KEY not in json.dumps(it.server.records)

    asyncio.run(go())


def test_a_retry_is_held_against_the_policy_again(tmp_path, monkeypatch):
    async def go():
        async with lab(
            lambda call: FaultPlan("rate_limit", retry_after="1"), tmp_path, monkeypatch, models=MODELS
        ) as it:
            policed(it)
            task = asyncio.create_task(ask(it, "anthropic"))
            while not it.server.records:
                await asyncio.sleep(0.01)
            policed(it, ["health"])
            status, words = await asyncio.wait_for(task, 120)
            assert status == 403 and "health" in words
            assert len(it.server.records) == 1

    asyncio.run(go())


def test_wrong_policies_and_labels_are_said_at_the_start(tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(url="https://api.anthropic.com"))
    good = ["m-1=anthropic:m-1"]
    environ = {"ANTHROPIC_API_KEY": "k"}
    assert set_up(good, policy=policy, labels=["health"], environ=environ).gate is not None
    for models, labels, words in (
        (["other=anthropic:x"], [], "the policy knows no model 'other'"),
        (["m-1=anthropic:m-1@http://127.0.0.1:9"], [], "is called at https://api.anthropic.com and nowhere else"),
        (good, ["helth"], "did you mean 'health'"),
        (good, ["=health"], "is not NAME or SEAT=NAME"),
    ):
        with pytest.raises(InputError, match=words):
            set_up(models, policy=policy, labels=labels, environ=environ)
    with pytest.raises(InputError, match="--label means nothing without --policy"):
        set_up(good, labels=["health"], environ=environ)
