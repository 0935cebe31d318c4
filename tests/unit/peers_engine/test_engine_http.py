"""The HTTP client against an engine that says what a test wrote down."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.kit.gates import Budget
from roadstead.peers.engine.http import FREE_BYTES, Answer, Http, Reader, request
from roadstead.settings.schema import EngineSettings
from tests.unit.peers_engine.scripted import End, Lost, Piece, ScriptedLink, answer, chunked, pieces, same

SETTINGS = EngineSettings(answer_bytes=2**18, header_bytes=2**12, answer_seconds=5.0)
BODY = b'{"ok": true}'


def _http(link: ScriptedLink, budget: Budget | None = None) -> Http:
    return Http(link, SETTINGS, budget or Budget(2**28, 2**23))


async def _error(link: ScriptedLink) -> PeerError:
    with pytest.raises(PeerError) as caught:
        await _http(link).get("/x")
    return caught.value


@pytest.mark.looptime
@pytest.mark.parametrize(("idle", "streams"), [(20.0, 2), (0.0, 1)])
async def test_a_channel_that_nobody_uses_is_given_up_where_the_link_says_so(idle: float, streams: int) -> None:
    """Each use begins its time anew; the next request then opens another."""
    link = same(answer(BODY))
    link.idle_seconds = idle
    http = _http(link)
    for pause in (15, 15, 21):
        await http.get("/x")
        await asyncio.sleep(pause)
    assert (await http.get("/x")).body == BODY
    http.close()

    assert len(link.streams) == streams


def test_a_request_names_no_body_unless_it_could_have_one() -> None:
    """A request is never half-closed, so its end is in its head."""
    assert request("GET", "/x") == b"GET /x HTTP/1.1\r\nHost: engine\r\n\r\n"
    assert request("POST", "/x") == b"POST /x HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("said", [answer(BODY), chunked(BODY), chunked(*pieces(BODY, 1))])
async def test_an_answer_may_come_in_any_pieces(said: bytes, size: int) -> None:
    """Length and chunks both end an answer, however it is cut on the way."""
    got = await _http(same(*pieces(said, size))).get("/x")

    assert (got.status, got.body, got.cut) == (200, BODY, False)


@given(st.binary(max_size=2000), st.lists(st.integers(1, 300), min_size=1, max_size=20), st.booleans())
def test_any_body_in_any_pieces(body: bytes, sizes: list[int], in_chunks: bool) -> None:  # noqa: FBT001
    """What arrives is what was sent."""
    said = chunked(*([body] if body else [])) if in_chunks else answer(body)

    def cut() -> Iterator[bytes]:
        rest = said
        for size in itertools.cycle(sizes):
            if not rest:
                return
            yield rest[:size]
            rest = rest[size:]

    async def ask() -> Answer:
        return await _http(same(*cut())).get("/x")

    assert asyncio.run(ask()).body == body


async def test_requests_share_one_stream_in_turn() -> None:
    """Reads that are asked for at once go over one stream, one after the other, each with its own answer."""
    link = ScriptedLink(lambda _, data: [answer(data.split()[1])])
    http = _http(link)
    answers = await asyncio.gather(*(http.get(f"/{number}") for number in range(20)))

    assert [got.body for got in answers] == [f"/{number}".encode() for number in range(20)]
    assert len(link.streams) == 1


async def test_a_request_that_may_take_its_time_has_a_stream_of_its_own() -> None:
    """An operation does not keep reads waiting, and its stream ends with it."""
    said = {b"POST": [], b"GET": [answer(BODY)]}
    link = ScriptedLink(lambda _, data: said[data.split()[0]])
    http = _http(link)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(http.alone("POST", "/stop", 30.0))
        while not (link.streams and link.streams[0].requests):
            await asyncio.sleep(0)
        assert (await http.get("/x")).body == BODY
        link.streams[0].say(answer(b"", 204))
    await asyncio.sleep(0)

    assert slow.result().status == 204
    assert [stream.ended for stream in link.streams] == [True, False]


async def test_a_stream_that_the_engine_closed_while_idle_is_opened_again() -> None:
    """Once, and only for a kept stream: an engine that closes a new one at once is down."""
    link = ScriptedLink(lambda number, _: [answer(BODY)] if number != 1 else [answer(BODY), End()])
    http = _http(link)
    await http.get("/a")
    link.streams[0].say(End())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await http.get("/b")
    await http.get("/c")

    assert len(link.streams) == 3
    assert (await _error(same(End()))).code == "engine-down"


async def test_a_stream_that_closes_under_a_request_is_tried_again() -> None:
    """The engine may close a kept stream at the very moment of a request."""
    asked: list[int] = []

    def script(number: int, _: bytes) -> list[Piece]:
        asked.append(number)
        return [End()] if asked == [0, 0] else [answer(BODY)]

    http = _http(ScriptedLink(script))
    await http.get("/a")

    assert (await http.get("/b")).body == BODY
    assert asked == [0, 0, 1]


@pytest.mark.parametrize("ending", [[answer(BODY, 200, "Connection: close")], [answer(BODY), End()]])
async def test_a_stream_is_not_used_again_after_its_end(ending: list[Piece]) -> None:
    """Whether announced or not."""
    link = same(*ending)
    http = _http(link)
    for _ in range(3):
        await http.get("/x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert len(link.streams) == 3


async def test_without_framing_the_end_of_the_stream_ends_the_answer() -> None:
    """As HTTP/1.0 has it; with framing the end comes too early."""
    got = await _http(same(b"HTTP/1.0 200 OK\r\n\r\n", BODY, End())).get("/x")
    assert got.body == BODY

    early = await _error(same(answer(BODY)[:-1], End()))
    assert early.code == "engine-down"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body(status: int) -> None:
    """Some statuses have none, whatever the headers say."""
    link = same(f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\n\r\n".encode())
    http = _http(link)

    assert (await http.get("/x")).status == status
    assert (await http.get("/x")).body == b""
    assert len(link.streams) == 1


async def test_announcements_are_passed_over() -> None:
    """A status below 200 is followed by the one that counts."""
    got = await _http(same(b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" + answer(BODY))).get("/x")

    assert (got.status, got.body) == (200, BODY)
    assert "x-a" not in got.headers


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    """It is never followed."""
    link = same(answer(b"", 301, "Location: http://elsewhere/"))

    assert (await _http(link).get("/x")).status == 301
    assert len(link.streams) == 1


@pytest.mark.parametrize(
    "said",
    [
        [b"SSH-2.0-OpenSSH_9.2\r\n"],
        [b"\x00\x01\x02" * 100],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"],
        [answer(BODY) + answer(BODY)],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000],
        [b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000 + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: ", *[b"a" * 500] * 20],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", *[b"a" * 500] * 20],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", *[b"X: b\r\n" * 50] * 30],
    ],
)
async def test_what_no_engine_says_ends_the_stream(said: list[Piece]) -> None:
    """Garbage, broken framing, upgrades, compression, two answers, and headers, extensions or trailers without end."""
    link = same(*said)

    assert (await _error(link)).code == "engine-answer-invalid"
    await asyncio.sleep(0)
    assert link.streams[0].ended


async def test_what_nobody_asked_for_ends_the_stream() -> None:
    """Bytes on an idle stream would be taken for the next answer."""
    link = same(answer(BODY))
    http = _http(link)
    await http.get("/x")
    link.streams[0].say(answer(b"forged"))
    for _ in range(4):
        await asyncio.sleep(0)

    assert (await http.get("/x")).body == BODY
    assert len(link.streams) == 2


async def test_chunks_smaller_than_their_frames_end_soon() -> None:
    """Each costs as much as one of a kilobyte: eight megabytes in bytes would take the time of all others."""
    link = same(*pieces(chunked(*[b" "] * 50_000), 2**11))
    error = await _error(link)

    assert (error.code, error.fields["reason"]) == ("engine-answer-invalid", "it comes in too small pieces")
    assert link.streams[0].delivered <= 4 * SETTINGS.header_bytes


async def test_a_long_stream_of_small_pieces_goes_on() -> None:
    """What outweighs its frames may go on for ever, as events do; a body of a few tiny chunks is none to speak of."""
    events = [b'{"Type":"container"}\n'] * 20_000
    tiny = [b"x"] * 500

    assert len((await _http(same(*pieces(chunked(*tiny, *events[:4000]), 2**11))).get("/x")).body) == 500 + 4000 * 21
    reader = Reader(SETTINGS.header_bytes, lambda _: None)
    for piece in pieces(chunked(*events), 2**11):
        reader.feed(piece)
    assert reader.complete


async def test_many_small_chunks_take_no_more_memory_than_a_few() -> None:
    """Who sends chunks chooses how many; each kept by itself would take 20 times what it brings."""
    link = same(*pieces(chunked(*pieces(b"x" * 2**17, 6)), 2**15))
    tracemalloc.start()
    try:
        assert len((await _http(link).get("/x")).body) == 2**17
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 6 * 2**17


@pytest.mark.parametrize("said", [answer(b"x" * 2**19), chunked(*[b"x" * 2**15] * 16)])
async def test_a_body_over_its_bound_is_cut(said: bytes) -> None:
    """The stream ends, nothing of the body is kept, and the caller is told."""
    link = same(*pieces(said, 50_000))
    got = await _http(link).get("/x")

    assert (got.cut, got.body) == (True, b"")
    await asyncio.sleep(0)
    assert link.streams[0].ended


async def test_a_body_over_its_bound_may_go_on() -> None:
    """What comes before the caller knows is a part of the same large answer, and nothing worse."""
    link = same()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_http(link).get("/x"))
        while not (link.streams and link.streams[0].requests):
            await asyncio.sleep(0)
        whole = answer(b"x" * 2 * SETTINGS.answer_bytes)
        link.streams[0].deliver(whole[: -SETTINGS.answer_bytes // 2])
        link.streams[0].deliver(whole[-SETTINGS.answer_bytes // 2 :])

    assert asking.result().cut


@pytest.mark.parametrize("size", [FREE_BYTES - 1, FREE_BYTES, FREE_BYTES + 1, 2**18])
async def test_a_body_within_its_bound_is_whole(size: int) -> None:
    """Also at the edges of what is free and what is allowed."""
    got = await _http(same(*pieces(answer(b"x" * size), 10_000))).get("/x")

    assert (got.cut, len(got.body)) == (False, size)


@pytest.mark.parametrize("said", [answer(b"x" * 2**19), chunked(*[b"x" * 2**15] * 16)])
async def test_what_goes_on_beyond_the_bound_is_no_other_fault(said: bytes) -> None:
    """One read brings many packets, and all that follow those over the bound come before anybody can end the stream."""
    link = same()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_http(link).get("/x"))
        while not (link.streams and link.streams[0].requests):
            await asyncio.sleep(0)
        for piece in pieces(said, 2**15):
            link.streams[0].deliver(piece)

    assert asked.result().cut


async def test_large_answers_wait_for_room() -> None:
    """The process holds no more than its budget; small answers pass meanwhile, and the stream is stopped."""
    budget = Budget(SETTINGS.answer_bytes, SETTINGS.answer_bytes)
    large, small = same(*pieces(answer(b"x" * 2**17), 10_000)), same(answer(BODY))
    async with asyncio.TaskGroup() as group:
        with budget.share() as share:
            await share.grow(SETTINGS.answer_bytes)
            waiting = group.create_task(_http(large, budget).get("/x"))
            while not (large.streams and large.streams[0].paused):
                await asyncio.sleep(0)
            assert (await _http(small, budget).get("/x")).body == BODY
            assert not waiting.done()
    assert len(waiting.result().body) == 2**17
    assert budget.free == budget.total


async def test_large_answers_together_stay_within_the_budget() -> None:
    """Of thirty that come at once all get through, and never is more on its way than they may hold together."""
    piece, total = 2**12, 3 * SETTINGS.answer_bytes
    budget, most = Budget(total, SETTINGS.answer_bytes), 0
    said = pieces(answer(b"x" * (SETTINGS.answer_bytes - piece)), piece)
    links = [same(*said) for _ in range(30)]
    async with asyncio.TaskGroup() as group:
        asked = [(link, group.create_task(_http(link, budget).get("/x"))) for link in links]
        while not all(task.done() for _, task in asked):
            await asyncio.sleep(0)
            under_way = [stream.delivered for link, task in asked if not task.done() for stream in link.streams]
            most = max(most, sum(size for size in under_way if size > FREE_BYTES + 2 * piece))
    assert SETTINGS.answer_bytes < most <= total + 2 * 30 * piece
    assert budget.free == total


@pytest.mark.looptime
async def test_many_that_stop_halfway_hold_up_nobody() -> None:
    """What a guest has not sent is not held for it, and who sends nothing more is given up soon."""
    settings = EngineSettings()
    budget = Budget(settings.in_flight_bytes, settings.answer_bytes)
    stopped = [same(*pieces(answer(b"x" * 200_000)[:100_000], 20_000)) for _ in range(300)]
    honest = same(*pieces(answer(b"x" * 2**20), 2**15))
    async with asyncio.TaskGroup() as group:
        failing = [group.create_task(_ends(Http(link, settings, budget))) for link in stopped]
        await asyncio.sleep(1)
        assert len((await Http(honest, settings, budget).get("/x")).body) == 2**20
        assert asyncio.get_running_loop().time() == 1.0
    assert {task.result() for task in failing} == {"engine-timed-out"}


@pytest.mark.looptime
async def test_a_large_answer_may_be_slow_but_not_stand_still() -> None:
    """It has all of its time as long as something comes."""
    loop = asyncio.get_running_loop()
    for gap, code in ((4.0, "engine-timed-out"), (2.0, "")):
        said = answer(b"x" * 100_000)
        link = same(*pieces(said[:90_000], 10_000))
        settings = EngineSettings(answer_seconds=60.0, stall_seconds=3.0)
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(_ends(Http(link, settings, Budget(2**28, 2**23))))
            for piece in pieces(said[90_000:], 1000):
                await asyncio.sleep(gap)
                link.streams[0].say(piece)
        assert asked.result() == code
        assert loop.time() - began >= 20


async def _ends(http: Http) -> str:
    try:
        await http.get("/x")
    except PeerError as error:
        return error.code
    return ""


@pytest.mark.looptime
@pytest.mark.parametrize("said", [[], [answer(BODY)[:-1]], [b"HTTP/1.1 200 OK\r\n"]])
async def test_an_answer_has_its_time(said: list[Piece], looptime: float) -> None:
    """Silence, a missing last byte, half a head: the limit ends each, and the stream with it."""
    link = same(*said)

    assert (await _error(link)).code == "engine-timed-out"
    assert looptime == SETTINGS.answer_seconds
    await asyncio.sleep(0)
    assert link.streams[0].ended


async def test_a_given_up_request_ends_its_stream() -> None:
    """Its answer would otherwise be taken for the next one's."""
    said: list[list[Piece]] = [[], [answer(BODY)]]
    link = ScriptedLink(lambda number, _: said[number])
    http = _http(link)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await http.get("/slow")

    assert (await http.get("/x")).body == BODY
    assert len(link.streams) == 2


async def test_a_lost_link_is_no_dead_engine() -> None:
    """The end of a stream means that the engine hung up only while the link lives."""
    lost = await _error(same(b"HTTP/1.1 200 OK\r\n", Lost()))

    assert isinstance(lost, LinkError)
    assert lost.code == "link-lost"
    assert isinstance(await _error(same(b"HTTP/1.1 200 OK\r\n", End())), EngineError)


async def test_a_body_that_ends_with_its_stream_is_cut_by_a_lost_link() -> None:
    """Half of an old answer is no answer: only an engine that hangs up ends it."""
    half = b"HTTP/1.0 200 OK\r\n\r\nhalf"
    lost = await _error(same(half, Lost()))

    assert (await _http(same(half, End())).get("/")).body == b"half"
    assert isinstance(lost, LinkError)
    assert lost.code == "link-lost"


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_no_bytes_break_the_client(said: list[bytes]) -> None:
    """Bytes are an answer or an error of ours, never another exception."""

    async def ask() -> None:
        try:
            await _http(same(*said, End())).get("/x")
        except PeerError:
            return

    asyncio.run(ask())
