"""``roadstead demo``: a lab pool, a server and a live table in one terminal, for the first five minutes.

The lab and the server are processes of their own, as they would be in earnest; they die with this one, whatever ends
it. What they complain of stands in ``lab.log`` and ``server.log`` of the state folder.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from roadstead.app import state
from roadstead.cli.api import client
from roadstead.cli.commands import watching
from roadstead.cli.display import words
from roadstead.cli.display.notes import Note
from roadstead.cli.failures import ERROR
from roadstead.errors import StartError
from roadstead.lab.pool.state import Folder
from roadstead.serve.server import loopback_socket

STOP_SECONDS = 60
"""Real guests have engines and containers to stop."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_PROGRAM = "from roadstead.app.main import main; main()"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demonstration shows."""

    state: Path
    guests: str
    """``real`` or ``simulated``."""
    hosts: int
    vms: int
    containers: int
    windows: int
    raw: int
    rate: float
    port: int
    """Of the pool."""
    api_port: int


def run_demo(options: DemoOptions) -> None:
    """Show the demonstration until Ctrl-C.

    Raises `StartError` when a part does not start, or `SystemExit` when that part has said why, and ``state-taken``
    before it touches anything of a demonstration that runs on the same folder.
    """
    signal.signal(signal.SIGTERM, _leave)
    with state.held(options.state):
        # Before the lab, which takes long to start; the server itself would name its own option.
        loopback_socket(options.api_port, "--api-port").close()
        _run(options)


def _run(options: DemoOptions) -> None:
    server_state = options.state / "server"
    server = f"unix:{server_state / 'roadstead.sock'}"
    typed = ["serve", "--json", "--state", str(server_state), "--port", str(options.api_port)]
    with (
        _started("lab", _lab_words(options), options.state / "lab.log") as lab,
        _started("server", typed, options.state / "server.log") as ready,
    ):
        _add_pool(server, lab)
        _show(server, hints(ready["url"], options, lab["vms"]))


class _Child:
    """One of our processes. Its complaints are shown until it is ready, and kept in a file."""

    def __init__(self, name: str, typed: Sequence[str], log: Path) -> None:
        self._name = name
        self._log = log
        self._is_ready = False
        self._process = subprocess.Popen(
            _command(typed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - it only calls prctl and setpgid
        )
        self._output, self._complaints = cast("IO[str]", self._process.stdout), cast("IO[str]", self._process.stderr)
        self._has_said_why = False
        self._copying = threading.Thread(target=self._copy_complaints, daemon=True)
        self._copying.start()

    def wait_ready(self) -> dict[str, Any]:
        """Return what the process says of itself once it works."""
        line = self._output.readline()
        if not line:
            self._fail()
        self._is_ready = True
        ready: dict[str, Any] = json.loads(line)
        return ready

    def end(self) -> None:
        """End the process in order, or by force when it does not come to an end."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _fail(self) -> NoReturn:
        """End as the process ended, which has said why. Raises `StartError` ``demo-failed`` when it has not."""
        code = self._process.wait()
        self._copying.join()
        if self._has_said_why:
            raise SystemExit(code)
        raise StartError("demo-failed", name=self._name, path=self._log)

    def _copy_complaints(self) -> None:
        with self._log.open("w") as file:
            for line in self._complaints:
                file.write(line)
                file.flush()
                self._has_said_why |= line.startswith(ERROR)
                if not self._is_ready:
                    sys.stderr.write(line)


@contextmanager
def _started(name: str, typed: Sequence[str], log: Path) -> Iterator[dict[str, Any]]:
    """Run ``roadstead`` with ``typed`` for the length of the block, which begins when it is ready."""
    child = _Child(name, typed, log)
    try:
        yield child.wait_ready()
    finally:
        _say(f"Stopping the {name} …")
        child.end()


def _command(typed: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", _PROGRAM, *typed]


def _die_with_parent() -> None:
    """In the child: end when the parent does, and leave Ctrl-C to the parent, which ends the children in order."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
    os.setpgid(0, 0)


def _lab_words(options: DemoOptions) -> list[str]:
    given = {
        "state": options.state / "pool",
        "guests": options.guests,
        "hosts": options.hosts,
        "vms": options.vms,
        "containers": options.containers,
        "windows": options.windows,
        "raw": options.raw,
        "rate": options.rate,
        "port": options.port,
    }
    return ["lab", "--json", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


def _add_pool(server: str, lab: dict[str, Any]) -> None:
    """Make the lab's pool known to the server; where an earlier run did, its guests may have other addresses now."""
    asked = subprocess.run(
        _command(["--server", server, "pool", "list", "--format", "json"]), stdout=subprocess.PIPE, check=True
    )
    known = [pool["id"] for pool in json.loads(asked.stdout) if pool["url"] == lab["url"]]
    typed = ["pool", "set", *known]
    if not known:
        typed = ["pool", "add", lab["url"], "--user", lab["user"], "--password-file", lab["password_file"]]
        typed += ["--fingerprint", lab["fingerprint"]]
    for network in lab["admit"]:
        typed += ["--admit", network]
    subprocess.run(_command(["--server", server, *typed]), stdout=subprocess.DEVNULL, check=True)


def _show(server: str, hints: Sequence[Note]) -> None:
    """Show the live table with the hints until Ctrl-C."""
    width = shutil.get_terminal_size().columns
    _say("\n".join(["", *(line for hint in hints for line in hint.lines(width)), ""]))
    watching.watch(client.Client(client.server_at(server)), watching.View(notes=tuple(hints)))


def hints(url: str, options: DemoOptions, vms: int) -> list[Note]:
    """What to try in another terminal; the pool has so many ``vms``, those with Windows and the raw ones among them."""
    program = _relative(Path(sys.executable).with_name("roadstead"))
    pool, server = _relative(options.state / "pool"), _relative(options.state / "server")
    socket = server / "roadstead.sock"
    enter = f"{program} lab enter --state {pool} web-1"
    prepare = f"{program} prepare raw-1 --user core --password-file {Folder(pool).password_file}"
    inside = [
        Note("type docker inside a guest: run, rename, …", f"{enter} docker pause web"),
        Note("pull its network cable; without a command: a shell", f"{enter} ip link set eth0 down"),
    ]
    return [
        Note(
            f"{words.counted(vms, 'VM')}, {_guests(options)}, {words.counted(options.hosts, 'host')}."
            " In another terminal, in this folder:"
        ),
        Note("", f"export ROADSTEAD_SERVER=unix:{socket if socket.is_absolute() else f'$PWD/{socket}'}"),
        Note("every container of every VM; `vms`, `tree`, `events`, `why VM`", f"{program} ps"),
        Note("also start, restart, pause, unpause", f"{program} stop 'web-1/web*'"),
        Note("power a VM off (start, …)", f"{program} lab do --state {pool} stop web-1"),
        *([Note("prepare a VM that nobody has prepared yet", prepare)] if options.raw else []),
        *(inside if options.guests == "real" else []),
        Note(f"API: {url}api/v1/openapi.json with the token in {server / 'token'}"),
    ]


def _guests(options: DemoOptions) -> str:
    """Of which kind the guests are; Windows is always simulated."""
    is_mixed = options.guests == "real" and options.windows
    return f"{options.guests} guests (Windows simulated)" if is_mixed else f"{options.guests} guests"


def _relative(path: Path) -> Path:
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path


def _leave(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
