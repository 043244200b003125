"""What share of the broken rules is put right, and 0 when anything behaves otherwise than before.

Nothing of the work runs here: its answers are compared and its source is read, by the very `rules.py` that the workspace shows,
once that is known to be unchanged.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
from pathlib import Path

WORKSPACE = Path("/workspace")
SHOWN = 8
MAKES_CODE_OF_TEXTS = {"ForwardRef", "get_type_hints", "make_dataclass", "__annotations__", "__getattribute__"}


def zero(reason: str) -> None:
    print(f"nothing counts: {reason}\nscore: 0")


def changed(digests: dict[str, str]) -> str | None:
    for name, digest in digests.items():
        path = WORKSPACE / name
        if path.is_symlink() or not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return name
    return None


def behind_the_library(rules) -> set[str]:
    """Names by which allowed modules lead to others or to their own insides (`dataclasses._create_fn` runs any text)."""
    modules = [importlib.import_module(name) for name in rules.IMPORTS - {"__future__", "ferry"}]
    found = set()
    for module in modules:
        for name, value in vars(module).items():
            leads_on = inspect.ismodule(value) and value not in modules
            if not name.startswith("__") and (name.startswith("_") or leads_on):
                found.add(name)
    return found - {"abc", "copy"}  # collections.abc, and what every dict can do


def ways_around(ferry: Path, rules) -> list[str]:
    """What is not plain and `rules.py` does not name."""
    hidden = behind_the_library(rules)
    found = []
    for path in sorted(ferry.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = {getattr(node, "attr", ""), *(getattr(node, "kwd_attrs", ()))}
            if isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] != "ferry":
                names |= {alias.name for alias in node.names}
            used = names & (hidden | MAKES_CODE_OF_TEXTS) | ({getattr(node, "id", "")} & MAKES_CODE_OF_TEXTS)
            found += [f"{path.name}:{node.lineno}: uses {name}" for name in sorted(used)]
    return found


def broken(ferry: Path, rules) -> list[str]:
    """As `rules.broken`, which of two files with one name reads the functions of one."""
    texts = {str(path.relative_to(ferry)): path.read_text() for path in sorted(ferry.rglob("*.py"))}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    found = [problem for name, tree in trees.items() for problem in rules._lines(name, tree, texts[name])]
    found += [problem for name, tree in trees.items() for problem in rules._functions(name, tree)]
    return found + list(rules._repeated(trees))


def answers() -> dict[int, dict]:
    found: dict[int, dict] = {}
    for line in Path("/answers").read_text(errors="replace").splitlines():
        try:
            answer = json.loads(line)
            found[answer.pop("n")] = answer
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return found


def main() -> None:
    truth = json.loads(Path("/hidden/expected.json").read_text())
    if name := changed(truth["unchanged"]):
        return zero(f"{name} was changed")
    came = answers()
    other = [number for number, wanted in enumerate(truth["answers"]) if came.get(number) != wanted]
    print(f"behaves as before: {len(truth['answers']) - len(other)} of {len(truth['answers'])} cases")
    if other:
        return zero(f"case {other[0]} gave {str(came.get(other[0]))[:300]}")
    spec = importlib.util.spec_from_file_location("rules", WORKSPACE / "rules.py")
    rules = importlib.util.module_from_spec(
        spec
    )  # by its path: a folder of the workspace must not be searched for modules
    spec.loader.exec_module(rules)
    try:
        if (WORKSPACE / "ferry").is_symlink():
            return zero("ferry is a link")
        ferry = WORKSPACE / "ferry"
        if refused := rules.not_plain(ferry) or ways_around(ferry, rules):
            return zero("; ".join(refused[:SHOWN]))
        left = broken(ferry, rules)
    except (SyntaxError, ValueError, RecursionError, OSError) as error:
        return zero(f"the source cannot be read: {error!r}")
    print("\n".join(left[:SHOWN]))
    print(f"rules broken: {len(left)}, before: {truth['broken_before']}")
    print(f"score: {max(0.0, 1 - len(left) / truth['broken_before']):.4f}")


main()
