"""The real agents' programs from npm, pinned, installed into a cache folder the first time."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from modelserver.server import ModelServer

PROGRAMS = {
    "claude": ("@anthropic-ai/claude-code-linux-x64", "2.1.329", "claude"),
    "codex": ("@openai/codex", "0.169.0", "bin/codex.js"),
    "opencode": ("opencode-linux-x64", "1.18.33", "bin/opencode"),
    "gemini": ("@google/gemini-cli", "0.61.0", "bundle/gemini.js"),
    "axe": ("axe-core", "4.14.1", "axe.min.js"),
}
"""Package (the one that holds the program itself, no install script needed), version, program in it."""
CACHE = Path(os.environ.get("OUTLAY_CLI_CACHE") or Path.home() / ".cache" / "outlay-clis")
SECONDS = 120
needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


def program(tool: str) -> Path:
    """The pinned program."""
    package, version, name = PROGRAMS[tool]
    folder = CACHE / f"{tool}-{version}"
    found = folder / "node_modules" / package / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # tests of other processes may want the same one
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found.exists():
            return found
        (folder / "package.json").write_text('{"private": true}')
        # Gemini CLI's optional parts are compiled ones, and it works without them.
        optional = ["--omit=optional"] if tool == "gemini" else ["--include=optional"]
        command = ["npm", "install", f"{package}@{version}", "--no-audit", "--no-fund", "--silent", *optional]
        done = subprocess.run([*command, "--ignore-scripts"], cwd=folder, check=False)
        if done.returncode or not found.exists():
            pytest.skip(f"npm cannot install {package}@{version} here")
    return found


def environment(tool: str, home: Path, server: ModelServer) -> dict[str, str]:
    """Settings by which a program talks to the server alone, in a home of its own."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb", "XDG_CONFIG_HOME": str(home / ".config"),
           "XDG_DATA_HOME": str(home / ".local" / "share"), "XDG_CACHE_HOME": str(home / ".cache"),
           "XDG_STATE_HOME": str(home / ".local" / "state")}  # fmt: skip
    if tool == "claude":
        env |= {"ANTHROPIC_BASE_URL": server.base_url("anthropic"), "ANTHROPIC_API_KEY": "none", "IS_SANDBOX": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1"}  # fmt: skip
    elif tool == "codex":
        (home / ".codex").mkdir()
        (home / ".codex" / "config.toml").write_text(
            'model = "gpt-5.2-codex"\nmodel_provider = "scripted"\ncheck_for_update_on_startup = false\n'
            f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{server.base_url("openai")}"\n'
            'wire_api = "responses"\nenv_key = "SCRIPTED_KEY"\n'
        )
        env |= {"CODEX_HOME": str(home / ".codex"), "SCRIPTED_KEY": "none"}
    else:
        models = {"m1": {"name": "m1", "limit": {"context": 100000, "output": 8000}, "cost": {"input": 1, "output": 2}}}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "scripted", "models": models,
                    "options": {"baseURL": server.base_url("openai"), "apiKey": "none"}}  # fmt: skip
        (home / ".config" / "opencode").mkdir(parents=True)
        (home / ".config" / "opencode" / "opencode.json").write_text(
            json.dumps(
                {"autoupdate": False, "share": "disabled", "model": "scripted/m1", "small_model": "scripted/m1",
                 "enabled_providers": ["scripted"], "provider": {"scripted": provider}, "permission": {"*": "allow"}}
            )
        )  # fmt: skip
        env |= {"OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return env


async def run(command: list[str], env: dict[str, str], work: Path) -> None:
    """Run a program to its end in a process group of its own."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, cwd=work, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode("utf-8", "replace")[-2000:]
