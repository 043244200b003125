"""git, run inside the sandbox: the host executes nothing out of a workspace. Scripts and how they are run.

git's configuration is ours alone: no system file, no hooks, no filters; `info/attributes` has the last word over any
`.gitattributes`, so that content is kept byte for byte.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from outlay.errors import EnvironmentProblem, OutlayError
from outlay.sandbox.types import Bounds, Command, Finished, Mount, Sandbox

HUB = "/hub"
"""Where harness commands see the hub. Agents' commands see its objects there, read-only."""
SESSION = "/session"

_WHEN = "946684800 +0000"
"""2000-01-01: with fixed names and dates the same content has the same commit id."""
_ENVIRONMENT = {
    "GIT_DIR": HUB,
    "GIT_WORK_TREE": "/workspace",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": f"{HUB}/outlay/config",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_AUTHOR_NAME": "outlay",
    "GIT_AUTHOR_EMAIL": "outlay@localhost",
    "GIT_AUTHOR_DATE": _WHEN,
    "GIT_COMMITTER_NAME": "outlay",
    "GIT_COMMITTER_EMAIL": "outlay@localhost",
    "GIT_COMMITTER_DATE": _WHEN,
}
CONFIG = """[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tuntrackedCache = false
\tautocrlf = false
\tfileMode = true
\tsymlinks = true
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tquotePath = false
\tcompression = 1
[gc]
\tauto = 0
[maintenance]
\tauto = false
[merge]
\trenames = true
\tdirectoryRenames = false
[diff]
\trenames = false
[advice]
\taddEmbeddedRepo = false
[init]
\tdefaultBranch = main
[safe]
\tdirectory = *
[fetch]
\tfsckObjects = false
"""
ATTRIBUTES = "* -text -eol -filter -ident -working-tree-encoding !merge !diff\n"
BOUNDS = Bounds(wall_s=900.0, file_bytes=8 * 2**30)

NESTED_EXIT = 90
"""A script found a repository inside the workspace."""

_LAYOUT = """
[ -f "$GIT_INDEX_FILE" ] || git read-tree "$2" || exit
lay_out() { git read-tree --reset -u "$2" && git clean -ffdq; }
# git neither keeps nor removes fifos and sockets.
find . -path ./.git -prune -o '(' -type p -o -type s ')' -exec rm -f {} +
lay_out "$@" || { chmod -R u+rwX . && lay_out "$@"; } || exit
[ "$(git rev-parse -q --verify "refs/outlay/$1")" = "$2" ] || git update-ref "refs/outlay/$1" "$2" || exit
"""
_UNLOCK = 'rm -f "$GIT_INDEX_FILE.lock" "$GIT_DIR/refs/outlay/$1.lock"\n'
_NESTED = f"""
if git ls-files -s -z | LC_ALL=C grep -az '^160000 ' >"$out"; then exit {NESTED_EXIT}; fi
"""

RESTORE = _UNLOCK + _LAYOUT
"""REF COMMIT: make the work tree equal to the commit; ignored files stay."""

CHECKOUT = (
    RESTORE
    + f"""
unset GIT_WORK_TREE GIT_DIR
cd / && git init -q --bare --template= {SESSION} && cd {SESSION} || exit
GIT_DIR={SESSION}; export GIT_DIR
mkdir -p info objects/info refs/heads && echo {HUB}/objects >objects/info/alternates || exit
git config core.bare false && git config user.name agent && git config user.email agent@localhost || exit
git config gc.auto 0 && cp {HUB}/info/exclude {HUB}/info/attributes info/ || exit
cp "$GIT_INDEX_FILE" index && git symbolic-ref HEAD refs/heads/main && git update-ref refs/heads/main "$2" || exit
"""
)
"""REF COMMIT: a session's work tree and its own repository, whose objects are borrowed from the hub."""

SNAPSHOT = (
    _UNLOCK
    + f"""
last=$(git rev-parse -q --verify "refs/outlay/$1") || exit
stage() {{ [ -f "$GIT_INDEX_FILE" ] || git read-tree "$last" || exit; git add -A . || exit; }}
nested() {{ git ls-files -s -z | LC_ALL=C grep -az '^160000 ' >"$out" && rm -f "$GIT_INDEX_FILE"; }}
same() {{ git diff-index --cached --quiet "$last" --; }}
stage
# Once more from the last commit: the index may remember a repository that is none any longer.
same || {{ nested && stage && nested && exit {NESTED_EXIT}; }}
if same; then echo "$last" >"$out"; exit; fi
tree=$(git write-tree) && commit=$(git commit-tree "$tree" -p "$last" -m "$2") || exit
git update-ref "refs/outlay/$1" "$commit" && echo "$commit" >"$out"
"""
)
"""REF MESSAGE: the work tree as a commit on top of the last one."""

CREATE = (
    """
(unset GIT_WORK_TREE GIT_DIR; git init -q --bare --template= "$1") || exit
shift
head=
if [ -z "$2" ] && [ -d .git ] &&
    git fetch -q --no-tags --update-shallow --no-write-fetch-head /workspace/.git HEAD:refs/source/head
then head=$(git rev-parse refs/source/head) && git read-tree "$head" || exit
fi
git ls-files -z -c -i -X "$GIT_DIR/info/exclude" | git update-index -z --force-remove --stdin || exit
git add -A . || exit
"""
    + _NESTED
    + """
tree=$(git write-tree) || exit
if [ -z "$head" ]; then commit=$(git commit-tree "$tree" -m "$1") || exit
elif [ "$(git rev-parse "$head^{tree}")" = "$tree" ]; then commit=$head
else commit=$(git commit-tree "$tree" -p "$head" -m "$1") || exit
fi
git update-ref refs/source/base "$commit" && echo "$commit" >"$out"
"""
)
"""HUB MESSAGE [plain]: a hub from the folder that is mounted as the work tree; `plain`: without its history."""

MERGE = """
root=$(git commit-tree "$3^{tree}" -m base) || exit
ours=$(git commit-tree "$1^{tree}" -p "$root" -m ours) || exit
theirs=$(git commit-tree "$2^{tree}" -p "$root" -m theirs) || exit
rm -f "$GIT_DIR/refs/heads/ours.lock" "$GIT_DIR/refs/heads/theirs.lock"
git update-ref refs/heads/ours "$ours" && git update-ref refs/heads/theirs "$theirs" || exit
git merge-tree --write-tree -z --name-only --no-messages ours theirs >"$out"
case $? in 0 | 1) ;; *) exit 1 ;; esac
tree=$(head -c 40 "$out")
commit=$(git commit-tree "$tree" -p "$1" -p "$2" -m "$4") && printf '%s\\0' "$commit" | cat - "$out" >"$out.whole" &&
mv "$out.whole" "$out"
"""
"""OURS THEIRS BASE MESSAGE: both changes since the base, as a commit; the base is given, not looked for (git 2.39).
The names `ours` and `theirs` stand in the conflict markers."""

DIFF = 'git diff-tree -r -z --raw --no-renames --no-abbrev "$1" "$2" >"$out"'
DIFF_TEXT = 'git diff --no-color --no-ext-diff --no-textconv --no-renames "$1" "$2" | head -c "$3" >"$out"'
READ = '[ "$(git cat-file -t "$1:$2")" = blob ] || exit 91; git cat-file blob "$1:$2" | head -c "$3" >"$out"'
FILES = 'git ls-tree -r -z --full-tree "$1" >"$out"'
WITHOUT = """
rm -f "$GIT_INDEX_FILE" && git read-tree "$1" && git update-index -z --force-remove --stdin <"$2" || exit
tree=$(git write-tree) && git commit-tree "$tree" -m view >"$out"
code=$?
rm -f "$GIT_INDEX_FILE"
exit $code
"""
"""COMMIT LIST: the commit without the paths in a file of the hub, and without a parent."""
EXPORT = """
mkdir -p "$3" && git read-tree "$2" || exit
git diff-tree -r -z --name-only --no-renames --diff-filter=d "$1" "$2" |
git checkout-index -q -z -f --stdin --prefix="$3/"
"""
"""BASE COMMIT FOLDER: what differs from the base, as files."""


class GitProblem(OutlayError):
    """git could not do what was asked with the content of a workspace; the message says what is in the way."""

    exit_code = 1


class Answer:
    """Exit code and output of a script."""

    def __init__(self, finished: Finished, content: bytes) -> None:
        self.exit_code = finished.exit_code
        self.content = content
        self.message = (finished.head + finished.tail).decode(errors="replace").strip()


async def git(
    sandbox: Sandbox,
    hub: Path,
    script: str,
    arguments: tuple[str, ...],
    *,
    index: str = "none",
    workspace: Path | None = None,
    writable: bool = False,
    mounts: tuple[Mount, ...] = (),
    max_bytes: int = 2**30,
) -> Answer:
    """Run `script` with the hub as its repository. What it writes to `$out` is the answer's content. Raises
    EnvironmentProblem when it was ended by a bound or git is missing."""
    name = secrets.token_hex(8)
    result = hub / "outlay" / "out" / name
    command = Command(
        argv=("/bin/sh", "-c", script, "sh", *arguments),
        workspace=workspace or hub / "outlay" / "empty",
        writable=writable,
        mounts=(Mount(hub, HUB, writable=True), *mounts),
        environment=(
            *_ENVIRONMENT.items(),
            ("GIT_INDEX_FILE", f"{HUB}/outlay/index/{index}"),
            ("out", f"{HUB}/outlay/out/{name}"),
        ),
        bounds=BOUNDS,
    )
    try:
        answer = Answer(finished := await sandbox.run(command), _take(result, max_bytes))
    finally:
        result.unlink(missing_ok=True)
    if finished.ended != "exited":
        raise EnvironmentProblem(f"git was ended ({finished.ended.replace('_', ' ')}): {answer.message[-300:]}")
    if finished.exit_code == 127:
        raise EnvironmentProblem("git is not installed where the sandbox can see it (/usr); type `apt install git`")
    return answer


def _take(path: Path, max_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(max_bytes)
