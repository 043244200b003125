"""What the code of ferry/ must look like. `python3 rules.py` lists what breaks a rule and prints how much does.

- a function has at most 30 lines, and branches at most 8 times
- no four statements in a row appear twice, whatever their names and constants are
- one statement a line, at most 120 characters
- the public functions keep their names and arguments
- plain code: imports of datetime, dataclasses, enum, functools, collections, typing and of ferry itself only; nothing built from
  texts at run time; no literal longer than 200 characters; only .py files; no more lines than before
"""

import ast
import sys
from pathlib import Path

PUBLIC = {
    "billing.py": {"bill_car": ["crossing", "customer"], "bill_truck": ["crossing", "customer"], "bill_coach": ["crossing", "customer"]},
    "statement.py": {"statement": ["bills", "year", "month"]},
}
IMPORTS = {"__future__", "collections", "dataclasses", "datetime", "enum", "ferry", "functools", "typing"}
NOT_PLAIN = {
    "exec", "eval", "compile", "__import__", "globals", "locals", "vars", "getattr", "setattr", "open", "delattr", "breakpoint",
    "__builtins__", "__code__", "__dict__", "__globals__", "__subclasses__", "__loader__", "__spec__", "modules", "sys",
}  # fmt: skip
LINES, BRANCHES, WIDTH, IN_A_ROW, ALL_LINES, LITERAL = 30, 8, 120, 4, 280, 200
BRANCHING = (ast.If, ast.For, ast.While, ast.Try, ast.IfExp, ast.comprehension, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class _Shape(ast.NodeTransformer):
    """Code without its names and constants."""

    def visit_Name(self, node):
        return ast.Name("_", node.ctx)

    def visit_Constant(self, node):
        return ast.Constant(0)

    def visit_Attribute(self, node):
        self.generic_visit(node)
        return ast.Attribute(node.value, "_", node.ctx)


def _shape(statement):
    copy = ast.parse(ast.unparse(statement))
    return ast.dump(_Shape().visit(copy))


def _blocks(tree):
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and not isinstance(node, (ast.Module, ast.ClassDef)):
                yield block


def _repeated(trees):
    """Places at which four statements in a row stand that stood somewhere before."""
    seen = {}
    for name, tree in trees.items():
        for block in _blocks(tree):
            shapes = [_shape(statement) for statement in block]
            for at in range(len(block) - IN_A_ROW + 1):
                key = tuple(shapes[at : at + IN_A_ROW])
                if key in seen:
                    yield f"{name}:{block[at].lineno}: four statements that stand at {seen[key]} too"
                else:
                    seen[key] = f"{name}:{block[at].lineno}"


def _functions(name, tree):
    for node in ast.walk(tree):
        if not isinstance(node, FUNCTIONS):
            continue
        lines = node.end_lineno - node.lineno + 1
        branches = sum(isinstance(n, BRANCHING) + (len(n.values) - 1 if isinstance(n, ast.BoolOp) else 0) for n in ast.walk(node))
        called = getattr(node, "name", "lambda")
        if lines > LINES:
            yield f"{name}:{node.lineno}: {called} has {lines} lines"
        if branches > BRANCHES:
            yield f"{name}:{node.lineno}: {called} branches {branches} times"


def _lines(name, tree, text):
    starts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    for number in sorted({line for line in starts if starts.count(line) > 1}):
        yield f"{name}:{number}: two statements in one line"
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > WIDTH:
            yield f"{name}:{number}: {len(line)} characters"


def not_plain(folder):
    """What is not allowed at all."""
    found = []
    total = 0
    for path in sorted(folder.rglob("*")):
        if path.name == "__pycache__" or path.parent.name == "__pycache__":
            continue
        if path.is_symlink() or not (path.is_dir() or path.suffix == ".py"):
            found.append(f"{path.name}: only .py files")
        if path.is_symlink() or path.is_dir() or path.suffix != ".py":
            continue
        text = path.read_text()
        total += len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [f"{path.name}:{node.lineno}: imports {m}" for m in modules if m.split(".")[0] not in IMPORTS]
            used = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if used in NOT_PLAIN:
                found.append(f"{path.name}:{node.lineno}: uses {used}")
            if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and len(node.value) > LITERAL:
                found.append(f"{path.name}:{node.lineno}: a literal of {len(node.value)} characters")
    for name, functions in PUBLIC.items():
        path = folder / name
        tree = ast.parse(path.read_text()) if path.is_file() and not path.is_symlink() else ast.Module([], [])
        there = {n.name: [a.arg for a in n.args.args] for n in tree.body if isinstance(n, ast.FunctionDef)}
        found += [f"{name}: {n}({', '.join(a)}) is gone" for n, a in functions.items() if there.get(n) != a]
    return found + ([f"{total} lines; at most {ALL_LINES}"] if total > ALL_LINES else [])


def broken(folder):
    """What is to be put right."""
    paths = sorted(folder.rglob("*.py"))
    trees = {path.name: ast.parse(path.read_text()) for path in paths}
    found = [problem for path in paths for problem in _lines(path.name, trees[path.name], path.read_text())]
    found += [problem for name, tree in trees.items() for problem in _functions(name, tree)]
    return found + list(_repeated(trees))


if __name__ == "__main__":
    ferry = Path(__file__).parent / "ferry"
    problems = not_plain(ferry) + broken(ferry)
    print("\n".join([*problems, f"broken: {len(problems)}"]))
    sys.exit(bool(problems))
