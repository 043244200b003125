"""The rooms of the house: each package imports only from those below it."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "outlay"
FLOORS = [
    "ledger", "prices", "economics", "readers", "policy", "wires", "gateway", "sandbox", "drivers", "agents",
    "teams", "runs", "service", "experiments", "views", "cli", "__main__", "__init__",
]  # fmt: skip
TASKS = SOURCE / "tasks"
"""Data, not code of ours: what agents work on."""
GROUND = ["errors", "clock", "tokens", "money", "home"]


def imported(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("outlay."):
            rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "outlay":
            rooms.update(alias.name for alias in node.names if (SOURCE / alias.name).is_dir())
        elif isinstance(node, ast.Import):
            rooms.update(a.name.split(".")[1] for a in node.names if a.name.startswith("outlay."))
    return rooms


def test_each_room_imports_only_from_the_floors_below_it():
    offences = []
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(TASKS):
            continue
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        below = GROUND if room in GROUND else GROUND + FLOORS[: FLOORS.index(room) + 1] if room in FLOORS else None
        assert below is not None, f"{path} stands in no room of the house"
        offences += [f"{path.relative_to(SOURCE)} imports outlay.{name}" for name in imported(path) - set(below)]
    assert not offences
