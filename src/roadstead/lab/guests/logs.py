"""What the containers of a simulated engine write, and how each engine release sends it.

After moby's ``daemon/server/httputils/write_log_stream.go`` and Podman's ``compat/containers_logs.go``.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from roadstead.lab.guests import profiles
from roadstead.lab.guests.containers import Container

STDOUT, STDERR = 1, 2
KEPT_MESSAGES = 10_000
"""How much of each container is kept."""
CONTENT_TYPES: profiles.Version = (1, 42)
"""From this version on Docker tells in the content type whether an answer has frames."""
LONGEST_BYTES = 2**14
"""Docker cuts a longer line into several messages."""


class Message(NamedTuple):
    """Something that a container wrote."""

    time_ns: int
    stream: int
    text: bytes
    """With the end of its line, but for a part of a long one."""


Deliver = Callable[[Message], None]


class Follower(NamedTuple):
    """Somebody who is told what a container writes, and its end."""

    deliver: Deliver
    ended: Callable[[], None]


class Logs:
    """What the containers of one engine wrote."""

    def __init__(self) -> None:
        self._written: dict[str, list[Message]] = {}
        self._followers: dict[str, list[Follower]] = defaultdict(list)

    def write(self, container: Container, time_ns: int, text: str | bytes, stream: int = STDOUT) -> None:
        """Let `container` write some lines, or a part of one."""
        kept = self._written.setdefault(container.id, [])
        end = b"\r\n" if container.image.tty or container.image.isolation else b"\n"
        data = text if isinstance(text, bytes) else text.encode()
        for line in data.splitlines(keepends=True):
            whole = line[:-1] + end if line.endswith(b"\n") else line
            for start in range(0, len(whole), LONGEST_BYTES):
                piece = whole[start : start + LONGEST_BYTES]
                message = Message(time_ns, STDOUT if container.image.tty else stream, piece)
                kept.append(message)
                for follower in tuple(self._followers[container.id]):
                    follower.deliver(message)
        del kept[:-KEPT_MESSAGES]

    def of(self, container: Container) -> list[Message]:
        """What it wrote; of one that was never asked to write what one like it writes when it starts."""
        if container.id not in self._written and container.started_ns:
            name = container.image.role
            self.write(container, container.started_ns, f"{name}: {container.image.command[0]}\n")
            self.write(container, container.started_ns, f"{name}: nobody has configured me\n", STDERR)
            self.write(container, container.started_ns + 10**9, f"{name}: ready\n")
        return self._written.get(container.id, [])

    def follow(self, container: Container, follower: Follower) -> Callable[[], None]:
        """Tell `follower` from now on; returns what ends that."""
        followers = self._followers[container.id]
        followers.append(follower)

        def leave() -> None:
            if follower in followers:
                followers.remove(follower)

        return leave

    def ended(self, container: Container) -> None:
        """`container` writes no more: its followers are at the end."""
        for follower in self._followers.pop(container.id, ()):
            follower.ended()

    def removed(self, container: Container) -> None:
        """Forget `container`."""
        self._written.pop(container.id, None)


def chosen(messages: list[Message], query: dict[str, str], since_ns: int | None, until_ns: int | None) -> list[Message]:
    """Those that `query` asks for."""
    wanted = streams(query)
    found = [
        each
        for each in messages
        if each.stream in wanted and (since_ns or 0) <= each.time_ns <= (until_ns or each.time_ns)
    ]
    tail = query.get("tail", "all")
    return found[max(0, len(found) - int(tail)) :] if tail.isdigit() else found


def streams(query: dict[str, str]) -> set[int]:
    """The streams that `query` asks for."""
    return {number for name, number in (("stdout", STDOUT), ("stderr", STDERR)) if query.get(name) in ("1", "true")}


def content_type(profile: profiles.Profile, api: profiles.Version, container: Container) -> str:
    """What the answer says of its form: Docker 23 and newer, and that only of frames where the client is as new."""
    if profile.podman or profile.api < CONTENT_TYPES:
        return ""
    is_told = not container.image.tty and api >= CONTENT_TYPES
    return f"application/vnd.docker.{'multiplexed' if is_told else 'raw'}-stream"


def rendered(message: Message, profile: profiles.Profile, container: Container, stamp: str) -> Iterator[bytes]:
    """The pieces in which the engine writes `message`, with its time before it unless `stamp` is empty."""
    if profile.podman:
        stamp = stamp.replace("Z", "+00:00")
    data = (f"{stamp} ".encode() if stamp else b"") + message.text
    if container.image.tty:
        yield data
        return
    header = struct.pack(">BxxxI", message.stream, len(data))
    if profile.podman:
        yield from (header, data)
    else:
        yield header + data
