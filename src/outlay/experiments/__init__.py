"""Trials of tasks by arms: our own results and published ones, in one form."""
