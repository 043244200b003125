"""Make the repository that is searched: some 200 services of a made-up company, the same bytes every time.

python3 generate.py FOLDER              write the repository
python3 generate.py FOLDER --answers    write it, and print the answers to GOAL.md's questions as JSON
"""

import hashlib
import json
import sys
from pathlib import Path

FIRST = [
    "amber",
    "birch",
    "cobalt",
    "delta",
    "ember",
    "fathom",
    "gable",
    "heron",
    "indigo",
    "juniper",
    "kestrel",
    "lumen",
    "marlin",
    "nimbus",
    "onyx",
    "plover",
]
SECOND = [
    "billing",
    "catalog",
    "dispatch",
    "export",
    "forecast",
    "geocode",
    "identity",
    "ledger",
    "mailer",
    "notify",
    "orders",
    "pricing",
    "quota",
]
TEAMS = ["anvil", "beacon", "cinder", "dovetail", "eddy", "flint", "gantry", "hearth"]
NOUNS = [
    "account",
    "batch",
    "claim",
    "device",
    "entry",
    "invoice",
    "parcel",
    "quote",
    "route",
    "shipment",
    "ticket",
    "voucher",
]
RENAMED = 150
"""Place of the service that renames a column."""
SERVICES = [f"{first}-{second}" for first in FIRST for second in SECOND]


def roll(*key: object) -> int:
    """A large number that depends on nothing but its key."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "big")


def pick(options: list[str], *key: object) -> str:
    return options[roll(*key) % len(options)]


class Service:
    """What one service is, before needles are put in."""

    def __init__(self, place: int) -> None:
        self.place, self.name = place, SERVICES[place]
        self.package = self.name.replace("-", "_")
        self.port = 7000 + place * 7
        self.owner = pick(TEAMS, "owner", place)
        self.nouns = [NOUNS[(roll("nouns", place) + step * 5) % len(NOUNS)] for step in range(3)]
        # calls go to services further on only, so that there is no cycle but the one put in
        ahead = len(SERVICES) - 1 - place
        steps = [1 + roll("calls", place, n) % min(ahead, 40) for n in range(2)] if ahead else []
        self.calls = list(dict.fromkeys(SERVICES[place + step] for step in steps))
        self.timeout_ms = 9000 - 40 * place
        self.base = 10 * place
        self.flag = f"{self.nouns[0]}-{pick(['preview', 'batching', 'shadow', 'strict'], 'flag', place)}-{place}"
        self.publishes = f"{self.nouns[0]}.{pick(['created', 'settled', 'moved', 'closed'], 'topic', place)}.v{place}"
        self.consumes = f"topic-of:{(place + 31) % len(SERVICES)}"
        self.documented_batch = self.production_batch = 50 + roll("batch", place) % 200
        self.columns = {noun: ["id", f"{noun}_ref", "created_at", "state"] for noun in self.nouns}
        self.dropped: tuple[str, str] | None = None
        self.reads_elsewhere: tuple[str, str, str] | None = None
        self.retried = f"find_{self.nouns[1]}"


def plant(services: list[Service]) -> dict[str, str]:
    """Put in what the questions ask for; the answers."""
    by_name = {service.name: service for service in services}
    answers = {"1": services[137].name}  # code HX-1374: base 1370 plus offset 4, written nowhere as one number
    low = services[88]
    low.timeout_ms = by_name[low.calls[0]].timeout_ms - 5
    answers["2"] = low.name
    answers["3"] = services[(services[61].place - 31) % len(services)].owner  # who consumes what port 7427 publishes
    reader, changed = services[19], services[RENAMED]
    changed.dropped = (changed.nouns[2], f"{changed.nouns[2]}_ref")
    reader.reads_elsewhere = (changed.package, *changed.dropped)
    answers["4"] = f"{reader.name} {changed.dropped[1]}"
    services[173].flag += "-eu"
    answers["5"] = services[173].flag
    back, front = services[121], services[120]
    front.calls = [back.name]
    back.calls.append(front.name)
    back.timeout_ms = front.timeout_ms  # so that question 2 keeps its one answer
    answers["6"] = " ".join(sorted([back.name, front.name]))
    services[44].retried = f"create_{services[44].nouns[1]}"
    answers["7"] = f"{services[44].name} {services[44].retried}"
    services[199].production_batch += 13
    answers["8"] = services[199].name
    return answers


ERRORS = '''"""Errors of {name}, with the codes that callers see: HX-, then BASE plus the offset."""

BASE = {base}
OFFSETS = {{"unknown": 1, "stale": 2, "denied": 3{third}}}


class Refused(Exception):
    """A request that cannot be served."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"HX-{{BASE + OFFSETS[kind]:04d}}: {{what}}")
        self.kind = kind
'''
HANDLERS = '''"""Requests for one {noun}."""

from {package}.errors import Refused
from {package}.settings import flag
from {package}.storage import {noun}_rows


def find_{noun}(reference: str) -> dict:
    rows = {noun}_rows(reference)
    if not rows:
        raise Refused("unknown", f"{noun} {{reference}}")
    return rows[0]


def create_{noun}(reference: str, state: str = "{state}") -> dict:
    if {noun}_rows(reference):
        raise Refused("stale", f"{noun} {{reference}} exists")
    return {{"{noun}_ref": reference, "state": state{extra}}}


def close_{noun}(reference: str) -> dict:
    row = dict(find_{noun}(reference))
    if row["state"] == "closed":
        raise Refused("{kind}", f"{noun} {{reference}} is closed")
    return row | {{"state": "closed"}}
'''
STORAGE = '''"""Rows of {name}."""

CONNECTION = None


def _query(text: str, *values: str) -> list[dict]:
    return [dict(row) for row in CONNECTION.execute(text, values)] if CONNECTION else []
'''
ROWS = """

def {noun}_rows(reference: str) -> list[dict]:
    return _query("SELECT id, state, created_at FROM {noun} WHERE {noun}_ref = ?", reference)
"""
FOREIGN = '''

def references_of_{package}() -> list[dict]:
    """Read through the reporting replica, which holds the tables of all services."""
    return _query("SELECT {column} FROM {package}.{table} ORDER BY created_at DESC")
'''
CLIENTS = '''"""What {name} asks of others."""

from halyard.http import call
from halyard.retry import retry

from {package}.settings import TIMEOUT_MS


@retry(times=3)
def {retried}(reference: str) -> dict:
    return call("{first}", "/{noun}", reference, timeout_ms=TIMEOUT_MS)
'''
ASKS = """

def ask_{target}(reference: str) -> dict:
    return call("{service}", "/{noun}", reference, timeout_ms=TIMEOUT_MS)
"""
SETTINGS = '''"""Settings of {name}; deploy/ says what they are where."""

import os

TIMEOUT_MS = int(os.environ["TIMEOUT_MS"])
BATCH = int(os.environ.get("BATCH", "{batch}"))


def flag() -> bool:
    """Whether the new way is on here."""
    return os.environ.get("FLAGS", "").find("{flag}") >= 0
'''


def files(service: Service, services: list[Service]):
    """Paths and texts of one service."""
    top, source = f"services/{service.name}", f"services/{service.name}/src/{service.package}"
    upstream = services[int(service.consumes.partition(":")[2])]
    third = ', "closed": 4' if service.place % 5 == 2 else ', "busy": 5'
    yield (
        f"{top}/service.toml",
        (
            f'name = "{service.name}"\nowner = "{service.owner}"\nport = {service.port}\n\n[topics]\n'
            f'publishes = ["{service.publishes}"]\nconsumes = ["{upstream.publishes}"]\n'
        ),
    )
    yield (
        f"{top}/README.md",
        (
            f"# {service.name}\n\nKeeps every {service.nouns[0]}, {service.nouns[1]} and {service.nouns[2]} of team {service.owner}. "
            f"Works in batches of {service.documented_batch} in production; ask in the team's room before changing that.\n"
        ),
    )
    yield f"{source}/__init__.py", f'"""{service.name}."""\n'
    yield f"{source}/errors.py", ERRORS.format(name=service.name, base=service.base, third=third)
    yield f"{source}/settings.py", SETTINGS.format(name=service.name, batch=20 + service.place % 7, flag=service.flag)
    yield f"{source}/storage.py", storage(service)
    first = service.calls[0] if service.calls else service.name
    asks = "".join(
        ASKS.format(target=name.replace("-", "_"), service=name, noun=service.nouns[0]) for name in service.calls
    )
    yield (
        f"{source}/clients.py",
        CLIENTS.format(
            name=service.name, package=service.package, retried=service.retried, first=first, noun=service.nouns[1]
        )
        + (asks if service.calls else ""),
    )
    for number, noun in enumerate(service.nouns):
        kind = "closed" if service.place % 5 == 2 else "denied"
        yield f"{source}/{noun}.py", HANDLERS.format(
            noun=noun, package=service.package, kind=kind, state=pick(["new", "open", "draft"], service.place, noun),
            extra=', "preview": flag()' if number == 0 else "",
        )  # fmt: skip
        yield (
            f"{top}/tests/test_{noun}.py",
            (
                f'"""A {noun} that is closed cannot be closed again."""\n\nfrom {service.package} import {noun}\n\n\n'
                f"def test_a_new_{noun}_is_open():\n    assert {noun}.create_{noun}('x')['state'] != 'closed'\n"
            ),
        )
        columns = ", ".join(f"{column} TEXT" for column in service.columns[noun])
        yield f"{top}/migrations/{number + 1:04d}_{noun}.sql", f"CREATE TABLE {noun} ({columns});\n"
    later = f"ALTER TABLE {service.nouns[0]} ADD COLUMN note TEXT;\n"
    if service.dropped:
        later = f"ALTER TABLE {service.dropped[0]} RENAME COLUMN {service.dropped[1]} TO {service.dropped[0]}_number;\n"
    yield f"{top}/migrations/0004_later.sql", later
    for place, batch in (("staging", 5), ("production", service.production_batch)):
        factor = 1 if place == "production" else 3
        yield (
            f"{top}/deploy/{place}.yaml",
            (
                f"service: {service.name}\nport: {service.port}\nenvironment:\n  TIMEOUT_MS: {service.timeout_ms * factor}\n  BATCH: {batch}\n"
            ),
        )


def storage(service: Service) -> str:
    text = STORAGE.format(name=service.name) + "".join(ROWS.format(noun=noun) for noun in service.nouns)
    if service.reads_elsewhere:
        package, table, column = service.reads_elsewhere
        text += FOREIGN.format(package=package, table=table, column=column)
    elif service.place % 6 == 1 and (service.place * 3 + 5) % len(SERVICES) != RENAMED:
        other = Service((service.place * 3 + 5) % len(SERVICES))
        text += FOREIGN.format(package=other.package, table=other.nouns[2], column=f"{other.nouns[2]}_ref")
    return text


def flags(services: list[Service]) -> str:
    lines = ['"""Flags that are declared; anything else is always off."""', "", "[flags]"]
    for service in sorted(services, key=lambda each: roll("order", each.place)):
        lines.append(f'{service.flag.removesuffix("-eu")} = "{pick(["on", "off", "half"], "state", service.place)}"')
    return "\n".join(lines).replace('"""', "#") + "\n"


def main() -> None:
    top = Path(sys.argv[1])
    services = [Service(place) for place in range(len(SERVICES))]
    answers = plant(services)
    for service in services:
        for name, text in files(service, services):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
    (top / "flags").mkdir(parents=True)
    (top / "flags" / "declared.toml").write_text(flags(services))
    (top / "README.md").write_text(
        "# halyard\n\nAll services of the company, one folder each under services/; flags/ declares feature flags.\n"
    )
    if "--answers" in sys.argv:
        print(json.dumps(answers, indent=1))


main()
