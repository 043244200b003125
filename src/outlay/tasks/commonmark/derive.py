"""Make the hidden cases of this task: mutations of the public examples on whose HTML two independent converters agree.

    python3 derive.py FOLDER      FOLDER holds node_modules/commonmark (npm) and a Python that has markdown-it-py runs this

Writes `probe/cases.json` (what the submission is asked: the public examples, then the hidden cases) and
`hidden/expected.json` (what must come for the hidden ones, and the public suite's digest). Four mutations:
rename (other words), quote (`> ` before each line), item (as the content of a list item), splice (two examples in one
document). Made with commonmark.js 0.31.2 and markdown-it-py 4.3.0. The examples, and so the cases, are CC-BY-SA 4.0
(John MacFarlane).
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PER_MUTATION = 160
WORDS = (
    "amber basil cedar dune ember fjord grove harbor inlet jasmine kelp lagoon maple nectar opal pebble quartz".split()
)
KEPT = re.compile(r"<[^>\n]*>|&[#\w]+;|\\.|https?:\S*|[\w.+-]+@[\w.-]+|\[[^\]\n]*\]:?[^\n]*")
WORD = re.compile(r"\b[a-z]{3,}\b")
COMMONMARK_JS = """
const { Parser, HtmlRenderer } = require("commonmark");
const documents = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(documents.map(d => new HtmlRenderer().render(new Parser().parse(d)))));
"""


def number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def rename(markdown: str, other: str) -> str:
    """Other words; markup, links and code fences stay what they were (their info words may change)."""
    key = number(markdown)
    found: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        return found.setdefault(match[0], WORDS[(key + len(found)) % len(WORDS)])

    parts, at = [], 0
    for kept in KEPT.finditer(markdown):
        parts += [WORD.sub(word, markdown[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*parts, WORD.sub(word, markdown[at:])])


def quote(markdown: str, other: str) -> str:
    return "".join(f"> {line}\n" for line in markdown.removesuffix("\n").split("\n"))


def item(markdown: str, other: str) -> str:
    first, *rest = rename(markdown, other).removesuffix("\n").split("\n")
    return "\n".join([f"- {first}", *(f"  {line}" if line else "" for line in rest)]) + "\n"


def splice(markdown: str, other: str) -> str:
    return rename(other, markdown) + "\n" + rename(markdown, other)


def both(folder: Path, documents: list[str]) -> list[tuple[str, str]]:
    from markdown_it import MarkdownIt

    done = subprocess.run(
        ["node", "-e", COMMONMARK_JS],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    second = MarkdownIt("commonmark")
    return list(zip(json.loads(done.stdout), [second.render(document) for document in documents], strict=True))


def main() -> None:
    folder = Path(sys.argv[1])
    content = (HERE / "workspace" / "spec.json").read_bytes()
    suite = json.loads(content)
    public = {example["markdown"] for example in suite}
    asked, expected = [example["markdown"] for example in suite], []
    for name, mutate in (("rename", rename), ("quote", quote), ("item", item), ("splice", splice)):
        order = sorted(suite, key=lambda e, name=name: number(f"{name} {e['example']}"))
        made = []
        for place, example in enumerate(order):
            document = mutate(example["markdown"], order[(place + 7) % len(order)]["markdown"])
            if document not in public:
                made.append((example["section"], document))
        rendered = both(folder, [document for _, document in made])
        agreed = [(s, d, a) for (s, d), (a, b) in zip(made, rendered, strict=True) if a == b]
        print(f"{name}: {len(made)} derived, {len(agreed)} agreed, {min(len(agreed), PER_MUTATION)} kept")
        for section, document, html in agreed[:PER_MUTATION]:
            asked.append(document)
            expected.append({"mutation": name, "section": section, "html": html})
    (HERE / "probe" / "cases.json").write_text(json.dumps(asked, ensure_ascii=False, indent=0))
    answers = {"suite_sha256": hashlib.sha256(content).hexdigest(), "hidden": expected}
    (HERE / "hidden" / "expected.json").write_text(json.dumps(answers, ensure_ascii=False, indent=0))


main()
