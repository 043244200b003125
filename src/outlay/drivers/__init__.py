"""Other agents, driven as sessions: Claude Code, Codex, OpenCode, Gemini CLI, and whatever speaks ACP."""
