"""A real guest as the lab's pool sees it: the `Guest` protocol, and the faults that tests ask for.

The machine below blocks, so everything runs in the maker's threads, one thing at a time for each guest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from roadstead.errors import StartError
from roadstead.lab.guests.certificates import Pair
from roadstead.lab.guests.real import commands, workload
from roadstead.lab.guests.real.dockerd import Dockerd
from roadstead.lab.guests.real.machine import KEY_TYPES, PLAIN_KEY, SHELL, SSH_PORT, Machine

SSHD_NAMES = ("sshd", "sshd-session", "sshd-auth")
DOCKER_SECONDS = 60.0
COMMAND_FOLDERS = ("/usr/local/bin", "/usr/bin")
SUDOERS = "/etc/sudoers.d"

T = TypeVar("T")


class RealGuest:
    """A VM's inside with namespaces, an sshd and a dockerd of its own."""

    def __init__(self, machine: Machine, recipes: Iterable[workload.Recipe], threads: Executor) -> None:
        self.name = machine.name
        self.machine = machine
        self.port = SSH_PORT
        self.user = machine.kind.engine.user
        self.tls = None
        self.key_options = PLAIN_KEY
        """What stands before each key in authorized_keys; see `PLAIN_KEY` and `RESTRICTED_KEY`."""
        self._sudo_rule = ""
        self._keys: tuple[str, ...] = ()
        self._admitted: tuple[str, ...] = ()
        self._is_raw = False
        self.recipes = tuple(recipes)
        """The containers that it has from its first boot on."""
        self._threads = threads
        self._lock = threading.Lock()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its one address."""
        return (self.machine.wire.guest,)

    @property
    def is_on(self) -> bool:
        """Whether it is booted."""
        return self.machine.is_on

    @property
    def door(self) -> tuple[str, ...]:
        """What runs a command inside, as root; empty while it is off."""
        return self.machine.door if self.machine.is_on else ()

    @property
    def engine(self) -> Dockerd:
        """Its engine, asked from outside in blocking calls; only while it is on."""
        return self.machine.engine

    @property
    def engine_socket(self) -> Path:
        """Its engine's socket as seen from outside; another path after each boot."""
        return self.machine.engine.path

    @property
    def socket(self) -> str:
        """Where its engine's socket is for those inside."""
        return self.machine.kind.engine.socket

    @property
    def group(self) -> str:
        """The control group that containers go below which are not made here; empty for the engine's own choice."""
        return self.machine.engine.group

    @property
    def folder(self) -> Path:
        """Where it keeps its host keys, its logs and its engine's data."""
        return self.machine.folder

    async def start(self) -> None:
        """Boot; on the first boot its containers are made. Raises `StartError` ``lab-guest-failed``."""
        await self._run(self._start)

    async def stop(self) -> None:
        """Power off at once."""
        await self._run(self.machine.power_off)

    async def destroy(self) -> None:
        """Power off and remove all that it kept; its address is free again."""
        await self._run(self._destroy)

    async def release(self) -> None:
        """Power off and free its address, even while it still boots; what it kept stays."""
        self.machine.pull_plug()
        await self._run(self._release)

    async def new_host_key(self) -> None:
        """Give it other host keys of every type, and end the connections that it has."""
        await self._run(self._new_host_key)

    async def truth(self) -> list[dict[str, object]]:
        """Its containers as its engine lists them; none while it is off."""
        return await self._run(self._truth)

    async def authorize(self, public_keys: tuple[str, ...]) -> None:
        """Let the owners of these keys in, and nobody else."""
        self._keys = public_keys
        await self._run(self._write_keys)

    async def pin(self) -> str:
        """Its ed25519 host key in base64."""
        return await self._run(lambda: self.machine.host_key().split()[1])

    async def admit(self, public_key: str) -> None:
        """Let the owner of this key in, too."""
        self._admitted += (public_key,)
        self._is_raw = False
        await self._run(self._write_keys)

    async def check_health(self, name: str) -> None:
        """Let the health of a container be checked now, where the guest does not do so by itself."""
        engine = self.machine.kind.engine
        if check := engine.checking(self.folder / engine.name, name):
            # It ends with an error when the container is not well.
            await self.inside("sh", "-c", '"$@" || true', "sh", *check)

    async def make_raw(self, password: str) -> None:
        """Let it be as nobody has prepared it: no key opens it, and its user signs in with ``password``."""
        await self._run(lambda: self._make_raw(password))

    async def make_prepared(self) -> None:
        """Undo `make_raw`, but for the keys, which `authorize` and `admit` say; and no TLS from the next boot on."""
        self._is_raw = False
        self.machine.unsecure()
        await self._run(lambda: self.machine.set_password(""))

    async def add(self, *recipes: workload.Recipe) -> None:
        """Make further containers."""
        await self._run(lambda: workload.install(self.engine, recipes))

    async def docker(self, *words: str) -> str:
        """Run Docker's own command on its engine, as somebody inside would, and return what it prints."""
        return await self._run(lambda: self._docker(*words))

    async def cut(self) -> None:
        """Cut its network: packets are lost, nothing is told."""
        await self._run(lambda: self.machine.set_wire(up=False))

    async def restore(self) -> None:
        """Undo `cut`."""
        await self._run(lambda: self.machine.set_wire(up=True))

    async def kill_sshd(self) -> None:
        """Kill its SSH server and every connection."""
        await self._run(lambda: self.machine.kill(*SSHD_NAMES))

    async def start_sshd(self, *options: str, key_types: tuple[str, ...] = KEY_TYPES) -> None:
        """Start its SSH server anew, with further lines of sshd_config and with host keys of these types only."""
        await self._run(lambda: self._start_sshd(options, key_types))

    async def set_account(self, shell: str = SHELL, *, in_group: bool = True) -> None:
        """Give its user another login shell, and let him open Docker's socket or not, from the next sign-in on."""
        await self._run(lambda: self.machine.set_account(shell, in_group=in_group))

    async def hide(self, *names: str) -> None:
        """Let those inside find no commands of these names, until `uncover`."""
        await self._run(lambda: self._hide(names))

    async def allow_sudo(self, rule: str) -> None:
        """Let its sudoers say this and nothing else, also after the next boot, until `uncover`."""
        await self._run(lambda: self._allow_sudo(rule))

    async def uncover(self) -> None:
        """Let those inside see again what is there."""
        await self._run(self._uncover)

    async def inside(self, *command: str) -> str:
        """Run a command inside, as root, and return what it prints. Raises `StartError` when it fails."""
        return await self._run(lambda: commands.run(self.name, *self.door, *command))

    async def kill_engine(self) -> None:
        """Kill its engine; its socket stays and nobody answers. Running containers go on."""
        await self._run(lambda: self.machine.kill(*self.machine.kind.engine.processes))

    async def start_engine(self) -> None:
        """Start its engine again."""
        await self._run(self.machine.start_engine)

    async def secure_engine(self, authority: str, server: Pair) -> None:
        """Start its dockerd anew, listening with TLS (``tlsverify``) besides its socket, also after the next boot."""
        await self._run(lambda: self._secure_engine(authority, server))

    async def unsecure_engine(self) -> None:
        """Start its dockerd anew, on its socket alone."""
        await self._run(self._unsecure_engine)

    def change(self, choose: Callable[[list[str]], str]) -> None:
        """Pause one of its running containers, or let a paused one go on; ``choose`` picks it. Blocks."""
        with self._lock:
            if not self.is_on:
                return
            states = {entry["Id"]: entry["State"] for entry in self.engine.containers()}
            able = [each for each, state in states.items() if state in {"running", "paused"}]
            if able:
                chosen = choose(able)
                self.engine.act("pause" if states[chosen] == "running" else "unpause", chosen)

    async def _run(self, work: Callable[[], T]) -> T:
        def alone() -> T:
            with self._lock:
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._threads, alone)

    def _start(self) -> None:
        if self.is_on:
            return
        try:
            self.machine.boot()
            if self._sudo_rule:
                self._allow_sudo(self._sudo_rule)
            self._write_keys()
            self.machine.start_engine()
            self._furnish()
            self.machine.start_sshd()
        except StartError:
            self.machine.power_off()
            raise

    def _hide(self, names: tuple[str, ...]) -> None:
        for path in (f"{folder}/{name}" for folder in COMMAND_FOLDERS for name in names):
            if os.path.lexists(f"{self.machine.root}{path}"):
                self.machine.cover(path)

    def _uncover(self) -> None:
        self._sudo_rule = ""
        self.machine.uncover()

    def _allow_sudo(self, rule: str) -> None:
        self._sudo_rule = rule
        self.machine.cover(SUDOERS, "-t", "tmpfs", "-o", "mode=755", "tmpfs")
        path = self.machine.root / SUDOERS.removeprefix("/") / "lab"
        path.write_text(f"{rule}\n", encoding="utf-8")
        path.chmod(0o440)

    def _furnish(self) -> None:
        """Make its containers, once: from then on they are renamed and removed by whoever works in the guest."""
        done = self.folder / "furnished"
        if not done.exists():
            workload.install(self.engine, self.recipes)
            done.touch()

    def _start_sshd(self, options: tuple[str, ...], key_types: tuple[str, ...]) -> None:
        self.machine.kill(*SSHD_NAMES)
        self.machine.start_sshd(key_types, options)

    def _secure_engine(self, authority: str, server: Pair) -> None:
        self.machine.secure(authority, server)
        self._restart_engine()

    def _unsecure_engine(self) -> None:
        self.machine.unsecure()
        self._restart_engine()

    def _restart_engine(self) -> None:
        self.machine.kill("dockerd")
        self.machine.start_engine()

    def _new_host_key(self) -> None:
        self.machine.make_host_keys(anew=True)
        if self.is_on:
            self._start_sshd((), KEY_TYPES)

    def _make_raw(self, password: str) -> None:
        self._is_raw, self._admitted = True, ()
        self.machine.set_password(password)
        if self.is_on:
            self.machine.authorize([])
            self._start_sshd((), KEY_TYPES)

    def _write_keys(self) -> None:
        if self._is_raw:
            return  # whoever prepares it does
        if self.is_on:
            self.machine.authorize([f"{self.key_options} {key}".strip() for key in (*self._keys, *self._admitted)])

    def _truth(self) -> list[dict[str, object]]:
        if not self.is_on:
            return []
        return [
            {"id": entry["Id"], "name": entry["Names"][0].removeprefix("/"), "state": entry["State"]}
            for entry in self.engine.containers()
        ]

    def _release(self) -> None:
        self.machine.power_off()
        self.machine.wire.release()

    def _destroy(self) -> None:
        self._release()
        shutil.rmtree(self.folder)

    def _docker(self, *words: str) -> str:
        command = ("docker", "--host", f"unix://{self.engine_socket}", *words)
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=DOCKER_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartError("lab-guest-failed", guest=self.name, reason="the docker command did not run") from error
        if done.returncode:
            raise StartError("lab-guest-failed", guest=self.name, reason=done.stderr)
        return done.stdout
