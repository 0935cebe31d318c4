"""What other clients of a pool see of a real guest, from outside: `lab`, `serve` and the command line as processes of
their own, values read with XAPI's own library and by XenCenter's rules, commands typed in the guest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import XenAPI

from roadstead.model.config_keys import DOCKER_INFO, DOCKER_PS, DOCKER_VERSION, HOST_KEY, PUBLISHED_KEYS
from tests.contract.clients import TITLE
from tests.real.programs import PROGRAM, done, running
from tests.unit.artifacts import xencenter

pytestmark = [pytest.mark.real, pytest.mark.limit(120)]
NETWORK = "10.213.252.0/28"
"""Where no other test's guest is."""
IMAGE = "lab/busybox:1"
SOON = {"ROADSTEAD_ALERT__AFTER_SECONDS": "1", "ROADSTEAD_PUBLISH__LOST_SECONDS": "1"}
PATIENCE_SECONDS = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Story:
    """A pool with one real guest, and the Roadstead that watches it."""

    lab: Path
    socket: Path
    url: str
    password: str
    vm: str
    door: tuple[str, ...] = ()
    """What runs a command in the guest."""

    def typed(self, *words: object) -> str:
        """What the command line prints."""
        return done(*PROGRAM, "--server", f"unix:{self.socket}", *map(str, words))

    def in_guest(self, *words: str) -> str:
        """What a command prints that is typed in the guest."""
        return done(*self.door, *words)

    def ordered(self, verb: str, *words: str) -> dict[str, Any]:
        """Have the lab do something."""
        told: dict[str, Any] = json.loads(done(*PROGRAM, "lab", "do", "--state", str(self.lab), verb, *words))
        return told

    def asked(self, question: Callable[[Any], T]) -> T:
        """What another client of the pool finds."""
        with XenAPI.Session(self.url, ignore_ssl=True) as session:
            session.xenapi.login_with_password("root", self.password, "1.0", "another client")
            try:
                return question(session.xenapi)
            finally:
                session.xenapi.session.logout()

    def config(self) -> dict[str, str]:
        """The `other_config` of the VM."""
        return self.asked(lambda api: dict(api.VM.get_other_config(api.VM.get_by_name_label(self.vm)[0])))

    def shown(self) -> dict[str, str]:
        """The containers that XenCenter shows, by name, each with its status; none where nothing is published."""
        value = self.config().get(DOCKER_PS)
        found = xencenter.containers(value) if value is not None else []
        return {one.fields["names"]: one.fields["status"] for one in found}

    def messages(self) -> list[str]:
        """The bodies of the messages which say that the VM cannot be monitored."""
        told = self.asked(lambda api: api.message.get_all_records())
        return [message["body"] for message in told.values() if message["name"] == TITLE]

    def until(self, ask: Callable[[], T], is_right: Callable[[T], object]) -> T:
        """Ask until the answer is right, and return it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_right(answer := ask()):
            assert time.monotonic() < deadline, answer
        return answer


@pytest.fixture(scope="module")
def story(real_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The pool is known, and its VM is live."""
    folder = tmp_path_factory.mktemp("story")
    lab = ["lab", "--state", folder / "lab", "--hosts", 1, "--vms", 1, "--containers", 5, "--port", 0]
    with ExitStack() as stack:
        made = stack.enter_context(running(folder, *lab, "--guests", "real", "--network", NETWORK))
        serve = ["serve", "--state", folder / "state", "--socket", folder / "s.sock", "--no-loopback"]
        stack.enter_context(running(folder, *serve, **SOON))
        password = Path(made["password_file"]).read_text().strip()
        told = Story(folder / "lab", folder / "s.sock", made["url"], password, "")
        admitted = [word for network in made["admit"] for word in ("--admit", network)]
        sign_in = ["--user", made["user"], "--password-file", made["password_file"]]
        told.typed("pool", "add", made["url"], *sign_in, "--fingerprint", made["fingerprint"], *admitted)
        (vm,) = json.loads(told.typed("vms", "--format", "json"))
        door = told.ordered("door", vm["name"])["words"]
        yield replace(told, vm=vm["name"], door=tuple(door))


def _truth(story: Story) -> dict[str, str]:
    """The containers as the guest's own `docker ps` lists them: name and state."""
    lines = story.in_guest("docker", "ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()
    return dict(line.split() for line in lines)


WORDS = {"running": "Up", "paused": "Up (Paused)", "exited": "Exited"}


def _agree(story: Story) -> bool:
    """Whether XenCenter shows what the guest has, in the words by which clients know a state."""
    shown, truth = story.shown(), _truth(story)
    return shown.keys() == truth.keys() and all(
        shown[name] == WORDS[state] or shown[name].startswith(WORDS[state] + " (") for name, state in truth.items()
    )


def test_what_is_typed_in_the_guest_is_what_other_clients_show(story: Story) -> None:
    """Each step of a container's life, and the engine itself, by the rules of XenCenter's own reader."""
    story.until(lambda: _agree(story), bool)

    steps = [
        (("run", "--detach", "--name", "mine", "--publish", "8099:80", IMAGE, "sleep", "1000"), "Up"),
        (("pause", "mine"), "Up (Paused)"),
        (("unpause", "mine"), "Up"),
        (("stop", "--time", "0", "mine"), "Exited (137)"),
        (("rm", "mine"), None),
    ]
    for words, status in steps:
        story.in_guest("docker", *words)
        story.until(story.shown, lambda shown, status=status: shown.get("mine") == status)  # type: ignore[misc]

    story.until(lambda: _agree(story), bool)
    config = story.config()
    info, version = xencenter.information(config[DOCKER_INFO]), xencenter.information(config[DOCKER_VERSION])
    wanted = "{{.Server.Version}}|{{.Server.APIVersion}}|{{.Server.GitCommit}}|{{.Server.Os}}|{{.Server.Arch}}"
    said = story.in_guest("docker", "version", "--format", wanted).strip().split("|")
    assert [version[name] for name in ("Version", "ApiVersion", "GitCommit", "Os", "Arch")] == said
    assert info["Driver"] == story.in_guest("docker", "info", "--format", "{{.Driver}}").strip()
    assert info["IPv4Forwarding"] in {"True", "False"}


def test_a_changed_host_key_from_its_change_to_its_confirmation(story: Story) -> None:
    """The link is refused, and told of with the remedy here and in the pool; confirmed, all is as it was."""
    before = story.until(story.config, lambda config: set(PUBLISHED_KEYS) <= config.keys())
    pinned = before[HOST_KEY]

    story.ordered("host-key", story.vm)

    # While its SSH server starts anew the VM refuses connections, which may be told first.
    (body,) = story.until(story.messages, lambda bodies: len(bodies) == 1 and "(host-key-changed)" in bodies[0])
    why = story.typed("why", story.vm)
    assert "host-key-changed" in why
    assert f"roadstead hostkey confirm {story.vm}" in " ".join(body.split())
    assert f"roadstead hostkey confirm {story.vm}" in " ".join(why.split())
    gone = story.until(story.config, lambda config: not config.keys() & set(PUBLISHED_KEYS))
    assert gone[HOST_KEY] == pinned
    rows = json.loads(story.typed("ps", "--format", "json"))
    assert rows and all(row["stale"] and row["problem"] == "host-key-changed" for row in rows)

    story.typed("hostkey", "confirm", "--yes", story.vm)

    after = story.until(story.config, lambda config: set(PUBLISHED_KEYS) <= config.keys())
    assert story.until(story.messages, lambda bodies: not bodies) == []
    assert after[HOST_KEY] not in {"", pinned}
    (shown,) = story.lab.rglob("ssh_host_ed25519_key.pub")
    assert after[HOST_KEY] == shown.read_text().split()[1]
    assert xencenter.containers(after[DOCKER_PS]) == xencenter.containers(before[DOCKER_PS])
    assert not any(row["stale"] for row in json.loads(story.typed("ps", "--format", "json")))
