"""Block structure, line by line, as the specification's appendix describes it.

The blocks that may still grow stand on a stack, the document first. Each line is first offered to them from the
outside in; those it does not continue are closed, unless the line is a lazy continuation of a paragraph. The rest of
the line may then start new blocks; what remains is text of the innermost one.
"""

import re
from collections.abc import Callable
from itertools import pairwise

from md2html.links import References, take_definition
from md2html.text import CLOSING_TAG, OPEN_TAG, unescape
from md2html.tree import Block

CODE_INDENT = 4
_ATX = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_SETEXT = re.compile(r"(=+|-+)[ \t]*$")
_RULE = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_MARKER = re.compile(r"(?:[*+-]|(\d{1,9})[.)])(?=[ \t]|$)")

_BLOCK_TAGS = (
    "address article aside base basefont blockquote body caption center col colgroup dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li "
    "link main menu menuitem nav noframes ol optgroup option p param search section summary table tbody td tfoot th "
    "thead title tr track ul"
).split()
_RAW_TAGS = "script|pre|style|textarea"
_HTML = (
    # how it starts, how it ends (None: at a blank line), whether it may interrupt a paragraph
    (re.compile(rf"<(?:{_RAW_TAGS})(?:[ \t>]|$)", re.I), re.compile(rf"</(?:{_RAW_TAGS})>", re.I), True),
    (re.compile(r"<!--"), re.compile(r"-->"), True),
    (re.compile(r"<\?"), re.compile(r"\?>"), True),
    (re.compile(r"<![a-zA-Z]"), re.compile(r">"), True),
    (re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>"), True),
    (re.compile(rf"</?(?:{'|'.join(_BLOCK_TAGS)})(?:[ \t]|/?>|$)", re.I), None, True),
    (re.compile(rf"(?:{OPEN_TAG}|{CLOSING_TAG})[ \t]*$"), None, False),
)


def parse(markdown: str) -> tuple[Block, References]:
    """The document as a tree, and its link reference definitions."""
    parser = _Parser()
    lines = re.split(r"\r\n|\n|\r", markdown.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    if not lines[-1]:
        lines.pop()
    for text in lines:
        parser.feed(_Line(text))
    parser.close_to(0)
    return parser.document, parser.references


class _Line:
    """A line and how far it is read. Tabs reach to columns that are multiples of 4."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.column = 0
        self.tab_left = 0  # columns of the tab before `at` that are not read yet
        self.used = False
        self.look()

    def look(self) -> None:
        """Find what stands next."""
        end, column = self.at, self.column + self.tab_left
        while end < len(self.text) and self.text[end] in " \t":
            column += 4 - column % 4 if self.text[end] == "\t" else 1
            end += 1
        self.next, self.next_column = end, column
        self.blank = end == len(self.text)

    @property
    def indent(self) -> int:
        """Columns of spaces and tabs that come next."""
        return self.next_column - self.column

    @property
    def rest(self) -> str:
        """From the next character that is no space."""
        return self.text[self.next :]

    @property
    def content(self) -> str:
        """All that is left, with its spaces."""
        return " " * self.tab_left + self.text[self.at :]

    def skip(self, columns: int) -> None:
        """Past so many columns of spaces and tabs."""
        while columns and (self.tab_left or self.text[self.at : self.at + 1] in (" ", "\t")):
            if not self.tab_left:
                self.tab_left = 4 - self.column % 4 if self.text[self.at] == "\t" else 1
                self.at += 1
            used = min(columns, self.tab_left)
            self.tab_left -= used
            self.column += used
            columns -= used

    def take(self, characters: int) -> None:
        """Past the spaces that come next and so many characters."""
        self.column += self.indent + characters
        self.at, self.tab_left = self.next + characters, 0
        self.look()

    def finish(self) -> None:
        """Past all of it: nothing is left to be text of a block."""
        self.at, self.tab_left, self.used = len(self.text), 0, True
        self.look()


# ---- blocks that may still grow


class _Open:
    """An open block. `continues` says whether a line goes on with it, and reads what belongs to its markers."""

    takes_lines = False

    def __init__(self, block: Block) -> None:
        self.block = block
        self.lines: list[str] = []

    def continues(self, line: _Line) -> bool:
        return True

    def close(self, references: References) -> None:
        pass


class _Quote(_Open):
    def continues(self, line: _Line) -> bool:
        if line.indent >= CODE_INDENT or not line.rest.startswith(">"):
            return False
        line.take(1)
        line.skip(1)
        return True


class _List(_Open):
    def __init__(self, block: Block, marker: str) -> None:
        super().__init__(block)
        self.marker = marker

    def close(self, references: References) -> None:
        items = self.block.children
        self.block.tight = not _gaps(items) and not any(_gaps(item.children) for item in items)


def _gaps(blocks: list[Block]) -> bool:
    """Whether a blank line stands between two of them."""
    return any(block.last_line < following.first_line - 1 for block, following in pairwise(blocks))


class _Item(_Open):
    def __init__(self, block: Block, width: int) -> None:
        super().__init__(block)
        self.width = width  # columns that its content is indented

    def continues(self, line: _Line) -> bool:
        if line.blank:
            line.skip(line.indent)
            return bool(self.block.children)
        if line.indent < self.width:
            return False
        line.skip(self.width)
        return True


class _Paragraph(_Open):
    def continues(self, line: _Line) -> bool:
        return not line.blank

    def text(self, references: References) -> str:
        """Its text without the definitions that stand first."""
        text = "\n".join(self.lines)
        while text.startswith("[") and (rest := take_definition(text, references)) is not None:
            text = rest
        return text.strip(" \t\n")

    def close(self, references: References) -> None:
        if self.block.kind == "paragraph":
            self.block.text = self.text(references)
            self.block.kind = "paragraph" if self.block.text else "definition"


class _Indented(_Open):
    takes_lines = True

    def continues(self, line: _Line) -> bool:
        if line.indent < CODE_INDENT and not line.blank:
            return False
        line.skip(CODE_INDENT)
        return True

    def close(self, references: References) -> None:
        while not self.lines[-1].strip(" \t"):
            self.lines.pop()
        self.block.text = "".join(f"{line}\n" for line in self.lines)


class _Fenced(_Open):
    takes_lines = True

    def __init__(self, block: Block, fence: str, indent: int) -> None:
        super().__init__(block)
        self.indent = indent
        self.end = re.compile(rf"{fence[0]}{{{len(fence)},}}[ \t]*$")
        self.ended = False

    def continues(self, line: _Line) -> bool:
        if line.indent < CODE_INDENT and self.end.match(line.rest):
            self.ended = True
        else:
            line.skip(self.indent)
        return True

    def close(self, references: References) -> None:
        self.block.text = "".join(f"{line}\n" for line in self.lines)


class _Html(_Open):
    takes_lines = True

    def __init__(self, block: Block, end: re.Pattern[str] | None) -> None:
        super().__init__(block)
        self.end = end

    def continues(self, line: _Line) -> bool:
        return self.end is not None or not line.blank

    def close(self, references: References) -> None:
        self.block.text = "\n".join(self.lines).rstrip("\n") + "\n"


# ---- the parser


class _Parser:
    def __init__(self) -> None:
        self.document = Block("document")
        self.references: References = {}
        self.open: list[_Open] = [_Open(self.document)]
        self.number = 0

    @property
    def tip(self) -> _Open:
        return self.open[-1]

    def close_to(self, depth: int) -> None:
        """Close open blocks until so many are left."""
        while len(self.open) > depth:
            self.open.pop().close(self.references)

    def add(self, opened: _Open) -> None:
        """Make a block a child of the innermost open one that can hold it."""
        while isinstance(self.tip, _Paragraph) or (isinstance(self.tip, _List) and not isinstance(opened, _Item)):
            self.close_to(len(self.open) - 1)
        opened.block.first_line = self.number
        self.tip.block.children.append(opened.block)
        self.open.append(opened)
        self.touch()

    def touch(self, depth: int | None = None) -> None:
        """The open blocks, or so many of them, reach to this line."""
        for opened in self.open[:depth]:
            opened.block.last_line = self.number

    def feed(self, line: _Line) -> None:
        self.number += 1
        depth = 1
        while depth < len(self.open) and self.open[depth].continues(line):
            depth += 1
        quotes = [index for index, opened in enumerate(self.open[:depth]) if isinstance(opened, _Quote)]
        if quotes:  # the line is not blank for them: it has their marker
            self.touch(quotes[-1] + 1)
        innermost = self.open[depth - 1]
        if isinstance(innermost, _Fenced) and innermost.ended:
            self.touch()
            self.close_to(depth - 1)
            return
        while not self.open[depth - 1].takes_lines and not line.blank and self.start(line, depth):
            depth = len(self.open)
        if line.used:
            return
        if not line.blank and depth < len(self.open) and isinstance(self.tip, _Paragraph):
            self.tip.lines.append(line.rest)  # lazy continuation
            self.touch()
            return
        self.close_to(depth)
        if self.tip.takes_lines:
            self.add_content(line)
        elif not line.blank:
            if not isinstance(self.tip, _Paragraph):
                self.add(_Paragraph(Block("paragraph")))
            self.tip.lines.append(line.rest)
            self.touch()

    def add_content(self, line: _Line) -> None:
        """Add a line of code or HTML."""
        self.tip.lines.append(line.content)
        if not line.blank or not isinstance(self.tip, _Indented):
            self.touch()
        if isinstance(self.tip, _Html) and self.tip.end and self.tip.end.search(line.content):
            self.close_to(len(self.open) - 1)

    # ---- how blocks start

    def start(self, line: _Line, depth: int) -> bool:
        """Start the block whose beginning stands next in the line; False when there is none.

        The first `depth` of the open blocks are those that the line continues.
        """
        if line.indent >= CODE_INDENT:
            if isinstance(self.tip, _Paragraph):
                return False
            self.close_to(depth)
            line.skip(CODE_INDENT)
            self.add(_Indented(Block("code")))
            return True
        return any(start(line, depth) for start in self.starts)

    @property
    def starts(self) -> tuple[Callable[[_Line, int], bool], ...]:
        """In the order in which they are tried."""
        return (self.quote, self.atx, self.fence, self.html, self.setext, self.rule, self.item)

    def quote(self, line: _Line, depth: int) -> bool:
        if not line.rest.startswith(">"):
            return False
        self.close_to(depth)
        line.take(1)
        line.skip(1)
        self.add(_Quote(Block("quote")))
        return True

    def atx(self, line: _Line, depth: int) -> bool:
        match = _ATX.match(line.rest)
        if match is None:
            return False
        text = line.rest[match.end() :].strip(" \t")
        unclosed = text.rstrip("#")
        if not unclosed or unclosed[-1] in " \t":
            text = unclosed.rstrip(" \t")
        self.add_line(line, depth, Block("heading", text, level=len(match[1])))
        return True

    def rule(self, line: _Line, depth: int) -> bool:
        if not _RULE.match(line.rest):
            return False
        self.add_line(line, depth, Block("rule"))
        return True

    def add_line(self, line: _Line, depth: int, block: Block) -> None:
        """Add a block that is this one line."""
        self.close_to(depth)
        self.add(_Open(block))
        self.close_to(len(self.open) - 1)
        line.finish()

    def fence(self, line: _Line, depth: int) -> bool:
        match = _FENCE.match(line.rest)
        if match is None:
            return False
        self.close_to(depth)
        info = unescape((match[2] or match[4] or "").strip(" \t"))
        self.add(_Fenced(Block("code", info=info), match[1] or match[3], line.indent))
        line.finish()
        return True

    def html(self, line: _Line, depth: int) -> bool:
        for beginning, end, interrupts in _HTML:
            if beginning.match(line.rest) and (interrupts or not isinstance(self.tip, _Paragraph)):
                self.close_to(depth)
                self.add(_Html(Block("html"), end))
                return True
        return False

    def setext(self, line: _Line, depth: int) -> bool:
        paragraph, match = self.open[depth - 1], _SETEXT.match(line.rest)
        if match is None or not isinstance(paragraph, _Paragraph):
            return False
        text = paragraph.text(self.references)
        if not text:  # it was definitions alone
            return False
        block = paragraph.block
        block.kind, block.text, block.level = "heading", text, 1 if match[1][0] == "=" else 2
        self.touch()
        self.close_to(depth - 1)
        line.finish()
        return True

    def item(self, line: _Line, depth: int) -> bool:
        match = _MARKER.match(line.rest)
        if match is None:
            return False
        empty = not line.rest[match.end() :].strip(" \t")
        if isinstance(self.open[depth - 1], _Paragraph) and (empty or match[1] and int(match[1]) != 1):
            return False
        self.close_to(depth)
        indent, marker = line.indent, match[0][-1]
        line.take(match.end())
        spaces = line.indent if not line.blank and line.indent <= CODE_INDENT else 1
        line.skip(spaces)
        if not isinstance(self.tip, _List) or self.tip.marker != marker:
            if isinstance(self.tip, _List):
                self.close_to(depth - 1)
            self.add(_List(Block("list", ordered=bool(match[1]), start=int(match[1] or 1)), marker))
        self.add(_Item(Block("item"), indent + match.end() + spaces))
        return True
