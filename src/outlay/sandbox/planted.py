"""What in a folder makes git run programs: configuration, hooks, a repository that borrows another's configuration.

A prompt or an editor runs git wherever the user stands, so a command that may write to the user's folder must not leave
such things there. Formats: git-config(1), gitrepository-layout(5). Nothing here runs git.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from outlay.errors import InputError

_CONFIGS = ("config", "config.worktree")
_CONFIG_BYTES = 2**20
_SETTINGS = 1500
"""Most paths to protect; bubblewrap takes 9,000 arguments."""
_SECTION = re.compile(r'\[([a-z]+)(?: "([^"\\]*)")?\]', re.IGNORECASE)
_ENTRY = re.compile(r"([a-z][a-z0-9-]*)(?:\s*=\s*(.*))?", re.IGNORECASE)
_HARMLESS = {
    "core": {"repositoryformatversion", "filemode", "bare", "logallrefupdates", "ignorecase", "precomposeunicode",
             "symlinks", "autocrlf", "eol", "worktree", "sparsecheckout", "sparsecheckoutcone"},
    "extensions": {"objectformat", "worktreeconfig"},
    "user": {"name", "email"},
    "remote": {"url", "pushurl", "fetch", "tagopt"},
    "branch": {"remote", "merge", "rebase"},
    "submodule": {"url", "active"},
    "init": {"defaultbranch"},
    "pull": {"rebase", "ff"},
    "gc": {"auto"},
}  # fmt: skip
"""Section -> keys that name no program and lead to none."""


class Repositories:
    """The git repositories in a folder as they were before a command: what to protect, and what the command added."""

    def __init__(self, root: Path) -> None:
        """Raises InputError when there are more than can be protected."""
        self._root = root
        folders, leading = _look(root)
        self._known = set(_dangers(root, folders))
        names = (*_CONFIGS, "hooks", "commondir")
        found = [*leading, *(folder / name for folder in folders for name in names if os.path.lexists(folder / name))]
        if len(found) > _SETTINGS:
            raise InputError(
                f"{root} holds more git repositories than can be protected; name a smaller folder, or --read-only"
            )
        self.protected = [str(path.relative_to(root)) for path in found]
        """Paths relative to the folder."""

    def set_aside(self) -> list[Path]:
        """Rename what has come since and would make git run something, so that git does not find it; the new names."""
        aside = []
        for path in list(_dangers(self._root, _look(self._root)[0])):
            if path not in self._known:
                aside.append(path.rename(path.with_name(f"{path.name}.set-aside-{secrets.token_hex(4)}")))
        return aside


def _look(root: Path) -> tuple[list[Path], list[Path]]:
    """Folders that git could take for a repository, wherever they are, and `.git` files, which lead to one."""
    folders, leading = [], []
    for above, names, files in os.walk(root):
        present = {*names, *files}
        if "HEAD" in present and present & {*_CONFIGS, "hooks", "commondir"}:
            folders.append(Path(above))
        if ".git" in files:
            leading.append(Path(above, ".git"))
    return folders, leading


def _dangers(root: Path, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for name in _CONFIGS:
            if os.path.lexists(folder / name) and not _harmless(folder / name, root):
                yield folder / name
        hooks = folder / "hooks"
        if hooks.is_symlink():
            yield hooks
        elif hooks.is_dir():
            yield from (path for path in sorted(hooks.iterdir()) if path.suffix != ".sample")
        common = folder / "commondir"
        if os.path.lexists(common) and not _is_linked_worktree(common):
            yield common


def _text(path: Path) -> str | None:
    """A small regular file's text; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_CONFIG_BYTES + 1)
    except OSError:
        return None
    return content.decode("latin-1") if len(content) <= _CONFIG_BYTES else None


def _is_linked_worktree(common: Path) -> bool:
    """Whether this is what `git worktree add` writes, whose repository is looked at by itself."""
    main = common.parent.parent.parent
    return _text(common) == "../..\n" and common.parent.parent.name == "worktrees" and (main / "HEAD").exists()


def _harmless(config: Path, root: Path) -> bool:
    """Whether every line is known and names no program. Stricter than git: what it would read in another way, as
    continued lines or entries behind a section's name, is not harmless."""
    text = _text(config)
    if text is None:
        return config.is_dir() and not config.is_symlink()
    section = ""
    for line in map(str.strip, text.split("\n")):
        if any(ord(letter) < 32 and letter != "\t" for letter in line) or line.endswith("\\"):
            return False
        if not line or line[0] in "#;":
            continue
        if head := _SECTION.fullmatch(line):
            section = head[1].lower()
            continue
        entry = _ENTRY.fullmatch(line)
        if entry is None or entry[1].lower() not in _HARMLESS.get(section, ()):
            return False
        key, value = entry[1].lower(), (entry[2] or "").strip('"')
        if key in ("url", "pushurl") and (value.startswith("-") or "::" in value):
            return False
        if key == "worktree" and not Path(os.path.normpath(config.parent / value)).is_relative_to(root):
            return False
    return True
