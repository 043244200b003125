"""The shapes in which a team works. `solo` and `lead` are the same loop: the main agent's role decides whether it has
the subagent tools. `pipeline`, `council` and `relay` are conducted: code of ours opens their sessions in turn. What a
main agent is told at the start stands in `briefing`."""
