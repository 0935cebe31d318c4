"""How a simulated engine writes its containers: list entries, inspection, statistics, processes, itself.

Rendered only when somebody asks, so that an idle container costs nothing but its own object.  Fields, their order and
the texts follow the recordings in `tests/data/engine/` and answers seen on Docker 20.10.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from roadstead.lab.guests import profiles
from roadstead.lab.guests.containers import Container
from roadstead.lab.guests.engine import Engine

Record = dict[str, object]

NEVER = "0001-01-01T00:00:00Z"
MINUTE, HOUR, DAY = 60, 3600, 86_400
MEMORY_BYTES = 4 * 1024**3
BUILD_TIME = "2026-01-01T00:00:00.000000000+00:00"
USED_BYTES = 64 * 1024**2
WINDOWS_KERNEL = "10.0 20348 (20348.1.amd64fre.fe_release.210507-1500)"
_WINDOWS_INFO: Record = {
    "Driver": "windowsfilter",
    "KernelVersion": WINDOWS_KERNEL,
    "OperatingSystem": "Microsoft Windows Server Version 21H2 (OS Build 20348.2966)",
    "OSType": "windows",
    "DockerRootDir": "C:\\ProgramData\\docker",
    "CgroupDriver": "",
    "CgroupVersion": "",
    "Isolation": "process",
}
"""What an engine of Windows Server says otherwise of itself."""


def stamp(time_ns: int) -> str:
    """RFC 3339 with nanoseconds; the zero time of Go when it never happened."""
    if not time_ns:
        return NEVER
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def human_duration(seconds: int) -> str:
    """A span of time in the words that Docker uses in `Status`."""
    for limit, text in ((1, "Less than a second"), (2, "1 second"), (MINUTE, f"{seconds} seconds")):
        if seconds < limit:
            return text
    for limit, text in ((2 * MINUTE, "About a minute"), (HOUR, f"{seconds // MINUTE} minutes")):
        if seconds < limit:
            return text
    hours = round(seconds / HOUR)
    if hours <= 1:
        return "About an hour"
    steps = ((48, 1, "hours"), (24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 730, 24 * 30, "months"))
    for limit_hours, unit, word in steps:
        if hours < limit_hours:
            return f"{hours // unit} {word}"
    return f"{hours // (24 * 365)} years"


def status(container: Container, now_ns: int) -> str:
    """The text `Status` of a list entry."""
    ago = human_duration((now_ns - container.finished_ns) // 10**9)
    if container.state == "created":
        return "Created"
    if container.state == "restarting":
        return f"Restarting ({container.exit_code}) {ago} ago"
    if not container.is_running:
        return f"Exited ({container.exit_code}) {ago} ago"
    up = f"Up {human_duration((now_ns - container.started_ns) // 10**9)}"
    if container.state == "paused":
        return f"{up} (Paused)"
    if container.health:
        return f"{up} ({'health: starting' if container.health == 'starting' else container.health})"
    return up


def list_entry(engine: Engine, container: Container, api: profiles.Version, *, size: bool = False) -> Record:
    """One element of `/containers/json`."""
    command = container.image.command
    entry: Record = {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": engine.image_name(container),
        "ImageID": image_id(container),
        "Command": _joined(engine, command),
        "Created": container.created_ns // 10**9,
        "Ports": ports(engine, container),
    }
    if size and engine.profile.podman:
        entry["SizeRw"] = 12
    if size:
        entry["SizeRootFs"] = 1_982_256
    entry |= {
        "Labels": dict(container.labels),
        "State": container.state,
        "Status": status(container, engine.clock()),
    }
    if not engine.profile.podman:
        entry["HostConfig"] = {"NetworkMode": _network_mode(engine)}
    if api >= profiles.NEW_EVENTS:
        entry["Health"] = {"Status": container.health or "none", "FailingStreak": 0}
    entry |= {"NetworkSettings": {"Networks": networks(engine, container)}, "Mounts": []}
    return entry | (_podman_extras(engine) if engine.profile.podman else {})


def _joined(engine: Engine, command: tuple[str, ...]) -> str:
    """A command as one text: Docker quotes words with blanks, and on Windows nothing else."""
    if engine.profile.podman:
        return " ".join(command)
    if engine.profile.is_windows:
        return " ".join(f"'{word}'" if " " in word else word for word in command)
    return shlex.join(command)


def _network_mode(engine: Engine) -> str:
    return "default" if engine.profile.is_windows else engine.network[0]


def _podman_extras(engine: Engine) -> Record:
    extras: Record = {"Name": "", "Config": None, "NetworkingConfig": None, "Platform": None}
    changed = "AdjustCPUShares" if engine.profile.exit_code_everywhere else "DefaultReadOnlyNonRecursive"
    return extras | {changed: False}


def image_id(container: Container) -> str:
    """Stands for the digest of its image: the same for the same name."""
    digits = container.image.name.encode().hex()
    return "sha256:" + (digits * 64)[:64]


def ports(engine: Engine, container: Container) -> list[Record]:
    """Published ports as a list entry has them: only while it runs; a NAT of Windows publishes no IPv6."""
    if not container.is_running:
        return []
    return [
        {"IP": address, "PrivatePort": port.private, "PublicPort": port.public, "Type": port.protocol}
        for port in container.ports
        for address in (("0.0.0.0",) if engine.profile.is_windows else ("0.0.0.0", "::"))  # noqa: S104 - not bound here
    ]


def networks(engine: Engine, container: Container) -> Record:
    """`Networks` of a list entry and of an inspection."""
    name = engine.network[0]
    connected = container.is_running
    host = 2 + int(container.id[:4], 16) % 250
    address = f"172.17.0.{host}" if connected and name != "none" else ""
    return {
        name: {
            "IPAMConfig": None,
            "Links": None,
            "Aliases": None,
            "NetworkID": engine.network_id if container.started_ns else "",
            "EndpointID": container.id[::-1] if connected else "",
            "Gateway": "172.17.0.1" if address else "",
            "IPAddress": address,
            "IPPrefixLen": 16 if address else 0,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "MacAddress": f"02:42:ac:11:00:{host:02x}" if address else "",
            "DriverOpts": None,
        }
    }


def inspection(engine: Engine, container: Container, api: profiles.Version) -> Record:
    """`/containers/{id}/json`."""
    path, *arguments = container.image.command
    return {
        "Id": container.id,
        "Created": stamp(container.created_ns),
        "Path": path,
        "Args": arguments,
        "State": state(container),
        "Image": image_id(container),
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": _driver(engine),
        "Platform": engine.profile.ostype,
        "ExecIDs": None,
        "HostConfig": _host_config(engine, container),
        "Mounts": [],
        "Config": _config(engine, container),
        "NetworkSettings": _network_settings(engine, container, api),
    }


def state(container: Container) -> Record:
    """`State` of an inspection."""
    written: Record = {
        "Status": container.state,
        "Running": container.is_running or container.state == "restarting",
        "Paused": container.state == "paused",
        "Restarting": container.state == "restarting",
        "OOMKilled": container.oom_killed,
        "Dead": container.state == "dead",
        "Pid": 1000 + int(container.id[:4], 16) if container.is_running else 0,
        "ExitCode": container.exit_code,
        "Error": "",
        "StartedAt": stamp(container.started_ns),
        "FinishedAt": stamp(container.finished_ns),
    }
    if container.health:
        written["Health"] = {"Status": container.health, "FailingStreak": 0, "Log": []}
    return written


def _driver(engine: Engine) -> str:
    """The driver that keeps its images."""
    return "windowsfilter" if engine.profile.is_windows else "overlay2"


def _host_config(engine: Engine, container: Container) -> Record:
    isolation: Record = {"Isolation": container.image.isolation} if engine.profile.is_windows else {}
    return isolation | {
        "NetworkMode": _network_mode(engine),
        "PortBindings": {
            f"{port.private}/{port.protocol}": [{"HostIp": "", "HostPort": str(port.public)}]
            for port in container.ports
        },
        "LogConfig": {"Type": container.image.log_driver, "Config": {}},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": False,
        "Privileged": False,
        "Memory": 0,
        "NanoCpus": 0,
    }


def _config(engine: Engine, container: Container) -> Record:
    return {
        "Hostname": container.id[:12],
        "User": "",
        "ExposedPorts": {f"{number}/{protocol}": {} for number, protocol in container.image.ports},
        "Tty": container.image.tty,
        "OpenStdin": False,
        "Env": [] if engine.profile.is_windows else ["PATH=/usr/local/bin:/usr/bin:/bin"],
        "Cmd": list(container.image.command),
        "Image": engine.image_name(container),
        "WorkingDir": "",
        "Entrypoint": None,
        "Labels": dict(container.labels),
    }


def _network_settings(engine: Engine, container: Container, api: profiles.Version) -> Record:
    attached = networks(engine, container)
    settings: Record = {"SandboxID": container.id, "Ports": {}, "Networks": attached}
    if api < profiles.NEW_EVENTS:
        settings |= {"Bridge": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "MacAddress": ""}
    return settings


def version(profile: profiles.Profile) -> Record:
    """`/version`."""
    api, min_api = profiles.show_version(profile.api), profiles.show_version(profile.min_api)
    name = "Podman Engine" if profile.podman else "Engine"
    kernel = WINDOWS_KERNEL if profile.is_windows else "6.1.0"
    build = {"GitCommit": "0000000", "GoVersion": "go1.24", "KernelVersion": kernel, "BuildTime": BUILD_TIME}
    details = {"ApiVersion": api, "MinAPIVersion": min_api, "Os": profile.ostype, "Arch": "amd64", **build}
    return {
        "Platform": {"Name": ""},
        "Components": [{"Name": name, "Version": profile.version, "Details": details}],
        "Version": profile.version,
        "ApiVersion": api,
        **({"MinAPIVersion": min_api} if profile.tells_oldest else {}),
        "Os": profile.ostype,
        "Arch": "amd64",
        **build,
    }


def info(engine: Engine, hostname: str) -> Record:
    """`/info`, as far as clients look at it."""
    states = [container.state for container in engine.containers.values()]
    running, paused = states.count("running"), states.count("paused")
    told: Record = {
        "ID": engine.network_id[:12].upper(),
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len({container.image for container in engine.containers.values()}),
        "Driver": "overlay2",
        "NEventsListener": engine.log.listeners,
        "KernelVersion": "6.1.0",
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
        "OSType": "linux",
        "Architecture": "x86_64",
        "NCPU": 2,
        "MemTotal": MEMORY_BYTES,
        "DockerRootDir": "/var/lib/docker",
        "Name": hostname,
        "ServerVersion": engine.profile.version,
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "LoggingDriver": "json-file",
        "Warnings": None,
    }
    return told | _WINDOWS_INFO if engine.profile.is_windows else told
