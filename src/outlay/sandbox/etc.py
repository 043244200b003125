"""The `/etc` that commands see: names without a person in them, and what compilers, Python and TLS need to work."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from outlay.errors import EnvironmentProblem

_VERSION = "1"
_TEXTS = {
    "passwd": "agent:x:1000:1000:agent:/home/agent:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": "agent:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 sandbox\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "",
}
_COPIED = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "host.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "python3",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
_FILE_LIMIT_BYTES = 4 * 2**20


def sources(etc: Path = Path("/etc")) -> list[Path]:
    """What of the host's `/etc` commands may see."""
    names = [etc / name for name in _COPIED]
    return [path for path in [*names, *sorted(etc.glob("java-*"))] if os.path.lexists(path)]


def _key(sources: list[Path]) -> str:
    parts = [_VERSION, *(f"{key}={value}" for key, value in _TEXTS.items())]
    for path in sources:
        status = path.lstat()
        parts.append(f"{path}:{status.st_mtime_ns}:{status.st_size}:{status.st_ino}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _copy(source: Path, target: Path, etc: Path) -> None:
    """Copy what everyone may read; links stay links where they lead to /usr or stay inside /etc."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        _copy_link(source, target, etc)
    elif source.is_dir():
        target.mkdir(exist_ok=True)
        if os.access(source, os.R_OK | os.X_OK):
            for child in sorted(source.iterdir()):
                if not os.path.lexists(target / child.name):
                    _copy(child, target / child.name, etc)
    elif source.is_file():
        status = source.stat()
        if status.st_mode & 0o004 and status.st_size <= _FILE_LIMIT_BYTES:
            shutil.copyfile(source, target)
            target.chmod(0o644)


def _copy_link(source: Path, target: Path, etc: Path) -> None:
    written = source.readlink()
    aim = Path(os.path.normpath(source.parent / written))
    if not aim.is_relative_to("/usr") and not aim.is_relative_to(etc):
        if aim.is_file():
            shutil.copyfile(aim, target)
        return
    target.symlink_to(written)
    beside = target.parent / written
    inside = aim.is_relative_to(etc) and not written.is_absolute() and not os.path.lexists(beside)
    if inside and aim.is_file() and aim.stat().st_mode & 0o004:
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(aim, beside)


def make_etc(cache: Path, etc: Path = Path("/etc")) -> Path:
    """A folder to mount as `/etc`, built once in `cache` and built anew when the host's changes."""
    copied = sources(etc)
    final = cache / f"etc-{_key(copied)}"
    if final.is_dir():
        return final
    building = Path(tempfile.mkdtemp(prefix="etc-building-", dir=cache))
    try:
        for name, text in _TEXTS.items():
            (building / name).write_text(text)
        for source in copied:
            if not os.path.lexists(building / source.relative_to(etc)):
                _copy(source, building / source.relative_to(etc), etc)
        building.chmod(0o755)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise EnvironmentProblem(f"cannot write to {cache}: {error.strerror}; free some space there") from None
    try:
        building.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(building, ignore_errors=True)
    return final
