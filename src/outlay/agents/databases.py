"""Databases that agents may ask, read-only: rows, and which tables and columns they are from.

SQLite says what a statement reads through its authorizer. Postgres says it in the plan; what a function of its owner's
reads is not in there, so an answer with one counts as read from every table.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from outlay.errors import EnvironmentProblem, InputError

ROWS = 200
"""Most rows of an answer."""
CELL_CHARS = 500
WAIT_S = 30
"""Longest time that the database may work on a question."""
_STEPS = 10_000
"""SQLite's virtual machine steps between two looks at the clock."""


class Read(msgspec.Struct, frozen=True, order=True):
    """Something that an answer was made of. An empty column: any of the table."""

    schema: str
    table: str
    column: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What a database said. `error` instead of rows when it refused."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    more: bool
    """Whether there are more rows."""
    reads: frozenset[Read]
    error: str = ""


class Database(Protocol):
    """One that can be asked."""

    def ask(self, sql: str) -> Answer:
        """The answer to one statement that reads. Blocks; nothing is changed, whatever the statement says."""


def open_database(name: str, url: str) -> Database:
    """The database behind a URL: `sqlite:///path` or `postgresql://...`. Raises InputError; the URL is not in it, since
    it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = Path(unquote(parts.path))
        if not path.is_file():
            raise InputError(f"database {name}: there is no file {path}; write sqlite:///absolute/path")
        return Sqlite(path)
    if parts.scheme in ("postgresql", "postgres"):
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise InputError(
                f"database {name}: Postgres needs psycopg; install it with: pip install 'outlay[postgres]'"
            ) from None
        return Postgres(name, url)
    raise InputError(f"database {name}: its URL begins with {parts.scheme or 'nothing'}://; sqlite and postgresql work")


class Sqlite:
    """A file, opened for reading."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, sql: str) -> Answer:
        reads: set[Read] = set()
        allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)

        def authorize(action: int, first: str | None, second: str | None, schema: str | None, _: str | None) -> int:
            if action == sqlite3.SQLITE_READ and (first or "").startswith("sqlite_stat"):
                return sqlite3.SQLITE_DENY  # samples of other tables
            if action == sqlite3.SQLITE_READ:
                reads.add(Read("main", first or "", second or ""))
                return sqlite3.SQLITE_OK
            if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
                return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY

        end = time.monotonic() + WAIT_S
        with contextlib.closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as conn:
            every = frozenset(
                Read("main", name) for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            )
            conn.execute("PRAGMA query_only = 1")
            conn.set_authorizer(authorize)
            conn.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
            try:
                cursor = conn.execute(sql)
                rows = cursor.fetchmany(ROWS + 1)
            except (sqlite3.Error, sqlite3.Warning) as error:
                return Answer((), (), False, every, f"{error}")
        columns = tuple(column[0] for column in cursor.description or ())
        return Answer(columns, tuple(rows[:ROWS]), len(rows) > ROWS, frozenset(reads))


class Postgres:
    """A server, asked in a transaction that may only read."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url

    def ask(self, sql: str) -> Answer:
        import psycopg

        try:
            conn = psycopg.connect(self._url, connect_timeout=10)
        except psycopg.Error:
            raise EnvironmentProblem(f"database {self._name}: cannot connect to it; is it running?") from None
        with contextlib.closing(conn):
            conn.read_only = True
            conn.execute(f"SET LOCAL statement_timeout = {WAIT_S * 1000}")
            every = frozenset(Read(schema, table) for schema, table in conn.execute(_TABLES))
            functions = {name for (name,) in conn.execute(_FUNCTIONS)}
            try:
                plan = _planned(conn, sql)
                # A cursor takes one statement that gives rows, and nothing else.
                with conn.cursor(name="question") as cursor:
                    cursor.execute(sql)
                    rows = cursor.fetchmany(ROWS + 1)
                    columns = tuple(column.name for column in cursor.description or ())
            except psycopg.Error as error:
                return Answer((), (), False, every, str(error).strip())
            finally:
                conn.rollback()
        words = set(re.findall(r"\w+", f"{sql} {plan}"))
        named = {read for read in every if read.table in words}
        reads = every if functions & words else frozenset({*_relations(plan), *named})
        return Answer(columns, tuple(rows[:ROWS]), len(rows) > ROWS, reads)


_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_FUNCTIONS = """
SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL VALUES ('query_to_xml'), ('table_to_xml'), ('schema_to_xml'), ('database_to_xml'), ('cursor_to_xml'),
('query_to_xml_and_xmlschema'), ('table_to_xml_and_xmlschema'), ('schema_to_xml_and_xmlschema'),
('database_to_xml_and_xmlschema'), ('ts_stat'), ('ts_rewrite'), ('pg_read_file'), ('pg_read_binary_file'),
('lo_get'), ('loread'), ('pg_stats'), ('pg_statistic'), ('pg_stats_ext_exprs'), ('pg_stat_activity')
"""
"""Functions that may read tables which no plan names: those of its owner, those of Postgres that take a name or a
statement as text, and what its statistics quote."""


def _planned(conn: Any, sql: str) -> str:
    """The plan of one statement. Preparing it keeps out a second one, which might end the transaction."""
    answer = conn.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}", prepare=True).fetchone()
    return msgspec.json.encode(answer[0]).decode()


def _relations(plan: str) -> Iterator[Read]:
    waiting = list(msgspec.json.decode(plan))
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            if "Relation Name" in node:
                yield Read(str(node.get("Schema", "")), str(node["Relation Name"]))
            waiting += node.values()


def table_of(answer: Answer) -> str:
    """An answer as text: a line of names, then a line for each row, cells between ` | `."""
    if answer.error:
        return f"the database refused: {answer.error}"
    lines = [" | ".join(answer.columns)]
    lines += [" | ".join(_cell(value) for value in row) for row in answer.rows]
    lines.append(f"({len(answer.rows)} rows" + ("; there are more, ask for less)" if answer.more else ")"))
    return "\n".join(lines)


def _cell(value: object) -> str:
    text = "NULL" if value is None else value.hex() if isinstance(value, bytes) else str(value)
    text = text.replace("\n", "\\n").replace("|", "\\|")
    return text if len(text) <= CELL_CHARS else f"{text[:CELL_CHARS]}... ({len(text)} characters)"
