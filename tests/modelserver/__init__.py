"""A scripted model server: four APIs on one port, with a truth log of its own.

It shares no code with the product. Behaviour is a script: a function from the call to an `Answer` or a `FaultPlan`.

    async with ModelServer(lambda call: Answer("hello")) as server:
        ... post to server.base_url("openai") ...
        assert server.records[0]["outcome"] == "whole"

As a process: `python -m modelserver --port 0 --script script.json --log truth.jsonl` (see `modelserver.rules`).
"""

from modelserver.script import FAULTS, Answer, Call, FaultPlan, Result, Script, Tool, in_turn, with_faults
from modelserver.server import ModelServer, serving
from modelserver.worker import Worker

__all__ = [
    "FAULTS",
    "Answer",
    "Call",
    "FaultPlan",
    "ModelServer",
    "Result",
    "Script",
    "Tool",
    "Worker",
    "in_turn",
    "serving",
    "with_faults",
]
