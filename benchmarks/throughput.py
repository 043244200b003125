"""The throughput model against public measurements: error of points left out, beside the naive bandwidth bound.

    python benchmarks/throughput.py [POINTS.csv]

The points are no part of the repository (their licences differ); without a file the benchmark looks for
`../shared/data/throughput-points.csv` and says so when it is absent.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from outlay.prices.hardware.throughput import Load, Point, error, fit, leave_one_out, naive_error

DEFAULT = Path(__file__).parents[2] / "shared" / "data" / "throughput-points.csv"
BOUNDS = {"NVIDIA discrete, llama.cpp": 0.15, "Apple Metal": 0.16, "DGX Spark": 0.06}
DISCRETE = ("RTX", "A100", "A40", "A6000", "H100", "L40", "L4", "V100", "T4")
APPLE = ("M1", "M2", "M3", "M4", "M5", "iPad", "iPhone")


def number(row: dict[str, str], key: str, default: float = 0.0) -> float:
    return float(row[key]) if row.get(key) else default


def point(row: dict[str, str]) -> Point:
    weights, active = number(row, "weights_gb"), number(row, "active_gb")
    dense = row["arch"] == "dense"
    # Experts per token are not in the file; the active share of the weights stands for k/E.
    share = 1.0 if dense else min(0.999, number(row, "active_b") / number(row, "params_b"))
    load = Load(weights or active, active, int(number(row, "layers", 32)), number(row, "kv_b_per_tok"), share)
    return Point(
        load,
        number(row, "mem_bw_gbs"),
        int(number(row, "batch", 1)),
        int(number(row, "ctx")),
        number(row, "decode_tps"),
    )


def family(row: dict[str, str]) -> str:
    device, backend, single = row["device"], row["backend"], number(row, "batch", 1) == 1
    if "Spark" in device and "batched" not in backend and backend.startswith("llama.cpp") and single:
        return "DGX Spark"
    if device.startswith(APPLE) and single:
        return "Apple Metal"
    if device.startswith(DISCRETE) and "llama.cpp" in backend and single:
        return "NVIDIA discrete, llama.cpp"
    if "Strix" in device and single and number(row, "ctx") == 0 and "llama.cpp" in backend:
        return "Strix Halo ROCm" if "rocm" in backend else "Strix Halo Vulkan"
    if (
        device.startswith("H100 SXM")
        and backend == "vLLM"
        and row["model"] == "Qwen3-8B"
        and "mixed" not in row["note"]
    ):
        # Beyond the KV cache's room (about 330 users) more of them only wait.
        return f"H100 vLLM Qwen3-8B {row['quant']}, batched" if number(row, "batch", 1) <= 256 else ""
    if "Spark" in device and "batched" in backend:
        return f"DGX Spark {row['model']}, batched"
    return ""


def main(path: Path) -> int:
    if not path.exists():
        print(f"skipped: no measurements at {path}; name the file: python benchmarks/throughput.py POINTS.csv")
        return 0
    groups: dict[str, list[Point]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if (name := family(row)) and row["decode_tps"] and row["active_gb"]:
                groups.setdefault(name, []).append(point(row))
    print(f"{'family':40} {'n':>3} {'naive':>6} {'fit':>6} {'left out':>8} {'in 25 %':>7}  eta  tau_us sigma_us  bound")
    failed = False
    for name in sorted(groups, key=lambda n: (n not in BOUNDS, n)):
        points = groups[name]
        batched = "batched" in name
        if len(points) < 4:
            continue
        cal = fit(points, batched=batched)
        left_out = leave_one_out(points, batched=batched)
        mean = sum(left_out) / len(left_out)
        covered = sum(e <= 0.25 for e in left_out) / len(left_out)
        naive = sum(map(naive_error, points)) / len(points)
        inside = sum(error(p, cal) for p in points) / len(points)
        bound = BOUNDS.get(name)
        verdict = "" if bound is None else f"<= {bound:.0%} {'ok' if mean <= bound else 'FAILED'}"
        failed |= bound is not None and mean > bound
        errors = f"{naive:6.1%} {inside:6.1%} {mean:8.1%} {covered:7.0%}"
        print(f"{name:40} {len(points):3} {errors} {cal.eta:5.2f} {cal.tau_us:6.1f} {cal.sigma_us:8.1f}  {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT))
