"""SSH agents that operators lend for one call: the command that prepares a VM stays connected, and signs when asked.

The agent belongs to the operator and the server is another account, so the agent is not reached from here: whoever
lends it holds a stream open, on which requests for signatures come, and answers each by its one-time id. An agent is
lent for one VM, by whoever opened the stream, and is gone with that stream.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from roadstead.act.audit import Actor, actor
from roadstead.errors import ConflictError, InputError
from roadstead.model import VmId
from roadstead.peers.links import messages
from roadstead.peers.links.operator_agents import SIGN_SECONDS, OperatorAgent

AGENTS = 64
"""How many are lent at once: each holds a stream open."""
GONE = "the command that lent it has ended"


class AgentRequest(Struct, frozen=True, kw_only=True):
    """What is said to whoever lends an agent. The first one names the ``agent``, for the call that may use it; every
    further one asks to sign ``data`` (base64; what RFC 4252 §7 has signed in a sign-in) with ``key`` (base64 of the
    public half), with the ``flags`` of the agent's protocol.
    """

    agent: str = ""
    request: str = ""
    key: str = ""
    data: str = ""
    flags: int = 0


class LentAgent:
    """One agent while it is lent; ``wait`` and ``take`` are its stream's."""

    def __init__(self, vm: VmId, keys: Sequence[str]) -> None:
        self.id = secrets.token_urlsafe(32)
        self.vm = vm
        self.owner: Actor = actor()
        self.keys = tuple(keys)
        self._asked = deque([AgentRequest(agent=self.id)])
        self._news = asyncio.Event()
        self._news.set()
        self._answers: dict[str, asyncio.Future[bytes]] = {}
        self._is_gone = False

    async def wait(self) -> None:
        """Wait until something is to be said."""
        await self._news.wait()

    def take(self) -> list[AgentRequest]:
        """Return what is to be said."""
        self._news.clear()
        asked = list(self._asked)
        self._asked.clear()
        return asked

    async def sign(self, key: bytes, data: bytes, flags: int) -> bytes:
        """Have ``data`` signed. Raises `ValueError` with the reason why it was not."""
        if self._is_gone:
            raise ValueError(GONE)
        id, answer = secrets.token_urlsafe(16), asyncio.get_running_loop().create_future()
        self._answers[id] = answer
        asked = AgentRequest(request=id, key=messages.encoded(key), data=messages.encoded(data), flags=flags)
        self._asked.append(asked)
        self._news.set()
        try:
            async with asyncio.timeout(SIGN_SECONDS):
                return bytes(await answer)
        except TimeoutError as error:
            raise ValueError(f"it gave no signature within {SIGN_SECONDS:.0f} s") from error
        finally:
            del self._answers[id]

    def answer(self, request: str, signature: bytes, refusal: str) -> None:
        """Hand over what the agent said to a request; without a signature the ``refusal`` says why. A request that
        nobody waits for any more is passed over.
        """
        answer = self._answers.get(request)
        if answer is None or answer.done():
            return
        if signature:
            answer.set_result(signature)
        else:
            answer.set_exception(ValueError(refusal or "it refuses to"))

    def end(self) -> None:
        """It is lent no longer: what is asked of it is refused."""
        self._is_gone = True
        for request in self._answers:
            self.answer(request, b"", GONE)


class LentAgents:
    """All agents that are lent now."""

    def __init__(self) -> None:
        self._agents: dict[str, LentAgent] = {}

    def lend(self, vm: VmId, keys: Sequence[str]) -> LentAgent:
        """Lend an agent that holds ``keys`` (base64 of their blobs) for a call about ``vm``, until `take_back`.

        Raises `InputError` ``agent-empty`` and `ConflictError` ``too-many-agents``.
        """
        lent = LentAgent(vm, keys)
        if not OperatorAgent(keys, lent.sign).keys:
            raise InputError("agent-empty", reason="none is Ed25519, ECDSA or RSA")
        if len(self._agents) >= AGENTS:
            raise ConflictError("too-many-agents", limit=AGENTS)
        self._agents[lent.id] = lent
        return lent

    def take_back(self, lent: LentAgent) -> None:
        """End the lending."""
        self._agents.pop(lent.id, None)
        lent.end()

    def used(self, vm: VmId, id: str) -> LentAgent:
        """Return the agent ``id``, which whoever asks now lent for ``vm``. Raises `ConflictError` ``agent-gone``."""
        lent = self._agents.get(id)
        if lent is None or (lent.vm, lent.owner) != (vm, actor()):
            raise ConflictError("agent-gone")
        return lent

    def sign_in(self, vm: VmId, id: str) -> OperatorAgent:
        """Return what signs in to ``vm`` with the agent ``id``. Raises `ConflictError` ``agent-gone``."""
        lent = self.used(vm, id)
        return OperatorAgent(lent.keys, lent.sign)
