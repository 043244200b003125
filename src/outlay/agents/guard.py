"""The policy at work in a run: what each session may be told, and what may leave it.

A session's label is the join of everything that entered its conversation, and only grows. What its model may not see
does not enter: the session gets a handle instead, which it can hand to one that is cleared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from outlay.agents.databases import Read
from outlay.agents.labels import Handle, Labels
from outlay.agents.sight import Seat, Sight
from outlay.agents.tool import Outcome, Refused
from outlay.errors import InputError
from outlay.gateway import Caller
from outlay.gateway.endpoint import Endpoint
from outlay.gateway.policing import denied, recipient, unknown
from outlay.ledger import Entry
from outlay.policy import secrets
from outlay.policy.clearance import STRANGERS, Clearance
from outlay.policy.decide import find_recipient, purpose_fits
from outlay.policy.release import release_fact
from outlay.policy.source import join, label_path, label_sql, label_text, label_tool, sql_fits
from outlay.policy.types import Label
from outlay.sandbox.types import Use
from outlay.sandbox.workspace import Change
from outlay.wires.types import Request, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from outlay.agents.history import History
    from outlay.agents.session import Session

HANDLE = re.compile(r"\bhandle:(h\d+)\b")
"""How an agent names a handle in a task, a message or an argument."""
COMMANDS = ("shell", "grep", "glob")
"""Tools that may tell something of every file that the session sees."""
FILES = ("read", "edit")
_FACT_CHARS = 10_000
"""A longer answer is no fact."""


@dataclass
class Guard:
    """One run's policy, enforced. Without a policy a run has none of these, and nothing is asked."""

    clearance: Clearance
    labels: Labels
    sight: Sight
    models: Mapping[str, str]
    """Model of the goal -> the policy's name of it."""
    task_label: Label
    """Of the goal and the files that are shown with it."""
    attended: bool = False
    """Whether a person is at the terminal."""
    _heard: dict[str, Label] = field(default_factory=dict)
    """Session -> labels of what its present tool call was told about others."""
    _opened: dict[str, Label] = field(default_factory=dict)
    """Tool call -> labels of the handles that were opened in it."""
    _refusals: dict[str, str] = field(default_factory=dict)
    """Session -> the denial of its present tool call: words of ours, for everybody."""

    # ---- clearances

    def cleared(self, model: str) -> Label:
        """The data names that a model of the goal may see."""
        return self.clearance.names(self.models[model])

    def seat(self, place: str, model: str, history: History) -> None:
        """Tell the workspaces who will sit at a place."""
        self.sight.seat(place, Seat(self.cleared(model), history))

    def releases(self) -> tuple[str, ...]:
        """The releases that an agent may ask for by a handle."""
        return tuple(sorted(name for name, r in self.clearance.policy.releases.items() if r.how != "schema"))

    def gate(self, caller: Caller, endpoint: Endpoint, request: Request) -> tuple[Entry, str] | None:
        """At the gateway, before every attempt: None, or the denial that is written down and told."""
        label = caller.label | self.clearance.secrets(_news(request))
        try:
            name = self.models.get(endpoint.name) or recipient(self.clearance, endpoint)
        except InputError as error:
            return unknown(error, caller.name, label, endpoint.name)
        if label <= self.clearance.names(name):
            return None
        return self.denied("model", caller.name, label, name, "model")

    def denied(self, point: str, session: str, label: Label, recipient: str, kind: str) -> tuple[Entry, str]:
        """A denial as an event, and in words. It holds the names of data, and never data."""
        return denied(self.clearance, point, session, label, recipient, "tool" if kind == "tool" else "model")

    async def refuse(self, point: str, session: str, label: Label, recipient: str, kind: str) -> Refused:
        """A denial, written down, as what a tool raises."""
        entry, words = self.denied(point, session, label, recipient, kind)
        return await self._refusal(session, entry, words)

    async def _refusal(self, session: str, entry: Entry, words: str) -> Refused:
        await self.labels.write(entry)
        self._refusals[session] = words
        return Refused(words)

    # ---- sessions are started and told things

    async def may_start(self, session: Session, model: str) -> None:
        """Raises Refused when a subagent on that model may not be told what this session knows."""
        if not session.history.label <= self.cleared(model):
            raise await self.refuse("spawn", session.name, session.history.label, self.models[model], "model")

    async def message(self, session: Session, child: Session, text: str) -> str:
        """A message to a subagent, with the handles in it opened that its model may see. Raises Refused.

        The label of who writes it is a part of the subagent's from then on.
        """
        await self.may_start(session, child.plan.model)
        opened, label = self.opened(text, child.plan.model)
        child.history.label |= session.history.label | label
        return opened

    async def brief(
        self, parent: Session | None, model: str, task: str, files: Label = frozenset()
    ) -> tuple[str, Label]:
        """A new session's task with the handles in it opened that its model may see, and its label.

        files: the label of files that are handed along.
        """
        if parent is None:
            return task, self.task_label
        label = parent.history.label | files
        if not label <= self.cleared(model):
            raise await self.refuse("spawn", parent.name, label, self.models[model], "model")
        opened, more = self.opened(task, model)
        return opened + self._how_to_answer(parent, model), label | more

    def opened(self, text: str, model: str) -> tuple[str, Label]:
        """A text with what its handles stand for, as far as a model may see it; and the label of that."""
        label: Label = frozenset()
        for handle in self._handles_in(text):
            if handle.label <= self.cleared(model) and handle.text is not None:
                text += f"\n\n<handle id={handle.id}>\n{handle.text}\n</handle>"
                label |= handle.label
        return text, label

    def _handles_in(self, text: str) -> list[Handle]:
        named = dict.fromkeys(HANDLE.findall(text))
        return [self.labels.handles[name] for name in named if name in self.labels.handles]

    def _how_to_answer(self, parent: Session, model: str) -> str:
        """What a subagent that may see more than its parent is told about answering."""
        more = self.cleared(model) - self.cleared(parent.plan.model)
        facts = [r for r in self.clearance.policy.releases.values() if r.how == "schema" and r.data & more]
        if not more or not facts:
            return ""
        schemas = "\n".join(f"- {msgspec.json.encode(release.schema).decode()}" for release in facts)
        return (
            "\n\nYou may see data that the one who asks may not. What you learn from it reaches them only when your "
            f"answer is nothing but JSON that fits one of these schemas:\n{schemas}"
        )

    # ---- before a tool

    async def sending(self, session: Session, call: ToolCall) -> ToolCall:
        """What a tool call may carry out; the call with its handles opened. Raises Refused.

        What the tool is about to read counts from here on: what it writes has that label, too.
        """
        arguments = _arguments(call)
        place = session.crew.place(session.name)
        if call.name in COMMANDS:
            await self._reading(session, self.sight.visible(place))
        elif call.name in FILES and isinstance(path := arguments.get("path"), str) and not path.startswith("/"):
            await self._reading(session, self.sight.label_at(place, path))
        if call.name == "shell":
            await self._check_shell(session)
        elif call.name == "query":
            # What came out of a database may go back into it: it only reads.
            own = self._may_hold(session, str(arguments.get("database")))
            await self._check_tool(session, f"query/{arguments.get('database')}", session.history.label - own)
        elif call.name == "mcp" and arguments.get("tool"):
            return await self._to_server(session, call, arguments)
        return call

    async def _reading(self, session: Session, label: Label) -> None:
        if not label <= self.cleared(session.plan.model):
            raise await self.refuse("read", session.name, label, self.models[session.plan.model], "model")
        self._hear(session, label)

    def _hear(self, session: Session, label: Label) -> None:
        self._heard[session.name] = self._heard.get(session.name, frozenset()) | label
        session.history.label |= label

    def label_of_rows(self, database: str, reads: Iterable[Read]) -> Label:
        """The label of rows by what they are from. The rules may name a schema, or the database as the goal does."""
        policy = self.clearance.policy
        return join(
            label_sql(policy, schema, each.table, each.column) for each in reads for schema in {each.schema, database}
        )

    def _may_hold(self, session: Session, database: str) -> Label:
        """The names that a database is a source of: all with SQL sources when the goal has no other database."""
        alone = len(session.crew.rules.databases) == 1
        return frozenset(
            data.name
            for data in self.clearance.policy.data.values()
            if any(
                s.kind == "sql" and (alone or sql_fits(f"{s.pattern.split('.')[0]}.*", database, ""))
                for s in data.sources
            )
        )

    # ---- another agent, which reads its workspace as it likes

    def held(self, session: Session) -> Label:
        """What another agent's conversation may hold: what it was told, and all that lies in its workspace."""
        return session.history.label | self.sight.visible(session.crew.place(session.name)) | self._strangers(session)

    async def mounted(self, session: Session) -> None:
        """All of its workspace is in its label, from the start and whenever something came into it. Raises Refused when
        its commands may not have that."""
        await self.sight.settle(session.crew.place(session.name))
        session.history.label |= self.held(session)
        if "shell" in session.plan.role.tools:
            await self._check_shell(session)

    def hosts_for_good(self, session: Session) -> tuple[str, ...]:
        """The hosts that it may reach as long as it lives: those that may get all that its model may ever be told."""
        return self._hosts(session, self.cleared(session.plan.model) - {STRANGERS})

    async def _check_shell(self, session: Session) -> None:
        """A policy that names the shell means every command and all that it can read."""
        for name in ("shell", "bash"):
            if find_recipient(self.clearance.policy, name, "tool") is not None:
                await self._check_tool(session, name, session.history.label)
                return

    def hosts(self, session: Session) -> tuple[str, ...]:
        """The hosts that a session's commands may reach: those that may get all that the commands can read."""
        return self._hosts(session, session.history.label | self.sight.visible(session.crew.place(session.name)))

    def _hosts(self, session: Session, label: Label) -> tuple[str, ...]:
        hosts = session.crew.rules.hosts
        return tuple(host for host in hosts if label <= self.clearance.names(f"net/{host}", "tool"))

    def _strangers(self, session: Session) -> Label:
        """What strangers wrote, when its commands reach a host where they do."""
        policy, hosts = self.clearance.policy, session.crew.hosts(session)
        found = (find_recipient(policy, f"net/{host}", "tool") for host in hosts)
        return frozenset((STRANGERS,)) if any(host is None or host.untrusted for host in found) else frozenset()

    async def _check_tool(self, session: Session, name: str, label: Label) -> None:
        if not label <= self.clearance.names(name, "tool"):
            raise await self.refuse("tool", session.name, label, name, "tool")
        recipient = find_recipient(self.clearance.policy, name, "tool")
        if recipient is not None and recipient.effect and STRANGERS in label:
            head = {"point": "effect", "session": session.name, "recipient": name, "label": sorted(label)}
            words = (
                f"Refused by the policy: {name} has effects outside, and this session has read what strangers wrote. "
                "Do not retry: let a subagent that has not read it do this, from a task that you write yourself."
            )
            entry = Entry("policy.denied", head | {"forbidden": [STRANGERS]}, words.encode())
            raise await self._refusal(session.name, entry, words)

    async def _to_server(self, session: Session, call: ToolCall, arguments: dict[str, Any]) -> ToolCall:
        name = f"{arguments.get('server')}/{arguments['tool']}"
        handles = self._handles_in(call.arguments)
        label = session.history.label | join(handle.label for handle in handles)
        await self._check_tool(session, name, label)
        if not handles:
            return call
        texts = {handle.id: handle.text or "(redacted)" for handle in handles}
        opened = _with_handles(arguments, texts)
        self._opened[call.id] = join(handle.label for handle in handles)
        return ToolCall(call.id, call.name, msgspec.json.encode(opened).decode())

    # ---- after a tool

    async def received(self, session: Session, call: ToolCall, outcome: Outcome) -> Outcome:
        """A tool's result as the session may have it: with its label, without secrets, or a handle for it."""
        label = self._heard.pop(session.name, frozenset()) | self._opened.pop(call.id, frozenset())
        label |= outcome.label | self._source(session, call, outcome)
        if self._refusals.pop(session.name, None) == outcome.text:
            return outcome
        text, found = self._without_secrets(outcome.text)
        label |= found
        if label <= self.cleared(session.plan.model):
            return msgspec.structs.replace(outcome, text=text, label=label - self.clearance.unlabelled)
        told = await self._kept(session, text, label, f"a result of {call.name}")
        # Whether it went wrong, how long it is: that, too, is told only to those who may see it.
        return msgspec.structs.replace(outcome, text=told, is_error=False, label=frozenset(), use=Use())

    def _source(self, session: Session, call: ToolCall, outcome: Outcome) -> Label:
        """The label of a result by where it is from."""
        policy, arguments = self.clearance.policy, _arguments(call)
        place = session.crew.place(session.name)
        if call.name in ("read", "edit", "write") and outcome.is_error:
            return self.sight.visible(place)  # its words may name other files
        if call.name in ("finish", "start", "wait"):
            return self.sight.visible(place) if call.name == "finish" else frozenset()
        if call.name == "mcp" and arguments.get("tool"):
            server, tool = str(arguments.get("server")), str(arguments["tool"])
            recipient = find_recipient(policy, f"{server}/{tool}", "tool")
            strangers = frozenset((STRANGERS,)) if recipient is None or recipient.untrusted else frozenset()
            return label_tool(policy, server, tool) | strangers
        if call.name == "shell":
            return self._strangers(session)
        if call.name == "skill":
            skill = session.crew.rules.skills.get(str(arguments.get("name")))
            return label_path(policy, str(skill.path)) if skill else frozenset()
        return frozenset()

    def _without_secrets(self, text: str) -> tuple[str, Label]:
        """The text with its secrets taken out; what cannot be cut out (the body of a key) labels all of it."""
        policy = self.clearance.policy
        if not label_text(policy, text):
            return text, frozenset()
        hits = secrets.scan(text)
        if any(hit.pattern == "private-key" for hit in hits):
            return text, label_text(policy, text)
        parts, at = [], 0
        for hit in hits:
            if hit.end > at:
                parts += [text[at : max(hit.start, at)], f"[{hit.pattern} taken out by the policy]"]
                at = hit.end
        cut = "".join([*parts, text[at:]])
        return cut, label_text(policy, cut)

    async def _kept(self, session: Session, text: str, label: Label, origin: str) -> str:
        handle = await self.labels.keep(text, label, origin, session.name)
        entry, words = self.denied("result", session.name, label, self.models[session.plan.model], "model")
        await self.labels.write(entry)
        return (
            f"{origin} is kept from you; it is handle:{handle}. Write handle:{handle} into the task of a subagent "
            f"whose model is cleared, and it will have it.\n{words}"
        )

    # ---- what one session learns of another

    async def shown(self, session: Session, text: str, label: Label, origin: str) -> str:
        """What another session said, as this one may have it: as it is, as a fact, or a handle for it.

        Its label is a part of the present tool result's.
        """
        label = label or self.clearance.unlabelled
        cleared = self.cleared(session.plan.model)
        if label <= cleared:
            self._hear(session, label)
            return text
        if (fact := await self._fact(session, text, label)) is not None:
            return fact
        return await self._kept(session, text, label, origin)

    def sees(self, session: Session, child: Session) -> bool:
        """Whether a session may know all that a subagent knows."""
        return child.history.label <= self.cleared(session.plan.model)

    def told_changes(self, session: Session, changes: tuple[Change, ...]) -> tuple[tuple[Change, ...], bool]:
        """The changed files that a session may know of, and whether these are all."""
        place = session.crew.place(session.name)
        seen = tuple(c for c in changes if self.sight.sees(place, c.path, c.old if c.status == "D" else c.new))
        for change in seen:
            self._hear(session, self.sight.label_at(place, change.path))
        return seen, len(seen) == len(changes)

    async def _fact(self, session: Session, text: str, label: Label) -> str | None:
        """The fact that an answer is, released; None when it is none, or its bits are used up."""
        policy, cleared = self.clearance.policy, self.cleared(session.plan.model)
        if len(text) > _FACT_CHARS:
            return None
        for release in policy.releases.values():
            if release.how != "schema" or not label - release.data <= cleared:
                continue
            if not purpose_fits(policy, release, policy.purpose):
                continue
            try:
                released = release_fact(policy, release.name, text.strip(), label, self.labels.spent)
            except InputError:
                continue
            await self.labels.note_release(release.name, released, label, session.name)
            self._hear(session, released.label)
            return released.content.decode()
        return None


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _with_handles(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return HANDLE.sub(lambda match: texts.get(match[1], match[0]), value)
    if isinstance(value, list):
        return [_with_handles(each, texts) for each in value]
    if isinstance(value, dict):
        return {key: _with_handles(each, texts) for key, each in value.items()}
    return value


def _news(request: Request) -> list[str]:
    """Texts that the model has not been sent before: those since its last answer."""
    texts: list[str] = []
    for message in reversed(request.messages):
        if message.role == "assistant":
            return texts
        for part in message.parts:
            if isinstance(part, Text):
                texts.append(part.text)
            elif isinstance(part, ToolResult):
                texts.append(part.content)
    return [*texts, request.system]
