"""Where agents and SDKs look for a model API's address and key."""

from __future__ import annotations


def pointing(base: str, key: str) -> dict[str, str]:
    """Environment variables with which the known agents and the official SDKs call the gateway and nothing else.

    base: URL of a seat (`http://127.0.0.1:PORT/s/TOKEN`); key: its dummy key.
    """
    return {
        "ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_KEY": key,
        "OPENAI_BASE_URL": f"{base}/v1", "OPENAI_API_BASE": f"{base}/v1", "OPENAI_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": base, "GEMINI_API_KEY": key, "GOOGLE_API_KEY": key,
    }  # fmt: skip
