"""Which model goes where: allow-list, substitutions by pattern, refused models."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from outlay.gateway.endpoint import Endpoint
from outlay.gateway.passthrough import ANTHROPIC, CHAT, GOOGLE, RESPONSES
from outlay.gateway.refusals import Refused

ANY_MODEL = "*"
"""The model of an endpoint that serves whatever it is asked for."""
_REMEMBERED = 1_000
"""Models asked for, by name: clients choose the names, so there is an end to them."""


class Route(msgspec.Struct, frozen=True):
    """Models whose name fits `pattern` (`*` and `?` as in file names) are served by `endpoint`."""

    pattern: str
    endpoint: Endpoint


class Routes:
    """The routes in order: the first that fits a model and speaks the request's API is taken."""

    def __init__(self, routes: Sequence[Route], refused: Sequence[str] = ()) -> None:
        self.routes = tuple(routes)
        self._refused = tuple(refused)
        self._found: dict[tuple[str, str], Endpoint] = {}

    def find(self, model: str, wire: str) -> Endpoint:
        """Where a model is served. Raises Refused with the models there are."""
        known = self._found.get((model, wire))
        if known is None:
            known = self._search(model, wire)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[model, wire] = known
        return known

    def _search(self, model: str, wire: str) -> Endpoint:
        for pattern in self._refused:
            if fnmatchcase(model, pattern):
                raise Refused(403, f"model {model!r} is refused here (rule {pattern!r})", "model")
        fitting = [route.endpoint for route in self.routes if fnmatchcase(model, route.pattern)]
        for endpoint in fitting:
            if wire in served(endpoint):
                if endpoint.model == ANY_MODEL:
                    return msgspec.structs.replace(endpoint, name=model, model=model)
                return endpoint
        if fitting:
            speaks = ", ".join(sorted({name for endpoint in fitting for name in served(endpoint)}))
            raise Refused(403, f"model {model!r} is served in the format {speaks}; this request is {wire}", "format")
        names = ", ".join(route.pattern for route in self.routes) or "none"
        raise Refused(403, f"model {model!r} is not allowed here; allowed are: {names}", "model")

    def by_wire(self, wire: str) -> Endpoint | None:
        """The first endpoint that serves any model in this API."""
        known = [route.endpoint for route in self.routes if route.endpoint.model == ANY_MODEL]
        return next((each for each in known if wire in served(each) and not each.offline), None)

    def names(self, wire: str) -> list[str]:
        """Models by name that can be asked for in this API."""
        return [r.pattern for r in self.routes if wire in served(r.endpoint) and not set("*?[") & set(r.pattern)]


def served(endpoint: Endpoint) -> tuple[str, ...]:
    """The APIs in which an endpoint is called. Servers that call themselves OpenAI-compatible often speak Messages
    too; they say so themselves if not."""
    if endpoint.offline:
        return (CHAT, RESPONSES, ANTHROPIC, GOOGLE)
    if endpoint.provider == "anthropic":
        return (ANTHROPIC,)
    if endpoint.provider == "google":
        return (GOOGLE,)
    return (CHAT, RESPONSES, ANTHROPIC) if endpoint.own_server else (CHAT, RESPONSES)


def address(endpoint: Endpoint, wire: str, verb: str = "") -> str:
    """The URL of a call. `verb`: what follows the path (`/count_tokens`), or Google's method."""
    base = endpoint.base_url.rstrip("/")
    if wire == ANTHROPIC:
        return f"{base.removesuffix('/v1')}/v1/messages{verb}"
    if wire == GOOGLE:
        name = endpoint.model if "/" in endpoint.model else f"models/{endpoint.model}"
        return f"{base}/{name}:{verb}"
    return f"{base}/{'chat/completions' if wire == CHAT else 'responses'}{verb}"
