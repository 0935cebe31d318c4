"""The module of this name that plugins find on every host, as far as plugins of the lab need it.

A plugin is called with one argument, an XML-RPC call with the session and the arguments, and prints the answer.
`dispatch` does both; `Failure` reaches the caller unchanged, any other exception as XENAPI_PLUGIN_FAILURE.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
import xmlrpc.client
from collections.abc import Callable, Mapping
from typing import Any

SOCKET = "ROADSTEAD_XAPI_SOCKET"
"""Names the Unix socket of the host's XAPI; a real host's is /var/lib/xcp/xapi."""


class Failure(Exception):
    """An XAPI error that the caller of the plugin is to get: a code and its parameters."""

    def __init__(self, code: str, params: list[str]) -> None:
        super().__init__(code, params)
        self.params = [code, *params]


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over the Unix socket."""

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(os.environ[SOCKET])
        return connection


class _Calls:
    """`session.xenapi.CLASS.CALL(…)`, with the session as the first argument."""

    def __init__(self, session: str, name: str = "") -> None:
        self._session = session
        self._name = name

    def __getattr__(self, name: str) -> _Calls:
        return _Calls(self._session, f"{self._name}.{name}" if self._name else name)

    def __call__(self, *arguments: Any) -> Any:
        server = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport())
        with server:
            answer: Any = getattr(server, self._name)(self._session, *arguments)
        if answer["Status"] != "Success":
            raise RuntimeError(str(answer["ErrorDescription"]))
        return answer["Value"]


class _Session:
    """What a function of a plugin gets: the session that the call came with."""

    def __init__(self, session: str) -> None:
        self._session = session
        self.handle = session
        self.xenapi = _Calls(session)


def dispatch(functions: Mapping[str, Callable[[Any, dict[str, str]], Any]]) -> None:
    """Carry out the call in the command line's argument and print how it ended."""
    (session, arguments), name = xmlrpc.client.loads(sys.argv[1])
    sys.stdout.write(_answer(functions, str(name), str(session), arguments))  # type: ignore[arg-type] # a struct


def _answer(
    functions: Mapping[str, Callable[[Any, dict[str, str]], Any]], name: str, session: str, arguments: dict[str, str]
) -> str:
    if name not in functions:
        return _failed(["UNKNOWN_XENAPI_PLUGIN_FUNCTION", name])
    try:
        result = functions[name](_Session(session), arguments)
        return xmlrpc.client.dumps(({"Status": "Success", "Value": result},), methodresponse=True)
    except Failure as failure:
        return _failed(failure.params)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is the answer to its caller
        return _failed(["XENAPI_PLUGIN_FAILURE", name, type(error).__name__, str(error)])


def _failed(description: list[str]) -> str:
    return xmlrpc.client.dumps(({"Status": "Failure", "ErrorDescription": description},), methodresponse=True)
