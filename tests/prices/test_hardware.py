"""Throughput of own hardware: the formula, its fit to measurements, memory, and the ledger's own speeds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from outlay.errors import InputError
from outlay.ledger import Call
from outlay.prices.hardware.catalogue import catalogue
from outlay.prices.hardware.serve import calibrate, capacity_of, fit_model, measure
from outlay.prices.hardware.throughput import Calibration, Load, Point, decode_tps, fit, weights_read_gb
from outlay.tokens import Usage

ROOT = Path(__file__).parents[2]
POINTS = ROOT.parent / "shared" / "data" / "throughput-points.csv"


def benchmark():
    spec = importlib.util.spec_from_file_location("throughput_benchmark", ROOT / "benchmarks" / "throughput.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not POINTS.exists(), reason="the measured points are no part of the repository")
def test_points_left_out_are_predicted_within_the_promised_error(capsys):
    assert benchmark().main(POINTS) == 0
    printed = capsys.readouterr().out
    assert printed.count(" ok") == 3 and "naive" in printed


def test_the_benchmark_says_that_it_skipped_without_measurements(tmp_path, capsys):
    assert benchmark().main(tmp_path / "none.csv") == 0
    assert "skipped" in capsys.readouterr().out


def test_a_fit_finds_the_numbers_that_made_the_points():
    truth = Calibration(0.8, 120)
    points = []
    for gb in (1, 4, 15, 40):
        for bandwidth in (200, 900, 3000):
            load = Load(gb, gb, 32)
            points.append(Point(load, bandwidth, 1, 0, decode_tps(load, bandwidth, truth)))
    found = fit(points)
    assert found.eta == pytest.approx(0.8, rel=1e-3) and found.tau_us == pytest.approx(120, rel=1e-2)


def test_a_batch_reads_more_experts_but_never_more_than_all():
    load = Load(60, 3, 40, used_share=4 / 128)
    read = [weights_read_gb(load, batch) for batch in (1, 2, 8, 64, 4096)]
    assert read == sorted(read) and read[0] == 3 and read[-1] <= 60


@pytest.mark.parametrize(
    ("device", "model", "context", "measured"),
    [("rtx-4090", "llama-3-8b", 1024, 127.7), ("dgx-spark", "gpt-oss-120b", 1024, 60.4),
     ("m3-max", "llama-3-8b", 1024, 50.7)],
)  # fmt: skip
def test_measured_speeds_lie_inside_the_band_that_is_shown(device, model, context, measured):
    cat = catalogue()
    name = cat.quantisations(cat.model(model))[-1]
    found = fit_model(cat.device(device), cat.model(model), name, context)
    assert found.decode_tps * (1 - found.band) <= measured <= found.decode_tps * (1 + found.band)


def test_what_does_not_fit_is_said_not_to_fit():
    cat = catalogue()
    assert not fit_model(cat.device("rtx-4090"), cat.model("gpt-oss-120b"), "MXFP4", 32_000).fits
    assert fit_model(cat.device("dgx-spark"), cat.model("gpt-oss-120b"), "MXFP4", 32_000).fits
    with pytest.raises(InputError, match="does not fit"):
        capacity_of("rtx-4090", "kimi-k2.5", 8000, gpus=8, high=True)


def test_an_unknown_cache_size_is_unknown_and_not_zero():
    cat = catalogue()
    assert fit_model(cat.device("dgx-spark"), cat.model("gemma-4-31b"), "Q4_K_M", 32_000).need_gb is None


@pytest.mark.parametrize(("kind", "name"), [("device", "rtx-9090"), ("model", "llama-9")])
def test_an_unknown_device_or_model_is_answered_with_those_that_are_known(kind, name):
    with pytest.raises(InputError, match=f"{name}.*there are"):
        getattr(catalogue(), kind)(name)


def local(n, tps):
    return [
        Call(source="t", key=str(i), session="s", model="gpt-oss-120b", started_ms=0, ended_ms=round(500_000 / tps),
             quality="exact", usage=Usage(fresh=10, output=500))
        for i in range(n)
    ]  # fmt: skip


def test_the_ledgers_own_speed_replaces_the_shipped_calibration():
    cat = catalogue()
    device, model = cat.device("dgx-spark"), cat.model("gpt-oss-120b")
    seen = measure(local(25, 40.0))
    assert seen is not None and seen.calls == 25
    cal = calibrate(device, model, "MXFP4", seen)
    assert fit_model(device, model, "MXFP4", 2, cal=cal).decode_tps == pytest.approx(40, rel=0.01)
    few = measure(local(3, 40.0))
    assert few is not None
    with pytest.raises(InputError, match="20 are needed"):
        calibrate(device, model, "MXFP4", few)
    assert measure([]) is None
