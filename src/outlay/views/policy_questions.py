"""The questions of `outlay policy init`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from outlay.errors import InputError
from outlay.policy.compose import Answers, data_of, model_of, promise, trusted, words
from outlay.policy.types import Data, Recipient, Rule

T = TypeVar("T")
WHO = "nobody, anybody, device, onprem, a vendor, a model; several with commas"


def questions() -> Answers:
    """Ask on the terminal; an answer that cannot be used is asked for again."""
    click.echo("Whom do you trust with what? An empty answer ends a list; Ctrl-C writes nothing.\n")
    models = _models()
    for vendor in sorted({model.hops[0].vendor for model in models} - {"self"}):
        terms = _ask(f"What does your contract with {vendor} promise (no-train, zdr; empty: nothing)?", words)
        models = promise(models, f"{vendor}={','.join(terms)}") if terms else models
    click.echo(f"\nWho may see a thing: {WHO}.")

    def who(text: str) -> tuple[Rule, ...]:
        return trusted(text, models)

    ordinary = _ask("Who may see what nobody labelled?", who)
    return Answers(models, ordinary, _data(who))


def _models() -> tuple[Recipient, ...]:
    click.echo("Models: NAME=VENDOR (anthropic, openai, google, ...), NAME=device@URL, NAME=onprem@URL")
    models: list[Recipient] = []
    while True:
        model = _ask("Model", lambda text: model_of(text) if text.strip() else None)
        if model is None and models:
            return tuple(models)
        if model is None:
            click.echo("  one at least, such as claude-sonnet-5-5=anthropic")
        elif model.name in {other.name for other in models}:
            click.echo(f"  {model.name!r} is there already")
        else:
            models.append(model)


def _data(who: Callable[[str], tuple[Rule, ...]]) -> tuple[Data, ...]:
    click.echo("\nData that only some may see, such as health. Keys and passwords are kept from everybody anyway.")
    found: list[Data] = []
    while True:
        name = _ask("Name of such data", lambda text: data_of(text, "").name if text.strip() else "")
        if not name:
            return tuple(found)
        if name in {data.name for data in found}:
            click.echo(f"  {name!r} is there already")
            continue
        sources = _ask(f"Where does {name} come from (path:/folder/**, mcp:server/*, sql:schema.*)?", _sources(name))
        found.append(data_of(name, sources, _ask(f"Who may see {name}?", who)))


def _sources(name: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not data_of(name, text).sources:
            raise InputError("where is it? without a source nothing gets this label")
        return text

    return read


def _ask(question: str, read: Callable[[str], T]) -> T:
    while True:
        text = click.prompt(
            question, default="", show_default=False, prompt_suffix=" " if question.endswith("?") else ": "
        )
        try:
            return read(text)
        except InputError as error:
            click.echo(f"  {error}")
