"""What the errors of the four APIs mean, as kinds of `Fault`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from outlay.tokens import Usage
from outlay.wires.types import RETRYABLE, Fault, FaultKind

MAX_MESSAGE_CHARS = 300

_SECRET = re.compile(
    r"(?:sk|pk|rk|gsk|xai|key|tok)[-_][A-Za-z0-9*_.-]{6,}|AIza[A-Za-z0-9_-]{10,}|(?i:bearer)\s+\S+|(?i:key=)[^\s&]+"
)
_OVERFLOW = re.compile(
    r"context_length_exceeded|prompt is too long|maximum context length|context window|exceed_context_size"
    r"|exceeds? the (?:available )?context|context (?:size|length) (?:has been )?exceeded"
    r"|input length and `?max_tokens`?"
    r"|input token count .{0,40}exceeds|exceeds the maximum number of tokens|request_too_large|too many input tokens"
    r"|input is too long|larger than the context",
    re.IGNORECASE,
)
_PAYMENT = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|funds)|billing_error|billing_hard_limit|billing_not_active"
    r"|credit balance is too low|payment[_ ]required|out of credits",
    re.IGNORECASE,
)
_BY_WORD: tuple[tuple[re.Pattern[str], FaultKind], ...] = (
    (re.compile(r"overloaded|unavailable|server_is_busy|slow_down", re.I), "overloaded"),
    (re.compile(r"rate_?limit|resource_exhausted|too_?many_?requests|throttl", re.I), "rate_limit"),
    (
        re.compile(r"authentication|unauthenticated|permission|api_key_invalid|invalid_api_key", re.I),
        "auth",
    ),
    (re.compile(r"not_?found", re.I), "not_found"),
    (re.compile(r"timeout|deadline_exceeded", re.I), "timeout"),
    (re.compile(r"server_error|api_error|internal", re.I), "server"),
    (re.compile(r"invalid|bad_?request|failed_precondition|unsupported", re.I), "bad_request"),
)
_BY_STATUS: dict[int, FaultKind] = {
    401: "auth",
    402: "payment",
    404: "not_found",
    408: "timeout",
    409: "server",
    413: "context_overflow",
    425: "server",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}


def short(text: str, key: str | None = None) -> str:
    """`text` on one line of at most 300 characters, without anything that looks like a key."""
    if key:
        text = text.replace(key, "***")
    text = " ".join(_SECRET.sub("***", text[: 8 * MAX_MESSAGE_CHARS]).split())
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def retry_after_s(headers: Mapping[str, str], error: object = None) -> float | None:
    """Seconds that the provider asks to wait: `retry-after-ms`, `retry-after` (seconds or HTTP date), or Google's
    `retryDelay` in the details of the error. None when it asks for nothing that can be read."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 1e9:
            return seconds
    if "retry-after" in headers:
        try:
            return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            pass
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and re.fullmatch(r"\d{1,9}(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def error_status(headers_status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The fault of an answer with an error status. Header names are lower case."""
    try:
        document = msgspec.json.decode(body) if body else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        document = body.decode("utf-8", "replace")
        if "<html" in document[:1000].lower():
            document = "the answer is an HTML page"
    return error_fault(document, status=headers_status, headers=headers)


def error_fault(
    document: object,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    usage: Usage | None = None,
    raw_usage: str | None = None,
) -> Fault:
    """The fault of an error object of any of the APIs: `{"error": {...}}`, `{"error": "text"}`, the inner object
    itself, a list of one, or a text. `status` is None inside a stream that began with 200."""
    if isinstance(document, list) and document:
        document = document[0]
    error = document
    if isinstance(document, dict) and document.get("error"):
        error = document["error"]
    message, words = _describe(error)
    code = error.get("code") if isinstance(error, dict) else None
    if status is None and re.fullmatch(r"[45]\d\d", str(code)):
        status = int(str(code))
    kind = _kind(status, message, words)
    return Fault(
        kind,
        short(message or words or "the provider gave no reason"),
        status=status,
        retry_after_s=retry_after_s(headers or {}, error),
        usage=usage,
        raw_usage=raw_usage,
    )


def _describe(error: object) -> tuple[str, str]:
    """The message of an error and the words by which its kind is known."""
    if not isinstance(error, dict):
        return ("" if error is None else str(error)), ""
    message = error.get("message") or error.get("detail") or error.get("error") or ""
    words = [str(error[name]) for name in ("type", "code", "status", "reason") if error.get(name)]
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("reason"):
            words.append(str(detail["reason"]))
    return str(message), " ".join(words)


def _kind(status: int | None, message: str, words: str) -> FaultKind:
    text = f"{words} {message}"
    if status is None or status < 500:
        if status not in (401, 402, 404, 429) and _OVERFLOW.search(text):
            return "context_overflow"
        if _PAYMENT.search(text):
            return "payment"
    elif status == 500 and _OVERFLOW.search(text):
        # Some local servers answer 500 when the prompt does not fit.
        return "context_overflow"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    for pattern, kind in _BY_WORD:
        # A server's own trouble stays one that may pass, whatever else it says.
        if pattern.search(words) and (status is None or status < 500 or kind in RETRYABLE):
            return kind
    if status == 400 and re.search(r"api key", message, re.I):
        return "auth"
    if status is None:
        return "server"
    if status == 403:
        return "auth"
    return "server" if status >= 500 else "bad_request"
