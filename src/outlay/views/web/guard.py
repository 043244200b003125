"""Who may look: a link that works once becomes a cookie, and nothing of another site gets in."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from outlay.gateway.server import is_local

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer: no code but ours, nothing embedded, nothing kept by caches."""
CSRF = "X-Outlay"
"""A header that every POST must have: a foreign page has to ask before it may set one (CORS), and nobody says yes."""
_LINKS = 32
"""Links that may be open at a time; the oldest goes first."""


class Guard:
    """Lets in who came by a link, and then knows them by a cookie; or who knows the token for programs."""

    def __init__(self, *, local_only: bool, tls: bool, token: str = "") -> None:
        """local_only: requests that name another host are refused (DNS rebinding). token: for programs, as
        `Authorization: Bearer`; empty: there is none."""
        self._local_only = local_only
        self._tls = tls
        self._token = token
        self._links: list[str] = []
        self._cookies: set[str] = set()

    def new_link(self) -> str:
        """A token that opens the window once."""
        self._links = [*self._links, secrets.token_urlsafe(24)][-_LINKS:]
        return self._links[-1]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse, let in, or answer."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if "token" in request.query:
            return self._entry(request)
        if not self._knows(request):
            return _refused(request, 401, "this window is locked; open the link that `outlay serve` printed")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _refused(request, error.status, error.reason)

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give an answer its HEADERS (aiohttp's `on_response_prepare`)."""
        response.headers.update(HEADERS)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._local_only and not is_local(request.host):
            return _refused(request, 403, "this window serves this machine only, by the name localhost or 127.0.0.1")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return _refused(request, 403, "requests of other sites are refused")
        foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
        if foreign and (request.method != "GET" or request.headers.get("Sec-Fetch-Mode") != "navigate"):
            return _refused(request, 403, "requests of other sites are refused")
        if request.method == "POST" and CSRF not in request.headers:
            return _refused(request, 403, f"a POST needs the header {CSRF}")
        return None

    def _entry(self, request: web.Request) -> web.Response:
        """Turn a link's token into a cookie."""
        rest = {name: value for name, value in request.query.items() if name != "token"}
        answer = web.Response(status=303, headers={"Location": request.path + (f"?{urlencode(rest)}" if rest else "")})
        if "prefetch" in request.headers.get("Sec-Purpose", ""):
            return _refused(request, 401, "a link is opened by a person, not in advance")
        token = request.query["token"]
        found = next((link for link in self._links if hmac.compare_digest(link.encode(), token.encode())), None)
        if found is not None and request.method == "GET":
            self._links.remove(found)
            cookie = secrets.token_urlsafe(32)
            self._cookies.add(cookie)
            answer.set_cookie(
                _cookie_name(request), cookie, httponly=True, samesite="Strict", secure=self._tls, path="/"
            )
            return answer
        if self._knows(request):
            return answer
        return _refused(request, 401, "this link was used, or is of an earlier start; `outlay serve` prints new ones")

    def _knows(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self._token and scheme == "Bearer" and hmac.compare_digest(token.encode(), self._token.encode()):
            return True
        return request.cookies.get(_cookie_name(request)) in self._cookies


def _cookie_name(request: web.Request) -> str:
    """Cookies do not know ports: two windows of one machine must not take each other's."""
    return f"outlay-{urlsplit(f'//{request.host}').port or 0}"


def _refused(request: web.Request, status: int, words: str) -> web.Response:
    if request.path.startswith("/api/"):
        return web.json_response({"error": words}, status=status)
    return web.Response(status=status, text=f"Outlay: {words}.\n")
