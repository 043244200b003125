"""Own hardware, shown: what fits a device, and devices beside each other."""

from __future__ import annotations

from typing import Any

import msgspec

from outlay import home
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.prices.hardware.catalogue import OpenModel, catalogue
from outlay.prices.hardware.serve import Fit, Measured, calibrate, fit_all, fit_model, measure, usd_per_mtok
from outlay.views.tables import Table, left, right


def fit_rows(
    device: str, model: str | None, quantisation: str, context: int, gpus: int, calibrate_with: str = ""
) -> list[Fit]:
    """What `outlay hardware fit` shows. Raises InputError for an unknown device, model or quantisation.

    `calibrate_with` names the model's id in the ledger; its measured speed then sets the calibration.
    """
    cat = catalogue()
    if context < 1 or gpus < 1:
        raise InputError("--context and --gpus are whole numbers above 0")
    chosen = cat.model(model) if model else None
    cal = None
    if calibrate_with:
        found = measured(calibrate_with)
        if chosen is None or found is None:
            raise InputError(f"--calibrate needs a MODEL, and local calls of {calibrate_with!r} in the ledger")
        cal = calibrate(cat.device(device), chosen, cat.quantisations(chosen, quantisation)[-1], found)
    return fit_all(cat.device(device), chosen, quantisation, context, gpus, cal)


def compare_rows(model: str, quantisation: str, context: int) -> list[Fit]:
    """One model on every device, in the best quantisation that fits; the fastest first."""
    cat = catalogue()
    chosen = cat.model(model)
    rows = []
    for device in cat.devices.values():
        every = [fit_model(device, chosen, q, context) for q in cat.quantisations(chosen, quantisation)]
        rows.append(next((fit for fit in every if fit.fits), every[-1]))
    return sorted(rows, key=lambda fit: (not fit.fits, -fit.decode_tps))


def band(value: float, share: float) -> str:
    """`75..125`: a speed and its band, in two or three digits."""
    return f"{value * (1 - share):,.0f}..{value * (1 + share):,.0f}" if value >= 10 else (
        f"{value * (1 - share):.1f}..{value * (1 + share):.1f}"
    )  # fmt: skip


def fit_table(rows: list[Fit], *, by_device: bool = False) -> Table:
    """One row per model (or device): memory, speeds with bands, energy."""
    lines = []
    for fit in rows:
        need = f"{fit.weights_gb:,.0f}+?" if fit.need_gb is None else f"{fit.need_gb:,.1f}"
        if not fit.fits:
            lines.append((fit.device if by_device else fit.model, fit.quantisation, need, "no", "", "", "", ""))
            continue
        lines.append(
            (
                fit.device if by_device else fit.model, fit.quantisation, need, "yes", band(fit.decode_tps, fit.band),
                f"{fit.batch_tps:,.0f} / {fit.batch}" if fit.batch > 1 else "",
                "?" if fit.prefill_tps is None else f"{fit.prefill_tps:,.0f}", f"{fit.kwh_per_mtok:,.2g}",
            )
        )  # fmt: skip
    columns = (
        left("device" if by_device else "model", flexible=True), left("as"), right("GB"), left("fits"),
        right("decode tok/s", short="tok/s"), right("all that fit, tok/s", short="all, tok/s"),
        right("prompt tok/s", short="prompt"), right("kWh/Mtok", short="kWh/M"),
    )  # fmt: skip
    dim = frozenset(n for n, fit in enumerate(rows) if not fit.fits)
    return Table("", columns, tuple(lines), dim=dim)


def money_table(rows: list[Fit], hour: float | None) -> Table:
    """Money per million output tokens, at full load and at a tenth of it."""
    lines = []
    cat = catalogue()
    for fit in rows:
        rent = (hour, hour) if hour is not None else cat.device(fit.device).rent
        if not fit.fits or rent is None:
            continue
        ends = [
            usd_per_mtok(r * fit.gpus, fit.batch_tps * f)
            for r, f in zip(rent, (1 + fit.band, 1 - fit.band), strict=True)
        ]
        alone = [
            usd_per_mtok(r * fit.gpus, fit.decode_tps * f)
            for r, f in zip(rent, (1 + fit.band, 1 - fit.band), strict=True)
        ]
        lines.append(
            (
                fit.device, fit.quantisation, f"${rent[0]:g}" if rent[0] == rent[1] else f"${rent[0]:g}..{rent[1]:g}",
                *(f"${low:,.2f}..{high:,.2f}" for low, high in (alone, ends, [10 * e for e in ends])),
            )
        )  # fmt: skip
    columns = (
        left("device"), left("as"), right("an hour"), right("one request"), right("full"), right("a tenth full"),
    )  # fmt: skip
    return Table("Money per million output tokens", columns, tuple(lines))


def measured(model: str) -> Measured | None:
    """What the ledger's calls of this model say; None when it has none that tell."""
    path = home.home() / "ledger.db"
    if not path.exists():
        return None
    with Ledger(path) as ledger:
        return measure(ledger.calls("(model = ? OR model LIKE ?) AND started_ms IS NOT NULL", (model, f"%{model}%")))


def fit_json(rows: list[Fit]) -> list[dict[str, Any]]:
    """Every figure; speeds in tokens per second, `band` as a share either way."""
    return [{**msgspec.structs.asdict(fit), "usd_per_mtok_full": fit.usd_per_mtok} for fit in rows]


__all__ = ["OpenModel", "compare_rows", "fit_json", "fit_rows", "fit_table", "measured", "money_table"]
