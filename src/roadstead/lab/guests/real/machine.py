"""One real guest as a machine: its namespaces, its sshd, its dockerd, and what can be done to them from outside.

Everything in here blocks and knows no event loop; `guest` runs it in threads.  A machine is begun by ``unshare`` and
ends when the pipe to its first process is closed.  ``ip netns exec`` is not used: it mounts another `/sys`, and the
engine would not find its control groups.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from roadstead.errors import StartError
from roadstead.lab.guests.certificates import Pair
from roadstead.lab.guests.real import cgroups, commands, inside
from roadstead.lab.guests.real.dockerd import Dockerd
from roadstead.lab.guests.real.kinds import (
    DOCKER_GROUP_NUMBER,
    DOCKER_SOCKET,
    HOME,
    ROOTLESS,
    RUNTIME,
    USER,
    USER_NUMBER,
    Kind,
)
from roadstead.lab.guests.real.network import Wire

AUTHORIZED_KEYS = f"{HOME}/.ssh/authorized_keys"
"""Of the user, who may change it, and also of root."""
SSH_PORT = 22
TLS_PORT = 2376
KEY_TYPES = ("ed25519", "ecdsa", "rsa")

SHELL = "/bin/bash"
FIRST_LENT_NUMBER = 500000
"""The first of the users' numbers that an engine of the user's own may take for its containers."""
SSH_SECONDS = 10.0
ENGINE_SECONDS = 40.0
END_SECONDS = 10.0

PLAIN_KEY = ""
"""A line of authorized_keys without options, as it always was."""
RESTRICTED_KEY = (
    f'restrict,port-forwarding,permitopen="[{DOCKER_SOCKET}]:*",permitlisten="localhost:1",'
    'command="/usr/bin/docker system dial-stdio"'
)
"""The options that leave a key the engine's socket and nothing else."""

SSHD_CONFIG = f"""\
Port {SSH_PORT}
ListenAddress 0.0.0.0
AuthorizedKeysFile {AUTHORIZED_KEYS}
StrictModes no
PermitRootLogin prohibit-password
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
LogLevel VERBOSE
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
"""


class Machine:
    """The guest behind one wire, with what it keeps in ``folder``."""

    def __init__(self, name: str, folder: Path, wire: Wire, kind: Kind) -> None:
        self.name = name
        self.folder = folder
        self.wire = wire
        self.kind = kind
        self._password = ""
        self._cgroup = cgroups.name_of(wire.name)
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._first = 0
        self._shell = SHELL
        self._in_group = True
        self._covered: list[str] = []
        self._tls: tuple[str, ...] = ()
        """Dockerd's options for listening with TLS."""

    @property
    def is_on(self) -> bool:
        """Whether its namespaces are there."""
        return self._supervisor is not None

    @property
    def root(self) -> Path:
        """The guest's file system as seen from outside; only while it is on."""
        return Path(f"/proc/{self._first}/root")

    @property
    def engine(self) -> Dockerd:
        """Its engine, asked from outside; only while it is on."""
        # Links of the guest's own file system, as /var/run is one, would lead into ours.
        socket = self.kind.engine.socket.removeprefix("/var").removeprefix("/")
        return Dockerd(self.name, self.root / socket, "" if self.kind.engine.is_rootless else f"/{self._cgroup}")

    @property
    def door(self) -> tuple[str, ...]:
        """The words that, before a command, run it inside; only while it is on."""
        return ("nsenter", "--target", str(self._first), "--mount", "--uts", "--ipc", "--net", "--pid", "--")

    def boot(self) -> None:
        """Make the namespaces and lay the wire; nothing runs inside yet."""
        cgroups.release(self._cgroup)
        self._write_accounts()
        # What somebody wrote there, an authorized key for one, is there again after the next boot.
        kept = self.folder / "home"
        kept.mkdir(mode=0o755, exist_ok=True)
        settings = {
            "hostname": self.name,
            "folder": str(self.folder),
            "root": str(self.kind.root or ""),
            "etc": str(self.folder / "etc"),
            "home": HOME,
            "kept": str(kept),
            "uid": USER_NUMBER,
            "runtime": RUNTIME,
            "engine": ROOTLESS,
            "cgroup": self._cgroup,
        }
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--mount-proc", "--propagation", "private")
        first = (sys.executable, "-I", "-S", inside.__file__, json.dumps(settings))
        with (self.folder / "boot.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                ["unshare", *spaces, "--", *first],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=commands.ENVIRONMENT,
                # Ctrl-C in the terminal is for the lab, which ends its guests in order.
                start_new_session=True,
            )
        if not self._supervisor.stdout or self._supervisor.stdout.readline() != b"ready\n":
            raise self._failed("its namespaces could not be made", "boot.log")
        self._first = _only_child(self._supervisor.pid)
        self.wire.plug(self.name, self._first)

    def pull_plug(self) -> None:
        """End everything inside without waiting: whoever is at work on this machine finds it gone, and tidies up."""
        if self._supervisor and self._supervisor.stdin:
            self._supervisor.stdin.close()

    def power_off(self) -> None:
        """End everything inside at once; what it keeps in its folder stays."""
        if self._supervisor is None:
            return
        self.pull_plug()
        try:
            self._supervisor.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            inside.thaw(self._cgroup)
            os.kill(self._first, signal.SIGKILL)
            self._supervisor.wait(END_SECONDS)
        if self._supervisor.stdout:
            self._supervisor.stdout.close()
        self._supervisor = None
        self._covered.clear()
        self.wire.unplug()
        cgroups.release(self._cgroup)

    def set_wire(self, *, up: bool) -> None:
        """Connect the guest to its network, or cut it off."""
        self.wire.set(self.name, self._first, up=up)

    def authorize(self, lines: list[str]) -> None:
        """Write the file of authorized keys."""
        path = self.root / AUTHORIZED_KEYS.removeprefix("/")
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(0o600)
        for each in (path.parent, path):
            os.chown(each, USER_NUMBER, USER_NUMBER)

    def cover(self, path: str, *source: str) -> None:
        """Let the guest see what is mounted at ``path``, until `uncover`; without a ``source`` nothing that runs."""
        self._inside("mount", *(source or ("--bind", "/dev/null")), path)
        self._covered.append(path)

    def uncover(self) -> None:
        """Undo every `cover`."""
        while self._covered:
            self._inside("umount", self._covered.pop())

    def set_account(self, shell: str = SHELL, *, in_group: bool = True) -> None:
        """Give its user another login shell, and let him open Docker's socket or not, from the next sign-in on."""
        self._shell = shell
        self._in_group = in_group
        self._write_accounts()

    def set_password(self, password: str) -> None:
        """Let the user sign in with ``password``, or with none when it is empty, once the SSH server starts anew;
        accounts and groups are as at the first boot again.
        """
        self._password = commands.hashed(self.name, password) if password else ""
        if self.is_on:
            # The files themselves are mounted in the guest: they must not be replaced.
            self._write_accounts()

    def host_key(self) -> str:
        """Its ed25519 host key, as a line."""
        return (self.folder / "ssh_host_ed25519_key.pub").read_text(encoding="ascii")

    def make_host_keys(self, *, anew: bool = False) -> None:
        """Make a host key of every type, where there is none or when all are to be others."""
        for kind in KEY_TYPES:
            path = self.folder / f"ssh_host_{kind}_key"
            if anew:
                path.unlink(missing_ok=True)
            if not path.exists():
                size = ("-b", "2048") if kind == "rsa" else ()
                commands.run(
                    self.name, "ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", self.name, "-f", str(path)
                )

    def start_sshd(self, key_types: tuple[str, ...] = KEY_TYPES, options: tuple[str, ...] = ()) -> None:
        """Start the SSH server with host keys of these types and further lines of sshd_config, and wait for it."""
        keys = [f"HostKey {self.folder}/ssh_host_{kind}_key" for kind in key_types]
        config = self.folder / "sshd_config"
        # The first value of an option counts in sshd_config: the further lines win.
        passwords = f"PasswordAuthentication {'yes' if self._password else 'no'}"
        lines = [*options, *self.kind.sshd, passwords, *keys, SSHD_CONFIG]
        config.write_text("\n".join(lines), encoding="utf-8")
        self._inside("/usr/sbin/sshd", "-f", str(config), "-E", str(self.folder / "sshd.log"))
        if not self._comes_up(self._ssh_answers, SSH_SECONDS):
            raise self._failed("its SSH server does not answer", "sshd.log")

    def secure(self, authority: str, server: Pair) -> None:
        """Let dockerd listen with TLS besides its socket, from its next start on, until `unsecure`."""
        folder = self.folder / "tls"
        folder.mkdir(mode=0o700, exist_ok=True)
        files = {"tlscacert": authority, "tlscert": server.certificate, "tlskey": server.key}
        for name, pem in files.items():
            (folder / name).write_text(pem, encoding="ascii")
        named = (f"--{name}={folder}/{name}" for name in files)
        self._tls = ("--tlsverify", *named, f"--host=tcp://0.0.0.0:{TLS_PORT}")

    def unsecure(self) -> None:
        """Undo `secure`, from the engine's next start on."""
        self._tls = ()

    def start_engine(self) -> None:
        """Start the engine and wait until it answers."""
        engine = self.kind.engine
        for path in engine.leftovers:
            (self.root / path.removeprefix("/")).unlink(missing_ok=True)
        folder = self.engine.path.parent
        folder.mkdir(exist_ok=True)
        if engine.is_rootless:
            os.chown(folder, USER_NUMBER, USER_NUMBER)
        command = (*engine.starting(self.folder / engine.name, self._cgroup), *self._tls)
        self._inside("sh", "-c", 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &', "sh", self._log, *command)
        if not self._comes_up(self.engine.answers, ENGINE_SECONDS):
            raise self._failed("its engine does not answer", "engine.log")

    def kill(self, *names: str) -> None:
        """Kill the processes inside with these names, and wait until they are gone."""
        for pid in self.processes(*names):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        commands.wait_until(lambda: not self.processes(*names), END_SECONDS)

    def processes(self, *names: str) -> list[int]:
        """The processes inside that have one of these names, numbered as outside."""
        space = _space(self._first)
        return [pid for pid in _all_processes() if _facts(pid) in {(space, name) for name in names}]

    def _inside(self, *command: str) -> None:
        # sshd starts in the background by itself and keeps no pipe of ours; the shell of dockerd does neither.
        commands.run(self.name, *self.door, *command)

    def _comes_up(self, answers: Callable[[], bool], seconds: float) -> bool:
        """Wait until something inside answers, unless the whole guest ends meanwhile."""
        return commands.wait_until(lambda: self._is_ending() or answers(), seconds) and not self._is_ending()

    def _is_ending(self) -> bool:
        supervisor = self._supervisor
        return not supervisor or not supervisor.stdin or supervisor.stdin.closed or supervisor.poll() is not None

    def _ssh_answers(self) -> bool:
        try:
            with socket.create_connection((self.wire.guest, SSH_PORT), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    @property
    def _log(self) -> str:
        return str(self.folder / "engine.log")

    def _failed(self, reason: str, log: str) -> StartError:
        text = (self.folder / log).read_text(errors="replace") if (self.folder / log).exists() else ""
        last = text.strip().splitlines()[-1:] or [""]
        self.power_off()
        return StartError("lab-guest-failed", guest=self.name, reason=f"{reason}: {last[0]}")

    def _write_accounts(self) -> None:
        """Write the accounts that the guest sees: those of its root, and one of the guest's own."""
        etc = self.folder / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        root = self.kind.root or Path("/")
        users = _without(root / "etc/passwd", USER)
        groups = _without(root / "etc/group", USER, "docker")
        users.append(f"{USER}:x:{USER_NUMBER}:{USER_NUMBER}:Roadstead lab:{HOME}:{self._shell}")
        members = USER if self._in_group else ""
        groups += [f"{USER}:x:{USER_NUMBER}:", f"docker:x:{DOCKER_GROUP_NUMBER}:{members}"]
        # Nobody's password is copied; a locked account could not sign in by key.
        names = [line.split(":")[0] for line in users]
        shadow = [f"{name}:{(name == USER and self._password) or '*'}:20000::::::" for name in names]
        ranges = [f"{USER}:{FIRST_LENT_NUMBER}:65536"]
        files = {"passwd": users, "group": groups, "shadow": shadow, "subuid": ranges, "subgid": ranges}
        for name, lines in files.items():
            (etc / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _without(path: Path, *names: str) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.split(":")[0] not in names]


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii"))


def _all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _facts(pid: int) -> tuple[str, str]:
    """The process namespace and the name of a process; empty when it has ended."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        return _space(pid), name
    except OSError:
        return "", ""


def _space(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())
