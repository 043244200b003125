"""Detectors for redaction: what looks like an address, a phone, an account, a card, a number is taken out.

Patterns find what has a form. Names, places and what a sentence says stay: a redacted text is not an anonymous one.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

import msgspec

from outlay.errors import InputError
from outlay.policy.toml_lines import nearest


class Redacted(msgspec.Struct, frozen=True):
    """A text without what the detectors found; `counts` says how much that was, by detector."""

    text: str
    counts: dict[str, int]


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    total = 0
    for number, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + number % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_valid(text: str) -> bool:
    """The check digits of an account number (ISO 13616: the number, its first four moved to the end, mod 97 is 1)."""
    text = text.upper()
    return 15 <= len(text) <= 34 and int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


_IBAN_LENGTHS = {
    "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18,
    "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SE": 24, "SI": 19, "SK": 24,
}  # fmt: skip
"""Characters of an account by country (SWIFT's IBAN registry, the SEPA countries); others end where a word ends."""


def _iban_spans(text: str) -> Iterable[tuple[int, int]]:
    expression = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
    at = 0
    while match := expression.search(text, at):
        start, at = match.start(), match.start() + 1
        wanted = _IBAN_LENGTHS.get(match[0][:2].upper())
        for end in range(match.end(), start + 14, -1):
            if text[end - 1] in " -" or (end < len(text) and text[end].isalnum()):
                continue
            bare = re.sub(r"[ -]", "", text[start:end])
            if wanted in (None, len(bare)) and iban_valid(bare):
                yield start, end
                at = end
                break


def _card_spans(text: str) -> Iterable[tuple[int, int]]:
    """Runs of digits in groups: whole groups of 13 to 19 digits together; in longer groups any stretch of that many."""
    for match in re.finditer(r"(?<!\d)\d+(?:[ -]\d+)*", text):
        groups = [(match.start() + g.start(), match.start() + g.end()) for g in re.finditer(r"\d+", match[0])]
        first = 0
        while first < len(groups):
            start, end = groups[first]
            first += 1
            if end - start > 19:
                yield from _cards_inside(text, start, end)
                continue
            for last in range(min(len(groups), first + 18), first - 1, -1):
                digits = re.sub(r"[ -]", "", text[start : groups[last - 1][1]])
                if 13 <= len(digits) <= 19 and luhn(digits):
                    yield start, groups[last - 1][1]
                    first = last
                    break


def _cards_inside(text: str, start: int, end: int) -> Iterable[tuple[int, int]]:
    while start + 13 <= end:
        longest = min(19, end - start)
        length = next((n for n in range(longest, 12, -1) if luhn(text[start : start + n])), 0)
        if length:
            yield start, start + length
        start += length or 1


def _ip_spans(text: str) -> Iterable[tuple[int, int]]:
    four = r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)"
    six = r"(?<![\w:])(?=[:.]*\w)[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])"
    for match in re.finditer(f"{four}|{six}", text):
        try:
            ipaddress.ip_address(match[0])
        except ValueError:
            continue
        yield match.span()


def _by(expression: str) -> Callable[[str], Iterable[tuple[int, int]]]:
    compiled = re.compile(expression)
    return lambda text: (match.span() for match in compiled.finditer(text))


_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?|januar|februar|m(?:ä|ae)rz|mai|juni|juli|oktober|dezember)\b\.?"
)

DETECTORS: Mapping[str, Callable[[str], Iterable[tuple[int, int]]]] = {
    "email": _by(r"[^\s@<>()\[\],;:\"']{1,64}@[^\s@<>()\[\],;:\"']{1,255}\.[^\W\d_]{2,24}"),
    "iban": _iban_spans,
    "card": _card_spans,
    "ssn": _by(r"(?<![\d-])(?!000|666|9\d\d)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\d-])"),
    "ip": _ip_spans,
    "date": _by(
        r"(?<!\d)\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?Z?)?(?!\d)"
        r"|(?<!\d)\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?!\d)"
        rf"|(?i:(?<![^\W\d_])\d{{1,2}}(?:st|nd|rd|th|\.)?[ ]{{1,3}}(?:of )?{_MONTH}(?:,?[ ]{{1,3}}\d{{4}})?)"
        rf"|(?i:\b{_MONTH}[ ]{{1,3}}\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?[ ]{{1,3}}\d{{4}})?)"
        rf"|(?i:\b{_MONTH}[ ]{{1,3}}\d{{4}}\b)"
    ),
    "phone": _by(r"(?<![\w.])(?:\+|00)?(?:\(\d{1,5}\)|\d)(?:[ ./-]{0,2}(?:\(\d{1,5}\)|\d)){6,16}(?!\d)"),
    "number": _by(r"\d+(?:[.,'’_]\d+)*"),
}
"""Detector -> the stretches of a text that it takes out. Where two meet, the earlier of this order gives the name."""


def redact(text: str, detectors: Iterable[str]) -> Redacted:
    """The text with `[email]`, `[card]`, ... in place of what was found.

    The text is brought to one form first (Unicode NFKC, without invisible characters), so that full-width digits and
    zero-width spaces hide nothing. Raises InputError for an unknown detector.
    """
    wanted = set(detectors)
    for name in wanted - set(DETECTORS):
        raise InputError(f"no detector {name!r}{nearest(name, DETECTORS)}")
    plain = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    counts: dict[str, int] = {}
    for name, find in DETECTORS.items():
        if name in wanted:
            plain, counts[name] = _without(plain, name, find)
    return Redacted(plain, {name: count for name, count in counts.items() if count})


def _without(text: str, name: str, find: Callable[[str], Iterable[tuple[int, int]]]) -> tuple[str, int]:
    parts, at, count = [], 0, 0
    for start, end in find(text):
        parts += [text[at:start], f"[{name}]"]
        at = end
        count += 1
    return "".join([*parts, text[at:]]), count
