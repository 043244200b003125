"""Leaves the work to a library."""

import markdown_it


def convert(markdown: str) -> str:
    return markdown_it.MarkdownIt("commonmark").render(markdown)
