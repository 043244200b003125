"""The list of models as each API words it."""

from __future__ import annotations

import msgspec

from outlay.gateway.passthrough import ANTHROPIC, GOOGLE


def listing(wire: str, names: list[str], path: str) -> bytes:
    """The models that can be asked for by name; one of them when the path names it."""
    entries: list[dict[str, object]]
    if wire == GOOGLE:
        methods = ["generateContent", "streamGenerateContent", "countTokens"]
        entries = [
            {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods} for name in names
        ]
        whole: dict[str, object] = {"models": entries}
    elif wire == ANTHROPIC:
        entries = [
            {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"} for name in names
        ]
        first, last = (names[0], names[-1]) if names else (None, None)
        whole = {"data": entries, "has_more": False, "first_id": first, "last_id": last}
    else:
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "outlay"} for name in names]
        whole = {"object": "list", "data": entries}
    wanted = path.rpartition("/models")[2].strip("/")
    if wanted:
        one = [entry for name, entry in zip(names, entries, strict=True) if name == wanted]
        return msgspec.json.encode(one[0] if one else {"error": {"message": f"no model {wanted!r}"}})
    return msgspec.json.encode(whole)
