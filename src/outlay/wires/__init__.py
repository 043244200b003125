"""The model APIs, one codec each: requests, answers, streams, exact usage."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from outlay.wires.types import Codec

BASE_URLS = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta",
}
"""Where the providers are, by provider."""

CODECS = ("anthropic", "openai-chat", "openai-responses", "google")


def codec(name: str, *, base_url: str | None = None, cache_ttl: Literal["5m", "1h"] = "5m") -> Codec:
    """The codec of an API: `anthropic`, `openai-chat`, `openai-responses` or `google`.

    `base_url` tells OpenAI's own chat completions from other servers', which name the output limit differently (None:
    OpenAI's own). `cache_ttl` is for Anthropic. Keep one codec for many conversations: it renders each message once.
    Raises ValueError for any other name.
    """
    if name == "anthropic":
        from outlay.wires.anthropic import Anthropic

        return Anthropic(cache_ttl)
    if name == "openai-chat":
        from outlay.wires.openai_chat import OpenAIChat

        host = urlsplit(base_url or BASE_URLS["openai"]).hostname or ""
        own = host.endswith((".openai.com", ".openai.azure.com")) or host == "openai.com"
        return OpenAIChat("max_completion_tokens" if own else "max_tokens")
    if name == "openai-responses":
        from outlay.wires.openai_responses import OpenAIResponses

        return OpenAIResponses()
    if name == "google":
        from outlay.wires.google import Google

        return Google()
    raise ValueError(f"no model API is called {name!r}; there are {', '.join(CODECS)}")
