"""Another agent's program, run by hand behind the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.gateway.identify import DUMMY
from outlay.gateway.pointing import pointing
from outlay.runs.standalone import Serving, Setup, new_token, serving

_REMOVED = (
    "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX",
    "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA", "AZURE_OPENAI_API_KEY", "OPENROUTER_API_KEY",
)  # fmt: skip
"""Other ways out to a provider: with these a program would not come through the gateway."""


CODEX_RETRIES = 2
"""Codex 0.169.0 asks again after any error, a 402 too: five times by default, which takes seven seconds."""


class Wrapped(msgspec.Struct, frozen=True):
    """How a wrapped program ended."""

    run: str
    exit_code: int
    limit_reached: bool


async def wrap(setup: Setup, command: Sequence[str], environ: Mapping[str, str] = os.environ) -> Wrapped:
    """Run `command` with every model API's address and key set to the gateway, until it ends.

    Raises InputError when the program cannot be started.
    """
    token = new_token()
    program = Path(command[0]).name
    async with serving(setup, name=f"wrap {program}", tokens=(token,)) as gateway:
        env = environment(gateway.url, token, environ, {key_env for _, key_env in setup.keys})
        started = await _start([*_with_options(command, gateway.url, token)], env)
        code = await _attend(started)
        _conclude(gateway, program, code)
        return Wrapped(gateway.run, code, gateway.outcome == "stopped")


def _conclude(gateway: Serving, program: str, code: int) -> None:
    gateway.reason = f"{program} exited with {code}"
    if gateway.server.metrics.refused("limit"):
        gateway.outcome = "stopped"
        gateway.reason = f"a limit was reached; {gateway.reason}"


def environment(url: str, token: str, environ: Mapping[str, str], keys: Collection[str] = ()) -> dict[str, str]:
    """The program's environment: addresses and dummy keys of the known agents and of the official SDKs; no true key.

    keys: variables of the keys that the gateway holds.
    """
    base, key = f"{url}/s/{token}", f"{DUMMY}{token}"
    env = {name: value for name, value in environ.items() if name not in _REMOVED and name not in keys}
    env |= pointing(base, key) | {
        "OPENCODE_CONFIG_CONTENT": json.dumps(_opencode(base, key, environ.get("OPENCODE_CONFIG_CONTENT", ""))),
        "NO_PROXY": ",".join(filter(None, (environ.get("NO_PROXY", ""), "127.0.0.1,localhost"))),
    }  # fmt: skip
    return env


def _opencode(base: str, key: str, own: str) -> dict[str, Any]:
    """OpenCode reads addresses from its configuration only; what the user gave there stays."""
    try:
        config = json.loads(own) if own else {}
    except ValueError:
        config = {}
    providers = config.setdefault("provider", {})
    for name, url in (("anthropic", f"{base}/v1"), ("openai", f"{base}/v1"), ("google", f"{base}/v1beta")):
        options = providers.setdefault(name, {}).setdefault("options", {})
        options |= {"baseURL": url, "apiKey": key}
    return dict(config)


def _with_options(command: Sequence[str], url: str, token: str) -> list[str]:
    """Codex takes an address by configuration only: as options before everything else."""
    if Path(command[0]).name != "codex":
        return list(command)
    provider = (
        f'{{name="Outlay", base_url="{url}/s/{token}/v1", wire_api="responses", env_key="OPENAI_API_KEY", '
        f"supports_websockets=false, stream_max_retries={CODEX_RETRIES}}}"
    )
    options = ["-c", 'model_provider="outlay"', "-c", f"model_providers.outlay={provider}"]
    return [command[0], *options, *command[1:]]


async def _start(command: list[str], env: dict[str, str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(*command, env=env)
    except OSError as error:
        raise InputError(f"cannot start {command[0]}: {error.strerror}; is it installed and on the PATH?") from None


async def _attend(process: asyncio.subprocess.Process) -> int:
    """Wait for the program. Ctrl-C reaches it by itself, being in the same group; what asks us to end, asks it."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        with suppress(ProcessLookupError):
            process.terminate()

    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGHUP, end)
    try:
        code = await process.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
    return code if code >= 0 else 128 - code
