"""Devices and open models, as data with their origin."""

from __future__ import annotations

import tomllib
from functools import lru_cache

import msgspec

from outlay.errors import InputError
from outlay.prices.hardware.throughput import Calibration, Load
from outlay.prices.snapshot import DATA


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accelerator or computer."""

    id: str
    memory_gb: float
    bandwidth_gbs: float
    watts: float
    calibration: str
    tflops: float | None = None
    usd_h: float | tuple[float, float] | None = None
    """Rent per hour, or its range."""
    read: bool = True
    """Whether the figures were read in a data sheet or a measurement's own description."""

    @property
    def rent(self) -> tuple[float, float] | None:
        return (self.usd_h, self.usd_h) if isinstance(self.usd_h, float | int) else self.usd_h


class OpenModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model with open weights."""

    id: str
    params_b: float
    layers: int
    active_b: float | None = None
    kv_bytes: float | None = None
    experts: int | None = None
    used: int | None = None
    unread: float = 0.0
    quantisation: str | None = None
    """The only one it is published in."""
    active_gb: float | None = None
    """Computed exactly for that quantisation."""

    @property
    def dense(self) -> bool:
        return self.active_b is None

    def load(self, quantisation: str, bits: float) -> Load:
        """The model under a quantisation."""
        weights = self.params_b * bits / 8
        if self.active_b is None:
            return Load(weights, weights * (1 - self.unread), self.layers, self.kv_bytes or 0)
        share = self.used / self.experts if self.used and self.experts else self.active_b / self.params_b
        exact = self.active_gb if quantisation == self.quantisation else None
        return Load(weights, exact or weights * self.active_b / self.params_b, self.layers, self.kv_bytes or 0, share)


class Catalogue(msgspec.Struct, frozen=True):
    """Everything that is known."""

    devices: dict[str, Device]
    models: dict[str, OpenModel]
    calibrations: dict[str, Calibration]
    bits: dict[str, float]

    def device(self, id: str) -> Device:
        if id.lower() not in self.devices:
            raise InputError(f"no device {id!r}; there are {', '.join(self.devices)}")
        return self.devices[id.lower()]

    def model(self, id: str) -> OpenModel:
        if id.lower() not in self.models:
            raise InputError(f"no open model {id!r}; there are {', '.join(self.models)}")
        return self.models[id.lower()]

    def quantisations(self, model: OpenModel, wanted: str = "") -> list[str]:
        """Quantisations to look at: the wanted one, the model's own, or the usual three."""
        if wanted:
            name = next((q for q in self.bits if q.lower() == wanted.lower()), None)
            if name is None:
                raise InputError(f"no quantisation {wanted!r}; there are {', '.join(self.bits)}")
            return [name]
        return [model.quantisation] if model.quantisation else ["BF16", "Q8_0", "Q4_K_M"]


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The shipped catalogue."""
    devices = tomllib.loads((DATA / "devices.toml").read_text())
    models = tomllib.loads((DATA / "models.toml").read_text())
    return Catalogue(
        {d["id"]: msgspec.convert(d, Device) for d in devices["device"]},
        {m["id"]: msgspec.convert(m, OpenModel) for m in models["model"]},
        {name: msgspec.convert(c, Calibration) for name, c in devices["calibration"].items()},
        models["quantisation"],
    )
