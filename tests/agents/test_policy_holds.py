"""Whatever agents do, no text reaches a model that is not cleared for it: random teams that try, with kills between."""

import base64
import json
import os
import random
import re
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelserver import Answer, Tool, serving
from project import Project, until

MARKERS = {"xyz": "MARKERXYZ7731", "diary": "MARKERDIARY5520", "keys": "MARKERENV9904"}
CLEARED = {"m-big": set(), "m-local": {"xyz"}, "m-home": {"diary"}}
FORMS = {
    name: (text, text[::-1], *(base64.b64encode((" " * n + text).encode())[4:-4].decode() for n in range(3)))
    for name, text in MARKERS.items()
}
"""As they are, backwards, in base64 at each offset."""
TOOLS = "[read, write, edit, shell, grep, glob, agents]"

POLICY = """
version = 1
[defaults]
unlabelled = "internal"
[models]
m-big = { place = "cloud", vendor = "anthropic", endpoint = "URL" }
m-local = { place = "device", vendor = "self", endpoint = "URL" }
m-home = { place = "device", vendor = "self", endpoint = "URL" }
[data.internal]
may_go_to = ["any"]
[data.xyz]
from = ["path:**/xyz/**"]
may_go_to = ["model:m-local"]
[data.diary]
from = ["path:**/diary/**"]
may_go_to = ["model:m-home"]
[data.keys]
from = ["scan:secret", "path:**/.env"]
may_go_to = []
"""


def project(folder: Path, url: str) -> Project:
    it = Project(folder, url)
    (folder / "policy.toml").write_text(POLICY.replace("URL", url))
    models = "".join(f"  {name}: openai-chat:{name}@{url}\n" for name in CLEARED)
    roles = "".join(f"    - {{name: {n}, description: d, model: {n}, tools: {TOOLS}}}\n" for n in CLEARED)
    it.goal.write_text(
        f"---\nmodels:\n{models}team:\n  shape: lead\n  main: main\n  roles:\n"
        f"    - {{name: main, model: m-big, tools: {TOOLS}}}\n{roles}policy: policy.toml\n"
        'checks:\n  - {name: done, command: "true"}\nlimits: {depth: 2, turns: 40}\n'
        "workspace: {path: workspace}\n---\nbegin\n"
    )
    for name, text in (("xyz/rows.csv", MARKERS["xyz"]), ("diary/day.md", MARKERS["diary"]), (".env", MARKERS["keys"])):
        (it.workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (it.workspace / name).write_text(f"some {text} more\n")
    (it.workspace / "notes.txt").write_text("plain\n")
    return it


def hostile(seed: int):
    """An agent that tells all it has seen by every way there is."""

    def script(asked):
        body = asked.body.decode()
        rng = random.Random(f"{seed}:{asked.conversation}:{asked.turn}")
        seen = [text for text in MARKERS.values() if text in body] or ["nothing"]
        word = rng.choice(seen)
        handles = re.findall(r"handle:h\d+", body)
        told = f"{' '.join(seen)} {' '.join(dict.fromkeys(handles))}"
        agent = f"{word}-{rng.randrange(1000)}"
        offered = {tool["name"] for tool in asked.tools}
        if asked.turn >= 6:
            return Answer("", (Tool("finish", {"answer": told}),))
        tries = [
            Tool("shell", {"command": "cat $(find . -type f -not -path './.git/*'); ls -aR; git log -p | head -50"}),
            Tool("shell", {"command": f"mkdir out; cp -r xyz diary .env out; echo {word} >out/{word}; base64 out/*"}),
            Tool("shell", {"command": f"git add -A; git commit -qm {word}; git cat-file --batch-all-objects --batch"}),
            Tool("shell", {"command": "rev xyz/* diary/*; env; exit 3"}),
            Tool("write", {"path": f"{word}.md", "content": told}),
            Tool("read", {"path": rng.choice(["xyz/rows.csv", "diary/day.md", ".env", "out/rows.csv", f"{word}.md"])}),
            Tool("read", {"path": "xyz/row.csv"}),
            Tool("edit", {"path": rng.choice(["xyz/rows.csv", "notes.txt"]), "old": "plain", "new": told}),
            Tool("grep", {"pattern": "MARKER"}),
            Tool("glob", {"pattern": "**/*"}),
            *([Tool("finish", {"answer": told})] if asked.turn > 1 else []),
            Tool(f"no-such-{word}", {}),
        ]  # fmt: skip
        if "start" in offered:
            role = rng.choice(list(CLEARED))
            new = {"name": agent, "role": role, "task": f"go on with {told}", "files": rng.choice([[], ["notes.txt"]])}
            tries += [Tool("start", {"agents": [new], "wait": rng.random() < 0.8})] * 5
            names = re.findall(r"\"name\\?\": ?\\?\"((?:MARKER\w+|nothing)-\d+)", body)
            if names:
                tries += [
                    Tool(rng.choice(["look", "send", "wait"]), {"name": names[-1], "message": told, "names": []})
                ] * 2
        if "ask" in offered:
            tries.append(Tool("ask", {"question": told}))
        return Answer(f"I saw {told}", (rng.choice(tries),))

    return script


def leaks(records: list[dict]) -> list[tuple[str, str]]:
    found = []
    for record in records:
        model = json.loads(record["body"])["model"]
        for name, forms in FORMS.items():
            if name not in CLEARED[model] and any(form in record["body"] for form in forms):
                found.append((model, name))
    return found


@settings(max_examples=4, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), kill_after=st.integers(0, 12))
def test_no_label_ever_reaches_a_model_that_is_not_cleared_for_it(seed: int, kill_after: int) -> None:
    with TemporaryDirectory() as folder, serving(hostile(seed), keep_bodies=True) as server:
        it = project(Path(folder) / "p", server.base_url("openai"))
        if kill_after:
            run = it.start("run", str(it.goal), "--plain")
            until(lambda: len(server.records) >= kill_after or run.poll() is not None)
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
            if it.run_row()["status"] == "running":
                it.outlay("resume", it.run_row()["id"], "--plain")
        else:
            it.outlay("run", str(it.goal), "--plain")
        assert leaks(server.records) == []
        assert it.chain_is_whole()
        for event in it.events("policy.denied"):
            head = {key: value for key, value in event.head.items() if key != "session"}  # the agents name themselves
            told = json.dumps(head) + (event.payload or b"").decode()
            assert not any(text in told for text in MARKERS.values())
