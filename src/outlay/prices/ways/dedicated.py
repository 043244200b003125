"""Dedicated machines: always on, scaled to zero, or owned. Utilisation is derived from the trace, never assumed.

A node works through calls at three speeds: new input (fresh and cache writes), input read from the cache, output. The
work of a call is the time that takes, in whole picoseconds per token (whole microseconds where calls queue); nodes
share it. Always-on fleets have as many
nodes as the busiest stretch (`bucket_ms`) needs. A fleet that scales to zero starts with the first call, is ready
after its cold start, serves calls in order, and goes down `idle_ms` after the last one is done.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import msgspec
import numpy as np

from outlay.errors import InputError
from outlay.prices.many import exact_sum
from outlay.prices.trace import Trace
from outlay.prices.ways.per_token import plain, usd_text
from outlay.prices.ways.types import Bill, Mask, last_index

HOUR_MS = 3_600_000
PS_PER_MS = 10**9
_PER_SECOND = 10**12


class Capacity(msgspec.Struct, frozen=True):
    """Speed of one node under the service level, tokens per second."""

    prefill: int
    cached: int
    decode: int

    def ps_per_token(self) -> tuple[int, int, int]:
        """Picoseconds of a node that one token takes: new input, cached input, output (rounded up)."""
        return tuple(-(-_PER_SECOND // speed) for speed in (self.prefill, self.cached, self.decode))  # type: ignore[return-value]


class Owned(msgspec.Struct, frozen=True):
    """What an owned node costs. Money in picodollars."""

    capex: int
    residual: int
    years: int
    interest: Fraction
    """Cost of capital per year: 0.08."""
    watts: int
    pue: Fraction
    kwh: int
    """Price of a kilowatt hour."""
    opex_hour: int = 0

    def hour(self) -> Fraction:
        """Picodollars per node and hour, running: capital recovery, power, upkeep."""
        return (self.capex - self.residual) * self.recovery() / 8760 + self.power() + self.opex_hour

    def power(self) -> Fraction:
        """Picodollars of power per hour."""
        return Fraction(self.watts, 1000) * self.pue * self.kwh

    def recovery(self) -> Fraction:
        """Capital recovery factor: the yearly share that pays capital and interest in `years` years."""
        if not self.interest:
            return Fraction(1, self.years)
        growth = (1 + self.interest) ** self.years
        return self.interest * growth / (growth - 1)


class _Up(msgspec.Struct, frozen=True):
    """How long each node of a fleet is up and billed, and who waited for it."""

    ms: int
    starts: int = 0
    delayed: int = 0
    """Calls that waited for a cold start."""
    delay_ms: int = 0
    twice_ms: int = 0
    """Up-time if the last call came twice."""
    next_delay_ms: int = 0


class Dedicated(msgspec.Struct):
    """A fleet of nodes."""

    id: str
    hour_pico: Fraction
    """Price of one node and hour."""
    capacity: Capacity
    mode: Literal["always_on", "scale_to_zero"] = "always_on"
    bucket_ms: int = 300_000
    """Always on: the stretch within which work may wait; the busiest one decides the number of nodes."""
    max_nodes: int | None = None
    cold_ms: int = 0
    cold_billed: bool = False
    idle_ms: int = 300_000
    granularity_ms: int = 1000
    """Up-time is billed in steps of this."""
    _kept: dict[int, Any] = {}

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        self._work(trace, offered)
        nodes = self.nodes(trace, scale, offered)
        listed = trace.worth(offered) * scale
        span = int(trace.at_ms[-1]) - int(trace.at_ms[0]) + 1
        if self.mode == "always_on":
            up = _Up(-(-span // HOUR_MS) * HOUR_MS)
        else:
            up = self._up(scale, nodes)
        cost = self.hour_pico * nodes * up.ms / HOUR_MS
        done = Fraction(self._kept[7], PS_PER_MS) * scale
        use = done / (nodes * up.ms) if nodes and up.ms else Fraction(0)
        lines = [
            ("price", f"{usd_text(self.hour_pico)} per node and hour"),
            ("nodes", f"{nodes} (the busiest {self.bucket_ms // 1000} s decide)"),
            ("hours up", f"{up.ms / HOUR_MS:,.2f} each" + (f", {up.starts} cold starts" if up.starts else "")),
            ("work", f"{float(done / HOUR_MS):,.2f} node hours, utilisation {float(use):.1%}"),
            ("cost", usd_text(cost)),
        ]
        if full := self._full_hour(trace, offered):
            lines.append(("an hour of one full node", f"{usd_text(full)} at list in this mix"))
            lines.append(("utilisation that breaks even", f"{float(self.hour_pico / full):.1%}"))
        return Bill(
            listed=listed, contracted=cost, billed=cost, effective=cost,
            marginal=self._marginal(trace, scale, offered, nodes, up), served=offered, delayed=up.delayed,
            delay_ms=up.delay_ms, next_delay_ms=up.next_delay_ms, lines=tuple(lines),
        )  # fmt: skip

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        """Scales at which the busiest stretch needs one more node."""
        peak = self._peak(trace, offered)
        return [Fraction(n * self.bucket_ms * PS_PER_MS, peak) for n in range(1, 40)] if peak else []

    def nodes(self, trace: Trace, scale: Fraction, offered: Mask) -> int:
        """Nodes that the busiest stretch needs. Raises InputError when the plan has fewer."""
        peak = self._peak(trace, offered) * scale / (self.bucket_ms * PS_PER_MS)
        found = max(1, -(-peak.numerator // peak.denominator)) if offered.any() else 0
        if self.max_nodes is not None and found > self.max_nodes:
            raise InputError(f"the busiest stretch needs {found} nodes, the plan has {self.max_nodes}")
        return found

    def _work(self, trace: Trace, offered: Mask) -> Any:
        """Picoseconds of a node that each call takes."""
        if self._kept.get(0) is not trace or self._kept[1] is not offered:
            counts = trace.columns.counts
            prefill, cached, decode = self.capacity.ps_per_token()
            new = counts["fresh"] + counts["cache_write_5m"] + counts["cache_write_1h"]
            work = np.where(offered, new * prefill + counts["cache_read"] * cached + counts["output"] * decode, 0)
            micros = trace.at_ms[offered] * 1000
            self._kept = {
                0: trace, 1: offered, 2: work, 3: self._busiest(trace, work), 4: micros, 5: micros.tolist(),
                6: -(-work[offered] // 10**6), 7: exact_sum(work),
            }  # fmt: skip
        return self._kept[2]

    def _peak(self, trace: Trace, offered: Mask) -> int:
        self._work(trace, offered)
        peak: int = self._kept[3]
        return peak

    def _busiest(self, trace: Trace, work: Any) -> int:
        """Work of the busiest stretch, picoseconds; stretches are counted from the epoch."""
        buckets, where = np.unique(trace.at_ms // self.bucket_ms, return_inverse=True)
        sums = np.zeros(len(buckets), dtype=np.int64)
        np.add.at(sums, where, work)
        return int(sums.max(initial=0))

    def _full_hour(self, trace: Trace, offered: Mask) -> Fraction:
        self._work(trace, offered)
        work = self._kept[7]
        if not work:
            return Fraction(0)
        return Fraction(trace.worth(offered) * HOUR_MS * PS_PER_MS, work)

    def _marginal(self, trace: Trace, scale: Fraction, offered: Mask, nodes: int, up: _Up) -> Fraction | None:
        """What is billed with the last call made twice, less what is billed."""
        i = last_index(offered)
        if i is None:
            return None
        work = self._work(trace, offered)
        begin = int(trace.at_ms[i]) // self.bucket_ms * self.bucket_ms
        first, end = (int(np.searchsorted(trace.at_ms, ms)) for ms in (begin, begin + self.bucket_ms))
        busy = (exact_sum(work[first:end]) + int(work[i])) * scale / (self.bucket_ms * PS_PER_MS)
        needed = max(nodes, -(-busy.numerator // busy.denominator))
        if self.max_nodes is not None and needed > self.max_nodes:
            return None
        if self.mode == "always_on":
            later = up.ms
        else:
            later = up.twice_ms if needed == nodes else self._up(scale, needed).twice_ms
        return self.hour_pico * (needed * later - nodes * up.ms) / HOUR_MS

    def _up(self, scale: Fraction, nodes: int) -> _Up:
        """How long a fleet that scales to zero is up."""
        at, times = self._kept[4], self._kept[5]
        if not times:
            return _Up(0)
        serve = _scaled_us(self._kept[6], scale, nodes)
        cold, idle, step = self.cold_ms * 1000, self.idle_ms * 1000, self.granularity_ms * 1000
        billed = starts = delayed = delay = ready = final = 0
        i = 0
        while i < len(times):
            ready = times[i] + cold
            stop, down = _busy_until(at, times, serve, i, ready, idle)
            n = i
            while cold and n < stop and times[n] < ready:
                delayed += 1
                delay += ready - times[n]
                n += 1
            begun = times[i] if self.cold_billed else ready
            final = -(-(down - begun) // step) * step
            twice = -(-(down + int(serve[-1]) - begun) // step) * step
            billed += final
            starts += 1
            i = stop
        wait = max(0, ready - times[-1]) if cold else 0
        return _Up(billed // 1000, starts, delayed, delay // 1000, (billed - final + twice) // 1000, wait // 1000)


def _scaled_us(work_us: Any, scale: Fraction, nodes: int) -> Any:
    """Microseconds that the fleet takes for each call at a scale, rounded up."""
    divisor = scale.denominator * nodes
    if int(work_us.max(initial=0)) * scale.numerator + divisor < 2**62:
        return -(-(work_us * scale.numerator) // divisor)
    return np.array([-(-w * scale.numerator // divisor) for w in work_us.tolist()], dtype=np.int64)


_FEW = 24


def _busy_until(at: Any, times: list[int], serve: Any, i: int, ready: int, idle: int) -> tuple[int, int]:
    """(index of the first call after the fleet has gone down, when it goes down), microseconds; up from call `i`."""
    done, size = ready, 256
    for n in range(i, min(i + _FEW, len(times))):  # most fleets go down after a few calls: no arrays for those
        if times[n] > done + idle:
            return n, done + idle
        done = max(done, times[n]) + int(serve[n])
    i = min(i + _FEW, len(times))
    while i < len(at):
        end = min(len(at), i + size)
        arrive = np.maximum(at[i:end], ready)
        total = np.cumsum(serve[i:end])
        # A call is done at the latest over its predecessors of (arrival + all service since), or the backlog's end.
        finish = np.maximum(np.maximum.accumulate(arrive - (total - serve[i:end])), done) + total
        before = np.concatenate(([done], finish[:-1]))
        gone = np.flatnonzero(at[i:end] > before + idle)
        if len(gone):
            first = int(gone[0])
            return i + first, int(before[first]) + idle
        done, i, size = int(finish[-1]), end, min(size * 4, 65_536)
    return i, done + idle


__all__ = ["Capacity", "Dedicated", "Owned", "plain"]
