"""The gateway as a server: what passes, what a rule changes, whose call it is, what it may cost."""

import asyncio
import gzip
import json

import aiohttp
import pytest
from gateway_lab import WIRES, body_for, lab, path_for
from hypothesis import given
from hypothesis import strategies as st

from modelserver import Answer, FaultPlan, ModelServer, Tool
from outlay.errors import InputError
from outlay.gateway import Caller
from outlay.gateway.passthrough import UsageFilter, changed, read
from outlay.ledger import verify
from outlay.runs.standalone import check_host

ANSWER = Answer("It is done, all of it.", (Tool("shell", {"command": "ls"}),), output_tokens=40)


def say(answer=ANSWER):
    return lambda call: answer


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_passes_byte_for_byte_and_its_tokens_are_those_the_server_billed(wire, stream, tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            body = body_for(wire, stream=stream, stream_options={"include_usage": True}, strange={"kept": [1.0, None]})
            raw = json.dumps(body, indent=1).encode()
            async with it.post(path_for(wire, stream), raw, anthropic_beta="x-1") as through:
                got = await through.read()
                assert through.status == 200
            record = it.server.records[0]
            assert record["body"].encode() == raw
            async with (
                ModelServer(say()) as other,
                it.client.post(other.url + path_for(wire, stream), data=raw) as answer,
            ):
                want = await answer.read()
                hidden = {"Date", "Content-Length", "Transfer-Encoding"}
                passed = [(name, value) for name, value in answer.headers.items() if name not in hidden]
            assert got == want
            assert [(name, value) for name, value in through.headers.items() if name not in hidden] == passed
            (call,) = it.calls()
            billed = record["billed"]
            assert {name: getattr(call.usage, name) for name in billed} == billed
            assert (call.status, call.quality, call.source) == ("ok", "exact", "outlay")
            assert verify(it.ledger).problems == []

    asyncio.run(go())


def test_keys_stay_here_and_headers_pass(tmp_path, monkeypatch):
    async def go():
        seen = {}

        def script(call):
            seen.update({name.lower(): value for name, value in call.headers.items()})
            return ANSWER

        async with lab(script, tmp_path, monkeypatch) as it:
            headers = {
                "x_api_key": "outlay-tester",
                "anthropic_version": "2023-06-01",
                "anthropic_beta": "b",
                "TE": "gzip",
            }
            async with it.post("/v1/messages?beta=true", body_for("anthropic"), **headers) as answer:
                assert answer.status == 200
            assert seen["x-api-key"] == "the-true-key" and "te" not in seen
            assert (seen["anthropic-version"], seen["anthropic-beta"]) == ("2023-06-01", "b")
            assert it.calls()[0].agent == "tester"
            assert b"the-true-key" not in (tmp_path / "home" / "ledger.db").read_bytes()

    asyncio.run(go())


def test_usage_is_asked_for_at_the_end_of_a_chat_stream_and_not_shown_to_who_did_not_ask(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            async with it.post(path_for("openai-chat"), body_for("openai-chat", stream=True)) as answer:
                text = await answer.text()
            chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            assert all(chunk["choices"] for chunk in chunks) and text.rstrip().endswith("data: [DONE]")
            assert it.calls()[0].usage.output == 40

    asyncio.run(go())


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_the_usage_filter_takes_one_event_out_wherever_the_stream_is_cut(sizes):
    events = [
        b'data: {"choices":[{"delta":{"content":"say \\"usage\\""}}],"usage":null}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n',
        b"data: [DONE]\n\n",
    ]
    whole, position, got, seen = b"".join(events), 0, b"", UsageFilter()
    for size in [*sizes, 1_000]:
        got += seen.feed(whole[position : position + size])
        position += size
    assert got + seen.flush() == events[0] + events[2]


@given(st.text(), st.integers(1, 10**6), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_a_changed_body_keeps_every_value_that_no_rule_changes(text, limit, more):
    body = {
        **more,
        "model": "a",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 1_000_001,
        "stream": True,
    }
    raw = json.dumps(body, indent=2, ensure_ascii=True).encode()
    sent = changed(read("openai-chat", raw), model="b", max_output_tokens=limit)
    expected = {**body, "model": "b", "max_tokens": limit}
    expected["stream_options"] = {"include_usage": True}
    if more.get("max_completion_tokens") is not None:
        expected["max_completion_tokens"] = limit
    if isinstance(more.get("stream_options"), dict):
        return
    assert json.loads(sent) == expected
    same = changed(read("anthropic", raw), model="a", max_output_tokens=None)
    assert same is raw


@pytest.mark.parametrize("wire", WIRES)
def test_over_the_limit_is_402_in_the_words_of_the_api_and_nothing_is_sent(wire, tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch, limits=["usd=0.0001"]) as it:
            async with it.post(path_for(wire), body_for(wire)) as answer:
                document = await answer.json()
            assert answer.status == 402 and "limit usd of the gateway reached" in document["error"]["message"]
            assert it.server.records == [] and it.calls() == []

    asyncio.run(go())


def test_forty_parallel_calls_cannot_overspend_together(tmp_path, monkeypatch):
    async def go():
        def obedient(call):
            return Answer("x", output_tokens=min(1_000, call.max_output_tokens))

        async with lab(obedient, tmp_path, monkeypatch, limits=["usd=0.05"]) as it:

            async def one(n):
                async with it.post(f"/s/s{n}/v1/messages", body_for("anthropic", max_tokens=1_000)) as answer:
                    return answer.status

            statuses = await asyncio.gather(*(one(n) for n in range(40)))
            book = it.gateway.gateway.book
            spent = sum(book.price(call).cost_pico for call in it.calls())
            assert spent <= 5 * 10**10 and set(statuses) == {200, 402}
            assert spent > 2 * 10**10

    asyncio.run(go())


def test_the_output_is_lowered_to_what_is_left(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch, limits=["usd=0.03"]) as it:
            for wire in WIRES:
                async with it.post(path_for(wire), body_for(wire, max_tokens=100_000)) as answer:
                    assert answer.status == 200, await answer.text()
            for record in it.server.records:
                sent = json.loads(record["body"])
                limit = (
                    sent.get("max_tokens")
                    or sent.get("max_output_tokens")
                    or sent["generationConfig"]["maxOutputTokens"]
                )
                assert 256 <= limit <= 2_000

    asyncio.run(go())


def test_models_are_allowed_substituted_and_refused_by_pattern(tmp_path, monkeypatch):
    async def go():
        models = {"big": ("openai:big-1", "openai"), "*-nano": ("big", None), "claude-*": ("anthropic:*", "anthropic")}
        async with lab(say(), tmp_path, monkeypatch, models=models, refuse=["*-pro"], price=False) as it:
            statuses = {}
            for model in ("big", "gpt-9-nano", "gpt-9", "big-pro"):
                body = body_for("openai-chat") | {"model": model}
                async with it.post(path_for("openai-chat"), body) as answer:
                    statuses[model] = (answer.status, (await answer.json()).get("error", {}).get("message", ""))
            assert statuses["big"][0] == statuses["gpt-9-nano"][0] == 200
            assert statuses["gpt-9"] == (403, "model 'gpt-9' is not allowed here; allowed are: big, *-nano, claude-*")
            assert statuses["big-pro"] == (403, "model 'big-pro' is refused here (rule '*-pro')")
            async with it.post("/v1/messages", body_for("anthropic") | {"model": "claude-any"}) as answer:
                assert answer.status == 200
            assert [record["model"] for record in it.server.records] == ["big-1", "big-1", "claude-any"]

    asyncio.run(go())


def test_a_model_without_a_price_is_refused_under_a_limit_in_usd(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="has no price"):
        asyncio.run(_enter(lab(say(), tmp_path, monkeypatch, limits=["usd=1"], price=False)))


async def _enter(context):
    async with context:
        pass


def test_agents_own_words_tell_subagents_and_hidden_calls_apart(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            claude = {"x_claude_code_session_id": "c-root"}
            user = json.dumps({"device_id": "d", "session_id": "c-root"})
            title = [{"role": "system", "content": "You are a title generator. Say little."}]
            turn = {
                "session_id": "t0",
                "thread_id": "t1",
                "request_kind": "compaction",
                "agent_name": "/".join(("", "root", "scout")),
            }
            summary = "Your task is to create a detailed summary of the conversation so far, paying close attention"
            router = {"systemInstruction": {"parts": [{"text": "\nYou are a specialized Task Routing AI. Your"}]}}
            for path, body, headers in (
                ("/s/cc/v1/messages", body_for("anthropic"), claude),
                ("/s/cc/v1/messages", body_for("anthropic", metadata={"user_id": user}), {}),
                ("/s/cc/v1/messages", body_for("anthropic"), claude | {"x_claude_code_agent_id": "a12345678"}),
                ("/s/cc/v1/messages", body_for("anthropic", summary), claude),
                ("/s/oc/v1/chat/completions", body_for("openai-chat"), {"x_session_id": "ses_1"}),
                ("/s/oc/v1/chat/completions", body_for("openai-chat") | {"messages": title}, {"x_session_id": "ses_1"}),
                ("/s/oc/v1/chat/completions", body_for("openai-chat"),
                 {"x_session_id": "ses_child", "x_parent_session_id": "ses_1"}),
                ("/s/cx/v1/responses", body_for("openai-responses"), {"thread_id": "t0", "session_id": "t0"}),
                ("/s/cx/v1/responses", body_for("openai-responses"), {"x_codex_turn_metadata": json.dumps(turn)}),
                ("/s/gm" + path_for("google"), body_for("google", **router), {}),
            ):  # fmt: skip
                async with it.post(path, body, **headers) as answer:
                    assert answer.status == 200, await answer.text()
            run = it.gateway.run
            seen = [(call.agent, call.role, (call.parent or "").removeprefix(f"{run}:")) for call in it.calls()]
            assert sorted(seen) == sorted([
                ("cc", "main", ""), ("cc", "main", ""), ("cc/12345678", "subagent", "cc"), ("cc", "compaction", ""),
                ("oc", "main", ""), ("oc", "title", ""), ("oc/seschild", "subagent", "oc"),
                ("cx", "main", ""), ("cx/scout", "compaction", "cx"), ("gm", "router", ""),
            ])  # fmt: skip
            session = body_for("openai-chat") | {"messages": title}
            for path, body in (("chat/completions", session), ("responses", body_for("openai-responses"))):
                async with it.post(f"/s/late/v1/{path}", body) as answer:
                    assert answer.status == 200
            (row,) = it.ledger.rows("SELECT model FROM sessions WHERE name = 'late'")
            assert row["model"] == "m-responses"

    asyncio.run(go())


def test_only_known_tokens_are_let_in_where_there_are_tokens(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch, tokens=("secret",)) as it:
            for path, key, status in (
                ("/v1/messages", "", 401),
                ("/s/wrong/v1/messages", "", 401),
                ("/s/secret/v1/messages", "", 200),
                ("/v1/messages", "outlay-secret", 200),
            ):
                async with it.post(path, body_for("anthropic"), x_api_key=key) as answer:
                    assert answer.status == status
                    if status == 401:
                        assert (await answer.json())["error"]["type"] == "authentication_error"

    asyncio.run(go())


def test_a_session_of_a_run_calls_under_the_token_it_was_given_until_that_is_withdrawn(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            seats, run = it.gateway.seats, it.gateway.run

            def opened(t):
                t.open_stream(f"{run}:lead/coder", "session")
                return t.claim(f"{run}:lead/coder", "me")

            epoch = it.ledger.write(opened)
            token = seats.issue(Caller(run, f"{run}:lead/coder", "lead/coder", "coder", f"{run}:lead", epoch))
            for agent in ({}, {"x_claude_code_session_id": "c", "x_claude_code_agent_id": "agent-77"}):
                async with it.post(f"/s/{token}/v1/messages", body_for("anthropic"), **agent) as answer:
                    assert answer.status == 200
            async with it.post("/v1/messages", body_for("anthropic")) as answer:
                assert answer.status == 401
            seen = [(call.agent, call.role, call.parent) for call in it.calls()]
            child = ("lead/coder/agent77", "subagent", f"{run}:lead/coder")
            assert seen == [("lead/coder", "coder", f"{run}:lead"), child]
            seats.withdraw(token)
            async with it.post(f"/s/{token}/v1/messages", body_for("anthropic")) as answer:
                assert answer.status == 401

    asyncio.run(go())


def test_web_pages_and_foreign_names_for_this_host_are_refused(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
                async with it.post("/v1/messages", body_for("anthropic"), **headers) as answer:
                    assert answer.status == 403
            assert it.server.records == []

    asyncio.run(go())


def test_another_address_than_the_loopback_needs_a_token_and_to_be_wanted():
    assert check_host("127.0.0.1", "", known=False) and check_host("localhost", "", known=False)
    assert not check_host("0.0.0.0", "token", known=True)
    assert not check_host("0.0.0.0", "token", known=False, tls=True)
    for known, tls in ((False, False), (True, False), (False, True)):
        with pytest.raises(InputError, match="give a --token"):
            check_host("0.0.0.0", "", known=known, tls=tls)
    with pytest.raises(InputError, match="--tls-cert and --tls-key, or --i-know"):
        check_host("0.0.0.0", "token", known=False)


def test_models_are_listed_tokens_counted_and_nothing_else_is_a_proxy(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:

            async def get(path, **headers):
                async with it.client.get(it.gateway.url + path, headers=headers) as answer:
                    return answer.status, await answer.json()

            names = [model["id"] for model in (await get("/v1/models"))[1]["data"]]
            assert names == ["m-chat", "m-responses"]
            assert "m-1" in json.dumps((await get("/v1/models", **{"anthropic-version": "1"}))[1])
            async with it.post("/v1/messages/count_tokens", body_for("anthropic")) as answer:
                assert answer.status == 200 and (await answer.json())["input_tokens"] > 0
            async with it.post("/v1beta/models/m-1:countTokens", body_for("google")) as answer:
                assert (await answer.json())["totalTokens"] > 0
            async with it.post("/v1/embeddings", {"model": "m-1"}) as answer:
                assert answer.status == 404
            assert it.calls() == []
            status, health = await get("/health")
            assert (status, health["status"]) == (200, "ok")
            async with it.post("/v1/messages", body_for("anthropic")) as answer:
                await answer.read()
            async with it.client.get(it.gateway.url + "/metrics") as answer:
                text = await answer.text()
            assert 'outlay_calls_total{api="anthropic",model="m-1",status="ok"} 1' in text
            assert 'outlay_tokens_total{model="m-1",class="output"} 40' in text
            assert 'outlay_count_requests_total{api="google"} 1' in text

    asyncio.run(go())


@pytest.mark.parametrize("wire", WIRES)
def test_a_cancelled_stream_is_counted_as_what_had_come_and_the_provider_is_let_go(wire, tmp_path, monkeypatch):
    async def go():
        script = say(Answer("word " * 200, chunks=50, chunk_delay_s=0.2))
        async with lab(script, tmp_path, monkeypatch) as it:
            answer = await it.post(path_for(wire, True), body_for(wire, stream=True))
            received = b""
            while received.count(b"data:") < 12:
                received += await answer.content.readany()
            answer.close()
            under_way = lambda: it.gateway.gateway.budget.run.under_way  # noqa: E731
            for _ in range(6_000):
                if it.calls() and it.server.records[0]["outcome"] == "gone" and not under_way():
                    break
                await asyncio.sleep(0.01)
            (call,) = it.calls()
            billed = it.server.records[0]["billed"]
            assert (call.status, call.quality, it.server.records[0]["outcome"]) == ("cut", "lower_bound", "gone")
            assert call.possible_cost_pico and call.usage.output < billed["output"]
            if wire in ("anthropic", "google"):
                assert call.usage.input == billed["fresh"] + billed["cache_read"] + billed["cache_write_5m"]
            else:
                assert call.usage.output > 4
            assert under_way() == 0

    asyncio.run(go())


def test_one_pause_asked_for_holds_every_session_and_they_go_on_in_turn(tmp_path, monkeypatch):
    async def go():
        plan = FaultPlan("rate_limit", retry_after="0.3")
        began = []

        def script(call):
            began.append(asyncio.get_running_loop().time())
            return plan if call.n == 1 else ANSWER

        async with lab(script, tmp_path, monkeypatch) as it:

            async def one(seat):
                async with it.post(f"/s/{seat}/v1/messages", body_for("anthropic")) as answer:
                    return answer.status

            first = asyncio.create_task(one("a"))
            while not it.calls():
                await asyncio.sleep(0.01)
            statuses = await asyncio.gather(first, *(one(seat) for seat in "aaabbc"))
            assert statuses == [200] * 7
            assert min(began[1:]) - began[0] >= 0.29
            assert len(it.server.records) == 8
            order = [call.agent for call in it.calls() if call.status == "ok"]
            assert set(order[:3]) == {"a", "b", "c"}
            assert [call.status for call in it.calls()].count("failed") == 1

    asyncio.run(go())


def test_a_pause_longer_than_calls_are_held_is_the_agents_own(tmp_path, monkeypatch):
    async def go():
        async with lab(lambda call: FaultPlan("rate_limit", retry_after="900"), tmp_path, monkeypatch) as it:
            for _ in range(2):
                async with it.post("/v1/messages", body_for("anthropic")) as answer:
                    assert answer.status == 429
                    assert 890 <= int(answer.headers["Retry-After"]) <= 900
            assert len(it.server.records) == 1

    asyncio.run(go())


async def raw_upstream(handler):
    """A server of bytes, for what no framework sends."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def spoken(port):
    return {"m-1": (f"anthropic:m-1@http://127.0.0.1:{port}", None)}


WHOLE = json.dumps({
    "type": "message", "id": "msg_1", "role": "assistant", "model": "m-1", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 7, "output_tokens": 3},
}).encode()  # fmt: skip


@pytest.mark.parametrize("kind", ["http10", "gzip"])
def test_answers_of_old_servers_and_compressed_ones_pass_and_are_read(kind, tmp_path, monkeypatch):
    async def handler(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        if kind == "http10":
            writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + WHOLE)
        else:
            packed = gzip.compress(WHOLE)
            assert b"gzip" in head.lower()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
                b"content-length: %d\r\n\r\n" % len(packed) + packed
            )
        await writer.drain()
        writer.close()

    async def go():
        server, port = await raw_upstream(handler)
        async with server, lab(say(), tmp_path, monkeypatch, models=spoken(port)) as it:
            async with it.post("/v1/messages", body_for("anthropic"), accept_encoding="gzip, br") as answer:
                body = await answer.read()
                assert answer.status == 200
                assert (gzip.decompress(body) if kind == "gzip" else body) == WHOLE
            (call,) = it.calls()
            assert (call.usage.fresh, call.usage.output, call.quality) == (7, 3, "exact")

    asyncio.run(go())


async def request_read(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))


def test_a_provider_that_took_the_request_and_left_may_bill_it(tmp_path, monkeypatch):
    async def handler(reader, writer):
        await request_read(reader)
        writer.close()

    async def go():
        server, port = await raw_upstream(handler)
        async with server, lab(say(), tmp_path, monkeypatch, models=spoken(port)) as it:
            async with it.post("/v1/messages", body_for("anthropic")) as answer:
                assert answer.status == 502 and "disconnected" in (await answer.json())["error"]["message"]
            (call,) = it.calls()
            assert (call.status, call.quality) == ("cut", "unmeasured")
            assert call.possible_cost_pico

    asyncio.run(go())


def test_of_a_stream_that_broke_after_its_first_piece_the_tokens_in_it_are_counted(tmp_path, monkeypatch):
    deltas = [{"role": "assistant", "content": ""}, {"content": "one"}, {"content": "two"}, {"content": "three"}]
    events = b"".join(
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n" for delta in deltas
    )

    async def handler(reader, writer):
        await request_read(reader)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%s\r\n" % (len(events), events))
        await writer.drain()
        writer.close()

    async def go():
        server, port = await raw_upstream(handler)
        models = {"m-chat": (f"openai-chat:m-chat@http://127.0.0.1:{port}/v1", None)}
        async with server, lab(say(), tmp_path, monkeypatch, models=models) as it:
            body = body_for("openai-chat", stream=True, stream_options={"include_usage": True})
            async with it.post("/v1/chat/completions", body) as answer:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
            (call,) = it.calls()
            assert (call.status, call.quality, call.usage.output) == ("cut", "lower_bound", 2)

    asyncio.run(go())


def test_a_request_of_thirty_megabytes_passes(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            body = body_for("anthropic", "x" * 30_000_000)
            async with it.post("/v1/messages", body) as answer:
                assert answer.status == 200
            assert it.server.records[0]["request_bytes"] > 30_000_000
            assert it.calls()[0].quality == "exact"

    asyncio.run(go())


def test_a_compressed_request_is_unpacked_and_a_key_in_the_address_is_not_passed_on(tmp_path, monkeypatch):
    async def go():
        seen = []

        def script(call):
            seen.append(call)
            return ANSWER

        async with lab(script, tmp_path, monkeypatch) as it:
            raw = json.dumps(body_for("google")).encode()
            path = path_for("google", True) + "&key=outlay-tester"
            async with it.post(path, gzip.compress(raw), content_encoding="gzip") as answer:
                assert (await answer.text()).startswith("data: ")
            assert it.server.records[0]["body"].encode() == raw
            assert seen[0].headers["x-goog-api-key"] == "the-true-key" and "key=" not in seen[0].path
            assert it.calls()[0].agent == "tester"

    asyncio.run(go())


def test_nobody_listening_upstream_is_a_clear_error(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch, models=spoken(9)) as it:
            async with it.post("/v1/messages", body_for("anthropic")) as answer:
                assert answer.status == 502 and "127.0.0.1:9" in (await answer.json())["error"]["message"]
            assert [(call.status, call.quality) for call in it.calls()] == [("failed", "exact")]

    asyncio.run(go())


async def outcome_of(client, url, body):
    """What a client sees: the status and body, or the status and that it broke."""
    try:
        async with client.post(url, json=body, timeout=aiohttp.ClientTimeout(total=20)) as answer:
            pieces = b""
            try:
                async for chunk in answer.content.iter_any():
                    pieces += chunk
            except aiohttp.ClientError:
                return answer.status, "broken"
            return answer.status, pieces
    except aiohttp.ClientError:
        return 0, "broken"


FAULTS = (
    "rate_limit", "server", "overloaded", "payment", "auth", "bad_request", "overflow", "not_found", "cut", "short",
    "reset", "half_json", "error_event", "error_body", "malformed_call", "no_usage", "wrong_model", "empty",
    "empty_body", "html",
)  # fmt: skip
FREE = ("rate_limit", "server", "overloaded", "payment", "auth", "bad_request", "overflow", "not_found")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
def test_of_every_fault_a_client_sees_what_the_provider_would_have_shown(wire, stream, tmp_path, monkeypatch):
    async def go():
        def script():
            faults = iter(FAULTS)
            return lambda call: FaultPlan(next(faults), answer=ANSWER)

        async with lab(script(), tmp_path, monkeypatch) as it, ModelServer(script()) as other:
            for n, fault in enumerate(FAULTS):
                body = body_for(wire, f"fault {fault}", stream=stream)
                if wire == "openai-chat" and stream:
                    body["stream_options"] = {"include_usage": True}
                want = await outcome_of(it.client, other.url + path_for(wire, stream), body)
                got = await outcome_of(it.client, it.gateway.url + path_for(wire, stream), body)
                assert got == want, fault
                call = it.calls()[-1]
                assert len(it.calls()) == n + 1, fault
                record = it.server.records[-1]
                if fault in FREE or call.status == "failed":
                    assert fault in FREE or (fault, wire) == ("error_body", "google")
                    assert (call.status, call.usage.gross) == ("failed", 0), fault
                elif call.status == "ok" and call.quality == "exact":
                    assert call.usage.output == record["billed"]["output"], fault
                else:
                    assert call.quality in ("lower_bound", "unmeasured") and call.possible_cost_pico, fault
            assert it.gateway.gateway.budget.run.under_way == 0

    asyncio.run(go())


@pytest.mark.parametrize("kind", ["stall", "stall_midway"])
def test_a_provider_that_falls_silent_ends_in_an_error(kind, tmp_path, monkeypatch):
    async def go():
        plan = FaultPlan(kind, hold_s=30)
        async with lab(lambda call: plan, tmp_path, monkeypatch, stall_s=0.3) as it:
            status, body = await outcome_of(
                it.client, it.gateway.url + "/v1/messages", body_for("anthropic", stream=True)
            )
            assert (status, body == "broken") == ((504, False) if kind == "stall" else (200, True))
            (call,) = it.calls()
            assert call.status == "cut" and call.possible_cost_pico

    asyncio.run(go())


def test_a_body_that_is_no_json_is_refused_in_the_words_of_the_api(tmp_path, monkeypatch):
    async def go():
        async with lab(say(), tmp_path, monkeypatch) as it:
            for wire in WIRES:
                async with it.post(path_for(wire), b"{nonsense") as answer:
                    assert answer.status == 400 and "no JSON object" in (await answer.json())["error"]["message"]

    asyncio.run(go())
