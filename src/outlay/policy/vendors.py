"""Vendors by name, with the hosts of their APIs, so that a typo in a name and a wrong host are found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

HOSTS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("anthropic.com",),
    "openai": ("openai.com",),
    "google": ("googleapis.com",),
    "openrouter": ("openrouter.ai",),
    "mistral": ("mistral.ai",),
    "deepseek": ("deepseek.com",),
    "x-ai": ("x.ai",),
    "groq": ("groq.com",),
    "together": ("together.xyz", "together.ai"),
    "fireworks": ("fireworks.ai",),
    "cerebras": ("cerebras.ai",),
    "cohere": ("cohere.com", "cohere.ai"),
    "moonshotai": ("moonshot.ai", "moonshot.cn"),
    "huggingface": ("huggingface.co",),
    "azure": ("azure.com",),
    "aws": ("amazonaws.com",),
    "github": ("github.com",),
}
"""Vendor -> the domains its API is under."""

ENDPOINTS: Mapping[str, str] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta",
    "openrouter": "https://openrouter.ai/api/v1",
}
"""Vendors whose endpoint `policy init` fills in."""

KNOWN = frozenset(HOSTS) | {"self", "internet"}
"""`self` is yourself, `internet` everybody: the recipient of a tool whose addressee the agent picks."""


def typo_of(vendor: str) -> str | None:
    """The known vendor that this is probably meant to be; None for a known or quite another name."""
    if vendor in KNOWN:
        return None
    close = difflib.get_close_matches(vendor.lower(), KNOWN, n=1, cutoff=0.8)
    return close[0] if close else None


def vendor_of_host(host: str) -> str | None:
    """The vendor to whom a host belongs, as far as known."""
    for vendor, domains in HOSTS.items():
        if any(host == domain or host.endswith("." + domain) for domain in domains):
            return vendor
    return None
