"""Plugins of the hosts: executable files that `host.call_plugin` runs, with the call as their one argument.

What a plugin may do wrong, each ends in the failure that a real host makes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import xml.parsers.expat
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roadstead.errors import InputError
from roadstead.kit import tasks
from roadstead.lab.pool import dom0, wire
from roadstead.lab.pool.failures import Failure, internal

SOCKET = "ROADSTEAD_XAPI_SOCKET"
"""The variable that tells a plugin where its host's XAPI answers, as /var/lib/xcp/xapi does on a real one."""

_MODE = 0o755
_SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ELEMENTS: dict[type, str] = {
    int: "int",
    bool: "boolean",
    float: "double",
    list: "array",
    dict: "struct",
    xmlrpc.client.DateTime: "dateTime.iso8601",
    type(None): "nil",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a plugin's process ended, and what it wrote."""

    code: int
    output: str
    log: str


class Plugins:
    """The plugin folder, the same on all hosts, and the calls that wait for a plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting: set[asyncio.Task[object]] = set()

    async def install(self, file: Path) -> None:
        """Copy a plugin into the folder; `InputError` when that cannot be."""
        try:
            await asyncio.to_thread(self._copy, file)
        except OSError as error:
            raise InputError("field-invalid", field="--plugin", reason=f"{file}: {error.strerror}") from error

    def _copy(self, file: Path) -> None:
        # Renamed into place: a plugin that runs keeps the file that it was started from.
        partial = self.folder.with_name(f"{file.name}.new")
        shutil.copyfile(file, partial)
        partial.chmod(_MODE)
        partial.replace(self.folder / file.name)

    async def call(self, name: str, call: str, socket: Path) -> str:
        """Run the plugin `name` with `call` (see `argument`) as its argument; the string that it answered."""
        with self.waiting():
            found = await asyncio.to_thread(self._names)
            if name not in found:
                raise Failure("XENAPI_MISSING_PLUGIN", name)
            ended = await _run(self.folder / name, call, socket)
        if ended.code < 0:
            raise _failed(f"signal: {signal.Signals(-ended.code).name}", ended.output, ended.log)
        if ended.code:
            raise _failed("non-zero exit", ended.output, ended.log)
        return _judged(ended.output)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let `close` end the present task while it is in the block."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a block of a coroutine
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)

    async def close(self) -> None:
        """End every call that is under way, with its process."""
        await tasks.stop(*self._waiting)

    def _names(self) -> tuple[str, ...]:
        # A name is looked up in the folder's listing, never made part of a path.
        return tuple(file.name for file in self.folder.iterdir())


def argument(function: str, session: str, arguments: dict[str, str]) -> str:
    """The one argument of a plugin: the call as XML-RPC."""
    params = "".join(f"<param>{wire.fragment(value)}</param>" for value in (session, arguments))
    return f"<methodCall><methodName>{wire.escaped(function)}</methodName><params>{params}</params></methodCall>"


async def _run(file: Path, call: str, socket: Path) -> Ended:
    try:
        process = await asyncio.create_subprocess_exec(
            file,
            call,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(socket),
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError):
        # Not executable, no program, or arguments beyond the kernel's 128 KiB.
        return Ended(1, "", "")
    try:
        output, log = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        code = await process.wait()
    return Ended(code, output.decode(errors="replace"), log.decode(errors="replace"))


def _environment(socket: Path) -> dict[str, str]:
    return {
        "PATH": _SEARCHED,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(dom0.__file__).parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        SOCKET: str(socket),
    }


def _failed(*words: str) -> Failure:
    return Failure("XENAPI_PLUGIN_FAILURE", *words)


def _judged(output: str) -> str:
    """The string in a plugin's output; `Failure` when there is none."""
    try:
        (result,), _ = xmlrpc.client.loads(output)
    except xmlrpc.client.Fault as fault:
        raise _failed("fault", str(fault.faultCode), str(fault.faultString)) from fault
    except xml.parsers.expat.ExpatError as error:
        wrong = "expected root element" if not output.lstrip().startswith("<") else str(error).partition(":")[0]
        raise _failed("failed to parse plugin output", output, f"{wrong} line {error.lineno}") from error
    except (xmlrpc.client.Error, ValueError, TypeError, IndexError) as error:
        raise _failed("unexpected XMLRPC result", output) from error
    match result:
        case {"Status": "Success", "Value": str(value)}:
            return value
        case {"Status": "Success", "Value": value}:
            element = _ELEMENTS.get(type(value), "base64")
            raise internal(f"XMLRPC.RunTimeTypeError(\"unbox: Element={element} should contain 'string'\", _)")
        case {"Status": "Failure", "ErrorDescription": [str(code), *params]}:
            raise Failure(code, *map(str, params))
    raise _failed("unexpected XMLRPC result", output)
