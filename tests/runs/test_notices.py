"""Notices of runs, to a real webhook."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from modelserver import Answer, Call, Tool, serving
from project import Project


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200 if self.path == "/hook" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def work(call: Call) -> Answer:
    steps = [Answer("", (Tool("shell", {"command": "echo a secret word"}),))] * 4
    steps += [Answer("", (Tool("shell", {"command": "touch done.txt"}),))]
    return steps[call.turn] if call.turn < len(steps) else Answer("Done: the secret word was found.")


def project(tmp_path: Path, url: str) -> Project:
    it = Project(tmp_path, url)
    it.environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    return it


def test_a_webhook_hears_of_the_end_and_of_limits_and_nothing_that_agents_said(tmp_path: Path) -> None:
    with webhook() as (url, got), serving(work) as server:
        it = project(tmp_path, server.base_url("openai"))
        it.environment["HOOK"] = url.removeprefix("json://")
        it.write_goal(more='limits: {turns: 6}\nnotify: {to: ["json://${HOOK}"]}\n', task="find the secret word")
        it.run()
        titles = [each["title"] for each in got]
        assert titles[-1].endswith(": succeeded") and "1 of 1 checks pass" in got[-1]["message"]
        assert any("nearly used up" in title for title in titles)
        assert "secret" not in json.dumps(got)
        sent = [event.head for event in it.events("notice.sent")]
        assert {"kind": "done", "to": "json", "arrived": True} in sent and len(sent) == len(got)
        assert url not in json.dumps(sent) and it.chain_is_whole()


def test_only_what_was_asked_for_is_told_and_a_dead_address_stops_nothing(tmp_path: Path) -> None:
    with webhook() as (url, got), serving(work) as server:
        it = project(tmp_path, server.base_url("openai"))
        config = tmp_path / "config" / "outlay" / "notify.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f'to = ["{url}"]\non = ["failed"]\n')
        it.write_goal(more="notify: {to: ['json://127.0.0.1:9/gone'], on: [done]}\n")
        it.run()
        assert not got and [event.head["arrived"] for event in it.events("notice.sent")] == [False]
        it.write_goal(check="false", more="limits: {turns: 3}\n")
        it.run(code=3)
        assert [each["title"] for each in got if "stopped" in each["title"]]


def test_wrong_addresses_are_found_before_anything_begins(tmp_path: Path) -> None:
    with serving(work) as server:
        it = project(tmp_path, server.base_url("openai"))
        for line, words in (
            ("notify: {to: ['json://${NOWHERE}']}", "NOWHERE is not set"),
            ("notify: {to: ['nonsense://x']}", "nothing can be sent to this nonsense: address"),
            ("notify: {on: [done, faild]}", "did you mean 'failed'"),
        ):
            it.write_goal(more=f"{line}\n")
            wrong = it.outlay("run", str(it.goal), "--plain")
            assert wrong.returncode == 2 and words in wrong.stderr, wrong.stderr
        assert not server.records


def test_notify_test_says_what_arrived(tmp_path: Path) -> None:
    with webhook() as (url, got):
        it = project(tmp_path, "http://127.0.0.1:9/v1")
        good = it.outlay("notify", "test", "--to", url)
        assert (good.returncode, good.stdout) == (0, "json: sent\n") and got[0]["title"] == "outlay: a test"
        bad = it.outlay("notify", "test", "--to", url.replace("hook", "other"), "--json")
        assert bad.returncode == 1 and json.loads(bad.stdout) == [{"to": "json", "arrived": False}]
        none = it.outlay("notify", "test")
        assert none.returncode == 2 and "no address" in none.stderr
