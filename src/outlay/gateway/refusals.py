"""Errors as each model API would word them, so that agents read them as they read their provider's."""

from __future__ import annotations

import msgspec

from outlay.errors import OutlayError
from outlay.gateway.passthrough import ANTHROPIC, GOOGLE

_ANTHROPIC = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
}  # fmt: skip
_OPENAI = {
    400: "invalid_request_error", 401: "authentication_error", 402: "insufficient_quota", 403: "permission_error",
    404: "not_found_error", 413: "invalid_request_error", 429: "rate_limit_exceeded",
}  # fmt: skip
_GOOGLE = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED",
    404: "NOT_FOUND", 413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class Refused(OutlayError):
    """A request that the gateway does not pass on. `status` is the HTTP status; 402 and 403 end every agent, 429 is
    tried again for ever."""

    def __init__(self, status: int, message: str, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """One word, for the counters."""
        self.retry_after_s = retry_after_s
        """Seconds after which it is worth asking again."""


def error_body(wire: str, status: int, message: str) -> bytes:
    """The error in the shape of the API."""
    document: dict[str, object]
    if wire == ANTHROPIC:
        document = {"type": "error", "error": {"type": _ANTHROPIC.get(status, "api_error"), "message": message}}
    elif wire == GOOGLE:
        document = {"error": {"code": status, "message": message, "status": _GOOGLE.get(status, "INTERNAL")}}
    else:
        kind = _OPENAI.get(status, "server_error")
        document = {"error": {"message": message, "type": kind, "param": None, "code": kind}}
    return msgspec.json.encode(document)
