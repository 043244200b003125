"""Models as a goal names them: `provider:model[@base_url]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from outlay.economics.trials import Played
from outlay.errors import InputError
from outlay.runs.goal_types import ModelSpec, Provider
from outlay.runs.paths import beside
from outlay.runs.yaml_lines import nearest

PROVIDERS: tuple[str, ...] = get_args(Provider)


def parse_spec(name: str, spec: str, folder: Path) -> ModelSpec:
    """The model behind `spec`. `folder` is what relative paths of `recorded:` and `manual:` start from.

    Raises InputError when the provider is missing or unknown, the model is empty, the URL is none, or a recording
    does not exist.
    """
    provider, colon, rest = spec.partition(":")
    if spec in PROVIDERS:
        raise InputError(f"model {name!r}: no model after {spec!r}; write {spec}:MODEL")
    if not colon or provider not in PROVIDERS:
        problem = f"no provider in {spec!r}" if not colon else f"unknown provider {provider!r}"
        guess = f"; did you mean '{near}:{spec}'?" if not colon and (near := _likely_provider(spec)) else ""
        raise InputError(
            f"model {name!r}: {problem}{guess or nearest(provider, PROVIDERS) if colon else guess or _FORM}"
        )
    model, base_url = rest, None
    if "://" in rest and "@" in rest:
        model, _, base_url = rest.rpartition("@")
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", base_url):
            raise InputError(f"model {name!r}: {base_url!r} is no URL; write e.g. @http://127.0.0.1:8080/v1")
    if not model.strip():
        raise InputError(f"model {name!r}: no model after {provider + ':'!r}{_FORM}")
    if provider in ("recorded", "manual"):
        path = beside(folder, model).absolute()
        if provider == "recorded" and not path.is_file():
            raise InputError(f"model {name!r}: no recording at {path}")
        if provider == "manual" and path.exists() and not path.is_dir():
            raise InputError(f"model {name!r}: {path} is not a folder")
        model = str(path)
    return ModelSpec(name=name, spec=spec, provider=provider, model=model, base_url=base_url)  # type: ignore[arg-type]


_FORM = "; write provider:model, e.g. anthropic:claude-sonnet-5-5 or openai:qwen3@http://127.0.0.1:8080/v1"


def _likely_provider(model: str) -> str | None:
    for start, provider in (("claude", "anthropic"), ("gpt", "openai"), ("gemini", "google")):
        if model.startswith(start):
            return provider
    return None


def played_by(specs: Iterable[str]) -> Played:
    """Whether models of these specs are a recording or a person, for the label beside every figure of such a run."""
    providers = {spec.partition(":")[0] for spec in specs}
    return "recorded" if "recorded" in providers else "by hand" if "manual" in providers else ""
