"""Readers of others' published results, one format a file. `read_files` recognises each by its content."""

from outlay.experiments.published.detect import FORMATS, read_files

__all__ = ["FORMATS", "read_files"]
