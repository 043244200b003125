"""Score the converter: the share of hidden cases that it renders right, and 0 for what is no converter.

Nothing of the submission runs here: its answers are compared, its source is read.
"""

import ast
import hashlib
import json
from collections import Counter
from pathlib import Path

PACKAGE = Path("/workspace/md2html")
ALLOWED = {
    "__future__", "argparse", "bisect", "collections", "dataclasses", "enum", "functools", "html", "itertools",
    "re", "string", "sys", "typing", "unicodedata", "urllib", "md2html",
}  # fmt: skip
FORBIDDEN = {
    "exec", "eval", "compile", "__import__", "globals", "locals", "vars", "breakpoint", "input", "__builtins__",
    "__loader__", "__spec__", "modules", "_getframe", "__globals__", "__subclasses__", "__code__", "f_back", "f_globals",
    "addaudithook", "settrace", "setprofile", "meta_path", "path_hooks", "request",
}  # fmt: skip
LONGEST_LITERAL = 1_500
LITERALS_IN_ALL = 24_000
"""Bytes: a converter needs a few thousand, a table of the suite's answers 40,000."""
NAMES_IN_ALL = 12_000
"""Bytes of different names, which can hold a table too: a converter of 1,000 lines needs 3,000."""
LARGEST_TABLE = 300
LARGEST_NUMBER_BITS = 64


def broken_rules() -> list[str]:
    found, literals, names = [], 0, set()
    files = sorted(PACKAGE.rglob("*")) if PACKAGE.is_dir() else []
    for path in files:
        if "__pycache__" in path.parts:  # not a part of what is run
            continue
        if path.is_symlink() or not (path.is_dir() or path.suffix == ".py"):
            found.append(f"{path.name} is no Python file")
        elif path.suffix == ".py":
            try:
                tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError) as error:
                return [f"{path.name}: {error}"]
            found += list(problems(path.name, tree))
            literals += sum(size(n.value) for n in ast.walk(tree) if isinstance(n, ast.Constant))
            names |= {name for node in ast.walk(tree) for name in called(node)}
    if literals > LITERALS_IN_ALL:
        found.append(f"{literals} bytes of literals; at most {LITERALS_IN_ALL}")
    if (total := sum(map(size, names))) > NAMES_IN_ALL:
        found.append(f"{total} bytes of names; at most {NAMES_IN_ALL}")
    return found or ([] if files else ["there is no package md2html"])


def size(value: object) -> int:
    """Bytes that a constant can hold."""
    if isinstance(value, str):
        return len(value.encode(errors="surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    return (value.bit_length() + 7) // 8 if isinstance(value, int) else 16 if isinstance(value, (float, complex)) else 0


def called(node: ast.AST) -> list[str]:
    """Names that a node brings."""
    return [
        value
        for field in ("id", "attr", "arg", "name", "asname")
        if isinstance(value := getattr(node, field, None), str)
    ]


def problems(name: str, tree: ast.AST):
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for module in names:
            if module.split(".")[0] not in ALLOWED:
                yield f"{name}:{node.lineno}: imports {module}"
        used = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            used = next((a.name.split(".")[-1] for a in node.names if a.name.split(".")[-1] in FORBIDDEN), "")
        if used in FORBIDDEN and not (used == "compile" and isinstance(node, ast.Attribute)):
            yield f"{name}:{node.lineno}: uses {used}"
        if used == "open" and isinstance(node, ast.Name) and name != "__main__.py":
            yield f"{name}:{node.lineno}: opens files"
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, (str, bytes))
            and len(node.value) > LONGEST_LITERAL
        ):
            yield f"{name}:{node.lineno}: a literal of {len(node.value)} characters"
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int)
            and node.value.bit_length() > LARGEST_NUMBER_BITS
        ):
            yield f"{name}:{node.lineno}: a number of {node.value.bit_length()} bits"
        if isinstance(node, (ast.Dict, ast.List, ast.Tuple, ast.Set)):
            size = len(node.keys if isinstance(node, ast.Dict) else node.elts)
            if size > LARGEST_TABLE:
                yield f"{name}:{node.lineno}: a table of {size} entries"


def answers() -> dict[int, str]:
    found: dict[int, str] = {}
    for line in Path("/answers").read_text(errors="replace").splitlines():
        try:
            answer = json.loads(line)
            found[answer["n"]] = answer["html"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def zero(reason: str) -> None:
    print(f"nothing counts: {reason}\nscore: 0")


def main() -> None:
    truth = json.loads(Path("/hidden/expected.json").read_text())
    content = Path("/workspace/spec.json").read_bytes() if Path("/workspace/spec.json").is_file() else b""
    if hashlib.sha256(content).hexdigest() != truth["suite_sha256"]:
        return zero("spec.json was changed")
    if rules := broken_rules():
        return zero("; ".join(rules[:5]))
    suite, came = json.loads(content), answers()
    wanted = [(e["section"], e["html"]) for e in suite] + [(e["section"], e["html"]) for e in truth["hidden"]]
    if len(came) < len(wanted):
        return zero(
            f"{len(came)} of {len(wanted)} cases were answered, then it ended, ran out of time or left its bounds"
        )
    right, total, kinds = Counter(), Counter(), Counter()
    for number, (section, html) in enumerate(wanted):
        hidden = number >= len(suite)
        total[hidden, section] += 1
        right[hidden, section] += came.get(number) == html
        if hidden:
            kinds[truth["hidden"][number - len(suite)]["mutation"]] += came.get(number) == html
    print(f"{'section':42}{'public':>10}{'hidden':>10}")
    for section in dict(wanted):
        cells = [f"{right[h, section]}/{total[h, section]}" for h in (False, True)]
        print(f"{section:42}{cells[0]:>10}{cells[1]:>10}")
    public = sum(n for (h, _), n in right.items() if not h) / len(suite)
    hidden = sum(n for (h, _), n in right.items() if h) / len(truth["hidden"])
    print(f"public: {public:.4f}\nhidden: {hidden:.4f} ({', '.join(f'{k} {n}' for k, n in kinds.items())})")
    if hidden < public / 2:
        return zero("it knows the public examples and not the language")
    print(f"score: {hidden:.4f}")


main()
