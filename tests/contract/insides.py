"""What tests do inside a guest, whichever kind it is: by its engine's own methods, or with Docker's own command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Protocol

from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.containers import CATALOGUE, Container
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.logs import STDERR
from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.real.workload import BASE_IMAGE, IDLE

CRASHES = 8
STOP_SECONDS = 5.0
LONG_SECONDS = 60.0
TIRED = tuple(f"{count} restarting\n" for count in (5, 6, 7))
"""An engine waits twice as long after each restart: from the fifth on, for more than three seconds."""
PROBED_IMAGE = next(image for image in CATALOGUE if image.has_health)
IMAGE = next(image for image in CATALOGUE if not image.has_health)
PROBE = (
    *("--health-cmd", "test ! -f /tmp/sick", "--health-interval", "300ms", "--health-retries", "1"),
    # Podman 3.0 takes none for too little.
    *("--health-timeout", "5s"),
)
# With less runc itself sometimes does not come to start.
MEMORY = ("--memory", "16m", "--memory-swap", "16m")
SPEAKING = ("sh", "-c", "echo one; echo two >&2; trap 'exit 0' TERM; while :; do sleep 5 & wait $!; done")
HUNGRY = ("sh", "-c", "while [ ! -f /tmp/now ]; do busybox sleep 0.1; done; exec busybox tail /dev/zero")


class Inside(Protocol):
    """What somebody inside a guest can do, and what nobody outside is told but by the engine's events."""

    engine_name: str
    """What its engine is called."""
    relay: str
    """How a link reaches its engine's socket."""
    lacks: Mapping[str, str]
    """What its engine cannot do, whoever asks it, and why."""
    down: str
    """The problem of a VM whose engine has ended."""

    async def server(self) -> str:
        """What the server behind its port calls itself."""

    async def truth(self) -> list[dict[str, object]]:
        """Its containers as its engine knows them."""

    async def run(self, name: str, *, probed: bool = False, hungry: bool = False) -> None:
        """Create and start a container."""

    async def speak(self, name: str, *, tty: bool = False, driver: str = "") -> None:
        """Start a container that says "one" and, to its stderr, "two", and then goes on; with a terminal of its own, or
        with another log driver, when so told.
        """

    async def say(self, name: str, line: str) -> None:
        """Let such a container say one more line, to its stdout."""

    async def rename(self, old: str, new: str) -> None:
        """Give a container another name."""

    async def do(self, verb: str, name: str) -> None:
        """Start, stop, kill, pause, unpause or remove (`rm`) one."""

    async def become(self, name: str, health: str) -> None:
        """Let the next health check of one that is `probed` find it so."""

    async def exhaust(self, name: str) -> None:
        """Let one that is `hungry` take more memory than it may have."""

    async def loop(self, name: str, exit_code: int) -> None:
        """Start one that ends again and again, and is started again by the engine."""

    async def tire(self, name: str, exit_code: int) -> None:
        """The same, until the engine waits longer than a second before it starts it again."""

    async def execute(self, name: str) -> None:
        """Run a command in one, which changes nothing; and send it a signal that it does not mind."""

    async def lose(self) -> None:
        """End what serves its port, with all connections; its containers go on, and can be changed from inside."""

    async def regain(self) -> None:
        """Start its SSH server again."""

    async def lose_engine(self) -> None:
        """Kill its engine; the SSH server goes on."""

    async def regain_engine(self) -> None:
        """Start its engine again."""

    async def freeze_engine(self) -> None:
        """Let its engine take requests and answer none."""

    async def thaw_engine(self) -> None:
        """Let its engine answer again."""

    async def cut(self) -> None:
        """Cut its network: nobody is told, packets are lost."""

    async def restore(self) -> None:
        """Put its network back."""

    async def reinstall(self) -> None:
        """Give it other host keys."""

    async def power_off(self) -> None:
        """End everything in it, when its VM is switched off."""

    async def power_on(self) -> None:
        """Boot it, before its VM announces addresses."""


class SimulatedInside:
    """Inside a simulated guest."""

    engine_name = "Docker"
    relay = "streamlocal"
    lacks: Mapping[str, str] = {}
    down = "engine-down"

    def __init__(self, guest: SimulatedGuest) -> None:
        self.guest = guest
        self.engine = guest.engine

    async def server(self) -> str:
        return "asyncssh"

    async def truth(self) -> list[dict[str, object]]:
        return await self.guest.truth()

    async def run(self, name: str, *, probed: bool = False, hungry: bool = False) -> None:
        self.engine.start(self.engine.create(name, PROBED_IMAGE if probed else IMAGE))

    async def speak(self, name: str, *, tty: bool = False, driver: str = "") -> None:
        made = self.engine.create(name, IMAGE._replace(tty=tty, log_driver=driver or IMAGE.log_driver))
        self.engine.start(made)
        self.engine.logs.write(made, self.engine.now(), "one\n")
        self.engine.logs.write(made, self.engine.now(), "two\n", STDERR)

    async def say(self, name: str, line: str) -> None:
        self.engine.logs.write(self._found(name), self.engine.now(), f"{line}\n")

    async def rename(self, old: str, new: str) -> None:
        self.engine.rename(self._found(old), new)

    async def do(self, verb: str, name: str) -> None:
        container = self._found(name)
        match verb:
            case "start":
                self.engine.start(container)
            case "stop":
                ended = asyncio.Event()
                self.engine.stop(container, STOP_SECONDS, ended.set)
                await ended.wait()
            case "kill":
                self.engine.kill(container, signal.SIGKILL)
            case "pause":
                self.engine.pause(container)
            case "unpause":
                self.engine.unpause(container)
            case "rm":
                self.engine.remove(container)

    async def become(self, name: str, health: str) -> None:
        self.engine.check_health(self._found(name), health)

    async def exhaust(self, name: str) -> None:
        self.engine.oom(self._found(name))

    async def loop(self, name: str, exit_code: int) -> None:
        await self.run(name)
        container = self._found(name)
        for _ in range(CRASHES):
            self.engine.crash(container, exit_code)
            while container.state != "running":
                await asyncio.sleep(0.01)

    async def tire(self, name: str, exit_code: int) -> None:
        await self.run(name)
        self.engine.crash(self._found(name), exit_code, wait_seconds=LONG_SECONDS)

    async def execute(self, name: str) -> None:
        self.engine.exec(self._found(name), "/bin/true")
        self.engine.told_top(self._found(name))
        self.engine.kill(self._found(name), signal.SIGWINCH)

    async def lose(self) -> None:
        await self.guest.stop()

    async def regain(self) -> None:
        await self.guest.start()

    async def lose_engine(self) -> None:
        await self.guest.misbehave("engine-down")

    async def regain_engine(self) -> None:
        await self.guest.misbehave()

    async def freeze_engine(self) -> None:
        await self.guest.misbehave("silence")

    async def thaw_engine(self) -> None:
        await self.guest.misbehave()

    async def cut(self) -> None:
        await self.guest.misbehave("half-open")

    async def restore(self) -> None:
        await self.guest.misbehave()

    async def reinstall(self) -> None:
        await self.guest.new_host_key()
        self.guest.cut()

    async def power_off(self) -> None:
        """The lab's pool does it with the VM."""

    async def power_on(self) -> None:
        """The lab's pool does it with the VM."""

    def _found(self, name: str) -> Container:
        container = self.engine.find(name)
        assert container is not None
        return container


class RealInside:
    """Inside a real guest."""

    down = "engine-down"

    def __init__(self, guest: RealGuest, relay: str, lacks: Mapping[str, str]) -> None:
        self.guest = guest
        self.relay = relay
        self.lacks = lacks
        self.engine_name = "Podman" if "podman" in guest.machine.kind.engine.name else "Docker"

    async def server(self) -> str:
        reader, writer = await asyncio.open_connection(self.guest.addresses[0], self.guest.port)
        with contextlib.closing(writer):
            return (await reader.readline()).decode("ascii").split("-", 2)[-1].split()[0]

    async def truth(self) -> list[dict[str, object]]:
        return await self.guest.truth()

    async def run(self, name: str, *, probed: bool = False, hungry: bool = False) -> None:
        options = (*(PROBE if probed else ()), *(MEMORY if hungry else ()))
        await self._run(name, *options, BASE_IMAGE, *(HUNGRY if hungry else IDLE))

    async def speak(self, name: str, *, tty: bool = False, driver: str = "") -> None:
        options = (*(("--tty",) if tty else ()), *(("--log-driver", driver) if driver else ()))
        await self._run(name, *options, BASE_IMAGE, *SPEAKING)

    async def say(self, name: str, line: str) -> None:
        await self.guest.docker("exec", name, "sh", "-c", f"echo {line} > /proc/1/fd/1")

    async def rename(self, old: str, new: str) -> None:
        await self.guest.docker("rename", old, new)

    async def do(self, verb: str, name: str) -> None:
        await self.guest.docker(verb, *(("--force",) if verb == "rm" else ()), name)

    async def become(self, name: str, health: str) -> None:
        command = ("rm", "-f") if health == "healthy" else ("touch",)
        await self.guest.docker("exec", name, "busybox", *command, "/tmp/sick")
        await self.guest.check_health(name)

    async def exhaust(self, name: str) -> None:
        await self.guest.docker("exec", name, "busybox", "touch", "/tmp/now")

    async def loop(self, name: str, exit_code: int) -> None:
        await self._run(name, "--restart", "always", BASE_IMAGE, "sh", "-c", f"exit {exit_code}")

    async def tire(self, name: str, exit_code: int) -> None:
        await self.loop(name, exit_code)
        while await self.guest.docker("inspect", "--format", "{{.RestartCount}} {{.State.Status}}", name) not in TIRED:
            await asyncio.sleep(0.1)

    async def execute(self, name: str) -> None:
        await self.guest.docker("exec", name, "busybox", "true")
        if "top" not in self.lacks:
            await self.guest.docker("top", name)
        await self.guest.docker("kill", "--signal", "WINCH", name)

    async def lose(self) -> None:
        await self.guest.kill_sshd()

    async def regain(self) -> None:
        await self.guest.start_sshd()

    async def lose_engine(self) -> None:
        await self.guest.kill_engine()

    async def regain_engine(self) -> None:
        await self.guest.start_engine()

    async def freeze_engine(self) -> None:
        self._signal_engine(signal.SIGSTOP)

    async def thaw_engine(self) -> None:
        self._signal_engine(signal.SIGCONT)

    async def cut(self) -> None:
        await self.guest.cut()

    async def restore(self) -> None:
        await self.guest.restore()

    async def reinstall(self) -> None:
        await self.guest.new_host_key()

    async def power_off(self) -> None:
        await self.guest.stop()

    async def power_on(self) -> None:
        await self.guest.start()

    def _signal_engine(self, number: signal.Signals) -> None:
        for process in self.guest.machine.processes(*self.guest.machine.kind.engine.processes):
            os.kill(process, number)

    async def _run(self, name: str, *words: str) -> None:
        group = ("--cgroup-parent", self.guest.group) if self.guest.group else ()
        await self.guest.docker("run", "--detach", "--name", name, "--network", "none", *group, *words)


class TlsInside(RealInside):
    """Inside a real guest whose engine itself is the server, with TLS."""

    down = "refused"

    def __init__(self, guest: RealGuest, lacks: Mapping[str, str], authority: Authority) -> None:
        super().__init__(guest, "tls", lacks)
        self._authority = authority
        self._server = authority.server(guest.addresses)

    async def server(self) -> str:
        return "dockerd with tlsverify"

    async def lose(self) -> None:
        await self.guest.unsecure_engine()

    async def regain(self) -> None:
        await self.guest.secure_engine(self._authority.certificate, self._server)
