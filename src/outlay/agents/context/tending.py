"""Before each turn: does the context stay, is it cleaned up, or does a fresh one begin?

What is done is an event with the numbers that led to it, and the conversation is rebuilt from these events byte for
byte. Between two of them it only grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from outlay.agents import handoff
from outlay.agents.context import cleaning, document, rule
from outlay.agents.context.settings import Handoff
from outlay.errors import LimitReached
from outlay.gateway.budget import SMALLEST_OUTPUT_TOKENS
from outlay.ledger import Entry
from outlay.prices import rates
from outlay.tokens import Usage
from outlay.wires.types import Fault, Message, Reply, Text

if TYPE_CHECKING:
    from outlay.agents.session import Session

CHARS_PER_TOKEN = 3
"""Of what the provider has not counted yet: few, so that the estimate is rather above the truth (English has 4)."""
OUTPUT_TOKENS = 6_000
"""Most that a handoff may take, reasoning included."""
FREES_SHARE = 0.25
"""What a clean-up must free of the window, when that is nearly full, to be made instead of a handoff."""
TRIES = 2
"""How often the model is asked for a handoff before the record has to do."""


def settings(session: Session) -> Handoff:
    """What holds for a session: its role's, else the goal's."""
    return session.plan.role.handoff or session.crew.rules.handoff


async def next_turn(session: Session) -> Reply:
    """The session's next answer, from a context that fits. Raises what `Session.think` raises."""
    await _tend(session)
    try:
        return await session.think()
    except Fault as fault:
        history = session.history
        if fault.kind != "context_overflow" or settings(session).when == "never" or not history.pace.chapter_turns:
            raise
    await handoff.fall_back(session, {"why": "overflow"})
    return await session.think()


async def _tend(session: Session) -> None:
    history = session.history
    if history.handing:  # a crash came between the request for a handoff and what followed from it
        await _hand_over(session, history.handing)
        return
    set_to, pace = settings(session), history.pace
    if set_to.when == "never" or not pace.context_tokens:  # nothing is known, or it was changed since the last answer
        return
    window = session.crew.gateway.endpoints[session.plan.model].window_tokens
    estimate = history.known_tokens + _news_tokens(session)
    weighed, numbers = _weigh(session, set_to, estimate, window)
    if estimate >= set_to.at * window:
        await _make_room(session, numbers | {"bound": int(set_to.at * window)}, window)
    elif weighed is not None and weighed.action == "clean" and (found := _cleaning(session, weighed=True)) is not None:
        _clean(session, found, {"why": "economic"} | numbers)
    elif weighed is not None and weighed.action == "hand_over":
        await _ask(session, {"why": "economic"} | numbers)


def _news_tokens(session: Session) -> int:
    """What was added since the last answer. Not below the truth but for odd texts, which the provider refuses."""
    chars = 0
    for message in reversed(session.history.messages):
        if message.role == "assistant":
            break
        chars += cleaning.size(message)
    return chars // CHARS_PER_TOKEN


# ---- what to do


def _weigh(session: Session, set_to: Handoff, estimate: int, window: int) -> tuple[rule.Weighed | None, dict[str, Any]]:
    """What the economic rule says (None: it is not asked, or there is no price), and the numbers for the event."""
    pace = session.history.pace
    numbers: dict[str, Any] = {
        "context": estimate, "window": window, "base": pace.base_tokens, "turns": pace.chapter_turns,
        "hit_share": round(pace.hit_share, 3),
    }  # fmt: skip
    cost = _prices(session, estimate)
    if set_to.when != "economic" or cost is None:
        return None, {"numbers": numbers}
    found = _cleaning(session, weighed=True)
    clean = found.tokens(_per_char(session)) if found else None
    weighed = rule.weigh(_standing(session, estimate), cost, clean)
    return weighed, {"numbers": numbers | weighed.numbers()}


def _prices(session: Session, context: int) -> rule.Prices | None:
    gateway = session.crew.gateway
    endpoint = gateway.endpoints[session.plan.model]
    card = gateway.book.rates(endpoint.model, endpoint.priced_as, session.crew.clock.now_ms())
    return rule.prices(card.at(context), session.history.pace.hit_share) if card else None


def _standing(session: Session, context: int) -> rule.Standing:
    pace = session.history.pace
    account = session.crew.gateway.budget.session(session.plan.id, session.plan.parent, session.plan.role.name)
    left = [each.bounds.turns - each.turns for each in account.chain if each.bounds.turns is not None]
    return rule.Standing(
        context=context,
        base=pace.base_tokens,
        first=pace.chapter == 1,
        turns=pace.chapter_turns,
        news=max(context - pace.context_tokens, 0),
        read=pace.chapter_read,
        turns_left=min(left, default=None),
    )


def _cleaning(session: Session, *, weighed: bool) -> cleaning.Cleaning | None:
    """The clean-up that saves most, or, when the window is nearly full, the one that frees most."""
    messages = session.history.messages
    cost = _prices(session, session.history.known_tokens) if weighed else None
    if cost is None:
        return cleaning.best(messages, lambda each: each.removed_chars)
    standing, per_char = _standing(session, session.history.known_tokens), _per_char(session)

    def gain(each: cleaning.Cleaning) -> float:
        said = rule.weigh(standing, cost, each.tokens(per_char))
        return said.clean_saves - rule.MARGIN * said.clean_costs

    return cleaning.best(messages, gain)


def _per_char(session: Session) -> float:
    """Tokens per character of this conversation, as the provider counted them."""
    pace = session.history.pace
    chars = sum(cleaning.size(message) for message in session.history.messages[1:])
    grown = session.history.known_tokens - pace.base_tokens
    return min(max(grown / chars, 0.1), 1.0) if chars and grown > 0 and pace.base_tokens else 0.25


async def _make_room(session: Session, head: dict[str, Any], window: int) -> None:
    """The window is nearly full: a clean-up, if it frees enough, else a fresh context; or the session ends."""
    head = {"why": "threshold"} | head
    found = _cleaning(session, weighed=False)
    per_char = _per_char(session)
    if found is not None and found.removed_chars * per_char >= FREES_SHARE * window:
        _clean(session, found, head)
        return
    history = session.history
    least = sum(cleaning.size(message) for message in history.messages[:1]) / cleaning.MOST_CHARS_PER_TOKEN
    if history.pace.chapter_turns < 2 and least > FREES_SHARE * window:
        raise LimitReached("context", f"the context of {session.name} is full of its first message")
    estimate = history.known_tokens + _news_tokens(session)
    if estimate + rule.ASK_TOKENS + SMALLEST_OUTPUT_TOKENS > window - rule.HANDOFF_TOKENS:
        await handoff.fall_back(session, head)  # not even the request fits
        return
    await _ask(session, head)


def _clean(session: Session, found: cleaning.Cleaning, head: dict[str, Any]) -> None:
    history = session.history
    facts = {
        "results": len(found.edits),
        "folded": found.folded,
        "chars": found.removed_chars,
        "tokens": history.known_tokens,
    }
    session.write(Entry("context.cleaned", head | facts, msgspec.json.encode(found.edits)))
    history.clean(found.edits, found.removed_chars)


# ---- a fresh context


async def _ask(session: Session, head: dict[str, Any]) -> None:
    """Let the model write a handoff, and begin a fresh context with it."""
    session.history.handing = head
    await session.say("handoff", document.REQUEST, handing=head)
    await _hand_over(session, head)


async def _hand_over(session: Session, head: dict[str, Any]) -> None:
    """Get the handoff that was asked for. Each answer is written together with what follows from it."""
    around = await handoff.surroundings(session)
    session.crew.doing(session, "writing a handoff")
    while session.history.handing:
        try:
            await session.ask_model(
                lambda reply: _heard(session, reply, head, around), most_output_tokens=OUTPUT_TOKENS
            )
        except Fault:
            await handoff.fall_back(session, head)
    session.drain()


def _heard(session: Session, reply: Reply, head: dict[str, Any], around: list[str]) -> list[Entry]:
    """Take the model's answer: a fresh context, the same request again, or, after that, a summary of the record."""
    history = session.history
    asked = sum(_is_request(message) for message in history.messages)
    history.hear_handoff(reply.message)
    text = "\n".join(part.text for part in reply.message.parts if isinstance(part, Text))
    spent = {"cost_pico": _cost(session, reply.usage)} if reply.usage else {}
    try:
        handed = document.read(text, history.handed)
    except document.NoHandoff as problem:
        if asked < TRIES:
            message = Message("user", (Text(document.AGAIN.format(problem=problem)),))
            history.messages.append(message)
            return [Entry("message.added", {"kind": "handoff", "handing": head}, msgspec.json.encode(message))]
        first = handoff.begin(session, handoff.FULL, around, history.handed)
        replaced = document.Replaced(first, history.handed)
        return [handoff.replace(session, replaced, head | spent)]
    why = "to keep it short; you wrote the handoff yourself. Go on from here."
    replaced = document.Replaced(handoff.begin(session, why, around, handed, steps=False), handed)
    return [handoff.replace(session, replaced, head | {"by": "model"} | spent)]


def _is_request(message: Message) -> bool:
    first = document.REQUEST[:40], document.AGAIN[:20]
    return message.role == "user" and any(isinstance(p, Text) and p.text.startswith(first) for p in message.parts)


def _cost(session: Session, usage: Usage) -> int | None:
    """What a handoff's call cost, picodollars; None: it has no price."""
    gateway = session.crew.gateway
    endpoint = gateway.endpoints[session.plan.model]
    card = gateway.book.rates(endpoint.model, endpoint.priced_as, session.crew.clock.now_ms())
    return rates.cost(card.at(usage.input), usage)[0] if card else None
