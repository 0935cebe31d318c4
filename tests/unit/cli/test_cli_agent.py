"""The command line lends an SSH agent: what it says to the agent, what it lets it sign, and what it says of one."""

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.canned import LIMIT_SECONDS, Asked, Canned, Stream, Terminal, problem, run, vm

FINGERPRINT = "SHA256:" + "a" * 43
LENT = "the-name-of-the-agent"
SIGNATURE = b"a signature"


def string(data: bytes) -> bytes:
    """As SSH writes it."""
    return struct.pack(">I", len(data)) + data


KEY = string(b"ssh-ed25519") + string(b"k" * 32)


def sign_in(key: bytes = KEY, *, service: bytes = b"ssh-connection", more: bytes = b"") -> bytes:
    """What a sign-in has signed."""
    head = string(b"session") + b"\x32" + string(b"ann") + string(service) + string(b"publickey")
    return head + b"\1" + string(b"ssh-ed25519") + string(key) + more


class FakeAgent:
    """An agent that holds ``keys``, says ``signed`` to a request to sign, and notes what it is told."""

    def __init__(self, path: Path, keys: tuple[bytes, ...], signed: bytes | None = None) -> None:
        self.told: list[bytes] = []
        listed = b"".join(string(key) + string(b"a comment") for key in keys)
        good = b"\x0e" + string(SIGNATURE)
        self._answers = {11: b"\x0c" + struct.pack(">I", len(keys)) + listed, 13: good if signed is None else signed}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as questions:
                (size,) = struct.unpack(">I", questions.read(4))
                self.told.append(questions.read(size))
                connection.sendall(string(self._answers[self.told[-1][0]]))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Lending:
    """The server's side for one VM: it has ``data`` signed, and then the guest is prepared."""

    def __init__(self, canned: Canned, data: bytes, flags: int = 0) -> None:
        self.answers: list[Any] = []
        self._heard = threading.Event()
        self._stream = Stream()
        self._asked = f'{{"request":"r1","key":"{encoded(KEY)}","data":"{encoded(data)}","flags":{flags}}}\n'
        canned.answers |= {
            "GET /vms/web1": vm("web1"),
            "POST /vms/web1-uuid/agent": self._lend,
            "POST /vms/web1-uuid/agent/answer": self._answered,
            "POST /vms/web1-uuid/prepare": self._prepare,
        }

    def _lend(self, asked: Asked) -> Stream:
        self.keys = asked.body["keys"]
        self._stream.put(f'{{"agent":"{LENT}"}}\n')
        return self._stream

    def _answered(self, asked: Asked) -> Any:
        self.answers.append(asked.body)
        self._heard.set()
        return {"request": asked.body["request"]}

    def _prepare(self, asked: Asked) -> Any:
        told = {"vm": "web1-uuid", "name": "web1", "user": "ann", "state": "asks", "host_key": f"x {FINGERPRINT}"}
        if asked.body.get("password"):
            return told | {"state": "prepared", "done": ["by password"]}
        if "agent" not in asked.body:
            return told | {"question": "sign-in"}
        self._stream.put("\n" + self._asked)
        assert self._heard.wait(LIMIT_SECONDS)
        if "signature" not in self.answers[-1]:
            return problem(409, "agent-refused", self.answers[-1]["refusal"], "Mend it.")
        return told | {"state": "prepared", "done": [f"by {asked.body['agent']}"]}


def encoded(data: bytes) -> str:
    """As JSON carries it."""
    return base64.b64encode(data).decode()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where an agent listens; what was listening there is closed afterwards."""
    path = tmp_path / "agent"
    yield path
    path.unlink(missing_ok=True)


def test_a_sign_in_is_signed_and_nothing_else_is_asked(canned: Canned, place: Path) -> None:
    """The agent hears two kinds of messages, whatever flags the server names."""
    agent, lending = FakeAgent(place, (KEY,)), Lending(canned, sign_in(), flags=0xFF)
    done = run(canned, "prepare", "web1", "--agent", SSH_AUTH_SOCK=str(place))
    agent.close()
    assert (done.returncode, f"by {LENT}" in done.stderr) == (0, True), done.stderr
    assert lending.keys == [encoded(KEY)]
    assert lending.answers == [{"agent": LENT, "request": "r1", "signature": encoded(SIGNATURE)}]
    assert agent.told == [b"\x0b", b"\x0d" + string(KEY) + string(sign_in()) + struct.pack(">I", 6)]


@pytest.mark.parametrize(
    "data",
    [b"", b"SSHSIG", sign_in(service=b"ssh-userauth"), sign_in(string(b"another")), sign_in(more=b"x"), sign_in()[:-1]],
)
def test_what_is_no_sign_in_is_not_signed(canned: Canned, place: Path, data: bytes) -> None:
    """A server that asks for anything else learns nothing from the agent."""
    agent, lending = FakeAgent(place, (KEY,)), Lending(canned, data)
    done = run(canned, "prepare", "web1", "--agent", SSH_AUTH_SOCK=str(place))
    agent.close()
    assert (done.returncode, "is no sign-in" in lending.answers[0]["refusal"]) == (1, True), done.stderr
    assert agent.told == [b"\x0b"]


@pytest.mark.parametrize("said", [b"\x05", b"\x0e", b"\x0e\xff\xff\xff\xff", b""])
def test_an_agent_that_signs_nothing_is_told(canned: Canned, place: Path, said: bytes) -> None:
    """It refuses, or its answer is none."""
    agent, lending = FakeAgent(place, (KEY,), said), Lending(canned, sign_in())
    done = run(canned, "prepare", "web1", "--agent", SSH_AUTH_SOCK=str(place))
    agent.close()
    assert (done.returncode, lending.answers[0].keys()) == (1, {"agent", "request", "refusal"}), done.stderr


@pytest.mark.parametrize("answer", ["y", "n"])
def test_an_agent_with_keys_is_offered_where_a_password_is_asked_for(canned: Canned, place: Path, answer: str) -> None:
    """Who says no types a password."""
    agent = FakeAgent(place, (KEY,))
    Lending(canned, sign_in())
    with Terminal(canned, "prepare", "web1", more={"SSH_AUTH_SOCK": str(place)}) as terminal:
        terminal.wait_for("Sign in with your SSH agent (1 key)? [y/N] ")
        terminal.type(f"{answer}\n")
        if answer == "n":
            terminal.wait_for("Password of ann: ")
            terminal.type("s3cret\n")
        code, text = terminal.ended()
    agent.close()
    assert (code, f"by {LENT if answer == 'y' else 'password'}" in text) == (0, True)


def test_one_means_is_enough(canned: Canned, tmp_path: Path) -> None:
    """An agent signs in alone; over TLS nobody does."""
    canned.answers["GET /vms/web1"] = vm("web1")
    done = run(canned, "prepare", "web1", "--agent", "--key-file", str(tmp_path))
    assert (done.returncode, "exclude each other" in done.stderr) == (2, True)
    done = run(canned, "prepare", "web1", "--agent", "--mode", "tls")
    assert (done.returncode, "--agent" in done.stderr) == (2, True)


def test_no_agent_is_told_before_anything_is_sent(canned: Canned, place: Path) -> None:
    """Neither one that is not there nor one that holds nothing is lent."""
    canned.answers["GET /vms/web1"] = vm("web1")
    done = run(canned, "prepare", "web1", "--agent")
    assert (done.returncode, "SSH_AUTH_SOCK is not set" in done.stderr) == (2, True)
    done = run(canned, "prepare", "web1", "--agent", SSH_AUTH_SOCK=str(place))
    assert (done.returncode, f"The SSH agent at {place}" in done.stderr) == (2, True)
    agent = FakeAgent(place, ())
    done = run(canned, "prepare", "web1", "--agent", SSH_AUTH_SOCK=str(place))
    agent.close()
    assert (done.returncode, "it holds none, or is locked" in done.stderr) == (2, True)
    assert not any("prepare" in asked.path or "agent" in asked.path for asked in canned.asked)
