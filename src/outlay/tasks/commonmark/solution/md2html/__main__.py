"""`python3 -m md2html FILE`: print the HTML of a Markdown file; `-` reads standard input."""

import argparse
import sys

from md2html import convert


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m md2html", description="Convert Markdown to HTML.")
    parser.add_argument("file", help="a Markdown file, or - for standard input")
    name = parser.parse_args().file
    try:
        with open(0 if name == "-" else name, encoding="utf-8", newline="") as file:
            markdown = file.read()
    except (OSError, UnicodeDecodeError) as error:
        print(f"cannot read {name}: {getattr(error, 'strerror', 'it is not UTF-8')}", file=sys.stderr)
        return 2
    sys.stdout.write(convert(markdown))
    return 0


sys.exit(main())
