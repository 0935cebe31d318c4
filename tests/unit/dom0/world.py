"""What the plugin meets on a host: XAPI behind a Unix socket, and Roadstead behind TLS, both in threads of the test."""

from __future__ import annotations

import json
import socketserver
import ssl
import subprocess
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from roadstead.lab.pool import certificates
from tests.unit.shape.measure import ROOT

PLUGIN = ROOT / "dom0" / "xscontainer"
PROGRAM = ROOT / "dom0" / "xscontainer-prepare-vm"
SESSION = "OpaqueRef:session"
TOKEN = "a-token-that-nobody-else-may-see"
SECRET = "5ec4e700-0000-4000-8000-000000000001"
URL, FINGERPRINT, SECRET_UUID = (
    "roadstead-plugin-url",
    "roadstead-plugin-fingerprint",
    "roadstead-plugin-token-secret-uuid",
)

Behaviour = Callable[["Talk"], None]


class Xapi:
    """A pool's other_config and one secret, as XAPI tells them over its Unix socket."""

    def __init__(self) -> None:
        self.config: dict[str, str] = {URL: "", FINGERPRINT: "", SECRET_UUID: SECRET, "unrelated": "ü"}
        self.secrets = {SECRET: TOKEN}
        self.calls: list[tuple[object, ...]] = []
        self.raw: bytes | None = None
        """Answered instead, whatever is asked."""

    def answer(self, method: str, params: tuple[object, ...]) -> dict[str, object]:
        """What a call gives."""
        self.calls.append((method, *params))
        if params[0] != SESSION:
            return {"Status": "Failure", "ErrorDescription": ["SESSION_INVALID", params[0]]}
        if method == "pool.get_all":
            return {"Status": "Success", "Value": ["OpaqueRef:pool"]}
        if method == "pool.get_other_config":
            return {"Status": "Success", "Value": self.config}
        named = str(params[1]).removeprefix("OpaqueRef:")
        if named not in self.secrets:
            return {"Status": "Failure", "ErrorDescription": ["UUID_INVALID", "secret", named]}
        return {"Status": "Success", "Value": self.secrets[named] if "value" in method else f"OpaqueRef:{named}"}


class Talk(socketserver.StreamRequestHandler):
    """One connection, of which everything that arrives is kept."""

    server: XapiServer | RoadsteadServer
    head: bytes
    body: bytes

    def handle(self) -> None:
        """Read a request and answer it."""
        self.head = self.body = b""
        try:
            while not self.head.endswith(b"\r\n\r\n"):
                piece = self.rfile.readline()
                if not piece:
                    return
                self.head += piece
                self.server.received += piece
            fields = dict(line.lower().split(b": ", 1) for line in self.head.splitlines()[1:] if b": " in line)
            self.body = self.rfile.read(int(fields.get(b"content-length", 0)))
            self.server.received += self.body
            self.server.behaviour(self)
        except OSError:
            return  # the plugin has hung up

    def reply(self, status: str, body: bytes, more: str = "") -> None:
        """Write an answer."""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self.wfile.write(head.encode() + body)

    def reply_json(self, status: str, document: object) -> None:
        """Write a document."""
        self.reply(status, json.dumps(document).encode(), "Content-Type: application/problem+json\r\n")


class Threads(socketserver.ThreadingMixIn):
    """What both servers have."""

    daemon_threads = True
    block_on_close = False
    behaviour: Behaviour
    received = b""

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake or a connection that the plugin ended is what the test is about."""


class XapiServer(Threads, socketserver.UnixStreamServer):
    """A host's Unix socket."""


class RoadsteadServer(Threads, socketserver.TCPServer):
    """`serve --plugin-listen`."""

    context: ssl.SSLContext

    def get_request(self) -> tuple[ssl.SSLSocket, object]:
        """A connection, whose handshake the thread that serves it makes."""
        connected, address = super().get_request()
        return self.context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False), address


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class World:
    """A host with a plugin, its XAPI, and Roadstead."""

    folder: Path
    python: str
    xapi: Xapi
    roadstead: RoadsteadServer
    plugin: Path = PLUGIN
    session: str = SESSION
    environment: dict[str, str] = field(default_factory=dict)

    def run_itself(self, path: str) -> dict[str, object]:
        """Run the file without naming an interpreter, where ``path`` leads to those that there are."""
        self.environment["PATH"] = path
        return self._run([str(self.plugin), xmlrpc.client.dumps((self.session, {"vmuuid": "vm"}), "register")])

    def answer(self, call: str | bytes) -> dict[str, object]:
        """Run the plugin as XAPI does, with the call in argv."""
        return self._run([self.python, str(self.plugin), call])

    def _run(self, command: list[str | bytes]) -> dict[str, object]:
        """What XAPI reads from the plugin's output; the plugin never fails as a process, and is never noisy."""
        environment = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "ROADSTEAD_XAPI_SOCKET": str(self.folder / "xapi")}
        # Nothing of our own environment: a host's is bare.
        run = subprocess.run(command, capture_output=True, check=False, env=environment | self.environment, timeout=18)
        assert (run.returncode, run.stderr) == (0, b"")
        (answer,), _ = xmlrpc.client.loads(run.stdout.decode("utf-8"))
        assert isinstance(answer, dict)
        return answer

    def call(self, function: str, **arguments: str) -> dict[str, object]:
        """Call a function as XAPI does for a client."""
        return self.answer(xmlrpc.client.dumps((self.session, arguments), function))

    def value(self, function: str, **arguments: str) -> object:
        """The value of a call that works."""
        answer = self.call(function, **arguments)
        assert answer["Status"] == "Success", answer
        return answer["Value"]

    def failure(self, function: str, **arguments: str) -> list[str]:
        """How a call fails: the error's code and parameters."""
        answer = self.call(function, **arguments)
        assert answer["Status"] == "Failure", answer
        description = answer["ErrorDescription"]
        assert isinstance(description, list)
        return description

    def start(self) -> list[str]:
        """The two parameters of a failed `start` that say why."""
        error, function, *why = self.failure("start", vmuuid="vm", container="web")
        assert (error, function) == ("XENAPI_PLUGIN_FAILURE", "start")
        assert len(why) == 2
        return why

    def behave(self, behaviour: Behaviour) -> None:
        """Let Roadstead answer so."""
        self.roadstead.behaviour = behaviour

    def hurry(self, **seconds: float) -> None:
        """Go on with a copy of the plugin whose limits are shorter."""
        text = self.plugin.read_text()
        for name, value in seconds.items():
            before, line, after = text.partition(f"\n{name} = ")
            assert line, name
            text = f"{before}{line}{value}\n{after.partition(chr(10))[2]}"
        self.plugin = self.folder / "hurried"
        self.plugin.write_text(text)

    @property
    def request(self) -> dict[str, object]:
        """What Roadstead was asked last."""
        document = json.loads(self.roadstead.received.rpartition(b"\r\n\r\n")[2])
        assert isinstance(document, dict)
        return document


@contextmanager
def world(folder: Path, python: str) -> Iterator[World]:
    """Everything runs, and answers `True`."""
    pem = folder / "tls.pem"
    certificates.make(pem, "roadstead", "127.0.0.1")
    xapi = Xapi()

    def xapi_answers(talk: Talk) -> None:
        if xapi.raw is not None:
            talk.wfile.write(xapi.raw)
            return
        params, method = xmlrpc.client.loads(talk.body)
        talk.reply("200 OK", xmlrpc.client.dumps((xapi.answer(str(method), params),), methodresponse=True).encode())

    host = XapiServer(str(folder / "xapi"), Talk)
    host.behaviour = xapi_answers
    roadstead = RoadsteadServer(("127.0.0.1", 0), Talk)
    roadstead.context = certificates.context(pem)
    roadstead.behaviour = lambda talk: talk.reply_json("200 OK", {"value": "True"})
    xapi.config[URL] = f"https://127.0.0.1:{roadstead.server_address[1]}"
    xapi.config[FINGERPRINT] = certificates.fingerprint(certificates.read(pem))
    with running(host), running(roadstead):
        yield World(folder, python, xapi, roadstead)
