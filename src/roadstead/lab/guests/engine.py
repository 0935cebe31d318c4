"""A simulated container engine: states, transitions and the events that real engines send for them.

Nothing here waits: what takes time (a stop) is continued by a timer of the loop, so that thousands of engines need no
task.  The order of events is that of the recordings in `tests/data/engine/`.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterable

from roadstead.lab.guests import containers, events, logs, profiles
from roadstead.lab.guests.containers import Container

OBEY_SECONDS = 0.01
"""How long a container takes to end itself after SIGTERM."""
RESTART_SECONDS = 0.1
"""How long an engine waits before it starts a crashed container again."""
SAMPLE_SECONDS = 1.0
"""How long a statistic with two samples takes on Docker."""
KILLED_EXIT_CODE = 137
STOPPED_EXIT_CODE = 0

Done = Callable[[], None]


class Engine:
    """The containers of one guest."""

    def __init__(
        self,
        profile: profiles.Profile,
        chance: random.Random,
        *,
        clock: Callable[[], int] = time.time_ns,
        history_bound: int = events.HISTORY_EVENTS,
    ) -> None:
        self.profile = profile
        self.chance = chance
        self.log = events.EventLog(history_bound)
        self.logs = logs.Logs()
        self.containers: dict[str, Container] = {}
        self.clock = clock
        self.network_id = containers.make_id(chance)
        self.network = ("nat", "nat") if profile.is_windows else ("bridge", "bridge")
        """The name and the driver of the network that its containers are in."""
        self.sample_seconds = SAMPLE_SECONDS
        self._last_ns = 0
        self._timers: set[asyncio.TimerHandle] = set()

    def __repr__(self) -> str:
        running = sum(container.is_running for container in self.containers.values())
        return f"<Engine {self.profile.name} {running}/{len(self.containers)} running, {self.log.listeners} listening>"

    # Looking

    @property
    def is_busy(self) -> bool:
        """Whether something is still to happen: a stop, a restart, a sample."""
        return bool(self._timers)

    def find(self, reference: str) -> Container | None:
        """By id, name, or unambiguous beginning of an id."""
        found = self.containers.get(reference)
        if found is not None:
            return found
        named = reference.removeprefix("/")
        by_name = next((each for each in self.containers.values() if each.name == named), None)
        if by_name is not None or not reference:
            return by_name
        candidates = self.with_prefix(reference)
        return candidates[0] if len(candidates) == 1 else None

    def with_prefix(self, prefix: str) -> list[Container]:
        """Every container whose id begins so."""
        return [container for identity, container in self.containers.items() if identity.startswith(prefix)]

    def truth(self) -> list[dict[str, object]]:
        """What a test compares with: `id`, `name` and `state` of each container."""
        return [{"id": each.id, "name": each.name, "state": each.state} for each in self.containers.values()]

    # Changing, at once

    def adopt(self, made: Iterable[Container]) -> None:
        """Take containers that were there before the engine started: no events."""
        self.containers.update((container.id, container) for container in made)

    def create(self, name: str, image: containers.Image) -> Container:
        """A new container, not started."""
        made = Container(containers.make_id(self.chance), name, image, self.now())
        self.containers[made.id] = made
        self.emit(made, "create")
        return made

    def start(self, container: Container) -> None:
        """Its process begins."""
        if self.profile.podman:
            self.emit(container, "init")
        self._network("connect", container)
        container.state = "running"
        container.started_ns = self.now()
        container.exit_code = 0
        container.health = "starting" if container.image.has_health else ""
        self.emit(container, "start")

    def pause(self, container: Container) -> None:
        """Freeze its processes."""
        container.state = "paused"
        self.emit(container, "pause")

    def unpause(self, container: Container) -> None:
        """Let them go on."""
        container.state = "running"
        self.emit(container, "unpause")

    def rename(self, container: Container, name: str) -> None:
        """Give it another name."""
        old, container.name = container.name, name
        extra = () if self.profile.podman else (("oldName", f"/{old}"),)
        self.emit(container, "rename", extra)

    def remove(self, container: Container) -> None:
        """Remove it; one that runs is killed first."""
        if container.is_running:
            self._signal(container, signal.SIGKILL)
            self.end(container, KILLED_EXIT_CODE)
        del self.containers[container.id]
        self.logs.removed(container)
        exit_code: tuple[tuple[str, str], ...] = ()
        if self.profile.podman and not self.profile.exit_code_everywhere:
            exit_code = (("containerExitCode", str(container.exit_code)),)
        self.emit(container, "remove" if self.profile.podman else "destroy", exit_code)

    def end(self, container: Container, exit_code: int, *, stopped: bool = False) -> None:
        """Its first process ends; `stopped` when a stop or restart was asked for."""
        container.state = "exited"
        container.finished_ns = self.now()
        container.exit_code = exit_code
        self.logs.ended(container)
        if container.health:
            container.health = "unhealthy"
        if self.profile.podman:
            self._die(container)
            return
        if self.profile.die_before_stop:
            self._die(container)
        self._network("disconnect", container)
        if stopped:
            self.emit(container, "stop")
        if not self.profile.die_before_stop:
            self._die(container)

    def kill(self, container: Container, number: int) -> None:
        """Send it a signal; SIGKILL ends it at once, SIGTERM if it obeys. One that waits for its next start waits no
        longer, and nobody is told.
        """
        if container.state == "restarting":
            container.state = "exited"
            return
        self._signal(container, number)
        if number == signal.SIGKILL:
            self.end(container, KILLED_EXIT_CODE)
        elif number == signal.SIGTERM and not container.ignores_sigterm:
            self.end(container, STOPPED_EXIT_CODE)

    def oom(self, container: Container) -> None:
        """The kernel kills it for want of memory."""
        container.oom_killed = True
        self.emit(container, "oom")
        self.end(container, KILLED_EXIT_CODE)

    def check_health(self, container: Container, result: str) -> None:
        """A health check runs and ends with `result` (`healthy` or `unhealthy`)."""
        if not self.profile.podman:
            self.exec(container, "/bin/true")
        if container.health != result:
            container.health = result
            self.emit(container, f"health_status: {result}")

    def exec(self, container: Container, command: str) -> None:
        """A command runs in it and ends at once."""
        if self.profile.podman:
            self.emit(container, "exec")
            code = () if self.profile.exit_code_everywhere else (("containerExitCode", "0"),)
            self.emit(container, "exec_died", code)
            return
        identity = ("execID", containers.make_id(self.chance))
        self.emit(container, f"exec_create: {command} ", (identity,))
        self.emit(container, f"exec_start: {command} ", (identity,))
        self.emit(container, "exec_die", (identity, ("exitCode", "0")))

    def told_top(self, container: Container) -> None:
        """Somebody asked for its processes, which engines report as an event."""
        if not self.profile.podman:
            self.emit(container, "top")
        elif self.profile.exit_code_everywhere:
            self.exec(container, "ps")

    # Changing, with time

    def stop(self, container: Container, grace_seconds: float, done: Done) -> None:
        """SIGTERM, and SIGKILL after `grace_seconds`; `done` is called when it has ended."""
        if container.state == "restarting":
            container.state = "exited"
            self.emit(container, "stop")
            done()
            return

        def ended() -> None:
            if self.profile.podman:
                self.emit(container, "cleanup")
            if self.profile.exit_code_everywhere:
                self.emit(container, "cleanup")
            done()

        self._terminate(container, grace_seconds, ended)

    def restart(self, container: Container, grace_seconds: float, done: Done) -> None:
        """Stop and start; `done` is called when it runs again."""
        if self.profile.podman:
            self.emit(container, "restart")

        def ended() -> None:
            if container.id not in self.containers:
                done()
                return
            self.start(container)
            if not self.profile.podman:
                self.emit(container, "restart")
            done()

        if container.is_running:
            self._terminate(container, grace_seconds, ended)
        else:
            ended()

    def crash(self, container: Container, exit_code: int = 1, *, wait_seconds: float = RESTART_SECONDS) -> None:
        """It ends by itself and its restart policy starts it again a little later."""
        self.end(container, exit_code)
        container.state = "restarting"

        def again() -> None:
            if container.state == "restarting" and container.id in self.containers:
                container.restart_count += 1
                self.start(container)

        self.later(wait_seconds, again)

    def later(self, seconds: float, action: Done) -> asyncio.TimerHandle:
        """Call `action` after `seconds`, unless the engine is shut down before."""

        def fire() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(handle)
        return handle

    def shut_down(self) -> None:
        """Forget everything that was still to happen; the containers stay as they are."""
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()

    # Events

    def now(self) -> int:
        """The engine's clock, in nanoseconds; it never shows the same time twice."""
        self._last_ns = max(self.clock(), self._last_ns + 1)
        return self._last_ns

    def emit(self, container: Container, action: str, extra: tuple[tuple[str, str], ...] = ()) -> None:
        """Publish an event about `container`."""
        image = self.image_name(container)
        named = (("image", image), ("name", container.name))
        attributes = named + container.labels + self._podman_attributes(extra) + extra
        self.log.publish(events.Event(self.now(), "container", action, container.id, image, attributes))

    def image_name(self, container: Container) -> str:
        """The image as this engine writes it: Podman's names are fully qualified."""
        name = container.image.name
        return f"localhost/{name}" if self.profile.podman and "/" not in name else name

    def _podman_attributes(self, extra: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        if not self.profile.podman:
            return ()
        if self.profile.exit_code_everywhere and not any(name == "containerExitCode" for name, _ in extra):
            return (("podId", ""), ("containerExitCode", "0"))
        return (("podId", ""),)

    def _terminate(self, container: Container, grace_seconds: float, ended: Done) -> None:
        self._signal(container, signal.SIGTERM)
        if container.state == "paused" and self.profile.die_before_stop:
            self.unpause(container)

        def finish(exit_code: int) -> None:
            if container.is_running:
                self.end(container, exit_code, stopped=True)
            ended()

        def give_up() -> None:
            if container.is_running:
                self._signal(container, signal.SIGKILL)
            finish(KILLED_EXIT_CODE)

        if not container.ignores_sigterm:
            self.later(OBEY_SECONDS, lambda: finish(STOPPED_EXIT_CODE))
        else:
            self.later(grace_seconds, give_up)

    def _signal(self, container: Container, number: int) -> None:
        if not self.profile.podman:
            self.emit(container, "kill", (("signal", str(int(number))),))

    def _die(self, container: Container) -> None:
        code = str(container.exit_code)
        extra: tuple[tuple[str, str], ...] = (("exitCode", code),)
        if self.profile.podman:
            extra += (("containerExitCode", code),)
        elif self.profile.die_has_duration:
            extra += (("execDuration", str((container.finished_ns - container.started_ns) // 10**9)),)
        self.emit(container, "die", extra)

    def _network(self, action: str, container: Container) -> None:
        if self.profile.podman:
            return
        name, driver = self.network
        attributes = (("container", container.id), ("name", name), ("type", driver))
        self.log.publish(events.Event(self.now(), "network", action, self.network_id, "", attributes))
