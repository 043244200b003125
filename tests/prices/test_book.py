"""The price book: layers, dates, tiers, exact ids, and errors that a person can act on."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.ledger import Call
from outlay.money import usd
from outlay.prices import keep as keeping
from outlay.prices import snapshot
from outlay.prices.book import load
from outlay.prices.many import CLASSES, Columns, exact_sum
from outlay.tokens import Usage

NOVEMBER = int(dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC).timestamp() * 1000)
DAY = 86_400_000


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    return tmp_path


def call(model="claude-opus-4-6", at=NOVEMBER, quality="exact", **fields):
    facts = {n: fields.pop(n) for n in ("provider", "tier", "speed", "answered_model") if n in fields}
    return Call(
        source="t", key="k", session="s", model=model, ended_ms=at, quality=quality, usage=Usage(**fields), **facts
    )


def book_of(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load([path])


def cost(book, *args, **fields):
    priced = book.price(call(*args, **fields))
    return None if priced.cost_pico is None else usd(priced.cost_pico)


def test_an_id_is_matched_exactly_and_never_by_its_beginning():
    book = load()
    assert book.price(call("claude-opus-4-6", fresh=1)).cost_pico == 5_000_000
    unknown = book.price(call("claude-opus-4-60", fresh=1))
    assert (unknown.cost_pico, unknown.row) == (None, None)
    assert "claude-opus-4-60" in unknown.why_unknown


def test_a_dated_id_is_priced_because_it_is_written_down():
    priced = load().price(call("claude-sonnet-4-5-20250929", fresh=1))
    assert (priced.cost_pico, priced.row) == (3_000_000, "anthropic/claude-sonnet-4-5")


def test_an_unknown_model_has_no_cost_instead_of_none():
    priced = load().price(call("my-model", fresh=1, output=1))
    assert priced.cost_pico is None and "my-model" in priced.why_unknown and "price book" in priced.why_unknown


def test_the_same_model_costs_what_its_provider_asks():
    book = load()
    assert cost(book, "gpt-oss-120b", provider="groq", fresh=10**6) != cost(
        book, "gpt-oss-120b", provider="cerebras", fresh=10**6
    )
    assert "no provider named" in book.price(call("gpt-oss-120b", fresh=1)).why_unknown


def test_a_tier_starts_strictly_above_its_threshold_and_reprices_the_whole_call():
    book = load()
    at = usd(book.price(call("gpt-5.4", fresh=72_000, cache_read=200_000, output=0)).cost_pico or 0)
    above = usd(book.price(call("gpt-5.4", fresh=72_001, cache_read=200_000, output=0)).cost_pico or 0)
    assert at == Decimal("0.18") + Decimal("0.05")
    assert above == Decimal("0.360005") + Decimal("0.1")


def test_one_hour_writes_cost_more_than_five_minute_writes():
    book = load()
    assert cost(book, cache_write_5m=10**6) == Decimal("6.25")
    assert cost(book, cache_write_1h=10**6) == 10


def test_reasoning_is_a_part_of_output_and_is_charged_once():
    assert cost(load(), output=1000, reasoning=900) == cost(load(), output=1000)


def test_batch_before_its_known_beginning_is_unknown_and_not_full_price():
    book = load()
    before = int(dt.datetime(2026, 10, 13, 23, 59, tzinfo=dt.UTC).timestamp() * 1000)
    assert cost(book, at=before, tier="batch", fresh=10**6) is None
    assert cost(book, at=before + 60_000, tier="batch", fresh=10**6) == Decimal("2.5")


def test_a_mistyped_tier_is_unknown_and_not_standard():
    priced = load().price(call(tier="bacth", fresh=1))
    assert priced.cost_pico is None and "bacth" in priced.why_unknown


def test_fast_and_batch_together_are_priced_by_no_list():
    assert "batch and fast" in load().price(call(tier="batch", speed="fast", fresh=1)).why_unknown


def test_web_searches_are_billed_each_and_are_unknown_where_no_list_states_them():
    assert cost(load(), web_searches=3) == Decimal("0.03")
    assert cost(load(), "deepseek-v4-pro", web_searches=1) is None


def test_unmeasured_calls_have_no_cost():
    priced = load().price(call(quality="unmeasured"))
    assert priced.cost_pico is None and "not measured" in priced.why_unknown


def test_the_answering_model_is_billed_where_it_has_a_price():
    assert cost(load(), "claude-opus-4-6", answered_model="claude-haiku-4-5-20251001", fresh=10**6) == 1
    assert cost(load(), "claude-opus-4-6", answered_model="some-proxy-name", fresh=10**6) == 5


def test_the_worst_case_is_never_below_the_price_of_any_call_within_it():
    book = load()
    for model in ("gpt-5.4", "claude-opus-4-6", "gemini-2.5-pro", "deepseek-v4-pro"):
        for size in (1, 200_000, 200_001, 272_000, 272_001, 900_000):
            worst = book.worst_case(model, "", size, 1000, NOVEMBER)
            for part in CLASSES[:4]:
                priced = book.price(call(model, output=1000, **{part: size}))
                assert worst is not None and priced.cost_pico is not None and priced.cost_pico <= worst


def test_your_own_rows_stand_above_the_list_and_change_the_books_id(tmp_path):
    book = book_of(
        tmp_path,
        """
        [[price]]
        model = "gpt-5.4"
        until = 2026-06-01
        input = 9
        output = 9
        [[price]]
        model = "gpt-5.4"
        from = 2026-06-01T00:00:00Z
        input = 1.25
        output = 10
        cache_read = 0.125
        web_search = 0.01
        batch = 0.5
        fast = 2
        [[price.tier]]
        above_input_tokens = 1000
        input = 2.5
        """,
    )
    june = int(dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp() * 1000)
    assert cost(book, "gpt-5.4", at=june - 1, fresh=10**6) == 9
    assert cost(book, "gpt-5.4", at=june, fresh=1000) == Decimal("0.00125")
    assert cost(book, "gpt-5.4", at=june, fresh=1001) == Decimal("0.0025025")
    assert cost(book, "gpt-5.4", at=june, fresh=1000, tier="batch") == Decimal("0.000625")
    assert cost(book, "gpt-5.4", at=june, fresh=1000, speed="fast") == Decimal("0.0025")
    assert book.price(call("gpt-5.4", fresh=1)).row == "own/gpt-5.4[2026-06-01]"
    assert book.id != load().id


def test_a_row_for_one_provider_holds_there_alone_under_any_of_its_names(tmp_path):
    book = book_of(tmp_path, '[[price]]\nmodel = "gemini-2.5-pro"\nprovider = "gemini"\ninput = 7\noutput = 7')
    assert cost(book, "gemini-2.5-pro", provider="google", fresh=1) == Decimal("0.000007")
    assert cost(book, "gemini-2.5-pro", fresh=1) == Decimal("0.000007")
    assert book.price(call("gemini-2.5-pro", provider="openrouter", fresh=1)).cost_pico is None


def test_hours_of_the_day_may_cross_midnight(tmp_path):
    book = book_of(
        tmp_path,
        """
        [[price]]
        model = "m"
        input = 4
        output = 4
        [[price]]
        model = "m"
        hours = ["22:00", "06:00"]
        input = 1
        output = 1
        """,
    )
    midnight = NOVEMBER - NOVEMBER % DAY
    hours = [cost(book, "m", at=midnight + h * 3_600_000, fresh=10**6) for h in (0, 5, 6, 21, 22, 23)]
    assert hours == [1, 1, 4, 4, 1, 1]


def ms(*parts):
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp() * 1000)


def test_peak_hours_cost_more_only_since_they_exist_and_not_on_weekends():
    book = load()
    pro = [cost(book, "deepseek-v4-pro", at=ms(2026, *when), fresh=10**6) for when in
           ((8, 16, 2), (8, 17, 2), (8, 17, 5), (11, 20, 2), (11, 20, 5), (11, 21, 2), (11, 22, 7))]  # fmt: skip
    flat, peak, off = Decimal("0.435"), Decimal("1.32"), Decimal("0.66")
    assert pro == [flat, peak, off, peak, off, off, off]
    flash = [cost(book, "deepseek-v4-flash", at=ms(2026, *when), fresh=10**6) for when in
             ((8, 1, 2), (8, 20, 2), (8, 20, 5), (9, 10, 2), (9, 10, 5))]  # fmt: skip
    assert flash == [Decimal("0.14"), None, Decimal("0.22"), Decimal("0.3"), Decimal("0.15")]


def test_your_own_rows_may_hold_on_some_days_only(tmp_path):
    book = book_of(
        tmp_path,
        """
        [[price]]
        model = "m"
        input = 4
        output = 4
        [[price]]
        model = "m"
        days = ["sat", "sun"]
        input = 1
        output = 1
        """,
    )
    assert [cost(book, "m", at=ms(2026, 11, day), fresh=10**6) for day in (20, 21, 22, 23)] == [4, 1, 1, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\ndays = ["sunday"]', "days is a list of"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nhours = ["25:00", "3:00"]', "no time of day"),
        (
            '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nhours = ["22:00", "06:00"]\n'
            '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nhours = ["05:00", "07:00"]\n',
            "overlaps",
        ),
        ('[[price]]\nmodel = "m"\ninput = -1\noutput = 1', "0 or more"),
        ('[[price]]\nmodel = "m"\ninput = 1', "`output` is missing"),
        ("[[price]]\ninput = 1\noutput = 1", "`model` is missing"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nouput = 2', "ouput"),
        ('[[price]]\nmodel = "m"\ninput = "x"\noutput = 1', "no number"),
        ('[[price]]\nmodel = "m"\ninput = nan\noutput = 1', "0 or more"),
        ('[[price]]\nmodel = "m"\ninput = 0.0000001\noutput = 1', "finer"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfrom = 2026-02-01\nuntil = 2026-01-01', "not after"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\n' * 2, "overlaps"),
        (
            '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nuntil = 2026-02-01\n'
            '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfrom = 2026-01-31T23:59:59Z\n',
            "overlaps",
        ),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\n[[price.tier]]\ninput = 2', "above_input_tokens"),
        ('[[discount]]\nprovider = "x"\nfactor = 1.2', "above 1"),
        ("price = 3", "two brackets"),
        ("[[prices]]", "no such table"),
        ("= 1", "not TOML"),
    ],
)
def test_a_price_book_with_a_mistake_is_refused_with_file_row_and_reason(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as found:
        book_of(tmp_path, text)
    assert "mine.toml" in str(found.value)


def test_rows_that_touch_do_not_overlap(tmp_path):
    row = '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\n'
    assert book_of(tmp_path, f"{row}until = 2026-02-01\n{row}from = 2026-02-01\n").own_rows


def test_a_goals_own_price_replaces_the_list():
    book = load().with_price("my-model", input=1, output="2.5", cache_read=0.1)
    assert cost(book, "my-model", fresh=10, output=4, cache_read=10) == Decimal("0.000021")
    assert cost(book, "my-model", provider="anything", fresh=10**6) == 1
    assert load().with_price("my-model", input=1, output="2.5", cache_read=0.1).id == book.id != load().id


def test_a_contract_discount_is_taken_off_exactly(tmp_path):
    book = book_of(tmp_path, '[[discount]]\nprovider = "anthropic"\nfactor = 0.85\nfrom = 2026-11-01')
    assert book.contracted(100, "anthropic", "claude-opus-4-6", NOVEMBER) == 85
    assert book.contracted(100, "", "claude-opus-4-6", NOVEMBER) == 85
    assert book.contracted(100, "anthropic", "claude-opus-4-6", NOVEMBER - 30 * DAY) == 100
    assert book.contracted(100, "openai", "gpt-5.4", NOVEMBER) == 100


def test_a_changed_snapshot_is_refused(tmp_path):
    bad = tmp_path / "snapshot.json"
    bad.write_bytes(snapshot.FILE.read_bytes().replace(b"5000000", b"4000000", 1))
    with pytest.raises(InputError, match="changed after it was frozen"):
        snapshot.read(bad, snapshot.manifest().sha256)


def test_a_kept_book_is_read_back_with_the_same_id_and_prices(tmp_path):
    book = load().with_price("my-model", input="0.3", output=1)
    keeping.keep(book)
    ((_, again),) = keeping.kept_books()
    assert again.id == book.id
    assert again.price(call("my-model", fresh=7)) == book.price(call("my-model", fresh=7))


def test_a_new_snapshot_is_in_force_only_after_an_update_and_the_old_book_stays_known():
    before = load()
    keeping.keep(before)
    raw = snapshot.FILE.read_bytes().replace(b"genai-prices", b"other-prices", 1)
    about = msgspec.structs.replace(snapshot.manifest(), source="other", sha256=hashlib.sha256(raw).hexdigest())
    assert keeping.update(raw, about) and not keeping.update(raw, about)
    assert load().id != before.id and load().source.startswith("other-prices")
    assert [book.id for _, book in keeping.kept_books()] == [before.id]


MODELS = [
    "deepseek-v4-flash",
    "claude-opus-4-6",
    "gpt-5.4",
    "gemini-2.5-pro",
    "deepseek-v4-pro",
    "my-model",
    "gpt-oss-120b",
    "own",
]
calls = st.builds(
    lambda model, at, tier, quality, counts, extreme: call(
        model, at, quality, tier=tier, fresh=counts[0] * (10**13 if extreme else 1), cache_read=counts[1],
        cache_write_5m=counts[2], cache_write_1h=counts[3], output=counts[4], reasoning=min(counts[4], counts[5]),
        web_searches=counts[6],
    ),
    st.sampled_from(MODELS), st.integers(NOVEMBER - 400 * DAY, NOVEMBER), st.sampled_from(["", "batch", "flex", "odd"]),
    st.sampled_from(["exact", "exact", "unmeasured"]),
    st.tuples(*[st.integers(0, 400_000)] * 6, st.integers(0, 3)), st.integers(0, 30).map(lambda n: n == 0),
)  # fmt: skip


@settings(max_examples=120)
@given(st.lists(calls, min_size=1, max_size=60))
def test_many_calls_cost_what_they_cost_one_by_one(many):
    book = load().with_price("own", input="0.123456", output="7.654321", cache_write_5m=1)
    single = [book.price(c) for c in many]
    result = book.price_many(Columns.of(many))
    assert result.known.tolist() == [p.cost_pico is not None for p in single]
    for n, priced in enumerate(single):
        if priced.cost_pico is not None:
            assert result.beyond.get(n, int(result.cost_pico[n])) == priced.cost_pico
    assert result.total_pico == sum(p.cost_pico or 0 for p in single)
    assert sum(result.unknown.values()) == sum(p.cost_pico is None for p in single)


def test_a_cost_beyond_64_bits_is_exact_too():
    book = load()
    many = [call(fresh=3 * 10**18), call(fresh=1), call(fresh=2 * 10**12, output=10**12)]
    result = book.price_many(Columns.of(many))
    assert (
        result.total_pico
        == sum(book.price(c).cost_pico or 0 for c in many)
        == 3 * 10**18 * 5 * 10**6 + 5 * 10**6 + (2 * 10**12 * 5 * 10**6 + 10**12 * 25 * 10**6)
    )


def test_many_calls_at_and_just_above_a_threshold_are_all_priced():
    book = load()
    many = [call("gpt-5.4", fresh=n, output=7) for n in (271_999, 272_000, 272_001, 0)]
    result = book.price_many(Columns.of(many))
    assert result.known.all()
    assert result.cost_pico.tolist() == [book.price(c).cost_pico for c in many]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_a_sum_of_whole_columns_never_overflows(numbers):
    assert exact_sum(np.array(numbers, dtype=np.int64)) == sum(numbers)


def test_loading_reads_no_price_package():
    import subprocess
    import sys

    program = "import sys; from outlay.prices.book import load; load(); "
    program += "print('genai_prices' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_priced_rows_are_plain_data():
    assert msgspec.json.decode(msgspec.json.encode(load().price(call(fresh=1))))["cost_pico"] == 5_000_000
