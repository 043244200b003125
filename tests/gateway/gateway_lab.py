"""A gateway in front of a scripted model server, as agents meet it."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from modelserver import ModelServer
from outlay.ledger import Ledger
from outlay.runs.standalone import Serving, serving, set_up

PATHS = {
    "anthropic": "/v1/messages",
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "google": "/v1beta/models/m-1:generateContent",
    "google-stream": "/v1beta/models/m-1:streamGenerateContent?alt=sse",
}
PRICE = "{input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6}"
WIRES = ("anthropic", "openai-chat", "openai-responses", "google")


@dataclass
class Lab:
    server: ModelServer
    gateway: Serving
    client: aiohttp.ClientSession

    @property
    def ledger(self) -> Ledger:
        return self.gateway.ledger

    def calls(self):
        return list(self.ledger.calls("run = ?", (self.gateway.run,)))

    def post(self, path, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            self.gateway.url + path, data=data, headers={"content-type": "application/json"} | named
        )


@contextlib.asynccontextmanager
async def lab(script, folder: Path, monkeypatch, *, models=None, limits=(), refuse=(), price=True, **options):
    """The gateway's own run, in a state folder of its own. models: `NAME: spec`, `{url}` is the scripted server."""
    monkeypatch.setenv("OUTLAY_HOME", str(folder / "home"))
    async with ModelServer(script, keep_bodies=True) as server:
        config = folder / "gateway.yaml"
        lines = models or {
            "m-1": ("anthropic:m-1", "anthropic"), "m-chat": ("openai-chat:m-chat", "openai-chat"),
            "m-responses": ("openai-responses:m-responses", "openai-responses"), "m-1*": ("google:m-1", "google"),
        }  # fmt: skip
        priced = f", price: {PRICE}" if price else ""
        text = "models:\n"
        for name, (spec, wire) in lines.items():
            where = "" if wire is None else f"@{server.base_url(wire)}"
            text += f'  "{name}": {{spec: "{spec}{where}", key_env: LAB_KEY{priced}}}\n'
        config.write_text(text)
        setup = set_up((), refuse, limits, config, {"LAB_KEY": "the-true-key"})
        async with serving(setup, **options) as gateway, aiohttp.ClientSession(auto_decompress=False) as client:
            yield Lab(server, gateway, client)


def body_for(wire, text="go", *, stream=False, max_tokens=1_000, **more):
    """A small request of an API."""
    if wire.startswith("google"):
        contents = [{"role": "user", "parts": [{"text": text}]}]
        return {"contents": contents, "generationConfig": {"maxOutputTokens": max_tokens}} | more
    model = {"anthropic": "m-1", "openai-chat": "m-chat", "openai-responses": "m-responses"}[wire]
    if wire == "openai-responses":
        return {"model": model, "input": text, "stream": stream, "max_output_tokens": max_tokens} | more
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "stream": stream, "max_tokens": max_tokens} | more


def path_for(wire, stream=False):
    return PATHS["google-stream"] if wire == "google" and stream else PATHS[wire]
