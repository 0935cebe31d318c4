"""The operator's SSH agent is lent to the server for one call about one VM: requests to sign come, answers are posted.

It is lent by a stream that this process holds open; the agent itself is never reached by anybody but this process.
"""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import DecodeError, Struct, json

from roadstead.cli.api import client
from roadstead.cli.api.ssh_agent import Agent, NotSigned
from roadstead.errors import RoadsteadError, ServerError


class Request(Struct, frozen=True):
    """What the server says: in the first line the name under which it knows the agent, then requests to sign."""

    agent: str = ""
    request: str = ""
    key: str = ""
    data: str = ""
    flags: int = 0


class Answered(Struct, frozen=True):
    """That an answer arrived."""

    request: str


@contextmanager
def lent(connected: client.Client, vm: str, agent: Agent | None) -> Iterator[dict[str, str]]:
    """Lend ``agent``, if there is one, in this block; yield what the call about ``vm`` is told of it.

    Raises `client.Refused` and `ServerError`.
    """
    if agent is None:
        yield {}
        return
    path = f"/vms/{client.part(vm)}/agent"
    keys = [base64.b64encode(key).decode() for key in agent.keys]
    stream = client.Client(connected.server, client.SILENCE_SECONDS).begin(path, {"keys": keys})
    requests = _requests(stream)
    try:
        name = next(requests, Request()).agent
        lender = _Lender(connected, f"{path}/answer", name, agent)
        threading.Thread(target=lender.work, args=(requests,), name=f"agent for {vm}", daemon=True).start()
        yield {"agent": name}
    finally:
        stream.cut()


class _Lender:
    """Signs what is asked for, until the stream ends."""

    def __init__(self, connected: client.Client, path: str, name: str, agent: Agent) -> None:
        self._connected = connected
        self._path = path
        self._name = name
        self._agent = agent

    def work(self, requests: Iterator[Request]) -> None:
        """Answer ``requests``; whoever waits for the call itself is told of a server that is gone."""
        try:
            for asked in requests:
                said = {"agent": self._name, "request": asked.request, **self._answer(asked)}
                self._connected.post(Answered, self._path, said)
        except (client.Refused, RoadsteadError):
            return

    def _answer(self, asked: Request) -> dict[str, str]:
        try:
            signature = self._agent.sign(base64.b64decode(asked.key), base64.b64decode(asked.data), asked.flags)
        except (NotSigned, ValueError) as error:
            return {"refusal": str(error)}
        return {"signature": base64.b64encode(signature).decode()}


def _requests(stream: client.Waiting) -> Iterator[Request]:
    for line in stream.lines():
        if line.strip():
            try:
                yield json.decode(line, type=Request)
            except DecodeError as error:
                raise ServerError("server-answer-invalid", address=stream.server) from error
