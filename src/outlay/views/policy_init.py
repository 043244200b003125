"""Writes a new policy file: a ready one, one from flags, or one from questions."""

from __future__ import annotations

from pathlib import Path

from outlay.errors import EnvironmentProblem, InputError
from outlay.policy.compose import Answers, compose, data_of, model_of, promise, trusted
from outlay.policy.ready import ready as ready_text
from outlay.policy.toml_lines import nearest

Flags = tuple[str, ...]


def write_new(
    file: Path, *, ready: str | None, force: bool, models: Flags, terms: Flags, data: Flags, trust: Flags,
    others: str | None, purpose: str,
) -> str:  # fmt: skip
    """Write the file and say so. Raises InputError for answers that cannot be used; then nothing is written."""
    if file.exists() and not force:
        raise InputError(f"{file} exists; choose another name, or overwrite it with --force")
    flags = bool(models or terms or data or trust or others or purpose)
    if ready is not None:
        if flags:
            raise InputError("--ready writes a policy as it is; leave the other options out, then change the file")
        text = ready_text(ready)
    elif flags:
        text = compose(from_flags(models, terms, data, trust, others, purpose))
    else:
        from outlay.views.policy_questions import questions

        text = compose(questions())
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {file}: {error.strerror}") from None
    return f"wrote {file}; look at it with: outlay policy check {file} && outlay policy matrix --policy {file}"


def from_flags(models: Flags, terms: Flags, data: Flags, trust: Flags, others: str | None, purpose: str) -> Answers:
    """The answers that flags give. Raises InputError."""
    if not models or others is None:
        raise InputError("without questions --model and --others are needed; who may see what nobody labelled?")
    found = tuple(model_of(text) for text in models)
    for text in terms:
        found = promise(found, text)
    sources = dict(_pair("--data", text) for text in data)
    whom = dict(_pair("--trust", text) for text in trust)
    for flag, given, names in (("--data", data, sources), ("--trust", trust, whom)):
        if len(names) < len(given):
            raise InputError(f"{flag} has a name twice; give all that belongs to it at once, with commas")
    for name in whom:
        if name not in sources:
            raise InputError(f"--trust {name}: no such data{nearest(name, sources)}; give --data {name}=SOURCE")
    kinds = tuple(data_of(name, where, trusted(whom.get(name, "nobody"), found)) for name, where in sources.items())
    return Answers(found, trusted(others, found), kinds, purpose)


def _pair(flag: str, text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise InputError(f"{flag} {text!r}: write {flag} NAME=...")
    return name, value
