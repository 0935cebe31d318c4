"""From the command line to a running server: options become settings and paths, errors become sentences."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import structlog

from roadstead.app import server
from roadstead.app.server import ServeOptions
from roadstead.errors import InputError
from roadstead.serve.server import Listening
from roadstead.settings import places
from roadstead.settings.schema import Settings, read_settings

log = structlog.get_logger()
UNIX = "unix:"


def settings(config: Path | None) -> Settings:
    """Read the settings. Raises `StartError`."""
    return read_settings(config)


def serve_options(
    state: Path | None, socket: Path | None, port: int | None, engines: Sequence[str], plugin_listen: str = ""
) -> ServeOptions:
    """Return what the options of ``roadstead serve`` mean. Raises `InputError` ``field-invalid``."""
    folder = (state or places.state_folder()).absolute()
    paths = tuple(_engine_path(engine) for engine in engines)
    return ServeOptions(folder, (socket or places.socket_path(folder)).absolute(), port, paths, plugin_listen)


def run_server(options: ServeOptions, settings: Settings, *, as_json: bool) -> None:
    """Serve until told to stop; say when clients can connect. Raises `StartError` when it cannot begin."""
    run(server.run_server(options, settings, _announce_json if as_json else _announce))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` to its end; of an error that left a group of tasks the first one is raised alone."""
    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


def _announce(listening: Listening) -> None:
    log.info("serving", socket=str(listening.socket), url=_url(listening))


def _announce_json(listening: Listening) -> None:
    print(json.dumps({"socket": str(listening.socket), "url": _url(listening)}), flush=True)


def _url(listening: Listening) -> str | None:
    return None if listening.port is None else f"http://127.0.0.1:{listening.port}/"


def _engine_path(text: str) -> Path:
    path = text.removeprefix(UNIX)
    if not text.startswith(UNIX) or not path.startswith("/"):
        raise InputError("field-invalid", field="--engine", reason=f"{text} is not of the form unix:/PATH")
    return Path(path)
