"""What hidden calls of other agents are for, by what their requests say."""

import json

import pytest
from gateway_lab import body_for

from outlay.gateway.identify import claim_of
from outlay.gateway.passthrough import read


@pytest.mark.parametrize(
    ("prompt", "label"),
    [
        ("You are a specialized Task Routing AI. Your task", "router"),
        ("You are a component responsible for distilling chat history into a structured XML", "compaction"),
        ("You are an expert context compressor.", "compaction"),
        ("A diagnostic agent that determines whether a conversational AI assistant is stuck", "loop-check"),
        ("You are an agent that helps with routing tables.", ""),
    ],
)  # fmt: skip
def test_hidden_calls_of_gemini_are_known_by_their_prompts(prompt, label):
    body = body_for("google") | {"systemInstruction": {"parts": [{"text": prompt}]}}
    assert claim_of({}, read("google", json.dumps(body).encode(), "m", False)).label == label


@pytest.mark.parametrize("wire", ["openai-chat", "openai-responses", "anthropic"])
@pytest.mark.parametrize(
    ("prompt", "label"),
    [
        ("You are a title generator. You output ONLY a thread title.", "title"),
        ("You are a context summarization agent. You are given a conversation", "compaction"),
        ("You are OpenCode, the best coding agent on the planet.", ""),
    ],
)
def test_hidden_calls_of_opencode_are_known_by_their_prompts_in_every_api(wire, prompt, label):
    said = {"role": "developer" if wire == "openai-responses" else "system", "content": prompt}
    more = {
        "openai-chat": {"messages": [said]},
        "openai-responses": {"input": [said, {"role": "user", "content": "go"}]},
        "anthropic": {"system": [{"type": "text", "text": prompt}]},
    }[wire]
    asked = read(wire, json.dumps(body_for(wire) | more).encode())
    assert claim_of({"x-session-id": "ses_1"}, asked).label == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("[SUGGESTION MODE: Suggest what the user might naturally type next into Claude Code.]", "suggestion"),
        ("Your task is to create a detailed summary of the conversation so far, paying close attention", "compaction"),
        ("What does [SUGGESTION MODE] mean?", ""),
    ],
)
def test_hidden_calls_of_claude_are_known_by_their_last_message(text, label):
    body = json.dumps(body_for("anthropic", text), separators=(",", ":")).encode()
    assert claim_of({"X-Claude-Code-Session-Id": "s"}, read("anthropic", body)).label == label
