"""The host's access to a workspace that an agent may have filled with traps: no links are followed, only regular files
are read or replaced, sizes are bounded. Paths are resolved by openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
RESOLVE_NO_MAGICLINKS, and component by component where the kernel has no openat2 (before Linux 5.6).
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import errno
import os
import re
import secrets
import stat
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import msgspec

from outlay.errors import OutlayError

_OPENAT2 = 437
_RESOLVE = 0x02 | 0x04 | 0x08
"""RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH."""
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RETRIES = 8
_NEAR_ENTRIES = 5_000


class FileProblem(OutlayError):
    """A file of a workspace cannot be used; the message is one line that a model can act on."""

    exit_code = 1


class Entry(msgspec.Struct, frozen=True):
    """Something in a workspace. `path` is relative, with slashes."""

    path: str
    kind: str
    """`file`, `folder`, `link` or `other`."""
    size_bytes: int
    executable: bool = False


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def split(path: str) -> tuple[str, ...]:
    """The components of a path relative to a workspace. Raises FileProblem for paths that leave it or name git's own
    folder. `/workspace/x`, as commands inside see it, is `x`."""
    text = path
    if text == "/workspace" or text.startswith("/workspace/"):
        text = text[len("/workspace") :].lstrip("/")
    elif text.startswith("/"):
        raise FileProblem(f"path outside of the workspace: {path}; use a path relative to /workspace")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise FileProblem(f"path outside of the workspace: {path}; '..' is not allowed")
    if "\0" in text:
        raise FileProblem("a path cannot contain NUL characters")
    if any(part.lower() == ".git" for part in parts):
        raise FileProblem(f"{path} belongs to git; use git commands for it")
    return parts


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob over whole relative paths: `*` and `?` stay within a component, `**` spans any number of them."""
    result = ""
    rest = pattern
    while rest:
        if rest.startswith("**/"):
            result, rest = result + "(?:.*/)?", rest[3:]
        elif rest.startswith("**"):
            result, rest = result + ".*", rest[2:]
        elif rest[0] == "*":
            result, rest = result + "[^/]*", rest[1:]
        elif rest[0] == "?":
            result, rest = result + "[^/]", rest[1:]
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            inner = rest[1:end].replace("\\", "\\\\")
            result, rest = result + "[" + ("^" + inner[1:] if inner[0] == "!" else inner) + "]", rest[end + 1 :]
        else:
            result, rest = result + re.escape(rest[0]), rest[1:]
    try:
        return re.compile(result, re.DOTALL)
    except re.error as error:
        raise FileProblem(f"bad pattern {pattern!r}: {error}") from None


class Folder:
    """A workspace as the host may use it. Close it, or use it in a `with` statement."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._openat2 = True

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # Opening

    def _open(self, parts: tuple[str, ...], flags: int) -> int:
        """A descriptor of something below the root. Raises OSError."""
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        if not parts:
            return os.open(".", flags, dir_fd=self._descriptor)
        if self._openat2:
            try:
                return self._open_at_once("/".join(parts), flags)
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.EPERM):
                    raise
                self._openat2 = False
        return self._open_stepwise(parts, flags)

    def _open_at_once(self, path: str, flags: int) -> int:
        how = struct.pack("<QQQ", flags, 0, _RESOLVE)
        syscall = _c_library().syscall
        for _ in range(_RETRIES):
            result = int(syscall(_OPENAT2, self._descriptor, os.fsencode(path), how, len(how)))
            if result >= 0:
                return result
            code = ctypes.get_errno()
            # A rename went on meanwhile and the kernel could not be sure.
            if code != errno.EAGAIN:
                break
        raise OSError(code, os.strerror(code), path)

    def _open_stepwise(self, parts: tuple[str, ...], flags: int) -> int:
        current = os.dup(self._descriptor)
        try:
            for part in parts[:-1]:
                following = os.open(part, _DIRECTORY, dir_fd=current)
                os.close(current)
                current = following
            return os.open(parts[-1], flags, dir_fd=current)
        finally:
            os.close(current)

    def _parent(self, parts: tuple[str, ...], create: bool) -> int:
        """A descriptor of the folder that holds the last component."""
        if not create:
            return self._open(parts[:-1], os.O_PATH | os.O_DIRECTORY)
        current = os.dup(self._descriptor)
        for part in parts[:-1]:
            try:
                try:
                    following = os.open(part, _DIRECTORY, dir_fd=current)
                except FileNotFoundError:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=current)
                        _adopt(part, current)
                    following = os.open(part, _DIRECTORY, dir_fd=current)
            finally:
                os.close(current)
            current = following
        return current

    # Problems

    def _problem(self, path: str, error: OSError) -> FileProblem:
        shown = path or "."
        if error.errno == errno.ENOENT:
            near = self._near(path)
            return FileProblem(f"no such file: {shown}" + (f"; near: {', '.join(near)}" if near else ""))
        if error.errno in (errno.ELOOP, errno.EXDEV):
            return FileProblem(
                f"{shown} is or leads through a symbolic link, which is not followed here; use the shell"
            )
        if error.errno == errno.ENOTDIR:
            return FileProblem(f"{shown}: a part of this path is not a folder")
        if error.errno == errno.EISDIR:
            return FileProblem(f"{shown} is a folder, not a file")
        return FileProblem(f"cannot use {shown}: {error.strerror}")

    def _near(self, path: str) -> list[str]:
        name = path.rstrip("/").rpartition("/")[2]
        by_name: dict[str, list[str]] = {}
        for count, entry in enumerate(self.walk()):
            if count > _NEAR_ENTRIES:
                break
            by_name.setdefault(entry.path.rpartition("/")[2], []).append(entry.path)
        close = difflib.get_close_matches(name, by_name, n=3, cutoff=0.75)
        return [found for match in close for found in by_name[match]][:3]

    # Reading

    def status(self, path: str) -> Entry | None:
        """What is at `path`, the last component's link not followed; None when there is nothing."""
        parts = split(path)
        try:
            descriptor = self._parent(parts, create=False) if parts else os.dup(self._descriptor)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise self._problem(path, error) from None
        try:
            found = os.stat(parts[-1] if parts else ".", dir_fd=descriptor, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        finally:
            os.close(descriptor)
        return _entry("/".join(parts), found)

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a regular file. Raises FileProblem when it is none, is absent or larger than `max_bytes`."""
        content, size = self.read_part(path, 0, max_bytes + 1)
        if size > max_bytes or len(content) > max_bytes:
            raise FileProblem(f"{path} is too large: {size} bytes, at most {max_bytes} can be read")
        return content

    def read_part(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """Up to `length` bytes from `offset`, and the file's size."""
        parts = split(path)
        if not parts:
            raise FileProblem(f"{path or '.'} is a folder, not a file")
        try:
            # Not blocking: opening a fifo must not wait for a writer.
            descriptor = self._open(parts, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise self._problem(path, error) from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileProblem(f"{path} is a {_kind(found.st_mode)}, not a regular file")
            chunks = []
            while length > 0 and (chunk := os.pread(descriptor, min(length, 1 << 20), offset)):
                chunks.append(chunk)
                offset += len(chunk)
                length -= len(chunk)
            return b"".join(chunks), found.st_size
        finally:
            os.close(descriptor)

    def read_link(self, path: str) -> bytes:
        """Where a symbolic link points, as it is written."""
        parts = split(path)
        try:
            descriptor = self._parent(parts, create=False)
            try:
                return os.fsencode(os.readlink(parts[-1], dir_fd=descriptor))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._problem(path, error) from None

    def entries(self, path: str = "") -> list[Entry]:
        """What a folder holds, by name; git's own folder is left out."""
        parts = split(path)
        try:
            descriptor = self._open(parts, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._problem(path, error) from None
        try:
            return _listing(descriptor, parts)
        finally:
            os.close(descriptor)

    def walk(self, path: str = "") -> Iterator[Entry]:
        """Everything below a folder that is not a folder itself, by name, links not followed. What disappears
        meanwhile is left out."""
        pending = [path]
        while pending:
            try:
                entries = self.entries(pending.pop())
            except FileProblem:
                continue
            for entry in entries:
                if entry.kind != "folder":
                    yield entry
            pending += [entry.path for entry in reversed(entries) if entry.kind == "folder"]

    def glob(self, pattern: str, limit: int = 1000) -> list[Entry]:
        """Files whose relative path matches (`src/**/*.py`); a pattern without a slash matches names at any depth."""
        parts = split(pattern)
        text = "/".join(parts)
        expression = glob_pattern(text if len(parts) > 1 else f"**/{text}")
        found = []
        for entry in self.walk():
            if expression.fullmatch(entry.path):
                found.append(entry)
                if len(found) >= limit:
                    break
        return found

    # Writing

    def write(self, path: str, content: bytes, executable: bool | None = None) -> None:
        """Put `content` in place of a regular file, whole or not at all, and make the folders above it. An existing
        file keeps its permissions unless `executable` says otherwise. Raises FileProblem."""
        parts = split(path)
        if not parts:
            raise FileProblem(f"{path or '.'} is a folder, not a file")
        try:
            parent = self._parent(parts, create=True)
        except OSError as error:
            raise self._problem(path, error) from None
        try:
            mode = _mode_for(parent, parts[-1], path, executable)
            _replace(parent, parts[-1], content, mode)
        except OSError as error:
            raise self._problem(path, error) from None
        finally:
            os.close(parent)

    def link(self, path: str, target: bytes) -> None:
        """Put a symbolic link in place of a file or link. Whether it may point there is the caller's decision."""
        parts = split(path)
        try:
            parent = self._parent(parts, create=True)
            temporary = _temporary()
            try:
                os.symlink(target, os.fsencode(temporary), dir_fd=parent)
                os.rename(temporary, parts[-1], src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                os.close(parent)
        except OSError as error:
            raise self._problem(path, error) from None

    def remove(self, path: str) -> None:
        """Remove a file or link, and the folders above it that it leaves empty. Absent is fine."""
        parts = split(path)
        try:
            parent = self._parent(parts, create=False)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return
            raise self._problem(path, error) from None
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
        except OSError as error:
            raise self._problem(path, error) from None
        finally:
            os.close(parent)
        for end in range(len(parts) - 1, 0, -1):
            try:
                above = self._parent(parts[:end], create=False)
            except OSError:
                return
            try:
                os.rmdir(parts[end - 1], dir_fd=above)
            except OSError:
                return
            finally:
                os.close(above)


@lru_cache(maxsize=1)
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _entry(path: str, found: os.stat_result) -> Entry:
    return Entry(path, _kind(found.st_mode), found.st_size, bool(found.st_mode & 0o100))


def _listing(descriptor: int, parts: tuple[str, ...]) -> list[Entry]:
    entries = []
    for name in sorted(os.listdir(descriptor)):
        if name.lower() == ".git":
            continue
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            continue
        entries.append(_entry("/".join((*parts, name)), found))
    return entries


def _temporary() -> str:
    return f".outlay-{secrets.token_hex(8)}.tmp"


def _adopt(name: str, parent: int) -> None:
    """Give something new the owner of the folder it is in, where this process is root and that folder is not."""
    if os.geteuid() == 0 and (owner := os.fstat(parent)).st_uid != 0:
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)


def _mode_for(parent: int, name: str, path: str, executable: bool | None) -> int:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        umask = os.umask(0o022)
        os.umask(umask)
        mode = 0o666 & ~umask
    else:
        if not stat.S_ISREG(found.st_mode):
            raise FileProblem(f"{path} is a {_kind(found.st_mode)}, not a regular file")
        mode = stat.S_IMODE(found.st_mode) & 0o777
    if executable is None:
        return mode
    return mode | ((mode & 0o444) >> 2) if executable else mode & ~0o111


def _replace(parent: int, name: str, content: bytes, mode: int) -> None:
    temporary = _temporary()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, mode)
            _adopt(temporary, parent)
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise


TEXT_BYTES = 8 * 2**20
"""Largest file that is read as text."""


def read_text(root: Path, path: str, max_bytes: int = TEXT_BYTES) -> str:
    """A text file of the workspace at `root`. Raises FileProblem, also for a file that is not text."""
    with Folder(root) as folder:
        content = folder.read(path, max_bytes)
    if b"\0" in content[:8192]:
        raise FileProblem(f"{path} is a binary file of {len(content)} bytes; use the shell to look into it")
    return content.decode("utf-8", errors="replace")


def write_text(root: Path, path: str, text: str) -> None:
    """Put a text file into the workspace at `root`. Raises FileProblem."""
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise FileProblem(f"the text for {path} contains lone surrogates, which cannot be written") from None
    with Folder(root) as folder:
        folder.write(path, content)


def find(root: Path, pattern: str, limit: int = 10_000) -> list[str]:
    """Paths of the files that match, sorted. Raises FileProblem on a bad pattern."""
    with Folder(root) as folder:
        return sorted(entry.path for entry in folder.glob(pattern, limit))
