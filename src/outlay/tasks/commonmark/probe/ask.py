"""Ask `md2html.convert` each case and print its answers as JSON lines, on a descriptor that it does not know.

While the submission works, files, processes, sockets, native code and other modules are out of reach: an audit hook,
which Python code cannot take off again, ends the process at the first try, and what is not answered is wrong. Where a
way leads around the hook, the kernel opens nothing more for this process or a child, not even what a program needs to start.
"""

import importlib.abc
import importlib.util
import json
import os
import resource
import sys
import warnings
from pathlib import Path

ALLOWED = {
    "__future__", "argparse", "bisect", "collections", "dataclasses", "enum", "functools", "html", "itertools",
    "re", "string", "sys", "typing", "unicodedata", "urllib",
}  # fmt: skip
HARMLESS = ("object.__", "builtins.id", "compile", "exec", "marshal.", "sys._getframe", "code.__new__", "cpython.")
TRIED_TO_ESCAPE = 70


def preload() -> None:
    """So that what is allowed needs no file later."""
    for name in (*sorted(ALLOWED - {"__future__"}), "collections.abc", "html.entities", "html.parser", "urllib.parse"):
        importlib.import_module(name)


class Package(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The submission's modules, compiled before any of them runs: no file is needed later, and no comment is left."""

    def __init__(self, package: Path) -> None:
        self.codes = {}
        for path in (package, *package.rglob("*")):
            name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            if path.is_dir():
                self.codes.setdefault(name, ("", True))
            elif path.suffix == ".py":
                is_package = path.stem == "__init__"
                code = compile(path.read_bytes(), str(path), "exec")
                self.codes[name.removesuffix(".__init__")] = (code, is_package)

    def find_spec(self, name, path=None, target=None):
        if name not in self.codes:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=self.codes[name][1])

    def exec_module(self, module) -> None:
        exec(self.codes[module.__name__][0], module.__dict__)


def watch() -> None:
    library = os.path.dirname(os.__file__) + "/"
    leave = os._exit

    def hook(event: str, arguments: tuple) -> None:
        if event == "import":
            name = str(arguments[0]).partition(".")[0]
            if name in ALLOWED or name == "md2html" or name in sys.modules:
                return
        elif event in ("open", "os.listdir"):
            path = str(arguments[0])
            reading = event == "os.listdir" or "r" in str(arguments[1] or "r")
            if reading and (path + "/").startswith(library) and "-packages" not in path:
                return
        elif event.startswith(HARMLESS):
            return
        leave(TRIED_TO_ESCAPE)

    sys.addaudithook(hook)


def main() -> None:
    with open("/probe/cases.json", encoding="utf-8") as file:
        cases = json.load(file)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    preload()
    sys.path[:] = [path for path in sys.path if "-packages" not in path]
    warnings.simplefilter("ignore")  # showing one reads the source
    sys.meta_path.insert(0, Package(Path("/workspace/md2html")))
    encode = json.dumps
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    watch()
    from md2html import convert

    for number, document in enumerate(cases):
        try:
            html = convert(document)
            answer = {"n": number, "html": html if type(html) is str else repr(type(html))}
        except BaseException as error:  # a converter that raises fails that case alone
            answer = {"n": number, "error": type(error).__name__}
        answers.write(encode(answer) + "\n")
    answers.flush()


main()
