"""The ledger: what is acknowledged is on disk, in order, under one owner, and every change to it is found."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.clock import Clock
from outlay.errors import Fenced, LedgerError
from outlay.ledger import Entry, Ledger, verify


class Ticking(Clock):
    """A clock that tests move."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms


def claimed(ledger, stream="s", owner="me"):
    def work(t):
        t.open_stream(stream, "session")
        return t.claim(stream, owner)

    return ledger.write(work)


def append(ledger, epoch, *entries, stream="s"):
    return ledger.write(lambda t: t.append("r", stream, epoch, entries))


def test_events_come_back_in_order_with_their_payloads(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        epoch = claimed(ledger)
        assert append(ledger, epoch, Entry("a", {"x": 1}), Entry("b", {}, b"text" * 1000)) == [0, 1]
        assert append(ledger, epoch, Entry("c", {}, "ä".encode())) == [2]
        events = list(ledger.events("s"))
        assert [(e.n, e.type, e.head, e.payload) for e in events] == [
            (0, "a", {"x": 1}, None),
            (1, "b", {}, b"text" * 1000),
            (2, "c", {}, "ä".encode()),
        ]
        assert [e.type for e in ledger.events(run="r", types=["c"])] == ["c"]
        assert verify(ledger).problems == []


def test_a_work_that_fails_is_undone_alone(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        epoch = claimed(ledger)

        def bad(t):
            t.append("r", "s", epoch, [Entry("bad")])
            raise ValueError("no")

        futures = [ledger.submit(lambda t, n=n: t.append("r", "s", epoch, [Entry("ok", {"n": n})])) for n in range(20)]
        broken = ledger.submit(bad)
        after = ledger.submit(lambda t: t.append("r", "s", epoch, [Entry("ok", {"n": 20})]))
        assert [f.result() for f in futures] == [[n] for n in range(20)]
        with pytest.raises(ValueError, match="no"):
            broken.result()
        assert after.result() == [20]
        assert verify(ledger).events == 21


def test_an_owner_that_was_replaced_writes_nothing_more(tmp_path):
    clock = Ticking()
    with Ledger(tmp_path / "l.db", clock) as ledger:
        old = claimed(ledger)
        with pytest.raises(Fenced):
            claimed(ledger, owner="other")
        clock.ms += 21_000
        new = claimed(ledger, owner="other")
        with pytest.raises(Fenced):
            append(ledger, old, Entry("late"))
        append(ledger, new, Entry("mine"))
        assert [e.type for e in ledger.events("s")] == ["mine"]


def test_a_lease_that_is_renewed_lasts_and_one_given_back_is_free(tmp_path):
    clock = Ticking()
    with Ledger(tmp_path / "l.db", clock) as ledger:
        claimed(ledger)
        for _ in range(5):
            clock.ms += 15_000
            ledger.write(lambda t: t.renew("me"))
        with pytest.raises(Fenced):
            claimed(ledger, owner="other")
        ledger.write(lambda t: t.release("me"))
        claimed(ledger, owner="other")


def test_several_processes_may_create_and_write_one_ledger(tmp_path):
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from outlay.ledger import Entry, Ledger
        with Ledger(Path(sys.argv[1])) as ledger:
            def opened(t):
                t.open_stream(sys.argv[2], "session")
                return t.claim(sys.argv[2], sys.argv[2])
            epoch = ledger.write(opened)
            for n in range(50):
                ledger.write(lambda t: t.append("r", sys.argv[2], epoch, [Entry("x", {"n": n}, b"p")]))
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path / "l.db")]
    processes = [subprocess.Popen([*command, f"s{n}"]) for n in range(4)]
    assert [p.wait(300) for p in processes] == [0] * 4
    with Ledger(tmp_path / "l.db") as ledger:
        assert verify(ledger).events == 200
        assert verify(ledger).problems == []


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from outlay.ledger import Entry, Ledger
        ledger = Ledger(Path(sys.argv[1]))
        def opened(t):
            t.open_stream("s", "session")
            return t.claim("s", str(sys.argv[2]))
        def free(t):
            t.conn.execute("UPDATE streams SET lease_until_ms = 0")
        ledger.write(free)
        epoch = ledger.write(opened)
        while True:
            (n,) = ledger.write(lambda t: t.append("r", "s", epoch, [Entry("x", {}, b"p" * 100)]))
            print(n, flush=True)
        """
    )
    rng = random.Random(7)
    told = -1
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "l.db"), str(attempt)], stdout=subprocess.PIPE, text=True
        )
        lines = rng.randrange(1, 200)
        for _ in range(lines):
            told = max(told, int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        for line in process.communicate()[0].split("\n"):
            told = max(told, int(line)) if line.strip().isdigit() else told
    with Ledger(tmp_path / "l.db") as ledger:
        places = [e.n for e in ledger.events("s")]
        assert places == list(range(len(places))) and len(places) > told
        assert verify(ledger).problems == []


def test_a_full_disk_is_an_error_and_nothing_of_the_step_is_recorded(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        epoch = claimed(ledger)
        append(ledger, epoch, Entry("before"))
        ledger.write(lambda t: t.conn.execute("PRAGMA max_page_count = 1"))
        with pytest.raises(LedgerError, match="cannot write to the ledger"):
            append(ledger, epoch, Entry("big", {}, os.urandom(1 << 20)))
        ledger.write(lambda t: t.conn.execute("PRAGMA max_page_count = 1073741823"))
        append(ledger, epoch, Entry("after"))
        assert [e.type for e in ledger.events("s")] == ["before", "after"]
        assert verify(ledger).problems == []


def test_a_newer_ledger_and_a_file_that_is_none_are_refused(tmp_path):
    with Ledger(tmp_path / "l.db"):
        pass
    conn = sqlite3.connect(tmp_path / "l.db")
    conn.execute("PRAGMA user_version = 999")
    conn.close()
    with pytest.raises(LedgerError, match="update outlay"):
        Ledger(tmp_path / "l.db")
    (tmp_path / "other.db").write_text("not a database, but long enough to be taken for one" * 50)
    with pytest.raises(LedgerError, match="cannot open"):
        Ledger(tmp_path / "other.db")


def test_threads_read_while_another_writes(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        epoch = claimed(ledger)
        seen = []
        stop = threading.Event()

        def read():
            while not stop.is_set():
                seen.append(sum(1 for _ in ledger.events("s")))

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(200):
            append(ledger, epoch, Entry("x"))
        stop.set()
        thread.join()
        assert seen == sorted(seen)


TAMPER = {
    "head": "UPDATE events SET head = '{\"x\":9}' WHERE seq = {seq}",
    "time": "UPDATE events SET at_ms = at_ms + 1 WHERE seq = {seq}",
    "type": "UPDATE events SET type = 'other' WHERE seq = {seq}",
    "stream": "UPDATE events SET stream = 'elsewhere' WHERE seq = {seq}",
    "deleted": "DELETE FROM events WHERE seq = {seq}",
    "payload": "UPDATE vault SET body = X'00FF' WHERE id = (SELECT payload FROM events WHERE seq = {seq})",
    "swapped": "UPDATE events SET payload = (SELECT max(id) FROM vault) WHERE seq = {seq}",
    "hash": "UPDATE events SET hash = randomblob(32) WHERE seq = {seq}",
}


@settings(max_examples=40)
@given(kind=st.sampled_from(sorted(TAMPER)), seq=st.integers(1, 8), data=st.data())
def test_every_kind_of_tampering_is_found(tmp_path_factory, kind, seq, data):
    path = tmp_path_factory.mktemp("tamper") / "l.db"
    with Ledger(path) as ledger:
        epoch = claimed(ledger)
        payloads = data.draw(st.lists(st.binary(min_size=1, max_size=900), min_size=9, max_size=9, unique=True))
        for n, payload in enumerate(payloads):
            append(ledger, epoch, Entry("x", {"n": n}, payload))
        assert verify(ledger).problems == []
        anchor = {9: verify(ledger).head}

        def tamper(t):
            t.conn.execute("DROP TRIGGER events_fixed")
            t.conn.execute("DROP TRIGGER events_kept")
            t.conn.execute(TAMPER[kind].replace("{seq}", str(seq)))

        ledger.write(tamper)
        assert verify(ledger, anchor).problems


def test_events_cannot_be_changed_or_deleted_by_accident(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        append(ledger, claimed(ledger), Entry("x"))
        for statement in ("UPDATE events SET type = 'y'", "DELETE FROM events"):
            with pytest.raises(LedgerError, match="append-only"):
                ledger.write(lambda t, statement=statement: t.conn.execute(statement))


def test_a_removed_payload_leaves_a_whole_chain_and_no_byte_behind(tmp_path):
    secret = b"the patient's name is written here" * 20
    with Ledger(tmp_path / "l.db") as ledger:
        epoch = claimed(ledger)
        append(ledger, epoch, Entry("x", {}, secret), Entry("y", {}, b"kept"))
        ledger.write(lambda t: t.conn.execute("DELETE FROM vault WHERE id = 1"))
        verdict = verify(ledger)
        assert (verdict.problems, verdict.redacted) == ([], 1)
        assert [e.payload for e in ledger.events("s")] == [None, b"kept"]


def test_a_cut_tail_is_found_by_an_anchor_only(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        epoch = claimed(ledger)
        append(ledger, epoch, Entry("x"), Entry("y"))
        head = verify(ledger).head

        def cut(t):
            t.conn.execute("DROP TRIGGER events_kept")
            t.conn.execute("DELETE FROM events WHERE seq = 2")

        ledger.write(cut)
        assert verify(ledger).problems == []
        assert verify(ledger, {2: head}).problems == ["event 2: anchored, but no longer there"]
