"""What is ordered of a new agent, made into a goal file that holds all of it: roles frozen, defaults filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from outlay.agents.role import Role
from outlay.errors import InputError
from outlay.runs.front_matter import ModelEntry
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.runs.limits import change
from outlay.runs.prepare import prepare
from outlay.runs.yaml_lines import split
from outlay.service.config import Config
from outlay.service.errors import Code, ServiceError

SHIPPED = Path(__file__).with_name("roles")
ROLE_FOLDERS = (".outlay/agents", ".claude/agents")
LARGEST_FILE_BYTES = 200_000
LONGEST_NAME = 40


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An agent to be started."""

    prompt: str
    name: str = ""
    """Unique in its project; empty: its role and a number."""
    role: str = "worker"
    """A shipped role, one of the project's (`.outlay/agents`, `.claude/agents`), or the path of a role file."""
    model: str = ""
    """`provider:model[@base_url]` or a name of the configuration; empty: the role's or the default one."""
    folder: Path = Path()
    """Where it works. A role that only reads sees it as it is, any other works in a clone."""
    files: tuple[Path, ...] = ()
    """Files whose text it is given with its task."""
    limits: tuple[str, ...] = ()
    """`usd=2`, `turns=50`, `net_tokens=1M`, ..."""
    timeout: str = ""
    """Longest time it may work, such as `10m`; empty: the configuration's."""
    subagents: bool = False
    """Whether it may start subagents of the shipped roles and the project's."""
    deliver: Literal["never", "success", "always"] = "never"
    """Whether its changes are brought into the folder when it has ended."""
    replace: bool = False
    """Take the name over from an agent that has ended."""


def write_goal(order: Order, config: Config, environ: Mapping[str, str] = os.environ) -> Goal:
    """The goal of an agent, with everything checked that can be. Raises ServiceError; creates nothing."""
    folder = order.folder.expanduser().absolute()
    if not folder.is_dir():
        raise ServiceError("E_CWD_INVALID", f"{folder} is not a folder; give the folder to work in with --folder")
    if not order.prompt.strip():
        raise ServiceError("E_PROMPT_REQUIRED", "no task; say what the agent is to do")
    main = read_role(order.role, folder)
    limits = (wall(order.timeout or config.timeout), *config.limits, *order.limits)
    _checked("E_LIMIT_INVALID", lambda: change(limits))
    chosen = _model(order, config, main)
    front = _front(order, config.models.get(chosen, chosen), main, folder) | {"limits": _nested(limits)}
    body = "\n\n".join([order.prompt.strip(), *(_shown(path) for path in order.files)])
    text = f"---\n{msgspec.json.encode(front).decode()}\n---\n{body}\n"
    goal: Goal = _checked("E_MODEL_INVALID", lambda: parse(text, folder / "agent", workspace=folder), chosen)
    _checked("E_MODEL_INVALID", lambda: prepare(goal, None, environ, checked=False), chosen)
    return goal


def wall(timeout: str) -> str:
    """A timeout as a limit. Raises ServiceError (E_LIMIT_INVALID)."""
    try:
        change([f"wall={timeout}"])
    except InputError:
        raise ServiceError("E_LIMIT_INVALID", f"timeout {timeout!r} is no time such as 90, 60s, 5m or 2h") from None
    return f"wall={timeout}"


def _checked(code: Code, work: Any, model: str = "") -> Any:
    """`work()`, its error under this code. model: what the caller calls the goal's model."""
    try:
        return work()
    except InputError as error:
        lines = [re.sub(r"^\S*/agent(:\d+)?: ", "", line) for line in str(error).splitlines()]
        raise ServiceError(code, "; ".join(lines).replace("model 'main'", f"model {model!r}")) from None


def _front(order: Order, model: str | ModelEntry, main: Role, folder: Path) -> dict[str, Any]:
    """The front matter, as JSON (which is YAML)."""
    role_name = main.name[:LONGEST_NAME]
    leads = order.subagents or "agents" in main.tools
    name = "lead" if leads else main.name
    roles = {name: _role_entry(main, subagents=order.subagents)}
    if leads:
        roles |= {role.name: _role_entry(role) for role in roles_for(folder) if role.name != name}
    return {
        "name": order.name or role_name,
        "models": {"main": _model_entry(model)},
        "team": {"shape": "lead" if leads else "solo", "main": name, "roles": roles},
        "workspace": {"path": str(folder), "deliver": order.deliver},
    }


def _model(order: Order, config: Config, role: Role) -> str:
    """The model that is asked for, by its spec or its name in the configuration."""
    chosen = order.model or config.roles.get(role.name) or (role.model if ":" in role.model else "") or config.model
    if not chosen:
        raise ServiceError(
            "E_MODEL_REQUIRED",
            "no model; give --model PROVIDER:MODEL, set OUTLAY_MODEL, or write `model = ...` into agents.toml",
        )
    return chosen


def _model_entry(model: str | ModelEntry) -> Any:
    if isinstance(model, str):
        return model
    given = msgspec.to_builtins(model)
    return {key: value for key, value in given.items() if value not in (None, "", [], ())}


def _role_entry(role: Role, *, subagents: bool = False) -> dict[str, Any]:
    tools = [*role.tools, *(["agents"] if subagents and "agents" not in role.tools else [])]
    entry = {"description": role.description or role.name, "prompt": role.prompt, "tools": tools}
    return {key: value for key, value in entry.items() if value}


def _nested(settings: Iterable[str]) -> dict[str, Any]:
    """`["usd=2", "session.turns=9"]` as a goal file writes it; of two with one key the later one."""
    written: dict[str, Any] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        *above, last = key.split(".")
        place = written
        for part in above:
            place = place.setdefault(part, {})
        value = value.strip()
        place[last] = None if value == "none" else msgspec.Raw(value.encode()) if _is_number(value) else value
    return written


def _is_number(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), int | float)
    except msgspec.DecodeError:
        return False


def _shown(path: Path) -> str:
    try:
        content = path.expanduser().read_bytes()
    except OSError as error:
        raise ServiceError("E_FILE_INVALID", f"cannot read {path}: {error.strerror}") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise ServiceError(
            "E_FILE_INVALID",
            f"{path} has {len(content):,} bytes, more than {LARGEST_FILE_BYTES:,}; name it in the task",
        )
    return f"<file path={str(path)!r}>\n{content.decode(errors='replace')}\n</file>"


# ---- roles


def roles_for(folder: Path) -> list[Role]:
    """The shipped roles and the project's own, which hold over shipped ones of their name."""
    found: dict[str, Role] = {}
    for place in (SHIPPED, *(folder / name for name in reversed(ROLE_FOLDERS))):
        for path in sorted(place.glob("*.md")):
            role = _read(path)
            found[role.name] = role
    return list(found.values())


def read_role(name: str, folder: Path) -> Role:
    """The role of that name or in that file. Raises ServiceError (E_ROLE_NOT_FOUND)."""
    path = Path(name).expanduser()
    if path.suffix == ".md":
        path = path if path.is_absolute() else Path.cwd() / path
        if not path.is_file():
            raise ServiceError("E_ROLE_NOT_FOUND", f"no role file {name}")
        return _read(path)
    roles = roles_for(folder)
    for role in roles:
        if role.name == name:
            return role
    known = ", ".join(sorted(role.name for role in roles))
    raise ServiceError("E_ROLE_NOT_FOUND", f"no role {name!r}; there are {known}")


def _read(path: Path) -> Role:
    """A role file, read as goals read them; its model stays as it is written."""
    front = msgspec.json.encode(
        {"models": {"main": "manual:."}, "team": {"shape": "solo", "main": "agent", "roles": {"agent": str(path)}}}
    ).decode()
    goal = _checked("E_ROLE_NOT_FOUND", lambda: parse(f"---\n{front}\n---\nx\n", path.parent / "agent"))
    role: Role = goal.team.roles["agent"]
    text = path.read_text(errors="replace")
    model = name = ""
    for line in split(text, str(path)).front.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model":
            model = value.strip().strip("'\"")
        elif key.strip() == "name":
            name = value.strip().strip("'\"")
    return msgspec.structs.replace(role, name=name or path.stem, model=model)


def project_of(folder: Path) -> Path:
    """The folder within which names of agents are unique: the git work tree that `folder` is in, else itself."""
    folder = folder.expanduser().absolute().resolve()
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def check_name(name: str) -> str:
    """`name`, when it can be one. Raises ServiceError (E_NAME_INVALID)."""
    if len(name) > LONGEST_NAME or not name[:1].isalnum() or not all(c.isalnum() or c in "-_." for c in name):
        raise ServiceError("E_NAME_INVALID", f"{name!r} is no name: letters, digits, - _ and ., at most {LONGEST_NAME}")
    return name
