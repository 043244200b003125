"""What `outlay statusline` starts in the background: finds the line out anew."""

from __future__ import annotations

import sys


def main() -> None:
    """Arguments: where the line is kept, and the session's id where there is one."""
    from outlay.views.statusline import refresh

    refresh(sys.argv[2] if len(sys.argv) > 2 else None, sys.argv[1])


if __name__ == "__main__":
    main()
