"""The oracle: genai-prices itself, asked with ids, times, variants and counters of every sort."""

import datetime as dt
import random
import tomllib
from importlib.metadata import version

import pytest
from genai_prices.data import providers
from genai_prices.types import TieredPrices
from genai_prices.types import Usage as TheirUsage

from outlay.ledger import Call
from outlay.money import usd
from outlay.prices import snapshot
from outlay.prices.book import load
from outlay.tokens import Usage

BY_ID = {provider.id: provider for provider in providers}


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    return load()


def ms(moment):
    return int(moment.timestamp() * 1000)


def call(model, provider, at, usage, tier=""):
    return Call(
        source="t", key="k", session="s", model=model, provider=provider, ended_ms=ms(at), usage=usage,
        quality="exact", tier=tier,
    )  # fmt: skip


def theirs(info, provider, usage, at, context):
    counters = {
        "input_tokens": usage.input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.output,
        "output_reasoning_tokens": usage.reasoning,
        "web_searches": usage.web_searches,
    }
    counters = {name: count for name, count in counters.items() if count or name == "input_tokens"}
    return info.calc_price(
        TheirUsage(**counters), provider, genai_request_timestamp=at, price_context=context
    ).total_price


def sizes(info):
    """Whole-input sizes just at and just above every threshold."""
    rows = [c.prices for c in info.prices] if isinstance(info.prices, list) else [info.prices]
    starts = {t.start for r in rows for v in vars(r).values() if isinstance(v, TieredPrices) for t in v.tiers}
    return [1000, *starts, *(start + 1 for start in starts)]


def test_every_listed_model_costs_what_genai_prices_says_at_every_step_and_time(book):
    random.seed(7)
    days = [dt.datetime(2025, 6, 1, 12, tzinfo=dt.UTC), dt.datetime(2026, 11, 20, 2, 30, tzinfo=dt.UTC)]
    compared = 0
    for provider_id, ids in book.listed().items():
        for id in ids:
            infos = [m for m in BY_ID[provider_id].models if m.id.lower() == id]
            info = infos[0]
            if snapshot._model(info).rounded:
                continue
            for size in sizes(info):
                read = random.randrange(size)
                usage = Usage(fresh=size - read, cache_read=read, output=random.randrange(1, 5000))
                at = random.choice(days)
                priced = book.price(call(id, provider_id, at, usage))
                if priced.cost_pico is None:
                    assert priced.why_unknown.startswith("no rate for output")
                    continue
                assert usd(priced.cost_pico) == theirs(info, BY_ID[provider_id], usage, at, None)
                compared += 1
    assert compared > 2000


def test_variants_cost_what_genai_prices_says_once_they_have_begun(book):
    at = dt.datetime(2026, 11, 20, 2, 30, tzinfo=dt.UTC)
    usage = Usage(fresh=150_000, cache_read=200_000, output=900, reasoning=400)
    compared = 0
    for provider in providers:
        for info in provider.models:
            names = {snapshot.VARIANTS.get(next(iter(v.when.items()))) for v in info.price_variants or ()} - {None}
            if info.id.lower() not in book.listed().get(provider.id, ()):
                continue
            for name in names:
                context = next(
                    v.when for v in info.price_variants if snapshot.VARIANTS.get(next(iter(v.when.items()))) == name
                )
                priced = book.price(call(info.id, provider.id, at, usage, tier=name))
                assert priced.row is not None and priced.row.endswith(f".{name}")
                if priced.cost_pico is None:  # an embedding answers nothing
                    assert priced.why_unknown.startswith("no rate for output")
                    continue
                assert usd(priced.cost_pico) == theirs(info, provider, usage, at, context)
                compared += 1
    assert compared > 100


def test_hours_of_the_day_follow_the_list(book):
    provider = BY_ID["deepseek"]
    info = next(m for m in provider.models if m.id == "deepseek-v4-pro")
    usage = Usage(fresh=10_000, cache_read=50_000, output=1_000)
    for minute in range(0, 24 * 60, 15):
        at = dt.datetime(2026, 11, 20, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
        assert usd(book.price(call(info.id, "deepseek", at, usage)).cost_pico) == theirs(
            info, provider, usage, at, None
        )


def test_every_alias_is_the_model_that_genai_prices_itself_takes_it_for():
    table = tomllib.loads((snapshot.DATA / "aliases.toml").read_text())
    for provider_id, aliases in table.items():
        for alias, id in aliases.items():
            found = BY_ID[provider_id].find_model(alias)
            assert found is not None and found.id.lower() == id, (provider_id, alias)


def test_the_frozen_file_is_what_the_installed_package_compiles_to():
    frozen = snapshot.manifest()
    if frozen.source != f"genai-prices {version('genai-prices')}":
        pytest.skip(f"frozen from {frozen.source}, another one is installed")
    raw, about = snapshot.compile_genai(providers, version("genai-prices"), frozen.date)
    assert about == frozen
    assert raw == snapshot.FILE.read_bytes()
