"""What a user sets once for all agents: `agents.toml` in the configuration folder, and the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from outlay.runs.front_matter import ModelEntry
from outlay.service.errors import ServiceError


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. It lies with the user, never in a project: what comes with a project must not choose where its data
    goes."""

    model: Annotated[str, Meta(description="Default model: provider:model[@url], or a name under `models`.")] = ""
    models: Annotated[dict[str, str | ModelEntry], Meta(description="Models by name, as in a goal file.")] = {}
    roles: Annotated[dict[str, str], Meta(description="Role -> its model.")] = {}
    limits: Annotated[tuple[str, ...], Meta(description="Limits of every agent, such as usd=2 or turns=100.")] = ()
    timeout: Annotated[str, Meta(description="Longest time an agent may work.")] = "1h"
    concurrent: Annotated[int, Meta(ge=1, description="Agents at work at the same time; others queue.")] = 8


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """`agents.toml` in `$XDG_CONFIG_HOME/outlay`, else `~/.config/outlay`."""
    folder = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "outlay" / "agents.toml"


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration; `OUTLAY_MODEL` holds over its `model`. Raises ServiceError (E_CONFIG_INVALID)."""
    path = config_file(environ)
    written: dict[str, Any] = {}
    try:
        written = tomllib.loads(path.read_text())
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ServiceError("E_CONFIG_INVALID", f"cannot read {path}: {error}") from None
    try:
        config = msgspec.convert(written, Config)
    except msgspec.ValidationError as error:
        raise ServiceError("E_CONFIG_INVALID", f"{path}: {error}") from None
    model = environ.get("OUTLAY_MODEL")
    return msgspec.structs.replace(config, model=model) if model else config
