"""Outlay's own session loop: messages, tools, subagents."""
