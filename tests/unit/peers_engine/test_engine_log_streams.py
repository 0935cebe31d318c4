"""Logs of engines that mean no good, and of readers that take their time: what is kept of them is bounded."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.model import LogWish
from roadstead.peers.engine.bodies import WAITING_BYTES
from roadstead.peers.engine.messages.frames import PIECE_BYTES, Frames
from roadstead.peers.engine.messages.logs import LogReader, read_terminal
from tests.unit.peers_engine.logged import ID, MULTIPLEXED, PATH, RAW, begun, engine, frame, read
from tests.unit.peers_engine.pretender import Pretender
from tests.unit.peers_engine.scripted import End, Lost, Piece, answer, pieces

HEAD = f"HTTP/1.1 200 OK\r\n{MULTIPLEXED}\r\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LINE = frame(1, b"x" * 1000 + b"\n")


@given(
    frames=st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40)), max_size=8),
    size=st.integers(1, 60),
)
def test_frames_are_the_same_however_they_are_cut(frames: list[tuple[int, bytes]], size: int) -> None:
    """Empty ones are left out; nothing is made up."""
    body = b"".join(frame(stream, data) for stream, data in frames)
    parser = Frames()
    found = [(piece.stream, piece.data, piece.starts) for part in pieces(body, size) for piece in parser.feed(part)]

    assert found == [(stream, data, True) for stream, data in frames if data]
    assert not parser.is_within


@pytest.mark.parametrize("header", [b"\x04\0\0\0\0\0\0\1", b"\1\0\0\1\0\0\0\1", b"Error: x", b"\xff" * 8])
def test_what_is_no_frame_is_told(header: bytes) -> None:
    """An unknown stream, and a header that is not padded with zeros."""
    with pytest.raises(EngineError) as caught:
        list(Frames().feed(header))
    assert caught.value.code == "engine-answer-invalid"


def test_a_frame_of_4_gib_takes_no_memory() -> None:
    """It is handed on in pieces, and little of it is ever kept, whether it has lines or not."""
    for text in (b"x" * 997, b"x\n" * 499):
        reader = LogReader(is_framed=True, is_stamped=True)
        list(reader.feed(struct.pack(">BxxxI", 1, 2**32 - 1)))
        tracemalloc.start()
        try:
            for _ in range(2000):
                for entry in reader.feed(text):
                    assert len(entry.text) < PIECE_BYTES + 1000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2**20
        with pytest.raises(EngineError):
            list(reader.end())


def test_a_line_without_end_takes_no_memory() -> None:
    """With a terminal there are no frames either: it comes in parts, of which only the first has a time."""
    reader = LogReader(is_framed=False, is_stamped=True)
    found = list(reader.feed(b"2026-11-27T12:00:00Z "))
    for _ in range(100):
        found += reader.feed(b"x" * 1000)
    found += reader.feed(b"\n2026-11-27T12:00:01Z y\r\n")

    assert sum(len(entry.text) for entry in found) == 100_001
    assert [entry.time for entry in found if entry.time] == ["2026-11-27T12:00:00Z", "2026-11-27T12:00:01Z"]
    assert [entry.partial for entry in found[-2:]] == [False, False]


async def test_what_came_before_an_end_in_a_frame_is_read() -> None:
    """Then the error."""
    _, stream = await begun(engine(LINE + LINE[:-1], MULTIPLEXED))
    await stream.wait()
    assert len(stream.take()) == 1
    with pytest.raises(EngineError) as caught:
        await read(stream)
    assert "middle of a frame" in str(caught.value)


@pytest.mark.parametrize("end", [End(), Lost()])
async def test_a_broken_answer_is_told_after_what_came(end: End | Lost) -> None:
    """The link was lost, or the engine hung up."""
    made = engine(b"")
    made.link.script = _script(made, [CHUNKED + b"%x\r\n%b\r\n" % (len(LINE), LINE), end])
    _, stream = await begun(made)
    await stream.wait()
    assert len(stream.take()) == 1
    await stream.wait()
    with pytest.raises(LinkError if isinstance(end, Lost) else EngineError) as caught:
        stream.take()
    assert caught.value.code == ("link-lost" if isinstance(end, Lost) else "engine-down")


async def test_an_answer_without_framing_ends_with_the_stream() -> None:
    """As with HTTP/1.0."""
    made = engine(b"")
    made.link.script = _script(made, [HEAD + b"\r\n" + LINE, End()])
    _, stream = await begun(made)

    assert len(await read(stream)) == 1


async def test_a_container_that_writes_without_end_waits_for_its_reader() -> None:
    """The engine is made to wait when little more than the bound has come, and goes on when somebody reads."""
    piece = b"%x\r\n%b\r\n" % (len(LINE), LINE)
    made = engine(b"")
    made.link.script = _script(made, [CHUNKED, *[piece] * 1000])
    _, stream = await begun(made, LogWish(follow=True))
    channel = next(each for each in made.link.streams if b"/logs" in each.requests[0])

    async def settled() -> int:
        while not channel.paused:
            await asyncio.sleep(0)
        return channel.delivered

    first = await settled()
    assert first < WAITING_BYTES + 2 * len(piece) + len(CHUNKED)
    found = 0
    while found < 100:
        await stream.wait()
        found += len(stream.take())
        await settled()
        assert channel.delivered - first < found * len(piece) + WAITING_BYTES
    stream.close()


async def test_small_chunks_are_no_fault() -> None:
    """A container that prints dots is honest: each of them comes in a chunk, and there is no end to them."""
    dot = b"1\r\n.\r\n"
    made = engine(b"", tty=True, newest="1.41")
    script = _script(made, [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[dot * 5000] * 20, b"0\r\n\r\n"])
    made.link.script = script
    _, stream = await begun(made)

    assert sum(len(entry.text) for entry in await read(stream)) == 100_000


async def test_a_long_refusal_is_cut() -> None:
    """What an engine says in place of logs is told in short."""
    made = engine(b"")
    made.answers[PATH] = answer(b"no " * 10_000, 409)
    with pytest.raises(EngineError) as caught:
        await begun(made)
    assert caught.value.code == "engine-refused"
    assert len(str(caught.value)) < 2000


@pytest.mark.looptime
async def test_an_engine_that_does_not_begin_is_doubted() -> None:
    """In time; its channel is closed."""
    made = engine(b"")
    made.silent.add(PATH)
    client = made.client()
    await client.hello()
    with pytest.raises(EngineError) as caught:
        await client.logs(ID, LogWish())
    assert (caught.value.code, client.is_doubted) == ("engine-timed-out", True)
    while not made.link.streams[-1].ended:
        await asyncio.sleep(0)


@pytest.mark.parametrize("said", [b"{}", b'{"Config":{"Tty":"yes"}}', b"[]", b"no", b'{"Config":null}'])
def test_an_inspection_that_does_not_tell(said: bytes) -> None:
    """Then it is not guessed."""
    with pytest.raises(PeerError) as caught:
        read_terminal(said, 64)
    assert caught.value.code == "engine-answer-invalid"


def _script(made: Pretender, said: Sequence[Piece]) -> Callable[[int, bytes], Sequence[Piece]]:
    """``said`` in answer to the question for logs, everything else as the engine says it."""
    usual = made.link.script
    return lambda number, data: said if b"/logs" in data else usual(number, data)


@pytest.mark.parametrize("tty", [False, True], ids=["frames", "terminal"])
async def test_every_byte_is_told_where_it_is_asked_for(*, tty: bool) -> None:
    """Beside the text, where that does not tell it; otherwise nobody needs it twice."""
    said = [b"caf\xe9\r\n", b"\xc3\xbc\n", b"\r\n", b"\x00\xff\n", b"no end\xc3"]
    body = b"".join(said if tty else [frame(1, each) for each in said])
    made = engine(body, RAW if tty else MULTIPLEXED, tty=tty)
    _, stream = await begun(made, LogWish(exact=True))
    found = await read(stream)

    told = [(each.data or each.text.encode()) + (b"" if each.partial else b"\n") for each in found]
    assert told == said
    assert [bool(each.data) for each in found] == [True, False, True, True, True]
    assert not any(each.data for each in await read((await begun(made))[1]))
