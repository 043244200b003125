"""How fast a model decodes and reads its prompt on a device, from memory bandwidth, layers and batch.

A decode step for a batch of B at context c takes `t = (W(B) + B*kv*c) / (eta*BW) + layers*tau + B*sigma`, and gives B
tokens. W is the weights read: all of a dense model's but the embedding rows; of a mixture of experts the shared part
and the experts that the batch touches, `experts * (1 - (1 - k/E)^(B^gamma))`, gamma 0.7 because requests of a batch
choose alike. Prefill is bound by arithmetic: `mfu * F / (2 * active parameters)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

GAMMA = 0.7
"""How a batch's requests share experts; 1 would mean that they choose independently. Fitted on DGX Spark."""


class Calibration(msgspec.Struct, frozen=True):
    """What was measured of a class of devices."""

    eta: float
    """Share of the memory bandwidth that decoding reaches."""
    tau_us: float
    """Microseconds per layer and step beside reading weights."""
    sigma_us: float = 0.0
    """Microseconds per step for each request of the batch."""
    mfu: tuple[float, float] = (0.35, 0.12)
    """Share of the arithmetic that prefill reaches: dense, mixture of experts."""
    error: float = 0.25
    """Mean relative error of points that the fit did not see."""
    what: str = ""


class Load(msgspec.Struct, frozen=True):
    """A model as a device sees it while decoding."""

    weights_gb: float
    """All weights."""
    active_gb: float
    """Weights that one token reads."""
    layers: int
    kv_bytes: float = 0.0
    """KV cache per token."""
    used_share: float = 1.0
    """k/E: share of the experts that one token uses; 1 for dense models."""


def weights_read_gb(load: Load, batch: float) -> float:
    """Gigabytes of weights that one decode step of a batch reads."""
    if load.used_share >= 1 or batch <= 1:
        return load.active_gb
    touched: float = 1 - (1 - load.used_share) ** (batch**GAMMA)
    experts = (load.weights_gb - load.active_gb) / (1 - load.used_share)
    shared = load.weights_gb - experts
    return max(load.active_gb, shared + experts * touched)


def step_seconds(load: Load, bandwidth_gbs: float, cal: Calibration, batch: int = 1, context: int = 0) -> float:
    """Seconds of one decode step."""
    read = weights_read_gb(load, batch) + batch * load.kv_bytes * context / 1e9
    return read / (cal.eta * bandwidth_gbs) + (load.layers * cal.tau_us + batch * cal.sigma_us) * 1e-6


def decode_tps(load: Load, bandwidth_gbs: float, cal: Calibration, batch: int = 1, context: int = 0) -> float:
    """Output tokens per second of the whole batch."""
    return batch / step_seconds(load, bandwidth_gbs, cal, batch, context)


def prefill_tps(active_b: float, tflops: float, cal: Calibration, *, experts: bool) -> float:
    """Prompt tokens per second, at a short context. `active_b` in billions of parameters."""
    return cal.mfu[1 if experts else 0] * tflops * 1e12 / (2 * active_b * 1e9)


class Point(msgspec.Struct, frozen=True):
    """One measurement."""

    load: Load
    bandwidth_gbs: float
    batch: int
    context: int
    tps: float


def fit(points: Sequence[Point], *, batched: bool = False) -> Calibration:
    """Least squares on the logarithm of the speed: eta and tau, and sigma for batched points."""
    import numpy as np
    from scipy.optimize import least_squares

    read, layers, batch, seconds = _arrays(points)

    def wrong(p: Sequence[float]) -> Any:
        return np.log((read / p[0] + (layers * p[1] + batch * p[2] * batched) * 1e-6) / seconds)

    found = least_squares(wrong, [0.8, 50.0, 1.0], bounds=([0.2, 0, 0], [1.2, 2000, 2000]))
    eta, tau, sigma = (float(x) for x in found.x)
    return Calibration(eta, tau, sigma if batched else 0.0)


def _arrays(points: Sequence[Point]) -> tuple[Any, ...]:
    import numpy as np

    read = [
        (weights_read_gb(p.load, p.batch) + p.batch * p.load.kv_bytes * p.context / 1e9) / p.bandwidth_gbs
        for p in points
    ]
    rest = [[p.load.layers for p in points], [p.batch for p in points], [p.batch / p.tps for p in points]]
    return tuple(np.array(column, dtype=float) for column in (read, *rest))


def error(point: Point, cal: Calibration) -> float:
    """Relative error of the predicted speed: 0.1 is 10 % too fast or too slow."""
    return abs(decode_tps(point.load, point.bandwidth_gbs, cal, point.batch, point.context) / point.tps - 1)


def naive_error(point: Point) -> float:
    """Relative error of bandwidth divided by the bytes read, the bound that is often quoted."""
    read = weights_read_gb(point.load, point.batch) + point.batch * point.load.kv_bytes * point.context / 1e9
    return abs(point.batch * point.bandwidth_gbs / read / point.tps - 1)


def leave_one_out(points: Sequence[Point], *, batched: bool = False) -> list[float]:
    """The error of every point under a fit to all others."""
    return [error(p, fit([*points[:n], *points[n + 1 :]], batched=batched)) for n, p in enumerate(points)]
