"""The fixed part of a session's prompt. It never changes within a session, so that providers' caches hold."""

from __future__ import annotations

from outlay.agents.role import Role

_COMMON = """\
Work in the folder that the tools see as /workspace; paths are relative to it. Commands run in a sandbox{network}. \
Look before you change: read what you edit, run what you write. When something fails twice the same way, change the \
approach."""

_MAIN = """\
You are the main agent of an unattended run. Reach the goal below; it counts as reached only when its checks pass in \
the final state of the workspace, and Outlay runs them itself. Nobody is there to answer questions or approve \
things, so decide and go on. """

_FINISH = """ When the goal is reached call finish with a short summary; the checks run then, and failures come back \
to you."""

_DRIVEN_FINISH = """ When the goal is reached end your turn with a short summary; the checks run then, and failures \
come back to you."""

_DRIVEN_ANSWER = """ Your last message is your answer: what you found or changed, with file names and facts, at most \
{answer_tokens} tokens; the one who asked sees nothing else. If you cannot go on without a decision, use ask."""

_LEAD = """

You have subagents: sessions with a fresh context that know only the task you write, so name files, facts and what \
to return. Delegate reading, searching and self-contained work; start independent ones together and wait for them \
once. Their changes are merged into your workspace when you wait; conflicts come back as markers in the files."""

_SUBAGENT = """\
You are a subagent of an unattended run. Do the task you are given and nothing else. """

_ANSWER = """ When done call finish with your answer: what you found or changed, with file names and facts, at most \
{answer_tokens} tokens; the one who asked sees nothing else. If you cannot go on without a decision, use ask."""


def system_prompt(
    role: Role, *, main: bool, leads: bool, hosts: tuple[str, ...], answer_tokens: int, skills: str = "",
    driven: bool = False,
) -> str:  # fmt: skip
    """System prompt of a session: the role's own prompt, then what holds for every session of its place. driven: it is
    another agent, whose turn has an end of its own."""
    network = f"; it reaches only {', '.join(hosts)}" if hosts else " without network"
    text = role.prompt.strip() + "\n\n" if role.prompt.strip() else ""
    text += _MAIN if main else _SUBAGENT
    text += _COMMON.format(network=network)
    finish, answer = (_DRIVEN_FINISH, _DRIVEN_ANSWER) if driven else (_FINISH, _ANSWER)
    text += finish if main else answer.format(answer_tokens=answer_tokens)
    if leads:
        text += _LEAD
    if skills:
        text += f"\n\nSkills (load one with the skill tool before work it fits):\n{skills}"
    return text
