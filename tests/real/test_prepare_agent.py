"""A guest is prepared with the operator's SSH agent alone: OpenSSH's agent signs, and OpenSSH's server decides."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.commanding import commanding
from tests.real.guests import TakeGuests
from tests.real.raw_guests import Raw, raw_guests

pytestmark = pytest.mark.real
KEYS = {"ed25519": (), "rsa": ("-b", "2048"), "ecdsa": ("-b", "384")}
LIMIT_SECONDS = 30


@dataclass
class RealAgent:
    """An `ssh-agent` with its folder for keys."""

    folder: Path
    pid: int

    @property
    def socket(self) -> Path:
        return self.folder / "agent"

    def run(self, *words: str, typed: str = "") -> None:
        """Run a program that speaks to the agent; what it asks for is answered by an askpass program."""
        askpass = self.folder / "askpass"
        askpass.write_text(f"#!/bin/sh\necho '{typed}'\n")
        askpass.chmod(0o700)
        more = {"SSH_AUTH_SOCK": str(self.socket), "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(
            words, env={**os.environ, **more}, check=True, capture_output=True, timeout=LIMIT_SECONDS, text=True
        )

    def make(self, kind: str, name: str = "key", *, added: bool = True) -> str:
        """Make a key, let the agent hold it, and leave its private half nowhere else; return the public half."""
        path = self.folder / name
        self.run("ssh-keygen", "-q", "-t", kind, *KEYS[kind], "-N", "", "-f", str(path))
        if added:
            self.run("ssh-add", "-q", str(path))
        path.unlink()
        return path.with_suffix(".pub").read_text()

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGTERM)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealAgent]:
    """One that the command line finds."""
    folder = tmp_path / "operator"
    folder.mkdir()
    started = ["ssh-agent", "-D", "-a", str(folder / "agent")]
    with subprocess.Popen(started, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(folder / "agent"))
        yield RealAgent(folder, process.pid)
        process.terminate()


def words(one: Raw, command: str = "prepare") -> list[str]:
    """What is typed."""
    return [command, "raw", "--user=core", "--agent", "--yes", *one.host_keys()]


@pytest.mark.parametrize("kind", KEYS)
async def test_the_agent_alone_lets_in(tmp_path: Path, real_guests: TakeGuests, agent: RealAgent, kind: str) -> None:
    """Among other keys, of each type; the pool's key is there afterwards, and the agent takes it out again."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one, commanding(one.one.core, tmp_path) as ask:
        agent.make("ed25519", "other")
        public = agent.make(kind)
        one.write("raw", public)
        code, table, told = await ask(*words(one))
        assert (code, "prepared" in table) == (0, True), told
        assert one.text("raw").startswith(public) and one.text("raw").count("\n") == 2
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        code, table, told = await ask(*words(one, "unprepare"))
        assert (code, one.text("raw")) == (0, public), told
        entries = await one.one.core.commands.audit.recent(50)
        assert {"prepare: look", "prepare", "unprepare"} <= {entry.what for entry in entries}


async def test_what_stands_against_it_is_told(
    tmp_path: Path, real_guests: TakeGuests, agent: RealAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is empty, is not let in, refuses, is locked, is killed, or is not there; nothing is changed."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one, commanding(one.one.core, tmp_path) as ask:
        code, _, told = await ask(*words(one))
        assert (code, "offers no key" in told, "ssh-add" in told) == (2, True, True), told

        for number in range(7):
            agent.make("ed25519", f"stranger-{number}")
        code, _, told = await ask(*words(one))
        assert (code, "none of the 5 keys" in told, "MaxAuthTries" in told) == (1, True, True), told

        await guest.start_sshd("MaxAuthTries 2")
        code, _, told = await ask(*words(one))
        assert (code, "none of the 5 keys" in told, "MaxAuthTries" in told) == (1, True, True), told

        agent.run("ssh-add", "-D")
        public = agent.make("ed25519", "elsewhere", added=False)
        private = agent.folder / "confirmed"
        agent.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private))
        agent.run("ssh-add", "-q", "-c", str(private))
        one.write("raw", public + private.with_suffix(".pub").read_text())
        before = one.text("raw")
        code, _, told = await ask(*words(one))
        assert (code, "did not sign" in told, "it refuses to" in told) == (1, True, True), told

        agent.run("ssh-add", "-D")
        agent.run("ssh-add", "-q", str(private))
        agent.run("ssh-add", "-x", typed="lock")
        code, _, told = await ask(*words(one))
        assert (code, "is locked" in told, "ssh-add -X" in told) == (2, True, True), told
        agent.run("ssh-add", "-X", typed="lock")

        agent.kill()
        await one.one.until(lambda: not agent.socket.exists(), "ended")
        code, _, told = await ask(*words(one))
        assert (code, f"The SSH agent at {agent.socket}" in told) == (2, True), told
        monkeypatch.delenv("SSH_AUTH_SOCK")
        code, _, told = await ask(*words(one))
        assert (code, "SSH_AUTH_SOCK is not set" in told) == (2, True), told
        assert one.text("raw") == before
