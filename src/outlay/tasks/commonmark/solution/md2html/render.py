"""The tree of blocks as HTML.

The tree may be thousands of levels deep, so what is still to be written stands on a stack of our own instead of
being left to recursion.
"""

import re

from md2html import inlines
from md2html.links import References
from md2html.text import escape
from md2html.tree import Block

_NEW_LINE = "\n"


def to_html(document: Block, references: References) -> str:
    """The HTML of a document."""
    return _Renderer(references).render(document)


class _Renderer:
    def __init__(self, references: References) -> None:
        self.references = references
        self.out: list[str] = []
        self.ahead: list[Block | str] = []  # what is still to be written, the next one last

    def render(self, document: Block) -> str:
        self.ahead = [document]
        while self.ahead:
            following = self.ahead.pop()
            if isinstance(following, Block):
                self.ahead += reversed(self.parts(following))
            elif following != _NEW_LINE:
                self.out.append(following)
            elif self.out and not self.out[-1].endswith("\n"):  # unless a line has just begun
                self.out.append(following)
        return "".join(self.out)

    def children(self, block: Block, *, tight: bool = False) -> list[Block | str]:
        """The children with line breaks around them; in a tight list paragraphs are bare text."""
        parts: list[Block | str] = []
        for child in block.children:
            if child.kind == "paragraph" and tight:
                parts.append(self.inline(child))
            elif child.kind != "definition":
                parts += [_NEW_LINE, child, _NEW_LINE]
        return parts

    def inline(self, block: Block) -> str:
        return inlines.to_html(block.text, self.references)

    def parts(self, block: Block) -> list[Block | str]:
        """What a block is made of: HTML, and blocks that are written in turn."""
        match block.kind:
            case "paragraph":
                return [f"<p>{self.inline(block)}</p>"]
            case "heading":
                return [f"<h{block.level}>{self.inline(block)}</h{block.level}>"]
            case "rule":
                return ["<hr />"]
            case "html":
                return [block.text]
            case "code":
                word = re.split(r"[ \t]", block.info)[0]
                language = f' class="language-{escape(word)}"' if word else ""
                return [f"<pre><code{language}>{escape(block.text)}</code></pre>"]
            case "quote":
                return ["<blockquote>\n", *self.children(block), _NEW_LINE, "</blockquote>"]
            case "list":
                return self.list(block)
            case _:
                return self.children(block)

    def list(self, block: Block) -> list[Block | str]:
        tag = "ol" if block.ordered else "ul"
        start = f' start="{block.start}"' if block.ordered and block.start != 1 else ""
        parts: list[Block | str] = [f"<{tag}{start}>\n"]
        for item in block.children:
            parts += ["<li>", *self.children(item, tight=block.tight), "</li>\n"]
        return [*parts, f"</{tag}>"]
