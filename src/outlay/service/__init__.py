"""Subagents as a service: named sessions that others start, steer, wait for and pay."""
