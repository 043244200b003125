"""What a device does with a model: whether it fits, speeds with their bands, money and energy per million tokens."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from outlay.errors import InputError
from outlay.ledger.calls import Call
from outlay.prices.hardware.catalogue import Catalogue, Device, OpenModel, catalogue
from outlay.prices.hardware.throughput import Calibration, decode_tps, prefill_tps
from outlay.prices.ways.dedicated import Capacity

BAND = 0.25
"""Speeds are shown with at least this much either way: measurements of one device differ by it."""
OVERHEAD_GB = 1.5
"""What a runtime keeps beside weights and cache: 1 to 2 GB."""
MOST_BATCH = 512
_PARALLEL = 0.75
"""Share of the summed bandwidth that several devices reach together (tensor parallel); an assumption."""


class Fit(msgspec.Struct, frozen=True):
    """One model in one quantisation on a device."""

    device: str
    model: str
    quantisation: str
    context_tokens: int
    gpus: int
    weights_gb: float
    need_gb: float | None
    """Weights, one context's KV cache and overhead; None when the cache's size is not known (then without it)."""
    fits: bool
    batch: int
    """Contexts of this length that fit at once (at most 512); 1 when the cache's size is not known."""
    decode_tps: float
    """One request, half the context filled."""
    batch_tps: float
    """All that fit at once, together."""
    prefill_tps: float | None
    band: float
    kwh_per_mtok: float
    """Energy per million output tokens at full load."""
    calibration: str

    @property
    def usd_per_mtok(self) -> tuple[float, float] | None:
        """Rent per million output tokens at full load; see `money`."""
        device = catalogue().device(self.device)
        if device.rent is None or not self.batch_tps:
            return None
        per_second = self.batch_tps * 3600 / 1e6
        return device.rent[0] * self.gpus / per_second, device.rent[1] * self.gpus / per_second


def fit_model(
    device: Device, model: OpenModel, quantisation: str, context: int, *, gpus: int = 1, cat: Catalogue | None = None,
    cal: Calibration | None = None,
) -> Fit:  # fmt: skip
    """What the device does with the model."""
    known = cat or catalogue()
    used = cal or known.calibrations[device.calibration]
    load = model.load(quantisation, known.bits[quantisation])
    memory, bandwidth = device.memory_gb * gpus, device.bandwidth_gbs * (gpus * _PARALLEL if gpus > 1 else 1)
    room = memory * 0.95 - load.weights_gb - OVERHEAD_GB * gpus
    cache = None if model.kv_bytes is None else model.kv_bytes * context / 1e9
    fits = room >= (cache or 0)
    batch = 1 if not cache or not fits else min(MOST_BATCH, int(room / cache))
    one = decode_tps(load, bandwidth, used, 1, context // 2)
    together = decode_tps(load, bandwidth, used, batch, context // 2)
    prefill = None
    if device.tflops is not None:
        prefill = prefill_tps(model.active_b or model.params_b, device.tflops * gpus, used, experts=not model.dense)
    return Fit(
        device.id, model.id, quantisation, context, gpus, load.weights_gb,
        None if cache is None else load.weights_gb + cache + OVERHEAD_GB * gpus, fits, batch, one, together, prefill,
        max(BAND, used.error), device.watts * gpus / 1000 * 1e6 / 3600 / together, used.what,
    )  # fmt: skip


def fit_all(
    device: Device, model: OpenModel | None, quantisation: str, context: int, gpus: int, cal: Calibration | None = None
) -> list[Fit]:
    """Every model (or one) in every quantisation that is looked at, largest first."""
    cat = catalogue()
    models = [model] if model else list(cat.models.values())
    found = []
    for each in sorted(models, key=lambda m: -m.params_b):
        for name in cat.quantisations(each, quantisation if model or not each.quantisation else ""):
            found.append(fit_model(device, each, name, context, gpus=gpus, cat=cat, cal=cal))
    return found


def capacity_of(device: str, model: str, context: int, *, gpus: int, high: bool) -> Capacity:
    """Speeds of one node for `outlay pay`, at one end of their band. Raises InputError when the model does not fit."""
    cat = catalogue()
    chosen = cat.model(model)
    options = [fit_model(cat.device(device), chosen, name, context, gpus=gpus) for name in cat.quantisations(chosen)]
    fitting = [option for option in options if option.fits]
    if not fitting:
        raise InputError(f"{model} does not fit {gpus} x {device} at {context:,} tokens of context")
    best = fitting[0]
    if best.prefill_tps is None:
        raise InputError(f"nothing is known about how fast {device} reads prompts; give `capacity` in the plan")
    factor = 1 + best.band if high else 1 - best.band
    prefill = max(1, int(best.prefill_tps * factor))
    return Capacity(prefill, prefill * 10, max(1, int(best.batch_tps * factor)))


class Measured(msgspec.Struct, frozen=True):
    """What the user's own ledger says of a model that ran locally."""

    calls: int
    decode_tps: float
    """Median of output over duration; a lower bound, because reading the prompt is in the duration."""


def measure(calls: Iterable[Call], least_output: int = 64) -> Measured | None:
    """Speed of calls with a start, an end and enough output that did not have to read more than they wrote."""
    speeds = []
    for call in calls:
        if call.started_ms is None or call.status != "ok" or call.usage.output < least_output:
            continue
        new = call.usage.fresh + call.usage.cache_write_5m + call.usage.cache_write_1h
        if call.ended_ms > call.started_ms and new <= 8 * call.usage.output:
            speeds.append(1000 * call.usage.output / (call.ended_ms - call.started_ms))
    if not speeds:
        return None
    speeds.sort()
    return Measured(len(speeds), speeds[len(speeds) // 2])


ENOUGH = 20
"""Calls of a model from which its measured speed replaces the shipped calibration."""


def calibrate(device: Device, model: OpenModel, quantisation: str, measured: Measured) -> Calibration:
    """The device's calibration, made faster or slower by what was measured with this model.

    Raises InputError when too few calls were measured.
    """
    if measured.calls < ENOUGH:
        raise InputError(f"the ledger has {measured.calls} measured calls of {model.id}; {ENOUGH} are needed")
    cat = catalogue()
    shipped = cat.calibrations[device.calibration]
    load = model.load(quantisation, cat.bits[quantisation])
    factor = measured.decode_tps / decode_tps(load, device.bandwidth_gbs, shipped)
    return msgspec.structs.replace(
        shipped, eta=shipped.eta * factor, tau_us=shipped.tau_us / factor, what=f"{measured.calls} calls of yours"
    )


def usd_per_mtok(usd_hour: float, tps: float, utilisation: float = 1.0) -> float:
    """Money per million output tokens of a device that costs `usd_hour` and is busy for a share of the time."""
    return usd_hour * 1e6 / (3600 * tps * utilisation)
