"""Small files in the formats that others publish, with the fields their own programs write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("OUTLAY_SHARED") or Path(__file__).parents[3] / "shared")
needs_data = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="no published results: set OUTLAY_SHARED")
BOARD = SHARED / "data" / "swebench" / "leaderboards.f1176b6.json"
INSTANCES = SHARED / "data" / "swebench" / "info_for_leaderboard.json"
AIDER = SHARED / "data" / "aider"


def put(path: Path, data: Any) -> Path:
    """Writes JSON and gives the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def board(*arms: dict[str, Any]) -> dict[str, Any]:
    return {"leaderboards": [{"name": "Verified", "results": []}, {"name": "bash-only", "results": list(arms)}]}


def board_arm(name: str, rows: dict[str, tuple[bool, float]], **headline: Any) -> dict[str, Any]:
    """An arm of the bash-only board whose headline follows from its rows unless told otherwise."""
    total = sum(cost for _, cost in rows.values())
    share = sum(good for good, _ in rows.values()) / len(rows)
    details = {t: {"resolved": good, "cost": cost, "api_calls": 9} for t, (good, cost) in rows.items()}
    base = {"resolved": round(100 * share, 2), "cost": total, "instance_cost": total / len(rows)}
    return {"name": name, "per_instance_details": details} | base | headline


def trajectory(task: str, cost: float = 0.03, status: str = "Submitted") -> dict[str, Any]:
    """A mini-swe-agent trajectory of two answers."""

    def answer(prompt: int, cached: int, output: int, at: float) -> dict[str, Any]:
        details = {"cached_tokens": cached}
        usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        usage |= {"completion_tokens_details": None, "prompt_tokens_details": details}
        return {
            "role": "assistant",
            "content": "",
            "extra": {"response": {"usage": usage}, "cost": 0.01, "timestamp": at},
        }

    return {
        "info": {
            "model_stats": {"instance_cost": cost, "api_calls": 2},
            "config": {"model": {"model_name": "deepseek/deepseek-chat"}},
            "mini_version": "2.2.7",
            "exit_status": status,
        },
        "messages": [{"role": "system", "content": "x"}, answer(1563, 320, 112, 100.0), answer(1794, 1664, 105, 103.5)],
        "trajectory_format": "mini-swe-agent-1.1",
        "instance_id": task,
    }


def harness_report(resolved: list[str], unresolved: list[str]) -> dict[str, Any]:
    """What the SWE-bench harness writes."""
    return {
        "submitted_ids": [*resolved, *unresolved],
        "completed_ids": [*resolved, *unresolved],
        "resolved_ids": resolved,
        "unresolved_ids": unresolved,
        "empty_patch_ids": [],
        "error_ids": [],
        "schema_version": 2,
    }


def harbor_trial(task: str, reward: float, cost: float | None, exception: str | None = None) -> dict[str, Any]:
    """A Harbor trial's result.json."""
    return {
        "task_name": task,
        "trial_name": f"{task}__abc",
        "agent_info": {"name": "terminus-2", "version": "2", "model_info": {"name": "m", "provider": "p"}},
        "agent_result": {"n_input_tokens": 100, "n_cache_tokens": 60, "n_output_tokens": 9, "cost_usd": cost},
        "verifier_result": {"rewards": {"reward": reward}},
        "exception_info": {"exception_type": exception} if exception else None,
        "started_at": "2026-01-01T10:00:00Z",
        "finished_at": "2026-01-01T10:01:30Z",
    }


def inspect_log(samples: list[dict[str, Any]], accuracy: float | None = None) -> dict[str, Any]:
    """An Inspect log."""
    scores = [
        {"name": "includes", "scorer": "includes", "metrics": {"accuracy": {"name": "accuracy", "value": accuracy}}}
    ]
    return {
        "version": 2,
        "status": "success",
        "eval": {"model": "mockllm/model", "task": "demo"},
        "plan": {"name": "plan", "steps": []},
        "results": {"total_samples": len(samples), "scores": scores if accuracy is not None else []},
        "samples": samples,
    }


def inspect_sample(id: object, epoch: int, value: object, cost: float | None = 0.01, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 7, "input_tokens_cache_read": 20, "reasoning_tokens": 3}
    if cost is not None:
        usage["total_cost"] = cost  # type: ignore[assignment]
    scores = {"scores": {"includes": {"value": value}}}
    return {"id": id, "epoch": epoch, "model_usage": {"mockllm/model": usage}, "total_time": 0.4} | scores | more
