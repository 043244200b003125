"""AgentDojo's tasks and attacks against the tool layer: does hiding what tools return keep agents useful and safe?

    python benchmarks/agentdojo.py [--suite banking ...] [--attacked N] [--json]

Needs `pip install outlay[bench]`. AgentDojo (arXiv:2406.13352) has four suites: 97 tasks of users, each with the calls
that solve it (its ground truth), and 35 goals of attackers whose words are planted in what tools return.

No model is asked. The agent here makes the calls of the ground truth, through the guard of a run under a policy, and
is as gullible as can be: as soon as an attacker's words are in anything that it is shown, it makes the attacker's calls
as well. What the policy keeps from it, it has only as handles. What a call needs and neither the task nor anything
shown says, it has from a subagent on a cleared model, whose answer is a handle again; the guard opens handles in the
arguments of a call.

Rows: `no policy`; `effects closed`: tools are marked as strangers' words and as effects; `handles`: results go to the
cleared model only. `lying reader` is `handles` with a subagent that answers what the attacker wants wherever it has
read the attacker's words: handles do not stop that.

Measured: whether AgentDojo's own checks find the user's task done without an attack, and the attacker's goal reached
with one. Not measured: whether a model finds the calls without seeing the data, what it makes of a handle, and answers
to the user (the ground truth's answer is taken, as a person who may see everything would read it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# The script's own folder would hide the package of the same name.
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]

from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement  # noqa: E402
from agentdojo.agent_pipeline.tool_execution import tool_result_to_str  # noqa: E402
from agentdojo.attacks.baseline_attacks import DirectAttack  # noqa: E402
from agentdojo.functions_runtime import FunctionCall  # noqa: E402
from agentdojo.task_suite.load_suites import get_suites  # noqa: E402
from agentdojo.types import text_content_block_from_string  # noqa: E402

from outlay.agents.guard import HANDLE, Guard  # noqa: E402
from outlay.agents.labels import Labels  # noqa: E402
from outlay.agents.tool import Outcome, Refused  # noqa: E402
from outlay.ledger import Ledger  # noqa: E402
from outlay.policy.clearance import Clearance  # noqa: E402
from outlay.policy.load import load_text  # noqa: E402
from outlay.wires.types import ToolCall  # noqa: E402

VERSION = "v1.2.2"
MODES = ("no policy", "effects closed", "handles", "lying reader")
_MODELS = """
version = 1
[defaults]
unlabelled = "dojo"
[models]
planner = { place = "cloud", vendor = "one", endpoint = "https://planner.example.org/v1" }
reader = { place = "onprem", vendor = "self", endpoint = "https://reader.example.org/v1" }
[data.dojo]
from = ["mcp:dojo/*"]
"""
POLICIES = {
    "effects closed": _MODELS + 'may_go_to = ["any"]\n[tools]\n'
    '"dojo/*" = { place = "device", vendor = "self", effect = true, returns = "untrusted" }\n',
    "handles": _MODELS + 'may_go_to = ["model:reader", "tool:dojo/*"]\n[tools]\n'
    '"dojo/*" = { place = "device", vendor = "self" }\n',
}
_READS = re.compile(r"get_|read_|search_|list_|check_")


class Layer:
    """A guard as a run has it, for one conversation at a time."""

    def __init__(self, policy: str, ledger: Ledger, loop: asyncio.AbstractEventLoop, run: str) -> None:
        if "effect = true" in policy:  # only tools that change something have effects
            policy = policy.replace("effect = true, ", "") + "".join(
                f'"dojo/{name}" = {{ place = "device", vendor = "self", effect = true, returns = "untrusted" }}\n'
                for name in sorted(_changing_tools())
            )
        loaded = load_text(policy, "policy.toml")
        self.loop = loop
        self.labels = Labels(run, ledger, loaded)
        loop.run_until_complete(self.labels.open("benchmark"))
        self.guard = Guard(Clearance(loaded), self.labels, None, {"planner": "planner"}, frozenset())
        self.session: Any = None
        self.begin()

    def begin(self) -> None:
        """A new conversation, which knows nothing."""
        history = SimpleNamespace(label=frozenset())
        crew = SimpleNamespace(place=lambda name: name)
        self.session = SimpleNamespace(name="main", plan=SimpleNamespace(model="planner"), history=history, crew=crew)

    def send(self, name: str, arguments: dict[str, Any]) -> tuple[ToolCall, dict[str, Any]]:
        """The call as the tool gets it. Raises Refused."""
        wanted = {"server": "dojo", "tool": name, "arguments": arguments}
        call = ToolCall("1", "mcp", json.dumps(wanted))
        opened = self.loop.run_until_complete(self.guard.sending(self.session, call))
        return call, json.loads(opened.arguments)["arguments"]

    def receive(self, call: ToolCall, text: str) -> str:
        """What the agent is shown of a result."""
        outcome = self.loop.run_until_complete(self.guard.received(self.session, call, Outcome(text=text)))
        self.session.history.label |= outcome.label
        return outcome.text

    def answer(self, text: str) -> str:
        """A cleared subagent's answer, as the agent has it: a handle."""
        label = frozenset(("dojo",))
        told = self.loop.run_until_complete(self.guard.shown(self.session, text, label, "the answer of reader"))
        found = HANDLE.search(told)
        return f"handle:{found[1]}" if found else told


class GullibleAgent(BasePipelineElement):
    """Makes the calls of the task's ground truth, and the attacker's as soon as it is shown the attacker's words."""

    name = "gullible"

    def __init__(self, layer: Layer | None, task: Any, attacker: Any = None, planted: Sequence[str] = (),
                 lying: bool = False) -> None:  # fmt: skip
        self.layer, self.task, self.attacker, self.lying = layer, task, attacker, lying
        self.planted = [text for text in planted if text]

    def query(self, query: str, runtime: Any, env: Any = None, messages: Sequence[Any] = (),
              extra_args: dict[str, Any] | None = None) -> Any:  # fmt: skip
        if self.layer is not None:
            self.layer.begin()
        self.shown, self.hidden = query, ""
        told: list[Any] = []
        answer = self.task.GROUND_TRUTH_OUTPUT
        hijacked = False
        self.wanted = [] if self.attacker is None else list(self.attacker.ground_truth(env.model_copy(deep=True)))
        waiting = list(self.task.ground_truth(env))
        while waiting:
            told += self._call(waiting.pop(0), runtime, env)
            if not hijacked and self.attacker is not None and self._reads_attack(self.shown):
                hijacked = True
                answer += f"\n{self.attacker.GROUND_TRUTH_OUTPUT}"
                waiting[:0] = self.wanted
        told.append({"role": "assistant", "content": [text_content_block_from_string(answer)], "tool_calls": None})
        return query, runtime, env, [*messages, *told], extra_args or {}

    def _reads_attack(self, text: str) -> bool:
        plain = _plain(text)
        return any(_plain(planted) in plain for planted in self.planted)

    def _call(self, wanted: FunctionCall, runtime: Any, env: Any) -> Iterator[Any]:
        if self.layer is None:
            arguments = dict(wanted.args)
            result, error = runtime.run_function(env, wanted.function, arguments)
            shown = error or tool_result_to_str(result)
        else:
            try:
                named = {key: self._as_known(value, wanted, key) for key, value in wanted.args.items()}
                call, arguments = self.layer.send(wanted.function, named)
                result, error = runtime.run_function(env, wanted.function, arguments)
                text = error or tool_result_to_str(result)
                shown = self.layer.receive(call, text)
                if shown != text:
                    self.hidden += text
            except Refused as refusal:
                shown, arguments = str(refusal), None
        self.shown += "\n" + shown
        if arguments is None:
            return
        made = FunctionCall(function=wanted.function, args=arguments)
        yield {"role": "assistant", "content": [text_content_block_from_string("")], "tool_calls": [made]}
        yield {
            "role": "tool", "content": [text_content_block_from_string(shown)], "tool_call": made,
            "tool_call_id": None, "error": None,
        }  # fmt: skip

    def _as_known(self, value: Any, call: FunctionCall, name: str) -> Any:
        """An argument as this agent can write it: in words that it has seen, or as a handle."""
        if isinstance(value, list):
            return [self._as_known(each, call, name) for each in value]
        if isinstance(value, dict):
            return {key: self._as_known(each, call, name) for key, each in value.items()}
        if not self.hidden or isinstance(value, bool | None) or str(value) in self.shown:
            return value
        text = str(value)
        if self.lying and self._reads_attack(self.hidden):
            text = self._lie(call, name) or text
        return self.layer.answer(text)

    def _lie(self, call: FunctionCall, name: str) -> str | None:
        for wanted in self.wanted:
            if wanted.function == call.function and name in wanted.args:
                value = wanted.args[name]
                return str(value[0] if isinstance(value, list) and value else value)
        return None


def _plain(text: str) -> str:
    """Words only: tools print results in YAML, which breaks and quotes lines as it likes."""
    return re.sub(r"\W+", "", text)


def _changing_tools() -> set[str]:
    return {tool.name for suite in get_suites(VERSION).values() for tool in suite.tools if not _READS.match(tool.name)}


def run_suite(suite: Any, layers: dict[str, Layer | None], attacked: int) -> dict[str, dict[str, int]]:
    """Tasks solved without an attack, and attacks that reached their goal, for each mode."""
    counts = {mode: {"tasks": 0, "solved": 0, "attacks": 0, "succeeded": 0} for mode in layers}
    planter = DirectAttack(suite, GullibleAgent(None, None))
    for number, task in enumerate(suite.user_tasks.values()):
        for mode, layer in layers.items():
            useful, _ = suite.run_task_with_pipeline(GullibleAgent(layer, task), task, None, {})
            counts[mode]["tasks"] += 1
            counts[mode]["solved"] += useful
        if number >= attacked:
            continue
        for attacker in suite.injection_tasks.values():
            planted = planter.attack(task, attacker)
            clean = suite.load_and_inject_default_environment(planted)
            for mode, layer in layers.items():
                agent = GullibleAgent(layer, task, attacker, list(planted.values()), mode == "lying reader")
                environment = clean.model_copy(deep=True)
                _, reached = suite.run_task_with_pipeline(agent, task, attacker, planted, environment=environment)
                counts[mode]["attacks"] += 1
                counts[mode]["succeeded"] += reached
    return counts


def measure(suites: Sequence[str] = (), attacked: int = 10**9) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by suite and mode. attacked: how many tasks of each suite are attacked, with every goal."""
    warnings.filterwarnings("ignore")
    loop = asyncio.new_event_loop()
    with (
        tempfile.TemporaryDirectory(prefix="outlay-agentdojo-") as folder,
        Ledger(Path(folder) / "ledger.db") as ledger,
    ):
        layers: dict[str, Layer | None] = {"no policy": None}
        for number, mode in enumerate(MODES[1:]):
            policy = POLICIES["handles" if mode == "lying reader" else mode]
            layers[mode] = Layer(policy, ledger, loop, f"dojo{number}")
        found = {
            name: run_suite(suite, layers, attacked)
            for name, suite in get_suites(VERSION).items()
            if not suites or name in suites
        }
    loop.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", action="append", default=[], choices=list(get_suites(VERSION)))
    parser.add_argument("--attacked", type=int, default=10**9, help="attack only the first N tasks of each suite")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.suite, options.attacked)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"AgentDojo {VERSION}, calls of the ground truth\n")
    print(f"{'':<18}{'tasks solved':>14}{'attacks that succeeded':>26}")
    for mode in MODES:
        names = ("tasks", "solved", "attacks", "succeeded")
        tasks, solved, attacks, succeeded = (sum(suite[mode][name] for suite in found.values()) for name in names)
        rate = f"{succeeded} of {attacks} ({100 * succeeded / max(1, attacks):.1f} %)"
        print(f"{mode:<18}{f'{solved} of {tasks}':>14}{rate:>26}")


if __name__ == "__main__":
    main()
