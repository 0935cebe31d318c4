"""Streams over TLS between us and a real OpenSSL: what waits, what is lost, what an end is, and what an alert says."""

from __future__ import annotations

import asyncio
import fcntl
import random
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from roadstead.errors import LinkError
from roadstead.kit import tasks
from roadstead.kit.streams import Stream
from roadstead.peers.engine.bodies import BodyStream
from roadstead.peers.links import tls
from roadstead.peers.links.pacing import Share
from roadstead.peers.links.tls import TlsStream
from roadstead.settings.schema import EngineSettings
from tests.contract.links_contract import Sink
from tests.contract.tls_peer import Far, Peer, far

TURNS = 50
"""Of the loop, in which whatever is there to be read would have been read."""
PIECES = [b"%04d" % number * 25 for number in range(64)]
"""Each in a record of its own; all of them are read of the socket at once."""
LARGE = random.Random(7).randbytes(2**22)
"""More than both sockets take."""
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OWED_SECONDS = 1e5
"""Of a processor: nobody waits for its end."""
LITTLE_OWED = 0.2 * 0.15


@dataclass
class Pausing(Sink):
    """Pauses its stream at what comes, for as long as it is told to."""

    stream: Stream | None = None
    pauses: bool = True
    pieces: int = 0

    def data_received(self, data: bytes) -> None:
        self.pieces += 1
        if self.pauses and self.stream is not None:
            self.stream.pause_reading()
        super().data_received(data)

    def is_beyond(self, pieces: int) -> bool:
        """Whether more than so many came, or the end."""
        return self.pieces > pieces or bool(self.ends)


def unread(stream: TlsStream) -> int:
    """How many bytes wait in the socket of our end."""
    told = fcntl.ioctl(stream._wire.sock, termios.FIONREAD, bytes(4))  # noqa: SLF001 - the kernel alone knows
    return int(struct.unpack("i", told)[0])


async def turns() -> None:
    """Let the loop look at its sockets again and again."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def opened(over: Far, sink: Sink) -> TlsStream:
    """A stream; a sink that pauses knows it."""
    stream = await over.link.open(sink)
    assert isinstance(stream, TlsStream)
    if isinstance(sink, Pausing):
        sink.stream = stream
    return stream


@asynccontextmanager
async def meanwhile(do: Callable[..., Any], *given: object) -> AsyncIterator[asyncio.Task[Any]]:
    """Let a far end do something while the block does its part."""
    async with asyncio.TaskGroup() as group:
        yield tasks.spawn(group, asyncio.to_thread(do, *given), "far end")


def say_all(peer: Peer, pieces: list[bytes]) -> None:
    """Say them one after the other."""
    for piece in pieces:
        peer.say(piece)


async def test_a_paused_receiver_is_told_nothing_and_nothing_is_lost() -> None:
    """Neither of what OpenSSL has already, nor of what is in the socket; resumed, all comes in order, though the far
    end says no more.
    """
    async with far() as over:
        sink = Pausing()
        stream = await opened(over, sink)
        await asyncio.to_thread(say_all, over.peer, PIECES)
        await sink.wait_for(PIECES[0])
        await turns()
        first = sink.data
        await asyncio.to_thread(over.peer.say, b"the end")
        await until(lambda: unread(stream))
        await turns()
        assert (first, sink.data) == (PIECES[0], PIECES[0])

        stream.resume_reading()
        await sink.wait_for(PIECES[1])
        await turns()
        assert sink.data == PIECES[0] + PIECES[1]

        sink.pauses = False
        stream.resume_reading()
        await sink.wait_for(b"the end")
        assert sink.data == b"".join(PIECES) + b"the end"


async def test_a_pause_out_of_turn_holds_until_it_is_resumed() -> None:
    """Not only one that is asked for while data comes: the far end has to wait, and we hold next to nothing."""
    async with far() as over:
        sink = Sink()
        stream = await opened(over, sink)
        stream.pause_reading()
        stream.pause_reading()
        async with meanwhile(over.peer.say, LARGE) as saying:
            await until(lambda: unread(stream) > 2 * tls.READ_BYTES)
            await turns()
            held = stream._wire.incoming.pending  # noqa: SLF001 - what takes our memory
            assert (sink.data, held <= tls.READ_BYTES, saying.done()) == (b"", True, False)

            stream.resume_reading()
            await sink.wait_until(lambda: len(sink.data) == len(LARGE))
        assert sink.data == LARGE


async def test_a_receiver_that_pauses_at_every_piece_gets_all() -> None:
    """Megabytes of it, in order, however often it pauses: data is no flood."""
    async with far() as over:
        sink = Pausing()
        stream = await opened(over, sink)
        async with meanwhile(over.peer.say, LARGE):
            heard = 0
            while len(sink.data) < len(LARGE) and not sink.ends:
                await sink.wait_until(partial(sink.is_beyond, heard))
                heard += 1
                assert sink.pieces == heard
                stream.resume_reading()
        assert (sink.data == LARGE, sink.ends) == (True, [])
        assert heard >= len(LARGE) // 2**14


async def test_what_the_socket_does_not_take_at_once_is_sent_later() -> None:
    """Whole and in order, also what is written meanwhile; afterwards the loop watches no socket for nothing."""
    async with far() as over:
        stream = await opened(over, Sink())
        stream.write(LARGE)
        assert stream._wire.unsent > 0  # noqa: SLF001 - else this tests nothing
        stream.write(b"the end")
        heard = await asyncio.to_thread(over.peer.hears, len(LARGE) + 7)
        watched = asyncio.get_running_loop().remove_writer(stream._wire.sock)  # noqa: SLF001 - what the loop watches
        assert (heard == LARGE + b"the end", watched, stream._wire.unsent) == (True, False, 0)  # noqa: SLF001


async def test_both_ways_at_once() -> None:
    """While a write is blocked the stream is read, and what is read does not get into what is written."""
    async with far() as over:
        sink = Sink()
        stream = await opened(over, sink)
        stream.write(LARGE)
        await asyncio.to_thread(say_all, over.peer, PIECES)
        await sink.wait_for(PIECES[-1])
        assert stream._wire.unsent > 0  # noqa: SLF001 - it is blocked still
        heard = await asyncio.to_thread(over.peer.hears, len(LARGE))
        assert (heard == LARGE, sink.data) == (True, b"".join(PIECES))


async def test_who_ends_a_blocked_stream_leaves_nothing() -> None:
    """The receiver is told once, the socket is closed and watched no more, the link forgets the stream."""
    async with far() as over:
        sink, loop = Sink(), asyncio.get_running_loop()
        stream = await opened(over, sink)
        number = stream._wire.sock.fileno()  # noqa: SLF001 - what the loop watches
        stream.write(LARGE)
        stream.abort()
        assert (loop.remove_writer(number), loop.remove_reader(number)) == (False, False)
        assert await asyncio.to_thread(over.peer.hears_the_end)
        await turns()
        assert (sink.ends, over.link.streams) == ([None], set())


ENDS: dict[str, tuple[Callable[[Peer], None], str]] = {
    "a farewell": (Peer.says_goodbye, ""),
    "nothing": (Peer.close, "link-lost"),
    "a reset": (Peer.resets, "link-lost"),
}


@pytest.mark.parametrize("way", ENDS)
async def test_a_cut_is_no_end(way: str) -> None:
    """Only whoever has the keys can end a stream: a connection that closes without a farewell was cut, maybe by
    somebody in between. What came before is told in each case.
    """
    end, code = ENDS[way]
    async with far() as over:
        sink = Sink()
        stream = await opened(over, sink)
        await asyncio.to_thread(over.peer.say, b"said")
        await sink.wait_for(b"said")
        async with meanwhile(end, over.peer):
            await sink.wait_until_ended()
        stream.write(b"too late")
        await turns()

    assert [getattr(error, "code", "") for error in sink.ends] == [code]
    assert sink.data == b"said"


async def test_half_a_record_is_no_end() -> None:
    """It is a cut, and nothing of it is told."""
    async with far() as over:
        sink = Sink()
        await opened(over, sink)
        await asyncio.to_thread(over.peer.cuts_a_record, b"x" * 1000)
        await sink.wait_until_ended()

    assert ([getattr(error, "code", "") for error in sink.ends], sink.data) == (["link-lost"], b"")


async def test_what_waits_at_the_end_is_told_before_it() -> None:
    """A receiver that had paused gets all of it, then the farewell."""
    async with far() as over:
        sink = Pausing()
        stream = await opened(over, sink)
        await asyncio.to_thread(say_all, over.peer, PIECES)
        await asyncio.to_thread(over.peer.says_goodbye)
        await sink.wait_for(PIECES[0])
        await turns()
        assert (sink.data, sink.ends) == (PIECES[0], [])
        sink.pauses = False
        stream.resume_reading()
        await sink.wait_until_ended()

    assert (sink.data, sink.ends) == (b"".join(PIECES), [None])


@pytest.mark.parametrize(("end", "is_whole"), [(Peer.says_goodbye, True), (Peer.close, False)], ids=["end", "cut"])
async def test_an_answer_that_ends_with_its_stream_is_not_cut_short(
    end: Callable[[Peer], None], *, is_whole: bool
) -> None:
    """Logs of a terminal may be such a one: half of it is told as half."""
    async with far() as over:
        body = BodyStream(over.link, EngineSettings())
        async with meanwhile(over.peer.answers, b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\n\r\nhalf"):
            await body.open(REQUEST)
        await asyncio.to_thread(end, over.peer)
        taken, told = await _taken(body)
        body.close()

    assert (taken, told) == (b"half", "" if is_whole else "link-lost")


async def _taken(body: BodyStream) -> tuple[bytes, str]:
    """All of a body, and the code of what broke it off."""
    taken = b""
    try:
        while True:
            await body.wait()
            if not (data := body.take(2**14)):
                return taken, ""
            taken += data
    except LinkError as error:
        return taken, error.code


FATAL = 2
ALERTS = {
    42: "it calls it bad",
    43: "it is not of a kind that it takes",
    44: "it says that it was revoked",
    45: "it says that it has expired",
    46: "it does not say why",
    48: "it does not know the CA that signed it",
    49: "it is not allowed in",
    51: "it cannot verify it",
    116: "it got none",
}
"""RFC 8446, 6.2, and what each says of our certificate."""


@pytest.mark.parametrize("number", ALERTS)
async def test_an_alert_says_why_we_are_refused(number: int) -> None:
    """In the words of each, as the first thing that is read."""
    async with far() as over:
        sink = Sink()
        await opened(over, sink)
        await asyncio.to_thread(over.peer.alert, FATAL, number)
        await sink.wait_until_ended()

    (error,) = sink.ends
    assert isinstance(error, LinkError)
    assert (error.code, error.fields.get("reason")) == ("tls-client-rejected", ALERTS[number])


@pytest.mark.parametrize("number", [10, 20, 22, 40, 47, 50, 70, 80, 109, 120])
async def test_another_alert_is_no_refusal(number: int) -> None:
    """It ends the stream as one that was lost."""
    async with far() as over:
        sink = Sink()
        await opened(over, sink)
        await asyncio.to_thread(over.peer.alert, FATAL, number)
        await sink.wait_until_ended()

    assert [getattr(error, "code", "") for error in sink.ends] == ["link-lost"]


@pytest.mark.blocking
async def test_an_alert_is_read_though_nothing_can_be_written_any_more() -> None:
    """An engine that refuses us says so and hangs up: our request fails before its reason is read, and the reason is
    told all the same.
    """
    async with far() as over:
        sink = Sink()
        stream = await opened(over, sink)
        # Without a turn of the loop in between: it would read the alert first.
        over.peer.alert(FATAL, 48)
        over.peer.resets()
        stream.write(b"GET")
        await sink.wait_until_ended()

    assert [getattr(error, "code", "") for error in sink.ends] == ["tls-client-rejected"]


async def test_openssl_answers_while_we_have_nothing_to_say() -> None:
    """A wish for new keys: what it says by itself is sent at once, and the stream goes on."""
    async with far() as over:
        sink = Sink()
        stream = await opened(over, sink)
        # OpenSSL answers a wish when the next one comes, or with what we write.
        for _ in range(2):
            await asyncio.to_thread(over.peer.ask_for_new_keys)
        assert await asyncio.to_thread(over.peer.hears_something)
        await turns()
        assert sink.ends == []
        stream.abort()


async def _pinged(over: Far, stream: TlsStream, sink: Sink, number: int) -> None:
    """Say something there and back."""
    text = b"<%d>" % number
    stream.write(text)
    assert await asyncio.to_thread(over.peer.hears, len(text)) == text
    await asyncio.to_thread(over.peer.say, text)
    await sink.wait_for(text)


async def test_a_guest_that_owes_waits_on_all_its_connections_and_no_other_does() -> None:
    """One share for each guest: more connections of it get no more, and its neighbour is heard as ever."""
    async with far() as restless, far() as neighbour:
        sinks = [Sink(), Sink()]
        streams = [await opened(restless, sinks[0])]
        async with meanwhile(restless.accept) as accepting:
            streams.append(await opened(restless, sinks[1]))
        peers = [restless.peer, accepting.result()]
        restless.link.share.spend(OWED_SECONDS)
        for peer, sink in zip(peers, sinks, strict=True):
            await asyncio.to_thread(peer.say, b"heard")
            await sink.wait_for(b"heard")
        for peer, stream in zip(peers, streams, strict=True):
            await asyncio.to_thread(peer.say, b"not yet")
            await until(partial(unread, stream))
            # What the receiver wants does not count while something is owed.
            stream.pause_reading()
            stream.resume_reading()

        other = Sink()
        stream = await opened(neighbour, other)
        for number in range(20):
            await _pinged(neighbour, stream, other, number)
        assert [sink.data for sink in sinks] == [b"heard", b"heard"]
        assert [sink.ends for sink in sinks] == [[], []]


async def test_who_has_paid_is_heard_again() -> None:
    """Nothing of what waited is lost; and one whose receiver paused meanwhile is not read before that wants it."""
    async with far() as over:
        sink = Sink()
        stream = await opened(over, sink)
        over.link.share = Share()  # of no use to a stream that is open: it keeps the one it was opened with
        stream._pace._share.spend(0.1 + LITTLE_OWED)  # noqa: SLF001 - all that may be taken at once, and a little more
        await asyncio.to_thread(over.peer.say, b"one")
        await sink.wait_for(b"one")
        stream.pause_reading()
        await asyncio.to_thread(over.peer.say, b"two")
        await until(lambda: stream._is_due and unread(stream))  # noqa: SLF001 - that nobody is told of
        await turns()
        assert sink.data == b"one"
        stream.resume_reading()
        await sink.wait_for(b"two")
