"""Call the functions of `ferry` with many arguments and print what comes, on a descriptor that they do not know."""

import importlib
import json
import os
import sys


def answer(case: dict) -> dict:
    try:
        function = getattr(importlib.import_module(f"ferry.{case['module']}"), case["call"])
        return {"result": json.loads(json.dumps(function(*json.loads(json.dumps(case["arguments"])))))}
    except ValueError as error:
        return {"error": str(error)}
    except BaseException as error:  # of the work under test: an answer like any other, and a wrong one
        return {"error": repr(error)}


def main() -> None:
    with open("/probe/cases.json", encoding="utf-8") as file:
        cases = json.load(file)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.path.insert(0, "/workspace")
    for number, case in enumerate(cases):
        answers.write(json.dumps({"n": number, **answer(case)}) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
