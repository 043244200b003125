"""What blocks and inlines share: escaping, entities, URLs, the shape of HTML tags."""

import re
from html.entities import html5
from urllib.parse import quote

PUNCTUATION = "!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~"
"""ASCII punctuation, to stand in a character class: what a backslash can escape."""

ENTITY = re.compile(r"&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-zA-Z][a-zA-Z0-9]*));")
_ESCAPED = re.compile(rf"\\([{PUNCTUATION}])|{ENTITY.pattern}")
_SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}

_SPACE = r"[ \t\n]"
_VALUE = r"""[^ \t\n"'=<>`]+|'[^']*'|"[^"]*\""""
_ATTRIBUTE = rf"{_SPACE}+[a-zA-Z_:][a-zA-Z0-9_.:-]*(?:{_SPACE}*={_SPACE}*(?:{_VALUE}))?"
OPEN_TAG = rf"<[a-zA-Z][a-zA-Z0-9-]*(?:{_ATTRIBUTE})*{_SPACE}*/?>"
CLOSING_TAG = rf"</[a-zA-Z][a-zA-Z0-9-]*{_SPACE}*>"


def escape(text: str) -> str:
    """Text as it stands in HTML, also within a quoted attribute."""
    return re.sub('[&<>"]', lambda match: _SPECIAL[match[0]], text)


def character(match: re.Match[str]) -> str:
    """The character that a match of ENTITY means; the text itself when there is no such entity."""
    hexadecimal, decimal, name = match.groups()[-3:]
    if name:
        return html5.get(name + ";", match[0])
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    valid = 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000
    return chr(code) if valid else "\N{REPLACEMENT CHARACTER}"


def unescape(text: str) -> str:
    """Text with its backslash escapes and entities resolved."""
    return _ESCAPED.sub(lambda match: match[1] or character(match), text)


def encode_url(url: str) -> str:
    """A URL with everything percent-encoded that must be; what is encoded already stays."""
    return quote(url, safe="%!#$&'()*+,-./:;=?@_~")
