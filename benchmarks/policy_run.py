"""What a policy costs: a gate check, and a run with labels beside the same run without.

    python benchmarks/policy_run.py [RUNS]

The runs are 60 turns of reading, writing and listing against the scripted model server, in one process each. CPU time
is that of the `outlay` process and what it started. Prints the median.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from modelserver import Answer, Tool, serving  # noqa: E402
from outlay.agents.guard import Guard  # noqa: E402
from outlay.gateway import Caller, Endpoint  # noqa: E402
from outlay.policy.clearance import Clearance  # noqa: E402
from outlay.policy.load import load_text  # noqa: E402
from outlay.wires.types import Message, Request, Text, ToolResult  # noqa: E402
from project import Project  # noqa: E402

POLICY = """
version = 1
[defaults]
unlabelled = "internal"
[models]
main = { place = "device", vendor = "self", endpoint = "URL" }
[data.internal]
may_go_to = ["any"]
[data.xyz]
from = ["path:**/xyz/**"]
may_go_to = ["model:main"]
[data.keys]
from = ["scan:secret", "path:**/.env"]
may_go_to = []
"""
TURNS = 60


def gate_us() -> float:
    """Microseconds for one check of a request with 200 parts."""
    clearance = Clearance(load_text(POLICY.replace("URL", "http://127.0.0.1:1/v1"), "policy.toml"))
    guard = Guard(clearance, None, None, {"main": "main"}, frozenset())  # type: ignore[arg-type]
    old = (Message("assistant", (Text("I go on"),)), Message("user", (ToolResult("1", "read", "some lines\n" * 20),)))
    request = Request("main", "system", (), old * 100, 1000)
    caller = Caller("r", "r:main", "main", "main", None, 1, frozenset(("internal", "xyz")))
    endpoint = Endpoint("main", "openai", "m", "openai-chat")
    times = 20_000
    begun = time.process_time()
    for _ in range(times):
        assert guard.gate(caller, endpoint, request) is None
    return (time.process_time() - begun) / times * 1e6


def script(call: object) -> Answer:
    turn = call.turn  # type: ignore[attr-defined]
    if turn >= TURNS:
        return Answer("", (Tool("finish", {"answer": "done"}),))
    kinds = (
        Tool("write", {"path": f"f{turn}.txt", "content": "some lines\n" * 20}),
        Tool("read", {"path": "xyz/rows.csv"}),
        Tool("shell", {"command": f"cat xyz/rows.csv | wc -l > n{turn}; ls"}),
        Tool("grep", {"pattern": "row 1"}),
    )
    return Answer("", (kinds[turn % 4],))


def run_s(policy: bool) -> float:
    """CPU seconds of one run."""
    with TemporaryDirectory() as folder, serving(script) as server:
        it = Project(Path(folder) / "p", server.base_url("openai"))
        it.write_goal(check="true", more="handoff: never\n" + "policy: policy.toml\n" * policy)
        (it.folder / "policy.toml").write_text(POLICY.replace("URL", server.base_url("openai")))
        (it.workspace / "xyz").mkdir()
        (it.workspace / "xyz" / "rows.csv").write_text("".join(f"row {n}\n" for n in range(200)))
        before = os.times()
        it.run()
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system


def main(runs: int) -> None:
    print(f"gate check, 200 parts: {gate_us():.1f} us")
    pairs = [(run_s(policy=False), run_s(policy=True)) for _ in range(runs)]
    plain, labelled = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"run of {TURNS} turns: {plain:.2f} s CPU without a policy, {labelled:.2f} s with ({labelled / plain - 1:+.1%})"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
