"""What conducted shapes are written with: open a session, wait for its end, take over its work.

The main session of a conducted team makes no model calls. Its code begins anew after a crash and finds by their names
the sessions that it had opened, and in the ledger what they said: a step is done once, however often it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlay.agents.crew import Crew
from outlay.agents.history import last_words
from outlay.agents.role import Role
from outlay.agents.session import Ending, Session, merge_entry
from outlay.agents.tool import Merged, Refused
from outlay.agents.tools.delegation import CHARS_PER_TOKEN
from outlay.errors import InputError
from outlay.teams.team import Team
from outlay.wires.types import Text

_NOBODY = "Nobody can answer: decide yourself, and say in your answer what you assumed."


@dataclass
class Conductor:
    """The hand of a shape's code on its crew."""

    crew: Crew
    main: Session
    team: Team

    @property
    def goal(self) -> str:
        """What the run's main agent would be told: the goal, its checks, and later instructions."""
        task = self.main.plan.task
        told = (*self.main.history.messages, *self.main.inbox)
        texts = [part.text for message in told for part in message.parts if isinstance(part, Text)]
        return "\n\n".join([task, *(text for text in texts if text != task)])

    def find(self, name: str) -> Session | None:
        """The session of that name, if it was opened. A run that is resumed after its end begins with new sessions."""
        return self.crew.children(self.main).get(self._name(name))

    def _name(self, name: str) -> str:
        ends = self.main.history.ends
        return f"{name}-again-{ends}" if ends else name

    async def begin(self, name: str, role: Role, task: str, commit: str = "") -> Session:
        """Let a session work, from `commit` (default: the team's work as it stands); the one that was opened before."""
        child = self.find(name)
        if child is None:
            full = f"{self.main.name}/{self._name(name)}"
            start = commit or self.main.history.commit
            try:
                child = await self.crew.open(full, role, role.model, self.main, task, start)
            except Refused as refusal:  # what the others said may not go to this one's model
                raise InputError(f"{name}: {refusal}") from None
            self.crew.launch(child)
        return child

    async def ended(self, *children: Session) -> None:
        """Wait until all of these have ended. What they ask is answered: nobody is there to decide for them."""
        crew = self.crew
        while True:
            asking = [c for c in children if c.question is not None and c.history.answered is None]
            for child in asking:
                await crew.answer(child, _NOBODY)
            if asking:
                continue
            working = [c.name.rpartition("/")[2] for c in children if crew.at_work(c)]
            if not working:
                for child in children:  # what they said is in what the next one is told
                    self.main.history.label |= child.history.label
                return
            crew.doing(self.main, f"waiting for {', '.join(working)}")
            await crew.change(None)

    async def tell_again(self, child: Session, text: str) -> None:
        """Let a session that has ended go on with what the others said."""
        if (guard := self.crew.guard) is not None:
            try:
                text = await guard.message(self.main, child, text)
            except Refused as refusal:
                raise InputError(f"{child.name}: {refusal}") from None
        await self.crew.resume(child, text, None)

    async def work(self, name: str, role: Role, task: str, commit: str = "") -> Ending:
        """Let a session work to its end and take over what it changed."""
        child = await self.begin(name, role, task, commit)
        await self.ended(child)
        await self.adopt(child)
        return self.ending(child)

    async def consult(self, name: str, role: Role, task: str) -> Ending:
        """Let a session look at the work and say something; what it changed in its own copy is dropped."""
        child = await self.begin(name, role, task)
        await self.ended(child)
        return self.ending(child)

    async def adopt(self, child: Session) -> None:
        """Make the team's work what an ended session left; once for each of its ends."""
        main, theirs = self.main, child.history.commit
        if not child.own_clone or main.history.merged.get(child.name) == theirs:
            return
        await self.crew.hub.restore(self.crew.place(main.name), theirs)
        taken = Merged(child.name, child.history.synced, main.history.commit, theirs, theirs)
        main.write(merge_entry(taken))
        await main.flush()
        main.history.commit = main.history.merged[child.name] = theirs

    def ending(self, child: Session) -> Ending:
        """How a session ended the last time, its answer bounded; from the ledger, where an earlier process wrote it."""
        event = list(self.crew.ledger.events(child.plan.id, types=["session.ended"]))[-1]
        words = last_words(event)
        return Ending(event.head["status"], self.bounded(words.answer), words.reason, event.head["limit"])

    def statements(self, child: Session) -> list[str]:
        """What a session said at each of its ends, bounded."""
        ends = self.crew.ledger.events(child.plan.id, types=["session.ended"])
        return [self.bounded(last_words(event).answer) for event in ends]

    def bounded(self, text: str) -> str:
        """A text as it is handed on: no longer than an answer may be."""
        room = self.crew.rules.answer_tokens * CHARS_PER_TOKEN
        return text if len(text) <= room else f"{text[:room]}\n... (shortened)"


def failed(name: str, ending: Ending) -> Ending:
    """The end of a team one of whose members did not do its part."""
    why = f"{name}: {ending.reason or ending.status}"
    return Ending(ending.status, ending.answer, why, ending.limit)
