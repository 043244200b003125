"""Run the CommonMark test suite against md2html.

    python3 run_spec.py                     passed and failed by section
    python3 run_spec.py --section Lists     the failing examples of a section, with what was wanted and what came
    python3 run_spec.py --example 42        one example
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

SUITE = json.loads((Path(__file__).parent / "spec.json").read_text())


def came(example):
    try:
        from md2html import convert

        return convert(example["markdown"])
    except Exception as error:  # a converter that raises fails that example alone
        return f"{type(error).__name__}: {error}"


def show(example, html):
    print(f"--- example {example['example']} ({example['section']})")
    for name, text in (("markdown", example["markdown"]), ("wanted", example["html"]), ("came", html)):
        print(f"{name}: {text!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--section")
    parser.add_argument("--example", type=int)
    parser.add_argument("--most", type=int, default=15, help="failing examples to show")
    arguments = parser.parse_args()
    passed, total, shown = Counter(), Counter(), 0
    for example in SUITE:
        if arguments.section and example["section"].lower() != arguments.section.lower():
            continue
        if arguments.example and example["example"] != arguments.example:
            continue
        html = came(example)
        ok = html == example["html"]
        total[example["section"]] += 1
        passed[example["section"]] += ok
        if arguments.example or (arguments.section and not ok and shown < arguments.most):
            show(example, html)
            shown += 1
    for section in total:
        print(f"{section:40} {passed[section]:3} of {total[section]:3}")
    print(f"passed: {sum(passed.values())} of {sum(total.values())}")


sys.path.insert(0, str(Path(__file__).parent))
main()
