"""Keys of agents: they come from whoever starts an agent, stay in memory, and are asked for when they are gone."""

import os
import socket
import stat

from agent_lab import lab

from modelserver import Answer, Tool
from outlay.service.keys import Keys, memory
from project import until

KEY = "LAB_MODEL_KEY"


def keyed(call):
    """A model that says by which key it was asked; told to ask, it asks something first."""
    if "ask first" in call.task and not call.turn:
        return Answer("", (Tool("ask", {"question": "now?"}),))
    if "until told" in call.task and not any("enough" in text for m in call.messages for text in m.texts):
        return Answer("", (Tool("glob", {"pattern": "*"}),), delay_s=0.2)
    return Answer(call.headers["authorization"].removeprefix("Bearer ").removesuffix("-key"))


def test_an_agent_has_the_key_of_the_shell_that_started_it_and_not_the_workers(tmp_path):
    with lab(tmp_path, keyed, key_env=KEY) as it:
        assert it.refused("start", "x") == "E_MODEL_INVALID"
        for name, key in (("one", "first-key"), ("two", "second-key")):  # the worker starts with the first
            it.environment[KEY] = key
            it.start(name, name, "--role", "scout")
        it.environment[KEY] = None
        it.agent("wait", "one", "two")
        assert it.agent("result", "one")["result"]["answer"] == "first"
        assert it.agent("result", "two")["result"]["answer"] == "second"
        for name in it.home.rglob("*"):
            assert not name.is_file() or b"second-key" not in name.read_bytes(), name
        place = it.home / "service" / "keys.sock"
        assert stat.S_ISSOCK(place.stat().st_mode) and stat.S_IMODE(place.stat().st_mode) == 0o600


def test_keys_outlive_the_keeper_and_the_worker_but_not_both(tmp_path):
    with lab(tmp_path, keyed, key_env=KEY) as it:
        it.environment[KEY] = "the-key"
        it.start("slow", "until told", "--role", "scout")
        it.environment[KEY] = None
        until(lambda: it.status("slow")["turns"])
        (keeper,) = until(lambda: it.processes()["keeper"])
        it.kill("keeper")  # the worker gives what it knows to a new one
        until(lambda: [pid for pid in it.processes()["keeper"] if pid != keeper] and it.holds("keeper"))
        it.kill("worker")  # and has it back from there
        turns = it.status("slow")["turns"]
        until(lambda: it.status("slow")["turns"] > turns)
        it.agent("send", "slow", "enough")
        assert it.agent("wait", "slow", "--timeout", "300")["agents"][0]["status"] == "done"
        assert it.agent("result", "slow")["result"]["answer"] == "the"

        it.kill("keeper", "worker")
        assert it.agent("resume", "slow", "and again")["agent"]["resumed"] == 1
        waited = it.agent("wait", "slow", "--timeout", "300", code=5)
        assert waited["wait"] == "question" and waited["agents"][0]["status"] == "waiting"
        assert waited["agents"][0]["question"].startswith(f"no key in {KEY}; run any `outlay agent` command")
        assert "no key" in it.agent("result", "slow", code=5)["result"]["reason"]
        it.environment[KEY] = "another-key"
        it.agent("status")
        assert it.agent("wait", "slow", "--timeout", "300")["agents"][0]["status"] == "done"
        assert it.agent("result", "slow")["result"]["answer"] == "another"
        assert it.is_whole()


def test_an_agent_without_its_key_can_be_cancelled(tmp_path):
    with lab(tmp_path, keyed, key_env=KEY) as it:
        it.environment[KEY] = "the-key"
        it.start("asker", "ask first", "--role", "scout")
        it.agent("wait", "asker", code=5)
        it.kill("keeper", "worker")
        it.environment[KEY] = None
        it.agent("send", "asker", "yes")
        until(lambda: "no key" in (it.status("asker")["question"] or ""))
        assert it.agent("cancel", "asker")["agents"][0]["status"] == "cancelled"


def test_what_a_crash_cut_off_in_the_memory_of_keys_is_left_out():
    descriptor = memory()
    keys = Keys(descriptor)
    keys.take({"r1": {"A": "1", "B": "2"}})
    keys.take({"r1": {"A": "3"}})
    os.pwrite(descriptor, b'{"r2": {"A": "4', os.fstat(descriptor).st_size)
    again = Keys(descriptor)
    assert again.environment("r1", ("A", "B", "C"), {"A": "mine", "C": "mine", "D": "5"}) == {
        "A": "3", "B": "2", "D": "5"
    }  # fmt: skip
    assert not again.has("r2", "A")
    os.close(descriptor)


def test_what_is_no_message_does_not_disturb_the_worker(tmp_path):
    with lab(tmp_path, keyed, key_env=KEY) as it:
        it.environment[KEY] = "the-key"
        it.start("one", "x", "--role", "scout")
        it.agent("wait", "one")
        (worker,) = it.processes()["worker"]
        folder = os.open(it.home / "service", os.O_RDONLY)
        for wrong in (b"hello\n", b"[]\n", b"{", b'{"nobody": {"A": "1"}}\n'):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(f"/proc/self/fd/{folder}/keys.sock")
                peer.sendall(wrong)
                peer.shutdown(socket.SHUT_WR)
                assert peer.recv(100) in (b"", b"taken\n")
        os.close(folder)
        it.start("two", "x", "--role", "scout")
        it.agent("wait", "two")
        assert it.processes()["worker"] == [worker]
