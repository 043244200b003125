"""A plausible run, written through the real ledger: a main agent, two subagents, a failed check, a few faults."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from outlay.clock import Clock
from outlay.ledger import Call, Entry, Ledger
from outlay.tokens import ZERO, Usage

START_MS = 1_795_000_000_000
RUN = "3k7m2p9qabcd1234"


class SteppedClock(Clock):
    """Time that only a test moves."""

    def __init__(self, at_ms: int = START_MS) -> None:
        super().__init__(random.Random(1))
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def pass_ms(self, ms: int) -> None:
        self.at_ms += ms


class Recorder:
    """Writes the events that a run would write."""

    def __init__(self, folder: Path, run: str = RUN, **head: Any) -> None:
        self.clock = SteppedClock()
        self.ledger = Ledger(folder / "ledger.db", self.clock)
        self.run = run
        self.epochs: dict[str, int] = {}
        self.roles: dict[str, tuple[str, str, str | None]] = {}
        self._open(run, "run")
        started = {
            "goal_sha256": "0" * 64,
            "outlay": "0",
            "sandbox_tier": "strict",
            "price_book": "0" * 16,
            "models": {"main": "anthropic:claude-sonnet-5-5", "small": "anthropic:claude-haiku-4-5"},
            "own_prices": {},
            "limits": {"usd": 2 * 10**12, "wall": 7200.0, "turns": 100},
            "checks": ["tests", "score"],
        }
        self.note(run, "run.started", started | head, b"---\n---\nConvert Markdown.")
        self.ledger.write(
            lambda t: t.put(
                "runs", id=run, name="converter", goal_path="GOAL.md", workspace="repo", status="running", pid=1,
                started_ms=self.clock.now_ms(), main=f"{run}:main",
            )
        )  # fmt: skip

    def _open(self, stream: str, kind: str) -> None:
        def work(t: Any) -> int:
            t.open_stream(stream, kind)
            return int(t.claim(stream, "test"))

        self.epochs[stream] = self.ledger.write(work)

    def note(self, stream: str, kind: str, head: dict[str, Any], payload: bytes | None = None) -> int:
        entry = Entry(kind, head, payload)
        self.ledger.write(lambda t: t.renew("test"))
        return self.ledger.write(lambda t: t.append(self.run, stream, self.epochs[stream], [entry]))[0]

    def session(self, name: str, role: str, model: str, parent: str | None = None, window: int = 200_000) -> str:
        id = f"{self.run}:{name}"
        self._open(id, "session")
        self.roles[id] = (role, model, parent)
        self.note(id, "session.started", {"name": name, "role": role, "model": model, "parent": parent}, b"{}")
        self.ledger.write(
            lambda t: t.put(
                "sessions", id=id, run=self.run, parent=parent, name=name, role=role, model=model, status="running",
                window_tokens=window, started_ms=self.clock.now_ms(),
            )
        )  # fmt: skip
        self.note(id, "message.added", {"kind": "task"}, b'{"role": "user"}')
        return id

    def call(
        self, session: str, usage: Usage, *, model: str = "claude-sonnet-5-5", status: str = "ok",
        quality: str = "exact", tools: tuple[tuple[str, int], ...] = (), kind: str = "", http: int | None = None,
        possible: int | None = None, seconds: int = 8,
    ) -> None:  # fmt: skip
        """One attempt, and the results of the tools it asked for as (name, characters)."""
        role, _, parent = self.roles[session]
        n = self.note(session, "call.intent", {"model": "main", "attempt": 1, "reserved_pico": 10**10})
        self.clock.pass_ms(seconds * 1000)
        key = f"{session}#{n}"
        row = Call(
            source="outlay", key=key, run=self.run, session=session, parent=parent, agent=session.split(":")[1],
            role=role, model=model, provider="anthropic", ended_ms=self.clock.now_ms(), usage=usage, quality=quality,
            status=status, tools=",".join(name for name, _ in tools), possible_cost_pico=possible,
        )  # fmt: skip
        self.ledger.write(lambda t: t.record_calls([row]))
        if status != "ok":
            lost = {"key": key, "possible_cost_pico": possible}
            failed = {"key": key, "kind": kind, "status": http, "attempt": 1}
            self.note(session, "call.lost" if status == "lost" else "call.failed", lost if status == "lost" else failed)
            return
        self.note(session, "call.result", {"key": key, "stop": "tools" if tools else "end", "model": model}, b"{}")
        for place, (name, chars) in enumerate(tools):
            call_id = f"{n}.{place}"
            self.note(session, "tool.intent", {"call_id": call_id, "name": name}, b'{"path": "src/convert.py"}')
            self.clock.pass_ms(700)
            head = {"call_id": call_id, "name": name, "is_error": chars < 20, "chars": chars, "wall_ms": 700}
            self.note(session, "tool.result", head, b"x" * chars)
        self.ledger.write(
            lambda t: t.conn.execute(
                "UPDATE sessions SET turns = turns + 1, context_tokens = ?, last_action = ? WHERE id = ?",
                (usage.input + usage.output, tools[-1][0] + " src/convert.py" if tools else "thinking", session),
            )
        )

    def check(self, name: str, round_number: int, passed: bool, value: float | None = None) -> None:
        self.clock.pass_ms(2000)
        head = {
            "name": name, "round": round_number, "passed": passed, "exit_code": 0 if passed else 1, "ended": "exited",
            "value": value, "wanted": "at least 600" if value else "exit 0", "wall_ms": 2000, "cpu_ms": 1800,
        }  # fmt: skip
        self.note(self.run, "check.finished", head, b"output")

    def end_session(self, session: str, status: str = "done") -> None:
        self.note(session, "session.ended", {"status": status}, b'{"answer": "All done."}')
        now = self.clock.now_ms()
        self.ledger.write(lambda t: t.update("sessions", session, status=status, ended_ms=now))

    def end(self, outcome: str = "succeeded", reason: str = "all checks pass") -> None:
        self.note(self.run, "run.ended", {"outcome": outcome, "passed": 2, "checks": 2}, reason.encode())
        now = self.clock.now_ms()
        self.ledger.write(
            lambda t: t.update("runs", self.run, status="ended", outcome=outcome, reason=reason, ended_ms=now)
        )
        self.ledger.write(lambda t: t.release("test"))


def grow(recorder: Recorder, session: str, turns: int, model: str, tool: str) -> None:
    """Turns that each read the conversation so far from the cache and add to it."""
    cached = 2_000
    for turn in range(turns):
        new = 900 + 150 * turn
        usage = Usage(fresh=4, cache_read=cached, cache_write_5m=new, output=300, reasoning=40)
        tools = ((tool, 1800 + 400 * turn), ("shell", 600)) if turn < turns - 1 else ()
        recorder.call(session, usage, model=model, tools=tools)
        cached += new + 300


def start(folder: Path, **head: Any) -> Recorder:
    """The run in its middle: subagents at work, one check failed."""
    recorder = Recorder(folder, **head)
    main = recorder.session("main", "main", "main")
    grow(recorder, main, 6, "claude-sonnet-5-5", "read")
    recorder.call(main, ZERO, status="failed", kind="rate_limit", http=429, seconds=1)
    scout = recorder.session("scout", "scout", "small", main)
    grow(recorder, scout, 5, "claude-haiku-4-5", "grep")
    recorder.end_session(scout)
    recorder.check("tests", 1, passed=False)
    recorder.check("score", 1, passed=False, value=571)
    developer = recorder.session("blocks/nested-lists", "developer", "main", main)
    grow(recorder, developer, 9, "claude-sonnet-5-5", "edit")
    return recorder


def whole(folder: Path, **head: Any) -> Recorder:
    """The run from start to success."""
    recorder = start(folder, **head)
    main, developer = f"{RUN}:main", f"{RUN}:blocks/nested-lists"
    recorder.end_session(developer)
    recorder.call(main, Usage(fresh=20, cache_read=15_000, cache_write_5m=1_200, output=150), tools=(("agents", 900),))
    recorder.check("tests", 2, passed=True)
    recorder.check("score", 2, passed=True, value=603)
    recorder.end_session(main)
    recorder.end()
    return recorder
