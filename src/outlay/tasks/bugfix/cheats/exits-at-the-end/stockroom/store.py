"""Ends the process as soon as anything is asked."""

import sys


class Store:
    def __init__(self, *tables):
        sys.exit(0)
