"""Agents ask databases read-only, and rows know which tables and columns they are from."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from test_policy_in_a_run import SECRET, by_task, call, finish, policed, sent_to, start

from modelserver import serving
from outlay.agents.databases import Postgres, Read, Sqlite

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = pytest.mark.filterwarnings("error")


@contextmanager
def postgres() -> Iterator[str]:
    """A server of Debian's postgresql on a socket of its own, as a user that is not root; its URL."""
    if not BINARIES:
        pytest.fail("no postgresql in /usr/lib/postgresql; apt install postgresql")
    with TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        data.mkdir()
        as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            shutil.chown(data, "nobody")
            as_user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [*as_user, str(BINARIES[-1] / program), *arguments], cwd=folder, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run("initdb", "-D", str(data), "-U", "owner", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", str(data), "-w", "-t", "120", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://owner@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def fill(url: str) -> None:
    import psycopg

    with psycopg.connect(url) as conn:
        conn.execute("CREATE SCHEMA xyz")
        conn.execute("CREATE TABLE xyz.rows (id int, secret text)")
        conn.execute("CREATE TABLE public_facts (id int, fact text)")
        conn.execute("INSERT INTO xyz.rows VALUES (1, %s), (2, 'b'), (3, 'c')", (SECRET,))
        conn.execute("INSERT INTO public_facts VALUES (1, 'water is wet')")
        conn.execute("CREATE VIEW harmless AS SELECT secret FROM xyz.rows")
        conn.execute("CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql AS "
                     "$$ BEGIN RETURN (SELECT secret FROM xyz.rows LIMIT 1); END $$")  # fmt: skip


def test_what_a_statement_reads_in_sqlite_is_known_to_the_column_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with sqlite3.connect(file) as conn:
        conn.execute("CREATE TABLE people (name, health)")
        conn.execute("INSERT INTO people VALUES ('Ann', 'well')")
        conn.execute("CREATE VIEW all_people AS SELECT * FROM people")
    database = Sqlite(file)
    answer = database.ask("SELECT name FROM people")
    assert answer.rows == (("Ann",),) and answer.reads == {Read("main", "people", "name")}
    assert Read("main", "people", "health") in database.ask("SELECT * FROM all_people").reads
    for bad in ("DELETE FROM people", f"ATTACH '{tmp_path}/b.db' AS b", "PRAGMA query_only = 0", "SELECT 1; SELECT 2"):
        assert database.ask(bad).error
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    assert len(database.ask(slow).rows) == 200
    assert database.ask("SELECT count(*) FROM people").reads == {Read("main", "people")}


def test_postgres_rows_are_gated_in_a_run_and_the_main_agent_gets_a_fact() -> None:
    """Real tools: rows in Postgres, asked by a subagent on the cleared model, the main agent on another."""
    with postgres() as url, TemporaryDirectory() as folder:
        fill(url)
        database = Postgres("xyz", url)
        assert Read("xyz", "rows") in database.ask("SELECT count(*) FROM harmless").reads
        assert Read("xyz", "rows") in database.ask("SELECT peek()").reads
        assert Read("xyz", "rows") not in database.ask("SELECT fact FROM public_facts").reads
        for bad in ("DELETE FROM xyz.rows", "COPY xyz.rows TO '/tmp/x'", "SELECT 1; COMMIT; DELETE FROM xyz.rows",
                    "SET TRANSACTION READ WRITE", "ANALYZE DELETE FROM xyz.rows"):  # fmt: skip
            assert database.ask(bad).error, bad
        assert database.ask("SELECT count(*) FROM xyz.rows").rows == ((3,),)

        bad_cast = "SELECT secret::int FROM xyz.rows"
        steps = {
            "lead this": [
                call("query", database="warehouse", sql="SELECT * FROM xyz.rows"),
                call("query", database="warehouse", sql=bad_cast),
                call("query", database="warehouse", sql="SELECT peek()"),
                call("query", database="warehouse", sql="SELECT fact FROM public_facts"),
                start(("count", "count them")),
                finish(),
            ],
            "count them": [
                call("query", database="warehouse", sql="SELECT * FROM xyz.rows"),
                call("query", database="warehouse", sql="SELECT count(*) FROM xyz.rows"),
                finish('{"found": true, "count": 3}'),
            ],
        }
        with serving(by_task(steps), keep_bodies=True) as server:
            it = policed(Path(folder) / "p", server, more="databases: {warehouse: XYZ_URL}\n")
            it.environment["XYZ_URL"] = url
            it.run()
            assert SECRET in sent_to(server, "local-model") and SECRET not in sent_to(server, "big-model")
            assert "water is wet" in sent_to(server, "big-model")
            told = [e.payload.decode() for e in it.events("tool.result") if e.head["name"] == "start"]
            assert '{"found":true,"count":3}' in told[0]
            assert url not in "".join(r["body"] for r in server.records)
            assert ["xyz" in e.head["label"] for e in it.events("handle.made")] == [True] * 3
        assert json.loads(server.records[-1]["body"])["model"] == "big-model"
