"""A server with canned answers on a Unix socket, and the real command line run against it, piped or on a terminal."""

import fcntl
import http.server
import json
import os
import pty
import queue
import select
import shlex
import signal
import socketserver
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

PROGRAM = [sys.executable, "-c", "from roadstead.cli.main import run; run()"]
HISTORIC = [sys.executable, "-c", "from roadstead.cli.commands.prepare_vm import run; run()"]
"""The script with the old pack's options."""
PREFIX = "/api/v1"
LIMIT_SECONDS = 15
NO_CONTENT = 204


class Asked(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    headers: dict[str, str]


class Raw(NamedTuple):
    """An answer whose bytes are not JSON of ours."""

    body: bytes
    status: int = 200


class Stream:
    """An endless answer; `put` sends text to whoever reads it, None ends the answer."""

    def __init__(self) -> None:
        self.opened = threading.Semaphore(0)
        self._queue: queue.Queue[str | None] = queue.Queue()

    def put(self, text: str | None) -> None:
        self._queue.put(text)

    def relist(self, number: int = 1) -> None:
        self.put(f'id: {number}\nevent: relist\ndata: {{"number":{number}}}\n\n')

    def change(self, number: int, kind: str, record: dict[str, Any] | None, id: str = "") -> None:
        found = {"number": number, "kind": kind, "id": id, "op": "gone", "record": None}
        if record is not None:
            found |= {"id": record["id"], "op": "set", "record": record}
        self.put(f"id: {number}\nevent: change\ndata: {json.dumps(found)}\n\n")

    def get(self) -> str | None:
        return self._queue.get(timeout=LIMIT_SECONDS)


Answer = Any
"""JSON to answer with, a `Raw`, a `Stream`, (status, JSON), or a function from an `Asked` to one of these."""


def problem(status: int, code: str, cause: str, remedy: str = "", **more: Any) -> tuple[int, dict[str, Any]]:
    """Return a problem document with its status."""
    return status, {
        "type": f"urn:roadstead:{code}",
        "status": status,
        "code": code,
        "detail": cause,
        "remedy": remedy,
        **more,
    }


@dataclass
class Canned:
    """The server: what it answers (by ``GET /path``), and what it was asked."""

    path: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = _Server(str(self.path), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def wait_for(self, method: str, path: str, times: int = 1) -> None:
        """Wait until this was asked so many ``times``."""
        end = time.monotonic() + LIMIT_SECONDS
        while len(self.bodies(method, path)) < times:
            assert time.monotonic() < end, f"{method} {path} was not asked {times} times: {self.asked}"
            time.sleep(0.005)

    def bodies(self, method: str, path: str) -> list[Any]:
        return [asked.body for asked in self.asked if (asked.method, asked.path) == (method, path)]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is part of the tests."""


def _handler(canned: Canned) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = parts.path.removeprefix(PREFIX)
            asked = Asked(self.command, path, parse_qs(parts.query), body, dict(self.headers))
            canned.asked.append(asked)
            missing = problem(404, "no-such-page", f"There is nothing at {parts.path}.")
            found = canned.answers.get(f"{self.command} {path}", missing)
            self._send(found(asked) if callable(found) else found)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names are http.server's

        def _send(self, found: Answer) -> None:
            if isinstance(found, Stream):
                self._stream(found)
                return
            status, content = found if isinstance(found, tuple) and not isinstance(found, Raw) else (200, found)
            if isinstance(found, Raw):
                status, encoded = found.status, found.body
            else:
                encoded = b"" if status == NO_CONTENT else json.dumps(content).encode()
            self.send_response(status)
            if status != NO_CONTENT:
                self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def _stream(self, stream: Stream) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            stream.opened.release()
            while (text := stream.get()) is not None:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text.encode()), text.encode()))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    return Handler


def environment(canned: Canned | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a run: nothing of ours, and the canned server as the server."""
    left_out = ("ROADSTEAD_", "SSH_AUTH_SOCK", "NO_COLOR", "COLUMNS", "LINES", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    kept |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if canned is not None:
        kept["ROADSTEAD_SERVER"] = f"unix:{canned.path}"
    return kept | more


def run(canned: Canned | None, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with its output piped."""
    return subprocess.run(
        [*PROGRAM, *words], input=stdin, capture_output=True, text=True, timeout=LIMIT_SECONDS,
        env=environment(canned, **more), check=False,
    )  # fmt: skip


def run_shell(canned: Canned, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which the word ``roadstead`` is the command line."""
    return subprocess.run(
        ["sh", "-c", line.replace("roadstead", shlex.join(PROGRAM), 1)], capture_output=True, text=True,
        timeout=LIMIT_SECONDS, env=environment(canned), check=False,
    )  # fmt: skip


class Terminal:
    """The command line on a terminal of its own: what it shows, what is typed, how it ends."""

    def __init__(
        self,
        canned: Canned,
        *words: str,
        columns: int = 100,
        lines: int = 24,
        more: dict[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.text = ""
        self._process = subprocess.Popen(
            [*program, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(canned, **more or {}),
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self._process.send_signal(number)

    def echoes(self) -> bool:
        """Whether what is typed is shown and waits for Return, as a shell expects it."""
        flags = termios.tcgetattr(self._ours)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def wait_for(self, text: str) -> str:
        """Read until ``text`` was shown, and return everything shown before and with it; it is then forgotten."""
        end = time.monotonic() + LIMIT_SECONDS
        while text not in self.text:
            assert time.monotonic() < end and self._read(), f"{text!r} was never shown, only {self.text!r}"
        shown, _, self.text = self.text.partition(text)
        return shown + text

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was shown and not yet waited for."""
        end = time.monotonic() + LIMIT_SECONDS
        while self._read() and time.monotonic() < end:
            pass
        return self._process.wait(LIMIT_SECONDS), self.text

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1.0)[0]:
            return self._process.poll() is None
        try:
            chunk = os.read(self._ours, 65536)
        except OSError:
            return False
        self.text += chunk.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(chunk)


def container(name: str = "web", vm: str = "vm1", state: str = "running", **more: Any) -> dict[str, Any]:
    """Return a container's record."""
    engine_id = more.pop("engine_id", f"{abs(hash((vm, name))):064x}"[-64:])
    return {
        "id": f"{vm}-uuid/{engine_id}", "engine_id": engine_id, "name": name, "vm": f"{vm}-uuid", "vm_name": vm,
        "pool": "pool-uuid", "host": None, "image": "nginx:1.27", "command": "nginx -g daemon", "state": state,
        "health": "", "status": "Up 3 minutes", "ports": [], "labels": {}, "created": "2026-01-02T03:04:05Z",
        "started": "2026-01-02T03:04:06Z", "exit_code": None, "restarting": False, "as_of": "2026-01-02T03:10:00Z",
        "stale": False, "problem": "",
    } | more  # fmt: skip


def vm(name: str = "vm1", state: str = "live", **more: Any) -> dict[str, Any]:
    """Return a VM as the API shows it."""
    return {
        "id": f"{name}-uuid", "name": name, "pool": "pool-uuid", "pool_name": "lab", "host": "h1", "host_name": "host1",
        "power": "Running", "addresses": ["10.0.0.7"], "enabled": True, "state": state, "stale": False,
        "address": "10.0.0.7", "containers": {"total": 3, "running": 2, "stale": 0}, "problem": None,
    } | more  # fmt: skip
