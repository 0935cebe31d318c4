"""Pins, what a server says in the clear, the question, and noise before an answer."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
import time
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.peers.links.messages import (
    HTTP,
    MARK,
    NOISE_BYTES,
    Finding,
    Overheard,
    Quiet,
    Relay,
    complaint,
    encoded,
    finding,
    fingerprint,
    key_type,
    question,
    relay_command,
    sudo_question,
)

KEY = asyncssh.generate_private_key("ssh-ed25519").convert_to_public()
BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
SOCKET = "/var/run/docker.sock"


def _kex_init(*host_keys: str) -> bytes:
    """A key exchange init as RFC 4253 §7.1 has it, in a packet."""
    lists = [b"curve25519-sha256", ",".join(host_keys).encode(), b"aes", b"aes", b"m", b"m", b"none", b"none", b"", b""]
    payload = bytes([20]) + b"c" * 16 + b"".join(len(each).to_bytes(4, "big") + each for each in lists) + bytes(5)
    return (len(payload) + 5).to_bytes(4, "big") + bytes([4]) + payload + bytes(4)


def test_a_fingerprint_is_openssh_s() -> None:
    """As `ssh-keygen -l` prints it, so that people can compare."""
    blob = encoded(KEY.public_data)

    assert blob == KEY.export_public_key().decode().split()[1]
    assert fingerprint(blob) == KEY.get_fingerprint()


def test_a_pin_names_its_type() -> None:
    """The historic format has no type beside the blob, but the blob begins with it."""
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
        key = asyncssh.generate_private_key(kind).convert_to_public()
        assert key_type(encoded(key.public_data)) == kind


@pytest.mark.parametrize(
    "bad", ["", "x", "AAAA", "not base64!", "AAAAC3NzaC1lZDI1NTE5", "////", "AAAABwAAAAAAAAA=", "ü"]
)
def test_what_is_no_key_has_no_type(bad: str) -> None:
    """Anybody who may write other_config may write anything."""
    assert key_type(bad) is None


@given(st.text(max_size=50))
def test_no_text_breaks_the_reader_of_pins(text: str) -> None:
    """A pin is a key or it is not."""
    kind = key_type(text)

    assert kind is None or kind.isprintable()


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("before", [b"", b"Welcome\r\nto this guest\r\n"])
def test_banner_and_host_keys_are_overheard(before: bytes, size: int) -> None:
    """In any pieces, after any lines that come before."""
    said, overheard = before + BANNER + _kex_init("ssh-ed25519", "rsa-sha2-512") + b"encrypted", Overheard()
    for start in range(0, len(said), size):
        overheard.feed(said[start : start + size])

    assert overheard.banner == BANNER.decode().strip()
    assert overheard.offered == ("ssh-ed25519", "rsa-sha2-512")
    assert overheard.over


@pytest.mark.parametrize("line", [b"Exceeded MaxStartups\r\n", b"Not allowed at this time\r\n"])
def test_being_turned_away_is_overheard(line: bytes) -> None:
    """OpenSSH's plain words before it closes."""
    overheard = Overheard()
    overheard.feed(line)

    assert (overheard.turned_away, overheard.banner) == (True, "")


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_no_bytes_break_the_listener(said: list[bytes]) -> None:
    """It never raises, and what it could not understand it does not know."""
    overheard = Overheard()
    for piece in said:
        overheard.feed(piece)

    assert overheard.banner == "" or overheard.banner.startswith("SSH-")


def test_what_is_overheard_is_bounded() -> None:
    """A server that never comes to the point is listened to no longer."""
    for said in (b"x" * 2**15, BANNER + b"\xff\xff\xff\xff"):
        overheard = Overheard()
        overheard.feed(said)
        assert overheard.over


def _answer(question_: str, path: str = "/usr/bin:/bin", shell: str = "sh") -> Finding | Relay:
    done = subprocess.run([shell, "-c", question_], env={"PATH": path}, capture_output=True, check=False, timeout=10)
    return finding(done.stdout, done.stderr)


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A PATH with a docker command that knows the words and reaches nobody."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(
        '#!/bin/sh\ncase "$*" in *--help) echo "Usage: docker system dial-stdio";; *) exit 1;; esac\n'
    )
    (folder / "docker").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize("shell", ["sh", "bash"])
async def test_a_shell_answers_the_question(tmp_path: Path, tools: str, shell: str) -> None:
    """Absent, dead, fine with a relay, fine without: a shell tells them apart, also by a link to the socket."""
    path = tmp_path / "it's an engine.sock"
    link = tmp_path / "link.sock"
    link.symlink_to(path)
    ask = asyncio.to_thread
    assert await ask(_answer, question(str(path)), tools, shell) is Finding.ABSENT

    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), path)
    for each in (path, link):
        assert await ask(_answer, question(str(each)), tools, shell) is Relay.DIAL_STDIO
    few = _tools(tmp_path / "few")
    assert await ask(_answer, question(str(path)), few, f"/bin/{shell}") is Finding.NO_RELAY

    server.close()
    await server.wait_closed()
    if path.exists():
        assert await ask(_answer, question(str(path)), tools, shell) is Finding.DEAD


def _tools(folder: Path, **scripts: str) -> str:
    """A PATH with what the question itself needs, and commands of these names."""
    folder.mkdir()
    for name in ("sh", "grep", "readlink"):
        (folder / name).symlink_to(Path("/bin", name).resolve())
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


OLD_DOCKER, OPENBSD, TRADITIONAL = "echo 'Usage: docker system COMMAND'", "echo 'OpenBSD netcat' >&2", "echo nc >&2"


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ({"docker": OLD_DOCKER, "socat": "", "nc": OPENBSD}, Relay.SOCAT),
        ({"docker": OLD_DOCKER, "nc": OPENBSD, "python3": "", "ncat": ""}, Relay.NC),
        ({"nc": TRADITIONAL, "python3": "", "ncat": ""}, Relay.PYTHON),
        ({"nc": TRADITIONAL, "ncat": ""}, Relay.NCAT),
        ({"docker": OLD_DOCKER, "nc": TRADITIONAL}, Finding.NO_RELAY),
    ],
)
async def test_the_first_relay_that_is_there_is_taken(
    tmp_path: Path, tools: dict[str, str], expected: Finding | Relay
) -> None:
    """A docker command that is too old is none, and neither is an nc that knows no Unix sockets."""
    path = tmp_path / "engine.sock"
    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), path)
    found = await asyncio.to_thread(_answer, question(str(path)), _tools(tmp_path / "bin", **tools), "/bin/sh")
    server.close()
    await server.wait_closed()

    assert found is expected


@pytest.mark.parametrize(("answers", "expected"), [(True, Relay.SOCAT), (False, Finding.DEAD)])
def test_what_is_not_listed_is_tried(tmp_path: Path, *, answers: bool, expected: Finding | Relay) -> None:
    """A rootless engine listens in a network namespace of its own, where our list of sockets does not reach."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as once:
        once.bind(str(path))
    tools = _tools(tmp_path / "bin", socat=f"exit {int(not answers)}")

    assert _answer(question(str(path)), tools, "/bin/sh") is expected


@pytest.mark.skipif(os.geteuid() != 0, reason="nothing is closed to somebody who is root, and only he becomes another")
def test_a_socket_in_a_closed_folder_is_denied(tmp_path: Path) -> None:
    """It cannot be seen that it is there: that the way is closed is all that can be said."""
    tmp_path.chmod(0o700)
    for path, expected in ((tmp_path / "podman/podman.sock", Finding.DENIED), (Path("/no/such.sock"), Finding.ABSENT)):
        asked = ["/bin/sh", "-c", question(str(path))]
        done = subprocess.run(asked, capture_output=True, check=False, timeout=10, user=65534, cwd="/")
        assert finding(done.stdout, done.stderr) is expected


@given(st.text(alphabet="abc'\"$`\\ ;&|\n", max_size=20))
def test_a_path_is_never_a_command(path: str) -> None:
    """Quoted for two shells, whatever it holds."""
    for asked in (question("/" + path), sudo_question("/" + path)):
        assert _words(asked.removeprefix("exec ")) == ["sh", "-c", shlex.split(asked)[-1]]
    for relay in Relay:
        words = _words(relay_command(relay, "/" + path))
        assert any(word.endswith("/" + path) for word in words), relay
        assert len(words) == len(_words(relay_command(relay, "/other")))


def _words(command: str) -> list[str]:
    """What a shell takes a command to be, word by word."""
    done = subprocess.run(
        ["sh", "-c", f"set -- {command}; printf '%s\\0' \"$@\""], capture_output=True, check=True, timeout=10
    )
    return done.stdout.decode().split("\0")[:-1]


def test_no_command_has_what_some_shell_minds() -> None:
    """Csh expands exclamation marks even in quotes, and none takes a line's end there."""
    asked = [question(SOCKET), sudo_question(SOCKET)]
    for command in [*asked, *(relay_command(relay, "/run/podman/podman.sock") for relay in Relay)]:
        assert not set(command) & set("!\n")


def test_the_default_relay_is_the_exact_command() -> None:
    """Lines of authorized_keys and sudoers compare strings."""
    assert relay_command(Relay.DIAL_STDIO, SOCKET) == "docker system dial-stdio"
    assert relay_command(Relay.SUDO, SOCKET) == "sudo -n docker system dial-stdio"


@pytest.mark.parametrize(
    ("output", "errors", "expected"),
    [
        (f"noise\n{MARK}denied\n".encode(), b"", Finding.DENIED),
        (f"{MARK}nonsense\n".encode(), b"", Finding.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n", b"", Finding.FORCED),
        (b"motd\nHTTP/1.1 200 OK\r\n", b"", Finding.FORCED),
        (b"", b"Cannot connect to the Docker daemon at unix:///x. Is it running?", Finding.DEAD),
        (b"", b"permission denied while trying to connect", Finding.DENIED),
        (b"", b"failed to open: dial unix /x: connect: connection refused", Finding.DEAD),
        (b"", b"failed to open: dial unix /x: connect: no such file or directory", Finding.ABSENT),
        (b"", b"failed to open: dial unix /x: connect: permission denied", Finding.DENIED),
        (b"", b'2026/11/26 22:04:01 socat[7] E connect(, AF=1 "/x", 7): No such file or directory', Finding.ABSENT),
        (b"", b'socat[7] E connect(5, AF=1 "/x", 4): Connection refused', Finding.DEAD),
        (b"", b"welcome\nnc: unix connect failed: No such file or directory", Finding.ABSENT),
        (b"", b"Ncat: Permission denied.", Finding.DENIED),
        (b"", b"Traceback\nConnectionRefusedError: [Errno 111] Connection refused", Finding.DEAD),
        (b"", b"sudo: unable to resolve host web: Name or service not known", Finding.UNKNOWN),
        (b"", b"sudo: a password is required", Finding.NO_SUDO),
        (b"", b"bash: /root/.bashrc: Permission denied", Finding.UNKNOWN),
        (f"{MARK}socat\n".encode(), b"", Relay.SOCAT),
        (b"This account is currently not available.", b"", Finding.UNKNOWN),
        (b"\xff\xfe", b"\xff", Finding.UNKNOWN),
        (b"", b"", Finding.UNKNOWN),
    ],
)
def test_what_an_answer_means(output: bytes, errors: bytes, expected: Finding | Relay) -> None:
    """A shell's word, a forced relay's answer or complaint, or nothing that is known."""
    assert finding(output, errors) is expected


def test_only_known_complaints_mean_something() -> None:
    """Other words stay unknown."""
    assert complaint(b"bash: docker: command not found") is None


@pytest.mark.parametrize("piece", [b"\xff", b"a ", b"socat[", b"nc: ", b"sudo: ", b"\n"])
def test_no_complaint_is_slow_to_read(piece: bytes) -> None:
    """Four times the text takes about four times the time, not sixteen: a guest chooses what it is."""

    def seconds(length: int) -> float:
        return min(_read_for(piece * (length // len(piece))) for _ in range(3))

    assert seconds(2**15) < 9 * seconds(2**13) + 0.002


def _read_for(errors: bytes) -> float:
    began = time.thread_time()
    complaint(errors)
    return time.thread_time() - began


@given(st.binary(max_size=100).filter(lambda noise: HTTP not in noise + HTTP[:-1]), st.integers(1, 30))
def test_noise_before_the_answer_is_left_out(noise: bytes, size: int) -> None:
    """In any pieces; what follows the answer's beginning passes as it is."""
    answer = HTTP + b"1 200 OK\r\n\r\n" + noise
    quiet, said = Quiet(), noise + answer
    heard = b"".join(quiet.feed(said[start : start + size]) for start in range(0, len(said), size))

    assert heard == answer


def test_noise_has_its_bound() -> None:
    """What never becomes an answer is not kept for ever."""
    quiet = Quiet()
    quiet.feed(b"x" * (NOISE_BYTES + 1))

    assert quiet.too_much


def test_lines_before_the_banner_are_read_in_one_go() -> None:
    """However short they are: eight times as many take about eight times as long, not sixty-four."""

    def took(lines: int) -> float:
        overheard, began = Overheard(), time.process_time()
        overheard.feed(b"\n" * lines + b"SSH-2.0-x\r\nrest")
        assert overheard.banner == "SSH-2.0-x"
        return time.process_time() - began

    assert min(took(2**18) for _ in range(3)) < 30 * min(took(2**15) for _ in range(3))
