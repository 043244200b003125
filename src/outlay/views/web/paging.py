"""What a client asks for in a query string, checked."""

from __future__ import annotations

from aiohttp import web

from outlay.errors import InputError

MOST = 100
"""Lines of a page, unless another number is asked for."""
LIMIT = 1000
"""The most lines of a page."""


def number(request: web.Request, name: str, otherwise: int | None = None) -> int | None:
    """A whole number. Raises InputError for anything else."""
    text = request.query.get(name, "")
    if not text:
        return otherwise
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"{name}={text!r} is not a whole number") from None
    if abs(value) >= 2**62:
        raise InputError(f"{name}={text} is too large")
    return value


def most(request: web.Request, otherwise: int = MOST) -> int:
    """How many lines are wanted, 1 to LIMIT."""
    wanted = number(request, "most", otherwise) or otherwise
    if not 0 < wanted <= LIMIT:
        raise InputError(f"most={wanted}: from 1 to {LIMIT}")
    return wanted
