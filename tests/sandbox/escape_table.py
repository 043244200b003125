# ruff: noqa: E501 - programs in tables
"""Ways out of a sandbox, each as a program that succeeds without one, and honest work that must go on inside.

A program sets `escaped`. Upper-case words are replaced by what the bait is called (see `test_escapes.bait`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

_NUMBERS = {
    "x86_64": {"add_key": 248, "userfaultfd": 323, "clone": 56, "bpf": 321, "perf_event_open": 298, "open_by_handle_at": 304},
    "aarch64": {"add_key": 217, "userfaultfd": 282, "clone": 220, "bpf": 280, "perf_event_open": 241, "open_by_handle_at": 265},
}  # fmt: skip
_FRAME = """
import ctypes, fcntl, glob, os, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
escaped = False
try:
    BODY
except (OSError, ValueError, MemoryError, subprocess.SubprocessError) as error:
    print('stopped by', type(error).__name__, error)
print('ESCAPED' if escaped else 'confined')
"""


@dataclass(frozen=True)
class Escape:
    """One way out."""

    body: str
    root: bool = False
    """Whether its bait needs privileges to succeed outside."""
    bounds: dict[str, Any] = field(default_factory=dict)
    """Bounds of the confined command, where these are what stops it."""
    machine: str = ""
    """The only kind of machine that has this; empty: all."""

    def program(self, bait: dict[str, str]) -> str:
        body = self.body
        for name, number in _NUMBERS.get(os.uname().machine, {}).items():
            body = body.replace(f"NR_{name}", str(number))
        for word, value in bait.items():
            body = body.replace(word, value)
        return _FRAME.replace("BODY", body.strip("\n").replace("\n", "\n    "))


FILES = {
    "read an ssh key": Escape("escaped = 'SECRET' in open('HOME/.ssh/id').read()"),
    "read another file of the user": Escape("escaped = 'SECRET' in open('HOME/letter').read()"),
    "list the real home": Escape("escaped = '.ssh' in os.listdir('HOME')"),
    "read another session's workspace": Escape("escaped = 'SECRET' in open('FOLDER/ws/other/work').read()"),
    "read the ledger": Escape("escaped = 'SECRET' in open('HOME/.local/share/outlay/ledger.db').read()"),
    "read the password hashes": Escape("escaped = 'root' in open('/etc/shadow').read()", root=True),
    "read through the process table's roots": Escape("""
for root in glob.glob('/proc/[0-9]*/root'):
    try: escaped = escaped or 'SECRET' in open(root + 'HOME/.ssh/id').read()
    except OSError: pass"""),
    "read through a symbolic link": Escape("os.symlink('HOME/.ssh/id', 'link1'); escaped = 'SECRET' in open('link1').read()"),
    "read by climbing": Escape("escaped = 'SECRET' in open('../' * 20 + 'HOME/.ssh/id').read()"),
    "read the host's /tmp": Escape("escaped = 'SECRET' in open('TMP').read()"),
    "read the host's /dev/shm": Escape("escaped = 'SECRET' in open('SHM').read()"),
    "read an inherited descriptor": Escape("""
for number in range(3, 1024):
    try: escaped = escaped or b'SECRET' in os.pread(number, 1000, 0)
    except OSError: pass"""),
    "open a file by its handle": Escape("""
handle = ctypes.create_string_buffer(bytes.fromhex('HANDLE'))
mount = os.open('.', os.O_RDONLY)
opened = libc.syscall(NR_open_by_handle_at, mount, handle, os.O_RDONLY)
escaped = opened >= 0 and b'SECRET' in os.read(opened, 1000)""", root=True),
    "write outside by absolute path": Escape("open('FOLDER/w1', 'w').write('x'); escaped = True"),
    "write outside by climbing": Escape("open('../' * 20 + 'FOLDER/w2', 'w').write('x'); escaped = True"),
    "write into a dotfile of the home": Escape("open('HOME/.bashrc', 'a').write('x'); escaped = True"),
    "write through a symbolic link": Escape("os.symlink('FOLDER', 'link2'); open('link2/w3', 'w').write('x'); escaped = True"),
    "hard link a file in": Escape("os.link('HOME/.ssh/id', 'FOLDER/l1'); escaped = True"),
    "write to the host's /tmp": Escape("open('TMP', 'r+').write('x'); escaped = True"),
    "write to the host's /dev/shm": Escape("open('SHM', 'r+').write('x'); escaped = True"),
    "write to /etc": Escape("open('/etc/outlay-bait', 'w').close(); os.unlink('/etc/outlay-bait'); escaped = True", root=True),
    "write to /usr": Escape("open('/usr/outlay-bait', 'w').close(); os.unlink('/usr/outlay-bait'); escaped = True", root=True),
    "leave a setuid file": Escape("open('suid', 'w').close(); os.chmod('suid', 0o4755); escaped = os.stat('suid').st_mode & 0o4000"),
    "create a setuid file": Escape("""
os.umask(0); os.close(os.open('suid2', os.O_CREAT | os.O_WRONLY, 0o4755)); escaped = os.stat('suid2').st_mode & 0o4000"""),
    "make a device node": Escape("os.mknod('null', 0o20666, os.makedev(1, 3)); escaped = True", root=True),
}  # fmt: skip

KERNEL = {
    "mount a file system": Escape("""
os.makedirs('mnt', exist_ok=True)
escaped = libc.mount(b'none', b'mnt', b'tmpfs', 0, None) == 0 and libc.umount2(b'mnt', 2) == 0""", root=True),
    "remount the root": Escape("""
libc.unshare(0x20000) == 0 and libc.mount(b'none', b'/', None, 0x44000, None)
escaped = libc.mount(b'none', b'/', None, 0x1020, None) == 0 and os.access('/', os.W_OK)""", root=True),
    "change the root": Escape("""
os.makedirs('jail', exist_ok=True); pid = os.fork()
if pid == 0:
    try: os.chroot('jail')
    except OSError: os._exit(1)
    os._exit(0)
escaped = os.waitpid(pid, 0)[1] == 0""", root=True),
    "turn a kernel knob": Escape("""
path = '/proc/sys/kernel/core_pattern'; old = open(path).read(); open(path, 'w').write(old); escaped = True""", root=True),
    "make a user namespace": Escape("escaped = subprocess.run(['unshare', '-U', 'true'], stderr=-3).returncode == 0"),
    "make a user namespace with clone": Escape("""
pid = libc.syscall(NR_clone, 0x10000000 | 17, 0, 0, 0, 0)
if pid == 0: os._exit(0)
escaped = pid > 0"""),
    "have capabilities to gain": Escape("""
escaped = any(int(line.split()[1], 16) for line in open('/proc/self/status') if line.startswith('Cap'))"""),
    "use the keyring": Escape("escaped = libc.syscall(NR_add_key, b'user', b'bait', b'x', 1, -2) > 0"),
    "fault in user space": Escape("escaped = libc.syscall(NR_userfaultfd, 1) >= 0"),
    "use io_uring": Escape("p = ctypes.create_string_buffer(120); escaped = libc.syscall(425, 1, p) >= 0"),
    "load a kernel program": Escape("""
attributes = ctypes.create_string_buffer(bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]), 72)
escaped = libc.syscall(NR_bpf, 0, attributes, 72) >= 0""", root=True),
    "count the kernel's events": Escape("""
attributes = ctypes.create_string_buffer((1).to_bytes(4, 'little') + (112).to_bytes(4, 'little'), 112)
escaped = libc.syscall(NR_perf_event_open, attributes, 0, -1, -1, 0) >= 0""", root=True),
    "run 32-bit system calls": Escape("""
import mmap
m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex('b814000000cd80c3'))
escaped = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))() > 0""", machine="x86_64"),
    "change the personality": Escape("escaped = libc.personality(0x0400000) >= 0"),
    "type into a terminal": Escape("main, side = os.openpty(); fcntl.ioctl(side, 0x5412, b'x'); escaped = True", root=True),
    "change the host name": Escape("socket.sethostname(socket.gethostname()); escaped = True", root=True),
    "see shared memory of the host": Escape("escaped = libc.shmget(KEY, 0, 0) >= 0"),
}  # fmt: skip

PROCESSES = {
    "read an environment secret": Escape("escaped = os.environ.get('OUTLAY_BAIT') == 'SECRET'"),
    "read the parent's environment": Escape("escaped = b'SECRET' in open(f'/proc/{os.getppid()}/environ', 'rb').read()"),
    "read every environment": Escape("""
for path in glob.glob('/proc/[0-9]*/environ'):
    try: escaped = escaped or b'SECRET' in open(path, 'rb').read()
    except OSError: pass"""),
    "read others' command lines": Escape("escaped = b'VICTIM-MARK' in open('/proc/VICTIM/cmdline', 'rb').read()"),
    "signal a process outside": Escape("os.kill(VICTIM, 0); escaped = b'VICTIM-MARK' in open('/proc/VICTIM/cmdline', 'rb').read()"),
    "kill a process outside": Escape("""
os.kill(PREY, signal.SIGKILL); escaped = True"""),
    "trace a process": Escape("""
child = subprocess.Popen(['sleep', '5'])
try: escaped = libc.ptrace(16, child.pid, 0, 0) == 0
finally: child.kill()"""),
}  # fmt: skip

NETWORK = {
    "connect to loopback TCP": Escape("socket.create_connection(('127.0.0.1', TCP), 2); escaped = True"),
    "reach loopback UDP": Escape("""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5); s.sendto(b'x', ('127.0.0.1', UDP))
escaped = s.recv(9) == b'x'"""),
    "connect to a unix socket": Escape("socket.socket(socket.AF_UNIX).connect('HOME/socket'); escaped = True"),
    "connect to an abstract socket": Escape("socket.socket(socket.AF_UNIX).connect(chr(0) + 'ABSTRACT'); escaped = True"),
    "reach a service of the host": Escape("socket.socket(socket.AF_UNIX).connect('SERVICE'); escaped = True", root=True),
    "see the host's routes": Escape("escaped = len(open('/proc/net/route').readlines()) > 1"),
    "open a VSOCK socket": Escape("socket.socket(40, socket.SOCK_STREAM); escaped = True"),
    "open a raw socket": Escape("socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768); escaped = True", root=True),
}  # fmt: skip

RESOURCES = {
    "start processes without end": Escape("""
all = [subprocess.Popen(['sleep', '20']) for _ in range(60)]
escaped = len(all) == 60
for each in all: each.kill()""", bounds={"processes": 30}),
    "take memory, in one process": Escape("x = bytearray(200_000_000); escaped = True", bounds={"memory_bytes": 64 * 2**20}),
    "take memory, in many": Escape("""
one = 'import time; x = bytearray(40_000_000); print(1, flush=True); time.sleep(60)'
all = [subprocess.Popen([sys.executable, '-S', '-c', one], stdout=-1) for _ in range(4)]
escaped = [each.stdout.read(1) for each in all] == [b'1'] * 4
for _ in range(10 * PATIENCE + 1):
    time.sleep(0.1)
    escaped = escaped and {each.poll() for each in all} == {None}
    if not escaped: break
for each in all: each.kill()""", bounds={"memory_bytes": 64 * 2**20}),
    "write a big file": Escape("open('big', 'wb').write(bytes(5_000_000)); escaped = True", bounds={"file_bytes": 10**6}),
    "make many files": Escape("""
os.makedirs('many', exist_ok=True)
for number in range(3000): open(f'many/{number}', 'w').close()
time.sleep(PATIENCE)
escaped = True""", bounds={"workspace_files": 1000}),
    "write many large files": Escape("""
for number in range(8): open(f'large{number}', 'wb').write(bytes(1_000_000)); os.sync()
time.sleep(PATIENCE)
escaped = True""", bounds={"workspace_bytes": 3_000_000}),
    "fill temporary folders": Escape("""
for folder in ('/tmp', '/dev/shm'):
    name = f'{folder}/outlay-fill-{os.getpid()}'
    try: open(name, 'wb').write(bytes(3_000_000)); escaped = True
    finally: os.unlink(name)""", bounds={"tmp_bytes": 2**20}),
    "flood the output": Escape("""
for _ in range(300): os.write(2, b'x' * 10_000)
escaped = True""", bounds={"output_bytes": 10**6}),
    "burn the processor": Escape("""
while time.process_time() < 1.3: pass
escaped = True""", bounds={"cpu_s": 0.1}),
}  # fmt: skip

ESCAPES = FILES | KERNEL | PROCESSES | NETWORK | RESOURCES

HONEST = {
    "python with processes and threads": ("""python3 - <<'EOF'
import multiprocessing, ssl, subprocess, threading
with multiprocessing.Pool(3) as pool:
    print(sum(pool.map(abs, range(-5, 5))), flush=True)
thread = threading.Thread(target=print, args=("threads",)); thread.start(); thread.join()
print(subprocess.check_output(["tr", "a-z", "A-Z"], input=b"piped").decode(), ssl.create_default_context().check_hostname)
EOF""", "25\nthreads\nPIPED True\n"),
    "git": ("""export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q . && echo x >file && git add . && git commit -qm first && git checkout -qb side && echo y >file && git commit -qam second &&
git checkout -q - && git merge -q side && git log --format=%s && git status --short""", "second\nfirst\n"),
    "building a program": ("""printf '#include <stdio.h>\\nint main(void) { puts("built"); return 0; }\\n' >hello.c
printf 'hello: hello.c\\n\\tcc -O0 -o $@ $<\\n' >Makefile; make -s -j2 hello && ./hello""", "built\n"),
    "shell jobs, pipes and signals": ("""(sleep 0.05; echo late) & wait; seq 1000 | tail -1
sleep 10 & kill $!; { wait $!; } 2>/dev/null; echo $?; trap 'echo caught' USR1; kill -USR1 $$""", "late\n1000\n143\ncaught\n"),
    "a server for its own command": ("""python3 -c 'import socket
a = socket.create_server(("127.0.0.1", 0)); b = socket.create_connection(a.getsockname()); c, _ = a.accept()
b.sendall(b"served"); print(c.recv(9).decode())'""", "served\n"),
    "databases, locks, temporary files, shared memory": ("""python3 - <<'EOF'
import fcntl, os, sqlite3, tempfile
from multiprocessing import shared_memory
database = sqlite3.connect("state.db"); database.execute("pragma journal_mode=wal")
database.execute("create table t (a)"); database.execute("insert into t values (7)"); database.commit()
with open("lock", "w") as lock: fcntl.flock(lock, fcntl.LOCK_EX)
with tempfile.NamedTemporaryFile() as file: file.write(b"x")
block = shared_memory.SharedMemory(create=True, size=64); block.buf[0] = 9
print(database.execute("select a from t").fetchone()[0], block.buf[0]); block.close(); block.unlink()
os.rename("lock", "renamed"); os.chmod("renamed", 0o755); os.symlink("renamed", "link")
EOF""", "7 9\n"),
    "a project's tests": ("""mkdir -p pack tests; touch tests/__init__.py; echo 'def double(n): return 2 * n' >pack/__init__.py
cat >tests/test_pack.py <<'EOF'
import unittest
from pack import double
class Doubles(unittest.TestCase):
    def test_double(self): self.assertEqual(double(4), 8)
EOF
python3 -m unittest -q tests.test_pack 2>&1 | tail -1""", "OK\n"),
}  # fmt: skip
"""Name -> (shell script, what it prints)."""
