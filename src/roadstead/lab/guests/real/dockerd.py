"""Asks a real guest's engine from outside the guest, through its socket in the guest's file system.

A few blocking calls of Docker's API are all that a lab needs; it shares no code with the client that it serves.
"""

import http.client
import json
import socket
import urllib.parse
from pathlib import Path
from typing import Any

from roadstead.errors import StartError

ANSWER_SECONDS = 30.0


class Dockerd:
    """One guest's engine, by the path of its socket as seen from outside.

    ``group`` is the control group that its containers go below; empty leaves it to the engine.
    """

    def __init__(self, guest: str, path: Path, group: str = "") -> None:
        self._guest = guest
        self.path = path
        self.group = group

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            self.call("GET", "/_ping")
        except StartError:
            return False
        return True

    def containers(self) -> list[dict[str, Any]]:
        """All containers, as the engine lists them."""
        found: list[dict[str, Any]] = json.loads(self.call("GET", "/containers/json?all=1"))
        return found

    def has_image(self, image: str) -> bool:
        """Whether an image of this name is there."""
        filters = urllib.parse.quote(json.dumps({"reference": [image]}))
        return bool(json.loads(self.call("GET", f"/images/json?filters={filters}")))

    def load(self, image: str, archive: bytes) -> None:
        """Make an image of the files in a tar archive."""
        answer = self.call(
            "POST", f"/images/create?fromSrc=-&repo={image.partition(':')[0]}", archive, "application/x-tar"
        )
        # Podman 4.3 minds no tag here, so it is given afterwards.
        self.tag(str(json.loads(answer.splitlines()[-1])["status"]), image)

    def tag(self, image: str, other: str) -> None:
        """Give an image a further name."""
        name, _, tag = other.partition(":")
        self.call("POST", f"/images/{image}/tag?repo={name}&tag={tag}")

    def create(self, name: str, settings: dict[str, Any]) -> str:
        """Create a container and return its id."""
        if self.group:
            settings["HostConfig"]["CgroupParent"] = self.group
        answer = self.call("POST", f"/containers/create?name={name}", json.dumps(settings).encode())
        return str(json.loads(answer)["Id"])

    def act(self, action: str, container: str) -> None:
        """Do ``start``, ``stop``, ``pause``, ``unpause``, ``restart`` or ``wait`` to a container."""
        self.call("POST", f"/containers/{container}/{action}")

    def call(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        """Send one request; 304 is success. Raises `StartError` ``lab-guest-failed``."""
        connection = _Connection(self.path)
        try:
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise StartError("lab-guest-failed", guest=self._guest, reason=f"no answer to {method} {path}") from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise StartError("lab-guest-failed", guest=self._guest, reason=_message(content))
        return content


def _message(content: bytes) -> str:
    """What an engine says in an answer that refuses."""
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
