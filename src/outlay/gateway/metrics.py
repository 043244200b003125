"""Counters of the gateway in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

from collections import Counter

from outlay.tokens import Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class Metrics:
    """What passed since the gateway started. Labels hold models, APIs and states; no texts and no sessions."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._tokens: Counter[tuple[str, ...]] = Counter()
        self._refused: Counter[tuple[str, ...]] = Counter()
        self._counted: Counter[tuple[str, ...]] = Counter()
        self._seconds: Counter[tuple[str, ...]] = Counter()
        self.under_way = 0
        """Calls that are with a provider now."""

    def call(self, wire: str, model: str, status: str, usage: Usage | None, seconds: float) -> None:
        """A call that ended, as the ledger has it."""
        self._calls[wire, model, status] += 1
        self._seconds[wire, model] += seconds  # type: ignore[assignment]
        for name in _CLASSES if usage is not None else ():
            if count := getattr(usage, name):
                self._tokens[model, name] += count

    def refusal(self, reason: str) -> None:
        """A request that was not passed on."""
        self._refused[(reason,)] += 1

    def refused(self, reason: str) -> int:
        """How many requests were refused for that reason."""
        return self._refused[(reason,)]

    def count_request(self, wire: str) -> None:
        """A request to count tokens, which nobody bills."""
        self._counted[(wire,)] += 1

    def text(self, sessions: int, waiting: int) -> str:
        """All of it."""
        lines: list[str] = []
        for name, kind, about, labels, values in (
            ("calls_total", "counter", "Model calls by how they ended.", ("api", "model", "status"), self._calls),
            ("tokens_total", "counter", "Tokens billed, disjoint classes.", ("model", "class"), self._tokens),
            ("call_seconds_total", "counter", "Wall time of calls.", ("api", "model"), self._seconds),
            ("refused_total", "counter", "Requests that were not passed on.", ("reason",), self._refused),
            ("count_requests_total", "counter", "Requests to count tokens.", ("api",), self._counted),
            ("calls_under_way", "gauge", "Calls with a provider now.", (), Counter({(): self.under_way})),
            ("calls_waiting", "gauge", "Calls that wait for a provider's pause.", (), Counter({(): waiting})),
            ("sessions", "gauge", "Sessions seen.", (), Counter({(): sessions})),
        ):
            lines += [f"# HELP outlay_{name} {about}", f"# TYPE outlay_{name} {kind}"]
            for key, value in sorted(values.items()):
                pairs = ",".join(f'{label}="{_escaped(part)}"' for label, part in zip(labels, key, strict=True))
                lines.append(f"outlay_{name}{'{' + pairs + '}' if pairs else ''} {value:g}")
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
