"""A long run with eight subagents at once and every fault: the server's count is the ledger's."""

from collections import Counter

import pytest

from modelserver import Answer, FaultPlan, Tool, Worker, serving
from project import Project, prefix_holds

CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
FAULTS = (
    "rate_limit", "server", "overloaded", "stall", "stall_midway", "cut", "reset", "half_json", "error_event",
    "malformed_call", "no_usage", "wrong_model", "empty",
)  # fmt: skip
TEAM = """team:
  shape: lead
  main: main
  roles:
    - {name: main, model: main, tools: [write, shell, agents]}
    - {name: worker, description: works, model: main, tools: [read, write, shell, todo]}
"""


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["anthropic", "openai-chat"])
def test_after_200_turns_with_every_fault_the_servers_count_is_the_ledgers(tmp_path, wire):
    worker = Worker("Done.")
    plan = (
        '[[turns=12 tool=write path="{name}.txt" content="line {{turn}}"]] [[turns=2 tool=shell command="ls"]]'
        ' [[turns=11 tool=read path="{name}.txt" limit=1{{turn}}]]'
    )
    agents = [{"name": f"w{n}", "role": "worker", "task": f"w{n} " + plan.format(name=f"w{n}")} for n in range(8)]

    def script(call):
        if not call.task.startswith("lead"):
            return worker(call)
        steps = [
            Answer("", (Tool("start", {"agents": agents, "wait": True}),)),
            Answer("", (Tool("shell", {"command": "cat w*.txt | wc -l > done.txt"}),)),
        ]
        return steps[call.turn] if call.turn < len(steps) else Answer("All done.")

    def faulty(call):
        said = script(call)
        if call.n % 8 != 5:
            return said
        return FaultPlan(FAULTS[call.n // 8 % len(FAULTS)], answer=said, retry_after="0.2")

    with serving(faulty, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai" if wire == "openai-chat" else wire), codec=wire)
        it.environment["OUTLAY_STALL_S"] = "1"
        it.write_goal(team=TEAM, task="lead this", check="ls w?.txt | wc -l | grep -qx 8")
        it.run()
        rows, records = it.calls(), server.records
        assert len(rows) == len(records) > 200
        seen = {record["fault"] for record in records}
        assert seen == {None, *FAULTS}, f"the seed missed {set(FAULTS) - seen}"
        for name in CLASSES:
            sent = sum((record["usage"] or {}).get(name, 0) for record in records)
            assert sum(getattr(row.usage, name) for row in rows) == sent, name
        quality = Counter(row.quality for row in rows)
        assert quality["unmeasured"] + quality["lower_bound"] == sum(
            record["fault"] in ("stall", "stall_midway", "cut", "reset", "half_json", "error_event", "no_usage")
            for record in records
        )
        assert sum(row.status == "ok" for row in rows) >= 200
        assert not it.events("breaker.tripped"), "honest work trips no breaker"
        assert prefix_holds(records)
        assert it.chain_is_whole()
