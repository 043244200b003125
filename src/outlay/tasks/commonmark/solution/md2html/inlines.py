"""Inline structure: code spans, emphasis, links, images, autolinks, raw HTML, line breaks, entities.

The text is read once from left to right into a flat list of pieces. Emphasis is not nested in the list: a run of
delimiters collects the tags that are opened after it and closed before it. A link or image replaces the pieces
between its brackets by one.
"""

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, field

from md2html.links import References, Target, normalize, scan_destination, scan_label, scan_title, skip_gap
from md2html.text import CLOSING_TAG, ENTITY, OPEN_TAG, PUNCTUATION, character, encode_url, escape

_PLAIN = re.compile(r"[^\\`&<\[\]!*_\n]+")
_BACKTICKS = re.compile("`+")
_ESCAPE = re.compile(rf"\\(?:([{PUNCTUATION}])|\n *)")
_URI = re.compile(r"<([a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\x00-\x20<>]*)>")
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"<([a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*)>")
_RAW = re.compile(
    rf"{OPEN_TAG}|{CLOSING_TAG}|<!-->|<!--->|<!--.*?-->|<\?.*?\?>|<![a-zA-Z][^>]*>|<!\[CDATA\[.*?\]\]>", re.DOTALL
)


@dataclass
class _Piece:
    """Finished HTML, and the same as plain text for the description of an image."""

    html: str
    plain: str


@dataclass
class _Run:
    """A run of `*` or `_`."""

    char: str
    count: int  # delimiters that are not used yet
    can_open: bool
    can_close: bool
    length: int  # delimiters that it had
    closing: list[str] = field(default_factory=list)
    opening: list[str] = field(default_factory=list)

    @property
    def plain(self) -> str:
        return self.char * self.count

    @property
    def html(self) -> str:
        return "".join(self.closing) + self.plain + "".join(reversed(self.opening))

    def matches(self, closer: "_Run") -> bool:
        if self.char != closer.char:
            return False
        if self.can_close or closer.can_open:
            return (self.length + closer.length) % 3 != 0 or closer.length % 3 == 0
        return True


@dataclass
class _Bracket:
    """A `[` or `![` that may begin a link or an image."""

    piece: int  # index of its piece
    after: int  # where the text after it starts
    runs: int  # runs of delimiters before it
    image: bool
    active: bool = True
    nests: bool = False  # another bracket follows within


def to_html(text: str, references: References) -> str:
    """The HTML of a paragraph's or heading's text."""
    return _Parser(text, references).parse()


class _Parser:
    def __init__(self, text: str, references: References) -> None:
        self.text = text
        self.at = 0
        self.references = references
        self.pieces: list[_Piece | _Run] = []
        self.runs: list[_Run] = []
        self.brackets: list[_Bracket] = []
        self.backticks: dict[int, list[int]] | None = None

    def parse(self) -> str:
        handlers = {
            "\\": self.backslash,
            "`": self.code,
            "&": self.entity,
            "<": self.angle,
            "[": self.open_bracket,
            "!": self.open_bracket,
            "]": self.close_bracket,
            "*": self.run,
            "_": self.run,
            "\n": self.newline,
        }
        while self.at < len(self.text):
            match = _PLAIN.match(self.text, self.at)
            if match:
                self.add_text(match[0])
                self.at = match.end()
            else:
                handlers[self.text[self.at]]()
        self.pair(0)
        return "".join(piece.html for piece in self.pieces)

    def add_text(self, text: str) -> None:
        self.pieces.append(_Piece(escape(text), text))

    def one_character(self) -> None:
        """What stands here means nothing special."""
        self.add_text(self.text[self.at])
        self.at += 1

    # ---- leaves

    def newline(self) -> None:
        last = self.pieces[-1] if self.pieces else _Piece("", "")
        hard = last.html.endswith("  ")
        if isinstance(last, _Piece) and last.html.endswith(" "):
            last.html, last.plain = last.html.rstrip(" "), last.plain.rstrip(" ")
        self.pieces.append(_Piece("<br />\n" if hard else "\n", "\n"))
        self.at += 1
        while self.text.startswith(" ", self.at):
            self.at += 1

    def backslash(self) -> None:
        match = _ESCAPE.match(self.text, self.at)
        if match is None:
            self.one_character()
            return
        if match[1]:
            self.add_text(match[1])
        else:
            self.pieces.append(_Piece("<br />\n", "\n"))
        self.at = match.end()

    def entity(self) -> None:
        match = ENTITY.match(self.text, self.at)
        if match is None:
            self.one_character()
            return
        self.add_text(character(match))
        self.at = match.end()

    def code(self) -> None:
        start = self.at
        self.at = _BACKTICKS.match(self.text, start).end()
        length = self.at - start
        end = self.closing_backticks(length)
        if end is None:
            self.add_text("`" * length)
            return
        content = self.text[self.at : end].replace("\n", " ")
        if content.startswith(" ") and content.endswith(" ") and content.strip(" "):
            content = content[1:-1]
        self.pieces.append(_Piece(f"<code>{escape(content)}</code>", content))
        self.at = end + length

    def closing_backticks(self, length: int) -> int | None:
        """Where the next run of exactly so many backticks starts."""
        if self.backticks is None:
            self.backticks = {}
            for match in _BACKTICKS.finditer(self.text):
                self.backticks.setdefault(len(match[0]), []).append(match.start())
        places = self.backticks.get(length, [])
        index = bisect_left(places, self.at)
        return places[index] if index < len(places) else None

    def angle(self) -> None:
        if match := _URI.match(self.text, self.at):
            url = match[1]
        elif match := _EMAIL.match(self.text, self.at):
            url = f"mailto:{match[1]}"
        elif match := _RAW.match(self.text, self.at):
            self.pieces.append(_Piece(match[0], ""))
            self.at = match.end()
            return
        else:
            self.one_character()
            return
        self.pieces.append(_Piece(f'<a href="{escape(encode_url(url))}">{escape(match[1])}</a>', match[1]))
        self.at = match.end()

    # ---- emphasis

    def run(self) -> None:
        char, start = self.text[self.at], self.at
        while self.text.startswith(char, self.at):
            self.at += 1
        before = self.text[start - 1] if start else "\n"
        after = self.text[self.at] if self.at < len(self.text) else "\n"
        left = not _is_space(after) and (not _is_punctuation(after) or _is_space(before) or _is_punctuation(before))
        right = not _is_space(before) and (not _is_punctuation(before) or _is_space(after) or _is_punctuation(after))
        if char == "*":
            can_open, can_close = left, right
        else:
            can_open = left and (not right or _is_punctuation(before))
            can_close = right and (not left or _is_punctuation(after))
        run = _Run(char, self.at - start, can_open, can_close, self.at - start)
        self.pieces.append(run)
        self.runs.append(run)

    def pair(self, bottom: int) -> None:
        """Match the runs from `bottom` on: what stands between the two of a pair is emphasised."""
        openers: list[_Run] = []
        floors: dict[tuple[str, bool, int], int] = {}  # below it no opener matches such a closer
        for closer in self.runs[bottom:]:
            kind = (closer.char, closer.can_open, closer.length % 3)
            while closer.can_close and closer.count:
                floor = floors.get(kind, 0)
                found = next((i for i in range(len(openers) - 1, floor - 1, -1) if openers[i].matches(closer)), None)
                if found is None:
                    floors[kind] = len(openers)
                    break
                opener = openers[found]
                used = 2 if opener.count > 1 and closer.count > 1 else 1
                tag = "strong" if used == 2 else "em"
                opener.opening.append(f"<{tag}>")
                closer.closing.append(f"</{tag}>")
                opener.count -= used
                closer.count -= used
                del openers[found + (opener.count > 0) :]
                floors = {key: min(floor, len(openers)) for key, floor in floors.items()}
            if closer.can_open and closer.count:
                openers.append(closer)
        del self.runs[bottom:]

    # ---- links and images

    def open_bracket(self) -> None:
        image = self.text[self.at] == "!"
        if image and not self.text.startswith("![", self.at):
            self.one_character()
            return
        if self.brackets:
            self.brackets[-1].nests = True
        after = self.at + 1 + image
        self.brackets.append(_Bracket(len(self.pieces), after, len(self.runs), image))
        self.add_text(self.text[self.at : after])
        self.at = after

    def close_bracket(self) -> None:
        bracket = self.brackets.pop() if self.brackets else None
        found = self.target(bracket) if bracket and bracket.active else None
        if found is None:
            self.one_character()
            return
        target, self.at = found
        self.pair(bracket.runs)
        inner = self.pieces[bracket.piece + 1 :]
        plain = "".join(piece.plain for piece in inner)
        title = "" if target.title is None else f' title="{escape(target.title)}"'
        url = escape(encode_url(target.url))
        if bracket.image:
            html = f'<img src="{url}" alt="{escape(plain)}"{title} />'
        else:
            html = f'<a href="{url}"{title}>{"".join(piece.html for piece in inner)}</a>'
            self.forbid_links()
        self.pieces[bracket.piece :] = [_Piece(html, plain)]

    def forbid_links(self) -> None:
        """No link stands within a link: the brackets that are still open begin none."""
        for bracket in reversed(self.brackets):
            if not bracket.image:
                if not bracket.active:
                    break
                bracket.active = False

    def target(self, bracket: _Bracket) -> tuple[Target, int] | None:
        """Where the link that ends with the bracket here leads, and where it ends."""
        after = self.at + 1
        if inline := self.inline_target(after):
            return inline
        label = scan_label(self.text, after)
        if label and label[0]:
            name, after = label
        elif bracket.nests:
            return None
        else:
            name = self.text[bracket.after : self.at]
            after = label[1] if label else after
        target = self.references.get(normalize(name))
        return (target, after) if target else None

    def inline_target(self, at: int) -> tuple[Target, int] | None:
        """A destination and title in parentheses."""
        if not self.text.startswith("(", at):
            return None
        destination = scan_destination(self.text, skip_gap(self.text, at + 1))
        if destination is None:
            return None
        url, at = destination
        end, title = skip_gap(self.text, at), None
        found = scan_title(self.text, end) if end > at else None
        if found:
            title, end = found[0], skip_gap(self.text, found[1])
        return (Target(url, title), end + 1) if self.text.startswith(")", end) else None


def _is_space(char: str) -> bool:
    return char in "\t\n\f\r" or unicodedata.category(char) == "Zs"


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"
