"""The stream by which an operator's SSH agent is lent: JSON objects, one on a line, until whoever lends it hangs up."""

from collections.abc import AsyncIterator

from msgspec import json
from starlette.types import Receive, Scope, Send

from roadstead.act.preparing.lent_agents import LentAgent, LentAgents
from roadstead.serve.answers import LINES, Patient
from roadstead.serve.calls import Readers

HEARTBEAT_SECONDS = 15.0
"""How often a silent stream says that it lives."""
LENT_SECONDS = 1800.0
"""How long an agent is lent at most; the longest call installs an engine."""
_HEARTBEAT = b"\n"
_encoder = json.Encoder()


class AgentStream(Patient):
    """What is asked of an agent, which is taken back when this is over, however it ends, or is never begun."""

    def __init__(self, agents: LentAgents, lent: LentAgent, readers: Readers) -> None:
        super().__init__(lines(lent, readers), media_type=LINES)
        self._agents, self._lent = agents, lent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; called by Starlette."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._agents.take_back(self._lent)


async def lines(lent: LentAgent, readers: Readers) -> AsyncIterator[bytes]:
    """Yield what is asked of the agent, until the server stops."""
    for _ in range(int(LENT_SECONDS / HEARTBEAT_SECONDS)):
        if readers.stopping:
            return
        await readers.wait(lent.wait, HEARTBEAT_SECONDS)
        yield b"".join(_encoder.encode(asked) + b"\n" for asked in lent.take()) or _HEARTBEAT
