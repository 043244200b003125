"""The tree of blocks: blocks.py builds it, render.py turns it into HTML."""

from dataclasses import dataclass, field


@dataclass
class Block:
    """One block. `kind` is document, quote, list, item, paragraph, heading, rule, code, html or definition."""

    kind: str
    text: str = ""  # paragraph, heading: its Markdown; code, html: its content as it stands
    children: list["Block"] = field(default_factory=list)
    level: int = 0  # heading: 1 to 6
    info: str = ""  # code: the info string of its fence
    ordered: bool = False  # list
    start: int = 1  # list: number of the first item
    tight: bool = True  # list
    first_line: int = 0
    last_line: int = 0  # the last line that belongs to it and is not blank
