"""Makes a policy out of answers: which models there are, and whom you trust with what."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from outlay.errors import InputError
from outlay.policy import vendors
from outlay.policy.load import load_text
from outlay.policy.selector import parse_selector
from outlay.policy.source import parse_source
from outlay.policy.toml_lines import nearest
from outlay.policy.types import PLACES, Data, Defaults, Hop, Policy, Recipient, Rule
from outlay.policy.write import write

ORDINARY = "ordinary"
"""Data name of what nobody labelled."""
KEYS = Data(
    "keys",
    tuple(
        parse_source(text)
        for text in ("scan:secret", "path:**/.env", "path:**/*.pem", "path:**/.ssh", "path:**/.aws", "path:**/.netrc")
    ),
)
"""What every composed policy keeps from everybody."""
HEAD = """\
Whom I trust with what. `outlay policy check` reads it, `outlay policy matrix` shows it, the reference page of
policies explains it. No rule means no; what has several labels may go only where each of them may go."""


class Answers(msgspec.Struct, frozen=True):
    """What a person said."""

    models: tuple[Recipient, ...]
    ordinary: tuple[Rule, ...]
    """Who may see what nobody labelled."""
    data: tuple[Data, ...] = ()
    purpose: str = ""


def model_of(text: str) -> Recipient:
    """A model from `NAME=VENDOR`, `NAME=VENDOR@URL`, `NAME=device@URL` or `NAME=onprem@URL`. Raises InputError."""
    name, equals, where = (part.strip() for part in text.partition("="))
    if not (name and equals and where):
        raise InputError(f"{text!r} is no model; write NAME=VENDOR, NAME=device@URL or NAME=onprem@URL")
    who, _, url = where.partition("@")
    if who in ("device", "onprem"):
        if not url:
            raise InputError(f"{name}: where does it run? write {name}={who}@http://127.0.0.1:8080/v1")
        return Recipient("model", name, (Hop("model", name, who, "self"),), endpoint=url)
    if typo := vendors.typo_of(who):
        raise InputError(f"{name}: no vendor {who!r}; did you mean {typo!r}?")
    if not url and who not in vendors.ENDPOINTS:
        raise InputError(f"{name}: {who} is called at which URL? write {name}={who}@https://host/path")
    return Recipient("model", name, (Hop("model", name, "cloud", who),), endpoint=url or vendors.ENDPOINTS[who])


def promise(models: Iterable[Recipient], text: str) -> tuple[Recipient, ...]:
    """The models with what a vendor's contract promises, from `VENDOR=TERM,TERM`. Raises InputError."""
    models = tuple(models)
    vendor, equals, listed = (part.strip() for part in text.partition("="))
    known = {model.hops[0].vendor for model in models}
    if not equals or vendor not in known:
        raise InputError(f"--term {text!r}: no vendor {vendor!r}{nearest(vendor, known)}; write VENDOR=no-train")
    terms = frozenset(words(listed))

    def with_terms(model: Recipient) -> Recipient:
        own, *between = model.hops
        if own.vendor != vendor:
            return model
        return msgspec.structs.replace(model, hops=(msgspec.structs.replace(own, terms=own.terms | terms), *between))

    return tuple(with_terms(model) for model in models)


def trusted(text: str, models: Iterable[Recipient]) -> tuple[Rule, ...]:
    """Rules from what people write: `google, device`, `vendor:google & term:no-train`, `nobody`, `anybody`.

    A bare word is a place, a vendor or a model. Raises InputError with the nearest right word.
    """
    models = tuple(models)
    if text.strip() in ("nobody", "none"):
        return ()
    found = {_trust(word, models).text: _trust(word, models) for word in words(text)}
    if not found:
        raise InputError("who? write nobody, anybody, device, onprem, a vendor, a model, or a selector")
    return tuple(found[key] for key in sorted(found))


def _trust(word: str, models: tuple[Recipient, ...]) -> Rule:
    if word in ("anybody", "any"):
        return parse_selector("any")
    if ":" in word:
        try:
            return parse_selector(word)
        except ValueError as error:
            raise InputError(str(error)) from None
    known = {place: f"place:{place}" for place in PLACES}
    known |= {model.hops[0].vendor: f"vendor:{model.hops[0].vendor}" for model in models}
    known |= {model.name: f"model:{model.name}" for model in models}
    if word not in known:
        raise InputError(f"nobody is called {word!r}{nearest(word, [*known, 'nobody', 'anybody'])}")
    return parse_selector(known[word])


def data_of(name: str, sources: str, rules: tuple[Rule, ...] = ()) -> Data:
    """A kind of data from its sources, `path:/data/health/**, mcp:whoop/*`. Raises InputError."""
    name = name.strip()
    if not name or any(char.isspace() or char in ",=" for char in name):
        raise InputError(f"{name!r} is no name for data; one word, such as health")
    if name in (ORDINARY, KEYS.name):
        raise InputError(f"{name!r} is taken: the file has it already; choose another name")
    try:
        return Data(name, tuple(parse_source(text) for text in words(sources)), rules)
    except ValueError as error:
        raise InputError(str(error)) from None


def words(text: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def compose(answers: Answers) -> str:
    """The policy file. Raises InputError when the answers do not go together."""
    if not answers.models:
        raise InputError("a policy needs a model; --model NAME=VENDOR, or --ready NAME")
    names = [model.name for model in answers.models] + [data.name for data in answers.data]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name!r} is given twice")
    policy = Policy(
        defaults=Defaults(ORDINARY),
        models={model.name: model for model in answers.models},
        tools={},
        data={data.name: data for data in (Data(ORDINARY, (), answers.ordinary), *answers.data, KEYS)},
        releases={},
        purpose=answers.purpose,
    )
    text = write(policy, HEAD)
    load_text(text, "the new policy")
    return text
