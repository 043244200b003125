"""Pursuing a goal: goal files, the supervisor, checks, limits, resume, delivery."""
