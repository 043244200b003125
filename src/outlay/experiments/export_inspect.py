"""Trials as a log of Inspect (inspect_ai), JSON or `.eval`: one log for each arm, one sample for each trial.

Checked against inspect-ai 0.3.285, whose `read_eval_log` and viewer read it."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from outlay import __version__
from outlay.economics.spend import NOTHING, Spend
from outlay.economics.trials import Trial
from outlay.experiments.export import Session, Step, Trace
from outlay.money import PICO_PER_USD

SCORER = "checks"
"""Name of the score: whether the run's checks, or the task's verifier, passed."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A trial, and the run that it was."""

    trial: Trial
    trace: Trace


def log_of(name: str, arm: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """One arm's log, JSON-ready. `name`: of the experiment or run; the log's task is `name/arm`."""
    samples = [_sample(entry) for entry in entries]
    started = min(entry.trace.started_ms for entry in entries)
    ended = max(entry.trace.ended_ms or entry.trace.started_ms for entry in entries)
    task = f"{name}/{arm}" if arm else name
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": f"{entries[0].trace.run}-{arm}", "run_id": entries[0].trace.run, "created": _iso(started),
            "task": task, "task_id": task, "task_version": 0, "solver": arm or None,
            "dataset": {
                "name": name, "samples": len({e.trial.task for e in entries}),
                "sample_ids": list(dict.fromkeys(e.trial.task for e in entries)),
            },
            "model": _main_model(entries[0].trace),
            "config": {"epochs": max(entry.trial.repeat for entry in entries) + 1},
            "packages": {"outlay": __version__}, "scorers": [{"name": SCORER}],
        },
        "plan": {"name": "plan", "steps": [{"solver": arm or "outlay", "params": {}}]},
        "results": _results(entries),
        "stats": {
            "started_at": _iso(started), "completed_at": _iso(ended),
            "model_usage": _usage_by_model([entry.trace for entry in entries]),
        },
        "samples": samples,
    }  # fmt: skip


def write_json(log: dict[str, Any], path: Path) -> None:
    """The log as one JSON file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(log), indent=1))


def write_archive(log: dict[str, Any], path: Path) -> None:
    """The log as an `.eval` archive: a sample is a file in it, so a viewer opens a large log at once."""
    header = {key: value for key, value in log.items() if key != "samples"}
    start = {"version": log["version"], "eval": log["eval"], "plan": log["plan"]}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", msgspec.json.encode(start))
        for sample in log["samples"]:
            place = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
            archive.writestr(place, msgspec.json.encode(sample))
        archive.writestr("summaries.json", msgspec.json.encode([_summary(sample) for sample in log["samples"]]))
        archive.writestr("header.json", msgspec.json.encode(header))


def _results(entries: Sequence[Entry]) -> dict[str, Any]:
    rate = sum(entry.trial.success for entry in entries) / len(entries)
    score = {
        "name": SCORER, "scorer": SCORER, "scored_samples": len(entries), "unscored_samples": 0, "params": {},
        "metrics": {"accuracy": {"name": "accuracy", "value": rate, "params": {}}},
    }  # fmt: skip
    return {"total_samples": len(entries), "completed_samples": len(entries), "scores": [score]}


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "epoch", "input", "target", "metadata", "scores", "model_usage", "started_at", "completed_at",
            "total_time", "working_time", "uuid")  # fmt: skip
    return {key: sample[key] for key in kept} | {
        "limit": sample["limit"]["type"] if sample["limit"] else None,
        "error": sample["error"]["message"] if sample["error"] else None,
        "completed": True,
        "message_count": len(sample["messages"]),
    }


def _sample(entry: Entry) -> dict[str, Any]:
    trial, trace = entry.trial, entry.trace
    main = trace.sessions[0] if trace.sessions else None
    task = next((step.text for step in main.steps if step.source == "user"), "") if main else ""
    told = f"{trial.outcome}{': ' + trace.reason if trace.reason else ''}"
    return {
        "id": trial.task, "epoch": trial.repeat + 1, "input": task, "target": "",
        "messages": list(_conversation(main)) if main else [],
        "output": {"model": _main_model(trace), "choices": []},
        "scores": {SCORER: {"value": "C" if trial.success else "I", "explanation": told,
                            "metadata": {"checks": trace.checks}}},
        "metadata": {"arm": trial.arm, "run": trace.run, "outcome": trial.outcome, "withheld": trace.withheld,
                     "cost_usd": None if trial.cost_pico is None else trial.cost_pico / PICO_PER_USD},
        "store": {},
        "events": list(_events(trace)),
        "model_usage": _usage_by_model([trace]),
        "started_at": _iso(trace.started_ms),
        "completed_at": None if trace.ended_ms is None else _iso(trace.ended_ms),
        "total_time": trace.wall_ms / 1000, "working_time": trace.wall_ms / 1000,
        "uuid": trace.run, "attachments": {},
        "error": {"message": told, "traceback": "", "traceback_ansi": ""} if trial.outcome == "errored" else None,
        "limit": {"type": "custom", "limit": 0, "reason": trace.reason} if trial.outcome == "stopped" else None,
    }  # fmt: skip


def _main_model(trace: Trace) -> str:
    main = trace.sessions[0] if trace.sessions else None
    calls = [step.call for step in main.steps if step.call] if main else []
    if calls:
        return f"{calls[0].provider}/{calls[0].model}" if calls[0].provider else calls[0].model
    return main.model if main and not trace.by_model else next(iter(trace.by_model), "unknown")


def _usage_by_model(traces: Sequence[Trace]) -> dict[str, Any]:
    found: dict[str, Spend] = {}
    for trace in traces:
        for model, spend in trace.by_model.items():
            found[model] = found.get(model, NOTHING) + spend
    return {model: _usage(spend) for model, spend in found.items()}


def _usage(spend: Spend) -> dict[str, Any]:
    """Inspect's `input_tokens` leaves cache reads and writes out. No `total_cost` where a call's cost is unknown."""
    usage, cost = spend.usage, spend.cost_pico
    return {
        "input_tokens": usage.fresh, "output_tokens": usage.output, "total_tokens": usage.gross,
        "input_tokens_cache_write": usage.cache_write_5m + usage.cache_write_1h,
        "input_tokens_cache_read": usage.cache_read, "reasoning_tokens": usage.reasoning,
        "total_cost": None if cost is None else cost / PICO_PER_USD,
    }  # fmt: skip


def _conversation(session: Session) -> Iterator[dict[str, Any]]:
    if session.system:
        yield {"role": "system", "content": session.system}
    for number, step in enumerate(session.steps):
        yield from _messages(session, number, step)


def _messages(session: Session, number: int, step: Step) -> Iterator[dict[str, Any]]:
    id = f"{session.name}#{number}"
    if step.source == "user":
        yield {"id": id, "role": "user", "content": step.text, "metadata": {"kind": step.kind}}
        return
    yield _said(id, step)
    for asked in step.asked:
        if asked.result is not None:
            yield {
                "id": f"{id}/{asked.id}", "role": "tool", "content": asked.result, "tool_call_id": asked.id,
                "function": asked.name,
                "error": {"type": "unknown", "message": asked.result} if asked.is_error else None,
            }  # fmt: skip


def _said(id: str, step: Step) -> dict[str, Any]:
    return {
        "id": id, "role": "assistant", "content": step.text, "source": "generate",
        "model": step.call.model if step.call else None,
        "tool_calls": [
            {"id": a.id, "function": a.name, "arguments": a.arguments, "type": "function"} for a in step.asked
        ] or None,
    }  # fmt: skip


def _events(trace: Trace) -> Iterator[dict[str, Any]]:
    """In order of time: the main session's, and every subagent as a span, in that of whoever started it."""
    main = trace.sessions[0].id if trace.sessions else ""
    known = {session.id for session in trace.sessions} - {main}
    found: list[tuple[int, dict[str, Any]]] = []
    for session in trace.sessions:
        inside = None if session.id == main else session.id
        parent = session.parent if session.parent in known else None
        before: list[dict[str, Any]] = [{"role": "system", "content": session.system}] if session.system else []
        own = [
            (at_ms, event | {"span_id": inside})
            for number, step in enumerate(session.steps)
            for at_ms, event in _step_events(session, number, step, before)
        ]
        if inside:
            span = {"id": inside, "span_id": inside}
            begun = {"event": "span_begin", "parent_id": parent, "type": "agent", "name": session.name}
            last = max([at_ms for at_ms, _ in own] + [session.started_ms, session.ended_ms or 0])
            own = [(session.started_ms, begun | span), *own, (last, {"event": "span_end"} | span)]
        found += own
    for at_ms, event in sorted(found, key=lambda each: each[0]):  # stable: a session's own order stays
        yield event | {"timestamp": _iso(at_ms), "working_start": max(at_ms - trace.started_ms, 0) / 1000}


def _step_events(
    session: Session, number: int, step: Step, before: list[dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """A model's answer with what was new to it (not the whole conversation again), and the tools it called."""
    if step.source == "agent" and step.call is not None:
        call = step.call
        id = f"{session.name}#{number}"
        output: dict[str, Any] = {
            "model": call.model,
            "choices": [{"message": _said(id, step), "stop_reason": "tool_calls" if step.asked else "stop"}],
        }
        if call.quality != "unmeasured":
            usage = _usage(Spend(calls=1, usage=call.usage))
            output["usage"] = usage | {"total_cost": None if step.cost_pico is None else step.cost_pico / PICO_PER_USD}
        yield step.at_ms, {
            "event": "model", "model": call.model, "role": session.role, "input": list(before),
            "tools": [], "tool_choice": "auto", "config": {}, "output": output, "completed": _iso(step.at_ms),
        }  # fmt: skip
        before.clear()
    if step.source == "user":
        before += _messages(session, number, step)
        return
    for asked in step.asked:
        yield step.at_ms, {
            "event": "tool", "type": "function", "id": asked.id, "function": asked.name,
            "arguments": asked.arguments, "result": asked.result or "", "failed": asked.is_error or None,
            "error": {"type": "unknown", "message": asked.result or ""} if asked.is_error else None,
            "completed": None if asked.result_ms is None else _iso(asked.result_ms),
        }  # fmt: skip
    before += [message for message in _messages(session, number, step) if message["role"] == "tool"]


def _iso(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
