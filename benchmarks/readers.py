"""Reading transcripts: CPU and memory, cold and warm, beside ccusage on the same corpus in the same run.

    python benchmarks/readers.py --corpus DIR                  DIR has claude/ and codex/ (see --make)
    python benchmarks/readers.py --make gen_transcripts.py --claude-mb 1000 --codex-mb 300
    python benchmarks/readers.py --make gen_transcripts.py --curve 100,1000,5000

ccusage's newest version is taken from npm into a cache folder. CPU is user + system time of the whole process with
its children; each figure is the least of several runs. The page cache is warm for both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 3
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outlay-benchmarks"
OUTLAY = [str(Path(sys.executable).with_name("outlay")), "usage", "--by", "day", "--json"]


def ccusage() -> list[str] | None:
    """The command that runs the newest ccusage; None where npm is missing."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    folder = CACHE / "ccusage"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    quiet = ["--no-audit", "--no-fund", "--include=optional", "--silent"]
    subprocess.run([npm, "install", "ccusage@latest", *quiet], cwd=folder, check=True)
    about = json.loads((folder / "node_modules" / "ccusage" / "package.json").read_text())
    binary = next(name for name in about.get("optionalDependencies", {}) if name.endswith("linux-x64"))
    if not (folder / "node_modules" / binary).exists():  # npm leaves out what its mirror does not have yet
        subprocess.run([npm, "install", binary, *quiet], cwd=folder, check=True)
    version = json.loads((folder / "node_modules" / binary / "package.json").read_text())["version"]
    print(f"ccusage {about['version']}, its program {version}")
    return ["node", str(folder / "node_modules" / "ccusage" / "src" / "cli.js"), "daily", "--offline", "--json"]


def measure(command: list[str], env: dict[str, str]) -> tuple[float, float, bytes]:
    """CPU seconds, seconds, output."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    output = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - started, output


def peak_mb(command: list[str], env: dict[str, str]) -> float:
    """Peak resident memory of a command."""
    code = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    output = subprocess.run([sys.executable, "-c", code, *command], env=env, check=True, stdout=subprocess.PIPE).stdout
    return int(output) / 1024


def run(corpus: Path, other: list[str] | None) -> None:
    """All figures for one corpus."""
    size = sum(p.stat().st_size for p in corpus.rglob("*.jsonl")) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        home, state = Path(folder) / "home", Path(folder) / "state"
        home.mkdir()
        for tool in ("claude", "codex"):
            if (corpus / tool).is_dir():
                (home / f".{tool}").symlink_to((corpus / tool).resolve())
        env = {**os.environ, "HOME": str(home), "OUTLAY_HOME": str(state)}
        env |= {"CLAUDE_CONFIG_DIR": str(home / ".claude"), "CODEX_HOME": str(home / ".codex")}
        cold, theirs, output, wall = [], [], b"", 0.0
        for _ in range(RUNS):
            shutil.rmtree(state, ignore_errors=True)
            cpu, wall, output = measure(OUTLAY, env)
            cold.append(cpu)
            if other is not None:
                theirs.append(measure(other, env)[0])
        warm = min(measure(OUTLAY, env)[0] for _ in range(RUNS))
        shutil.rmtree(state)
        memory = peak_mb(OUTLAY, env)
        check(corpus, output)
    line = f"{size:7,.0f} MB  cold {min(cold):6.2f} CPU s ({wall:.2f} s)  warm {warm:5.2f}  peak {memory:4.0f} MB"
    if theirs:
        line += (
            f"  ccusage {min(theirs):6.2f} CPU s: cold {min(cold) / min(theirs):.2f}x, warm {warm / min(theirs):.3f}x"
        )
    print(line, flush=True)


def check(corpus: Path, output: bytes) -> None:
    """The totals must be those of the corpus."""
    if not (corpus / "truth.json").exists():
        return
    truth, total = json.loads((corpus / "truth.json").read_text()), json.loads(output)["total"]
    for name, field in (("calls", "calls"), ("output", "output"), ("input", "fresh"), ("cread", "cache_read")):
        expected = sum(truth[tool]["total"][name] for tool in ("claude", "codex") if tool in truth)
        assert total[field] == expected, f"{field}: {total[field]} instead of {expected}"


def make(maker: Path, folder: Path, claude_mb: float, codex_mb: float, seed: int) -> Path:
    """A corpus, made once and kept."""
    corpus = folder / f"corpus-{claude_mb:g}-{codex_mb:g}-{seed}"
    if not (corpus / "truth.json").exists():
        sizes = ["--claude-mb", str(claude_mb), "--codex-mb", str(codex_mb), "--seed", str(seed)]
        command = [sys.executable, str(maker), "--out", str(corpus), *sizes]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--make", type=Path, metavar="SCRIPT")
    parser.add_argument("--claude-mb", type=float, default=100)
    parser.add_argument("--codex-mb", type=float, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--curve", metavar="MB,MB,...", help="sizes of Claude Code's part; Codex's is 30 %% of it")
    parser.add_argument("--folder", type=Path, default=CACHE, help="where corpora are kept")
    arguments = parser.parse_args()
    other = ccusage()
    if arguments.corpus:
        run(arguments.corpus, other)
    elif not arguments.make:
        parser.error("give --corpus DIR, or --make SCRIPT")
    elif arguments.curve:
        for size in map(float, arguments.curve.split(",")):
            run(make(arguments.make, arguments.folder, size, size * 0.3, arguments.seed), other)
    else:
        run(make(arguments.make, arguments.folder, arguments.claude_mb, arguments.codex_mb, arguments.seed), other)


if __name__ == "__main__":
    main()
