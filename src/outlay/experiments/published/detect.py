"""Which format a file has, by its content; and many files read into one set of results."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.experiments.published import aider, hal, inspect_logs, minisweagent, openhands, swebench, terminalbench
from outlay.experiments.results import Results, merge, read_jsonl

Reader = Callable[[Any, str], Results]

FORMATS: tuple[tuple[str, Callable[[object], bool], Reader], ...] = (
    ("SWE-bench leaderboards.json", swebench.is_board, swebench.read_board),
    ("SWE-bench per-instance file", swebench.is_instances, swebench.read_instances),
    ("aider leaderboard", aider.is_leaderboard, aider.read_leaderboard),
    ("Terminal-Bench results.json", terminalbench.is_run, terminalbench.read_run),
    ("Harbor trial result.json", terminalbench.is_trial, terminalbench.read_trial),
    ("HAL run _UPLOAD.json", hal.is_upload, hal.read_upload),
    ("OpenHands index scores.json", openhands.is_scores, openhands.read_scores),
    ("Inspect log", inspect_logs.is_log, inspect_logs.read_log),
)
"""Name, whether a decoded file is one, and its reader. mini-swe-agent trajectories need verdicts and stand apart."""

_INSIDE = ("*.traj.json", "scores.json", "result.json", "results.json", "*_UPLOAD.json", "*.eval", "results.jsonl")
"""What is looked for in a folder and all below it; where nothing is found, every .json, .yml and .jsonl in it."""


def read_files(paths: Sequence[Path]) -> Results:
    """Everything in these files and folders. Raises InputError for what is no results, naming the file."""
    files = [file for path in paths for file in _files(path)]
    decoded = [(file, _decode(file)) for file in files if file.suffix not in (".jsonl", ".eval")]
    verdicts = [swebench.read_verdicts(data, str(file)) for file, data in decoded if swebench.is_verdicts(data)]
    joined = None
    if verdicts:
        joined = swebench.Verdicts(
            frozenset().union(*(v.resolved for v in verdicts)),
            frozenset().union(*(v.judged for v in verdicts)),
            ", ".join(v.source for v in verdicts),
        )
    data_of = dict(decoded)
    strict = len(files) == len(paths)
    parts = [part for file in files if (part := _read(file, data_of.get(file), joined, strict)) is not None]
    if not any(part.trials or part.totals for part in parts):
        raise InputError(f"no results in {', '.join(map(str, paths))}; `outlay bench report --help` lists the formats")
    return merge(parts)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"no file or folder {path}")
    if path.is_file():
        return [path]
    found = sorted({file for pattern in _INSIDE for file in path.rglob(pattern)})
    if found:
        reports = [f for f in sorted(path.glob("*.json")) if f not in found]  # harness reports beside trajectories
        return [*found, *reports]
    found = sorted(file for pattern in ("*.json", "*.yml", "*.yaml", "*.jsonl") for file in path.glob(pattern))
    if not found:
        raise InputError(f"{path}: no results in this folder")
    return found


def _decode(file: Path) -> Any:
    if zipfile.is_zipfile(file):
        raise InputError(f"{file}: an archive; unpack it first")
    try:
        raw = file.read_bytes()
        if file.suffix in (".yml", ".yaml"):
            import yaml

            return yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return msgspec.json.decode(raw)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(f"{file}: {error}") from None
    except Exception as error:  # noqa: BLE001 - yaml's errors share no base with anything
        raise InputError(f"{file}: {str(error).splitlines()[0]}") from None


def _read(file: Path, data: Any, verdicts: swebench.Verdicts | None, strict: bool) -> Results | None:
    """None for a file that only serves others, or, when a folder was searched, for one that is no results."""
    if file.suffix == ".jsonl":
        return read_jsonl(file)
    if file.suffix == ".eval":
        return inspect_logs.read_archive(file)
    if swebench.is_verdicts(data):
        return None
    try:
        found = _recognised(file, data, verdicts)
    except InputError as error:
        raise error if str(file) in str(error) else InputError(f"{file}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{file}: a field is missing or of another kind than its format has ({error!r})") from None
    if found is not None:
        return found
    if strict:
        raise InputError(f"{file}: no format that is known here; there are {_names(name for name, _, _ in FORMATS)}")
    return None


def _recognised(file: Path, data: Any, verdicts: swebench.Verdicts | None) -> Results | None:
    if minisweagent.is_trajectory(data):
        return minisweagent.read_trajectory(data, str(file), verdicts)
    return next((reader(data, str(file)) for _, fits, reader in FORMATS if fits(data)), None)


def _names(names: Iterable[str]) -> str:
    return ", ".join(("results.jsonl", "mini-swe-agent trajectory", *names))
