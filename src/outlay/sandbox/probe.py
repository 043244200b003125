"""Find out what this machine can confine with, and open the sandbox or say in one line what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from outlay import home
from outlay.errors import EnvironmentProblem
from outlay.sandbox import seccomp
from outlay.sandbox.bubblewrap import Bubblewrap
from outlay.sandbox.cgroup import find_groups
from outlay.sandbox.container import CONTAINER_PROGRAMS, Container, open_container
from outlay.sandbox.etc import make_etc
from outlay.sandbox.landlock import Landlock, open_landlock
from outlay.sandbox.seatbelt import Seatbelt, open_seatbelt
from outlay.sandbox.types import Tier

_INSTALL = {
    "debian": "apt install bubblewrap",
    "ubuntu": "apt install bubblewrap",
    "fedora": "dnf install bubblewrap",
    "rhel": "dnf install bubblewrap",
    "arch": "pacman -S bubblewrap",
    "alpine": "apk add bubblewrap",
    "suse": "zypper install bubblewrap",
    "opensuse": "zypper install bubblewrap",
}
_OLDEST = (0, 6)
"""The first with --size, which bounds temporary folders."""
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_USERNS = Path("/proc/sys/kernel/unprivileged_userns_clone")
_MAX_USERNS = Path("/proc/sys/user/max_user_namespaces")


def install_command(os_release: Path = Path("/etc/os-release")) -> str:
    """What to type on this system to get bubblewrap."""
    names: list[str] = []
    try:
        for line in os_release.read_text().splitlines():
            key, _, value = line.partition("=")
            if key in ("ID", "ID_LIKE"):
                names += value.strip('"').split()
    except OSError:
        pass
    return next((_INSTALL[name] for name in names if name in _INSTALL), "apt install bubblewrap")


def _setting(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def explain_failure(message: str) -> str:
    """One line for what bubblewrap said when it could not make its namespaces."""
    if _setting(_APPARMOR) == "1":
        return (
            "AppArmor keeps bubblewrap from making user namespaces; type `sudo apt install apparmor-profiles && sudo "
            "ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && sudo systemctl reload "
            "apparmor`, or in CI `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    if _setting(_USERNS) == "0":
        return "user namespaces are switched off; type `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
    if _setting(_MAX_USERNS) == "0":
        return "user namespaces are switched off; type `sudo sysctl -w user.max_user_namespaces=15000`"
    if Path("/.dockerenv").exists():
        return (
            f"bubblewrap does not work in this container ({message}); run Outlay outside of it, or start the container "
            "with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`"
        )
    return f"bubblewrap does not work here ({message}); see `outlay doctor`"


def find_program() -> Path:
    """bubblewrap's program. Raises EnvironmentProblem when there is none."""
    if not sys.platform.startswith("linux"):
        raise EnvironmentProblem(f"the strict sandbox needs Linux with bubblewrap; this is {sys.platform}")
    found = shutil.which("bwrap")
    if found is None:
        raise EnvironmentProblem(f"bubblewrap is not installed; type `{install_command()}`")
    return Path(found).resolve()


def _supports_disable_userns(program: Path) -> bool:
    answer = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    return "--disable-userns" in answer.stdout + answer.stderr


def _version(program: Path) -> str:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.strip().removeprefix("bubblewrap ")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def try_namespaces(program: Path) -> None:
    """Start an empty sandbox once. Raises EnvironmentProblem with the remedy when that fails."""
    argv = [str(program), "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(explain_failure(str(error))) from None
    if answer.returncode != 0:
        raise EnvironmentProblem(explain_failure(answer.stderr.strip().rpartition("\n")[2]))


def _cache_folder(cache: Path | None) -> Path:
    wanted = cache or home.home() / "sandbox"
    try:
        return home.ensure(wanted)
    except EnvironmentProblem:
        folder = Path(tempfile.gettempdir()) / f"outlay-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.geteuid() or folder.is_symlink() or status.st_mode & 0o077:
            raise
        return folder


def open_sandbox(cache: Path | None = None, *, at_least: Tier = "strict") -> Bubblewrap:
    """The strict sandbox of this machine, tried out. `cache` is where its `/etc` is kept (default: the state folder).
    at_least: the weakest that will do. Raises EnvironmentProblem with one line that says what to install or type;
    never a weaker sandbox instead."""
    if at_least == "vm":
        raise EnvironmentProblem(
            "a sandbox of tier vm is wanted, and the strongest that Outlay has is strict; run Outlay in a virtual "
            "machine of its own and ask for strict (`sandbox:` of the workspace)"
        )
    program = find_program()
    version = _version(program)
    if _numbers(version) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise EnvironmentProblem(f"bubblewrap {version} is too old, {oldest} is needed; install a newer one")
    if seccomp.program() is None:
        raise EnvironmentProblem(f"no system call filter for {platform.machine()}; use x86_64 or aarch64")
    try_namespaces(program)
    etc = make_etc(_cache_folder(cache))
    return Bubblewrap(program, etc, find_groups(), _supports_disable_userns(program), version)


def open_backend(name: str, image: str = "") -> Bubblewrap | Landlock | Seatbelt | Container:
    """The sandbox that was asked for by name, and no other. Raises EnvironmentProblem with what is missing."""
    if name == "landlock":
        return open_landlock()
    if name == "seatbelt":
        return open_seatbelt()
    if name in CONTAINER_PROGRAMS:
        return open_container(name, image)
    return open_sandbox()
