"""Labels by path, MCP tool, SQL column and secrets in a text."""

import base64
import random
import time

import pytest
from flows import example
from hypothesis import given
from hypothesis import strategies as st

from outlay.policy.load import load_text
from outlay.policy.secrets import NAMES, scan
from outlay.policy.source import (
    join,
    label_path,
    label_sql,
    label_text,
    label_tool,
    parse_source,
    path_fits,
    sql_fits,
)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/data/xyz/**", "/data/xyz/a/b.csv", True), ("/data/xyz/**", "/data/xyz", True),
        ("/data/xyz/**", "/data/xyzw/a", False), ("/data/xyz", "/data/xyz/a", True),
        ("/home/*/Private/**", "/home/ann/Private/x", True), ("/home/*/Private/**", "/home/a/b/Private/x", False),
        ("**/.env", "/srv/app/.env", True), ("**/.env", "/.env", True), ("**/.env", "/srv/app/.env.local", False),
        ("**/.env", "/srv/x.env", False), ("**/*.pem", "/a/b/key.pem", True), ("**/*.pem", "/a/key.pem/x", True),
        ("/a/**/b", "/a/b", True), ("/a/**/b", "/a/x/y/b", True), ("/a/**/b", "/ab", False),
        ("/a/*.txt", "/a/.txt", True), ("/a/?", "/a/xy", False), ("/a/[a-c]x", "/a/bx", True),
        ("/a/[!a-c]x", "/a/bx", False), ("/a/(b)+", "/a/(b)+", True), ("/a/b", "/a/b\nc", False),
    ],
)  # fmt: skip
def test_a_path_pattern_holds_for_what_it_names_and_what_is_in_it(pattern: str, path: str, fits: bool) -> None:
    assert path_fits(pattern, path) is fits


def test_a_way_round_through_dots_and_slashes_changes_nothing_and_a_resolved_path_counts() -> None:
    policy = example()
    assert label_path(policy, "/tmp/../data//xyz/./a") == {"xyz"}
    assert label_path(policy, "//data/xyz/a") == {"xyz"}
    assert label_path(policy, "/elsewhere/link.csv", "/data/health/x.csv") == {"health"}
    assert label_path(policy, "/data/xyz/.env") == {"xyz", "secret"}
    assert label_path(policy, "/etc/hosts") == {"internal"}


@given(st.lists(st.sampled_from(["a", "b", ".env", "Private"]), min_size=1, max_size=5))
def test_what_is_in_a_labelled_folder_is_labelled(parts: list[str]) -> None:
    policy = example()
    assert "xyz" in label_path(policy, "/data/xyz/" + "/".join(parts))
    assert ("secret" in label_path(policy, "/" + "/".join(parts))) == (".env" in parts)


@pytest.mark.parametrize(
    ("pattern", "names", "fits"),
    [
        ("xyz.*", ("xyz", "t", "c"), True), ("xyz.*", ("XYZ", "T"), True), ("xyz.*", ("abc", "t"), False),
        ("*.patients.ssn", ("crm", "patients", "ssn"), True), ("*.patients.ssn", ("crm", "patients", "name"), False),
        ("*.patients.ssn", ("crm", "patients"), True), ("xyz.*", ("", "t"), True), ("a.b", ("a", "bc"), False),
    ],
)  # fmt: skip
def test_a_sql_pattern_holds_for_columns_and_for_rows_that_have_them(pattern: str, names: tuple, fits: bool) -> None:  # type: ignore[type-arg]
    assert sql_fits(pattern, *names) is fits


def test_tools_and_tables_that_nobody_named_are_unlabelled() -> None:
    policy = example()
    assert label_tool(policy, "weather", "now") == label_sql(policy, "public", "t") == {"internal"}
    assert label_tool(policy, "xyz-db2", "query") == {"internal"}
    assert join([label_tool(policy, "whoop", "x"), label_sql(policy, "xyz", "t")]) == {"whoop", "xyz"}


REFUSED = "path:~/x path:x path:/x/ path:/a/../b mcp:x mcp:/y sql:x sql:a.b.c.d scan:x web:x x"


@pytest.mark.parametrize("text", REFUSED.split())
def test_a_source_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_source(text)


# ---- secrets


def varied(length: int, alphabet: str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") -> str:
    return "".join(random.Random(length).choices(alphabet, k=length))


B32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
SECRETS = {
    "private-key": "-----BEGIN OPENSSH PRIVATE " + "KEY-----\nb3Blbn",
    "aws-access-key": "AKIA" + varied(16, B32),
    "aws-secret-key": "aws_secret_access_key = " + varied(40),
    "github-token": "ghp_" + varied(36),
    "github-fine-token": "github_pat_" + varied(22) + "_" + varied(59),
    "gitlab-token": "glpat-" + varied(20),
    "slack-token": "xoxb-" + varied(24, "0123456789"),
    "slack-webhook": "https://hooks.slack.com/services/" + varied(30),
    "stripe-key": "sk_live_" + varied(24),
    "google-api-key": "AIza" + varied(35),
    "google-oauth-secret": "GOCSPX-" + varied(28),
    "anthropic-key": "sk-ant-api03-" + varied(90),
    "openai-key": "sk-proj-" + varied(48),
    "huggingface-token": "hf_" + varied(34),
    "npm-token": "npm_" + varied(36),
    "pypi-token": "pypi-AgEI" + varied(80),
    "sendgrid-key": "SG." + varied(22) + "." + varied(43),
    "digitalocean-token": "dop_v1_" + varied(64, "0123456789abcdef"),
    "jwt": "eyJ" + varied(20) + ".eyJ" + varied(40) + "." + varied(43),
    "url-password": "postgres://ann:" + "s3cr3t-Pw@db.example.org/x",
    "assigned-secret": 'DB_PASSWORD="' + varied(20) + '"',
}


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_is_found_by_its_name_wherever_it_stands(name: str) -> None:
    for before, after in (("", ""), ("x = '", "'\n"), ("a line\n", " and more"), ("(", ")")):
        hits = [hit for hit in scan(before + SECRETS[name] + after) if hit.pattern == name]
        assert hits, (before, after)
        assert all(len(before) <= hit.start < hit.end <= len(before + SECRETS[name]) for hit in hits)


HARMLESS = [
    "The password is changed every 90 days; ask for a new token.",
    'password = os.environ["DB_PASSWORD"]', "token: str | None = None", "api_key=YOUR_API_KEY_HERE_1234",
    "secret = <your-secret-goes-here-1>", "password: ${DB_PASSWORD_FROM_VAULT_1}", "max_tokens = 200000000000000",
    "tokens_per_second: 1234567890123", "AKIAIOSFODNN7EXAMPLE", "postgres://user:password@localhost/db",
    "https://example.org:8080/path@2x.png", "https://example.org/a:b@c", "git@github.com:org/repo.git",
    "sk-learn and sk-something-else", "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----",
    "4f1c9b2d8e7a6f5c4b3a2d1e0f9c8b7a6d5e4f3c", "eyJ is how a JWT begins", "hf_hub_download(repo)",
    "npm_config_registry", '"token_cost": "cache_write_5m"',
    "tokenizer = AutoTokenizer.from_pretrained", "The secret of success: perseverance", "ghp_short", "xoxo-love",
    "AIzawa", "SG.1", "token=abc", "passwd=aaaaaaaaaaaaaaaa1",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_is_not_one(text: str) -> None:
    assert scan(text) == []


def test_our_own_source_is_not_full_of_secrets() -> None:
    from pathlib import Path

    import outlay

    files = sorted(Path(outlay.__file__).parent.rglob("*.py"))
    found = [(file.name, hit) for file in files for hit in scan(file.read_text())]
    assert len(files) > 100 and found == []


@pytest.mark.parametrize(
    "unit",
    ["eyJ", "eyJaaaaaaaaaaa.", "sk-", "sk-ant-", "://", "://a:b", "token=", "secret" + "_" * 19, "-----BEGIN A ", "a",
     "password:::::", "AKIA", "SG.", "secret_access_key=", "https://hooks.slack.com/"],
)  # fmt: skip
def test_no_text_makes_the_scan_slow(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        before = time.process_time()
        scan(text)
        return time.process_time() - before

    seconds(1000)
    assert seconds(400_000) < 1.0


def test_a_policy_scans_for_what_it_names() -> None:
    source = """version = 1
[defaults]
unlabelled = "all"
[models]
m = { place = "device", endpoint = "http://127.0.0.1" }
[data.all]
may_go_to = ["any"]
[data.tokens]
from = ["scan:jwt"]
may_go_to = []
"""
    policy = load_text(source, "p")
    assert label_text(policy, SECRETS["jwt"]) == {"tokens"}
    assert label_text(policy, SECRETS["github-token"]) == frozenset()
    assert label_text(example(), SECRETS["github-token"]) == {"secret"}
    hidden = base64.b64encode(SECRETS["github-token"].encode()).decode()
    assert label_text(example(), hidden) == frozenset()  # known: what is encoded is not found
