"""Simulated guests in child processes, seen from the process that made them.

One process serves about 2,000 guests.  Children are told what to do by lines of JSON over their standard input and
answer over their standard output, one line each; when the input ends, as it does when the parent dies, they end.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Literal, Self

import msgspec

from roadstead.errors import ConflictError
from roadstead.lab.guests import keys
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.guest import Lot

ANSWER_SECONDS = 60.0
ANSWER_BOUND_BYTES = 256 * 1024 * 1024
END_SECONDS = 5.0

Verb = Literal["start", "stop", "destroy", "new_host_key", "truth", "misbehave", "admit"]


class Setup(msgspec.Struct):
    """The first line to a child: what its guests have in common."""

    user: str
    host_keys: keys.KeyFile
    seed: int
    block: int
    port: int
    profile: str
    is_tls: bool = False


class Make(msgspec.Struct, tag="make"):
    """Make a guest."""

    name: str
    number: int
    count: int


class Tell(msgspec.Struct, tag="tell"):
    """Call a method of a guest."""

    number: int
    verb: Verb
    names: tuple[str, ...] = ()


class Authorize(msgspec.Struct, tag="authorize"):
    """Let the owners of these keys in."""

    lines: tuple[str, ...]


class Rate(msgspec.Struct, tag="rate"):
    """Container events per second of all guests of the child; the one order that is not answered."""

    events_per_second: float


Order = Make | Tell | Authorize | Rate


class Done(msgspec.Struct):
    """The answer to an order."""

    error: str = ""
    truth: list[dict[str, object]] = []


class Child:
    """One child process with simulated guests."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._owed = 0
        """Answers that are still to come: more than one when the wait for an earlier one was given up."""
        self.guests = 0

    @classmethod
    async def spawn(cls, setup: Setup) -> Self:
        """Start a child; raises OSError when it does not come up."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from roadstead.lab.guests.worker import main; main()",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=ANSWER_BOUND_BYTES,
            # Ctrl-C is for the parent, which ends its children in order.
            start_new_session=True,
        )
        child = cls(process)
        try:
            await child._exchange(msgspec.json.encode(setup))
        except BaseException:
            await child.close()
            raise
        return child

    async def order(self, order: Order) -> Done:
        """Have an order carried out; raises OSError with the child's words when it fails."""
        done = await self._exchange(msgspec.json.encode(order))
        if done.error:
            raise OSError(done.error)
        return done

    def set_rate(self, events_per_second: float) -> None:
        """Container events per second of all guests of the child; a child that has ended is told nothing."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(msgspec.json.encode(Rate(events_per_second)) + b"\n")

    async def close(self) -> None:
        """End the child."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _exchange(self, line: bytes) -> Done:
        to_child, from_child = self._process.stdin, self._process.stdout
        if to_child is None or from_child is None:
            raise OSError("a process of simulated guests has no pipes")
        async with self._turn, asyncio.timeout(ANSWER_SECONDS):
            to_child.write(line + b"\n")
            self._owed += 1
            await to_child.drain()
            answer = b""
            while self._owed:
                answer = await from_child.readline()
                if not answer:
                    raise OSError("a process of simulated guests has ended")
                self._owed -= 1
        return msgspec.json.decode(answer, type=Done)


class DistantGuest:
    """A simulated guest of a child process."""

    door: tuple[str, ...] = ()

    def __init__(
        self, name: str, number: int, address: tuple[str, int], lot: Lot, child: Child, authority: Authority | None
    ) -> None:
        self.name = name
        self.number = number
        self.user = lot.user
        self._lot = lot
        self._address, self.port = address
        self._child = child
        self.tls = authority.keys() if authority is not None else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The one address that it announces."""
        return (self._address,)

    async def start(self) -> None:
        """Accept connections."""
        await self._tell("start")

    async def stop(self) -> None:
        """Accept no more."""
        await self._tell("stop")

    async def destroy(self) -> None:
        """Stop, and forget the containers."""
        await self._tell("destroy")

    async def new_host_key(self) -> None:
        """Show another host key."""
        await self._lot.renew(self.number)
        await self._tell("new_host_key")

    async def pin(self) -> str:
        """Its host key in base64."""
        host_keys = self._lot.host_keys
        key = keys.ed25519_key(host_keys.secret, self.number, host_keys.generations.get(str(self.number), 0))
        return key.export_public_key().decode().split()[1]

    async def admit(self, public_key: str) -> None:
        """Let the owner of this key in, too."""
        await self._tell("admit", (public_key,))

    async def make_raw(self, password: str) -> None:
        """There is nothing in it that could be prepared. Raises `ConflictError` ``lab-guest-without-inside``."""
        raise ConflictError("lab-guest-without-inside", vm=self.name)

    async def truth(self) -> list[dict[str, object]]:
        """Its containers."""
        return (await self._tell("truth")).truth

    async def misbehave(self, *names: str) -> None:
        """Do these wrong from now on, and nothing else."""
        await self._tell("misbehave", names)

    async def _tell(self, verb: Verb, names: tuple[str, ...] = ()) -> Done:
        return await self._child.order(Tell(self.number, verb, names))
