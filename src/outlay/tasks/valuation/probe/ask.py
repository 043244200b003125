"""Print the work's assumptions, then what its model makes of other ones, on a descriptor that the model does not know."""

import json
import os
import sys


def main() -> None:
    with open("/probe/scenarios.json", encoding="utf-8") as file:
        scenarios = json.load(file)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    try:
        with open("/workspace/assumptions.json", encoding="utf-8") as file:
            own = json.load(file)
    except (OSError, ValueError) as error:
        own = {"error": str(error)}
    encode = json.dumps
    answers.write(encode({"n": "own", "figures": own}) + "\n")
    answers.flush()
    sys.path.insert(0, "/workspace")
    for number, scenario in enumerate(scenarios):
        try:
            from model import value

            figures = value(json.loads(encode(scenario)))
            line = encode({"n": number, "figures": figures})
        except BaseException as error:  # of the work under test: a wrong answer
            line = encode({"n": number, "figures": {"error": repr(error)}})
        answers.write(line + "\n")
    answers.flush()


main()
