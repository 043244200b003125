"""Where models are called, and where their keys are found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

import msgspec

from outlay.errors import KeyMissing
from outlay.wires import BASE_URLS

PROVIDERS: Mapping[str, tuple[str, str, str]] = {
    # provider: (codec, base URL, environment variable of the key)
    "anthropic": ("anthropic", BASE_URLS["anthropic"], "ANTHROPIC_API_KEY"),
    "openai": ("openai-responses", BASE_URLS["openai"], "OPENAI_API_KEY"),
    "openai-responses": ("openai-responses", BASE_URLS["openai"], "OPENAI_API_KEY"),
    "openai-chat": ("openai-chat", BASE_URLS["openai"], "OPENAI_API_KEY"),
    "google": ("google", BASE_URLS["google"], "GEMINI_API_KEY"),
}
OFFLINE = ("recorded", "manual")
"""Providers without a network: `recorded:FILE` plays a recording, `manual:DIR` asks a person through files."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a model is called and how."""

    name: str
    """As the goal file names it."""
    provider: str
    model: str
    """The provider's own id; for offline providers the same as `name`."""
    codec: str
    base_url: str = ""
    """For offline providers the path."""
    key_env: str = ""
    """Environment variable of the key; empty: none is sent."""
    own_server: bool = False
    """Another server than the provider's own: no list price, and no key unless one is named for it."""
    window_tokens: int = 200_000
    max_output_tokens: int = 16_000
    reasoning: Literal["", "low", "medium", "high"] = ""
    fallback: tuple[str, ...] = ()

    @property
    def offline(self) -> bool:
        return self.provider in OFFLINE

    @property
    def priced_as(self) -> str:
        """The provider whose price list holds. A server of one's own has no list price: its models need an own one."""
        if self.own_server:
            return "own"
        return "openai" if self.provider.startswith("openai") else self.provider


def find_key(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str | None:
    """The API key: from the environment, else from the keyring (service `outlay`, user = the variable's name).

    Raises KeyMissing when the provider needs one and there is none.
    """
    if endpoint.offline:
        return None
    if not endpoint.key_env:
        return None
    if key := key_named(endpoint.key_env, environ):
        return key
    raise KeyMissing(
        endpoint.key_env,
        f"model {endpoint.name!r}: no key for {endpoint.provider}; set {endpoint.key_env}, "
        f"or store it with `keyring set outlay {endpoint.key_env}`",
    )


def key_named(variable: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key of that name: from the environment, else from the keyring."""
    return environ.get(variable) or _from_keyring(variable)


def _from_keyring(variable: str) -> str | None:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None
    try:
        return keyring.get_password("outlay", variable)
    except (keyring.errors.KeyringError, RuntimeError):
        return None
