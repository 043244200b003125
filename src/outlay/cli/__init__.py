"""The `outlay` command. All of it is in `outlay.cli.program`, but for what must not wait until that is imported."""

import sys


def main() -> None:
    """Entry point."""
    if sys.argv[1:] == ["statusline"]:
        from outlay.cli.status_line import print_known

        if print_known():
            return
    from outlay.cli import program

    program.main()
