"""Markdown to HTML after CommonMark 0.31.2, with the standard library alone."""

from md2html import blocks, render


def convert(markdown: str) -> str:
    """The HTML of a Markdown document."""
    document, references = blocks.parse(markdown)
    return render.to_html(document, references)
