"""Secrets in a text, found by named patterns.

Every pattern has a literal that must be in the text before its expression runs, begins where a word begins, and
repeats at most a fixed number of times, so the cost grows with the length of the text and no faster.
Not found: secrets that are encoded, split, or look like any other word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import msgspec


class Hit(msgspec.Struct, frozen=True, order=True):
    """A secret: where it stands in the text, in characters, and the name of its pattern."""

    start: int
    end: int
    pattern: str


class _Pattern(msgspec.Struct, frozen=True):
    name: str
    literals: tuple[str, ...]
    """One of them is in every text with such a secret; lower case when `fold`."""
    expression: re.Pattern[str]
    """Group 1, or all of it, is the secret."""
    fold: bool = False
    test: Callable[[str], bool] | None = None
    """Says of the secret whether it is one; None: it always is."""


def _varied(secret: str) -> bool:
    """Neither a placeholder nor words: at least 3 bits a character, letters and digits mixed in one piece."""
    if re.search(r"[<>{}$*]|\.\.\.|example|changeme|change-me|placeholder|your[-_]|xxxx|dummy|redacted", secret, re.I):
        return False
    if all(len(piece) <= 3 or piece.isalpha() for piece in re.split(r"[_./-]", secret)):
        return False  # a name such as cache_write_5m
    counts = [secret.count(char) / len(secret) for char in set(secret)]
    entropy = -sum(share * math.log2(share) for share in counts)
    return entropy >= 3.0 and any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)


def _not_placeholder(secret: str) -> bool:
    return re.fullmatch(r"(?i)[<{$%*].*|x+|\*+|password|passwd|pass|secret|pw|user|changeme|example", secret) is None


def _own(name: str, literal: str, rest: str, test: Callable[[str], bool] | None = None) -> _Pattern:
    """A token that begins with a literal of its own."""
    return _Pattern(name, (literal,), re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(literal)}{rest}"), test=test)


_PATTERNS = (
    _Pattern("private-key", ("PRIVATE KEY",), re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")),
    _Pattern(
        "aws-access-key",
        ("AKIA", "ASIA"),
        re.compile(r"(?<![A-Za-z0-9])(A(?:KI|SI)A[A-Z2-7]{16})(?![A-Za-z0-9])"),
        test=lambda key: not key.endswith("EXAMPLE"),
    ),
    _Pattern(
        "aws-secret-key",
        ("aws_secret", "awssecret", "secretaccesskey", "aws-secret", "secret_access_key"),
        re.compile(
            r"(?i)secret_?-?(?:access_?-?)?key[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?"
            r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
        ),
        fold=True,
        test=lambda key: "EXAMPLE" not in key,
    ),
    _Pattern("github-token", ("gh",), re.compile(r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{36,255}(?![A-Za-z0-9_])")),
    _own("github-fine-token", "github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _own("gitlab-token", "glpat-", r"[A-Za-z0-9_-]{20,64}"),
    _Pattern("slack-token", ("xox",), re.compile(r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,250}")),
    _Pattern(
        "slack-webhook",
        ("hooks.slack.com",),
        re.compile(r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,120}"),
    ),
    _Pattern("stripe-key", ("k_live_",), re.compile(r"(?<![A-Za-z0-9])[sr]k_live_[A-Za-z0-9]{16,250}")),
    _own("google-api-key", "AIza", r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _own("google-oauth-secret", "GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    _own("anthropic-key", "sk-ant-", r"[A-Za-z0-9_-]{20,250}", _varied),
    _own("openai-key", "sk-", r"(?!ant-)(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,250}", _varied),
    _own("huggingface-token", "hf_", r"[A-Za-z0-9]{34,40}(?![A-Za-z0-9])"),
    _own("npm-token", "npm_", r"[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _own("pypi-token", "pypi-", r"AgEI[A-Za-z0-9_-]{50,250}"),
    _own("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _own("digitalocean-token", "dop_v1_", r"[a-f0-9]{64}"),
    _own("jwt", "eyJ", r"[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}"),
    _Pattern(
        "url-password",
        ("://",),
        re.compile(r"://[^\s:/@\"'<>]{0,64}:([^\s/@\"'<>]{3,128})@[A-Za-z0-9\[]"),
        test=_not_placeholder,
    ),
    _Pattern(
        "assigned-secret",
        ("passw", "secret", "token", "api_key", "apikey", "api-key", "credential"),
        re.compile(
            r"(?i)(?:passwo?r?d|secret|token|api[_-]?key|credentials?)[A-Za-z0-9_-]{0,20}[\"']?"
            r"[ \t]{0,8}(?::=|=>|[:=])[ \t]{0,8}[\"']?([A-Za-z0-9+/_~!@#%^&=.-]{12,200}+)(?!\()"  # not a call in code
        ),
        fold=True,
        test=_varied,
    ),
)

NAMES = tuple(sorted(pattern.name for pattern in _PATTERNS))
"""Names of all patterns, for `scan:NAME`."""


def scan(text: str) -> list[Hit]:
    """Every secret in the text, in order. Two patterns may find the same one."""
    folded = text.lower()
    hits = []
    for pattern in _PATTERNS:
        where = folded if pattern.fold else text
        if not any(literal in where for literal in pattern.literals):
            continue
        for match in pattern.expression.finditer(text):
            group = 1 if match.re.groups else 0
            if pattern.test is None or pattern.test(match[group]):
                hits.append(Hit(*match.span(group), pattern.name))
    return sorted(hits)
