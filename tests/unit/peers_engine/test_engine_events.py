"""Events are cut out of the stream, put into one form, and never pile up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import EngineError, PeerError
from roadstead.peers.engine.events import WAITING_EVENTS, EventStream
from roadstead.peers.engine.http import request
from roadstead.peers.engine.messages.events import EngineEvent, Flood, Splitter, read_event
from roadstead.settings.schema import EngineSettings
from tests.unit.peers_engine.scripted import End, Lost, Piece, ScriptedLink, answer, same

ID = "ab" * 32
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = request("GET", "/events")
SETTINGS = EngineSettings(events_per_second=100, event_bytes=2048, answer_seconds=5.0)


def _wire(action: str = "start", **more: Any) -> bytes:
    event = {"Type": "container", "Action": action, "Actor": {"ID": ID, "Attributes": {"name": "web"}}, **more}
    return json.dumps(event).encode() + b"\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(**fields: Any) -> EngineEvent | None:
    return read_event(json.dumps(fields).encode(), 64)


async def _opened(link: ScriptedLink, settings: EngineSettings = SETTINGS) -> EventStream:
    stream = EventStream(link, settings)
    await stream.open(REQUEST)
    return stream


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ({"status": "start", "id": ID, "from": "nginx", "time": 5}, "start"),
        ({"Type": "container", "Action": "remove", "Actor": {"ID": ID}}, "destroy"),
        ({"Type": "container", "Action": "died", "Actor": {"ID": ID}}, "die"),
        ({"Action": "health_status: unhealthy", "Actor": {"ID": ID}}, "health_status"),
        ({"Action": "rename", "Actor": {"ID": ID, "Attributes": {"oldName": "/a"}}}, "rename"),
        ({"Action": "kill", "Actor": {"ID": ID, "Attributes": ["signal"]}}, "kill"),
        ({"status": "start", "Type": None, "Actor": 5, "id": ID}, "start"),
        ({"status": "stop", "id": ID[:12]}, "stop"),
    ],
)
def test_both_forms_become_one(said: dict[str, Any], action: str) -> None:
    """Type, Action and Actor first, status and id where they lack; Podman's words become Docker's."""
    event = _event(**said)

    assert event is not None
    assert event.action == action
    assert ID.startswith(event.engine_id)


@pytest.mark.parametrize(
    "said",
    [
        {"Action": "top", "Actor": {"ID": ID}},
        {"Action": "exec_create: sh -c 'start:'", "Actor": {"ID": ID}},
        {"Action": "exec_died", "Actor": {"ID": ID}},
        {"Action": "attach", "Actor": {"ID": ID}},
        {"Action": "cleanup", "Actor": {"ID": ID}},
        {"Type": "network", "Action": "destroy", "Actor": {"ID": ID}},
        {"Type": "image", "Action": "create", "Actor": {"ID": ID}},
        {"Action": "start", "Actor": {"ID": "../etc"}},
        {"Action": "start", "Actor": {"ID": "g" * 64}},
        {"Action": "start"},
        {"Action": ["start"], "id": ID},
        {},
    ],
)
def test_what_changes_no_container_is_left_out(said: dict[str, Any]) -> None:
    """What asking causes would feed itself, and an id that is none must not get any further."""
    assert _event(**said) is None


def test_times_are_nanoseconds() -> None:
    """Whole seconds stand in where the engine says no more."""
    assert (event := _event(status="start", id=ID, time=7)) is not None
    assert event.time_nano == 7 * 10**9
    assert (event := _event(status="start", id=ID, time=7, timeNano=7_000_000_001)) is not None
    assert event.time_nano == 7_000_000_001


@pytest.mark.parametrize("said", [{"timeNano": 10**400}, {"timeNano": 2**63}, {"time": 10**300}, {"timeNano": -1}])
def test_a_time_beyond_every_clock_is_none(said: dict[str, int]) -> None:
    """An event is read for its container; its time may be anything."""
    assert (event := _event(status="start", id=ID, **said)) is not None
    assert event.time_nano == 0


EVENTS = st.lists(
    st.dictionaries(st.text(alphabet='{}[]"\\ab\n', max_size=5), st.text(max_size=8), min_size=1), max_size=6
)


@given(EVENTS, st.lists(st.integers(1, 40), min_size=1), st.sampled_from(["\n", "", " \n", "\r\n"]))
def test_the_stream_is_cut_where_values_end(events: list[dict[str, str]], sizes: list[int], between: str) -> None:
    """With or without newlines, in any pieces, with brackets in strings: each value comes once and whole."""
    data, splitter, values = "".join(json.dumps(event) + between for event in events).encode(), Splitter(2**16), []
    while data:
        for size in sizes:
            values += splitter.feed(data[:size])
            data = data[size:]
    values += splitter.feed(b"\n")

    assert [json.loads(value) for value in values] == events


def test_a_value_is_given_as_soon_as_it_is_whole() -> None:
    """An engine that ends values with nothing is not waited for."""
    splitter = Splitter(2**16)

    assert splitter.feed(_wire().rstrip()) == [_wire().rstrip()]


def test_a_value_has_its_bound() -> None:
    """Without an end, and with one."""
    for said in (b"x" * 101, b"x" * 101 + b"\n"):
        with pytest.raises(EngineError):
            Splitter(100).feed(said)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_break_the_splitter(said: list[bytes]) -> None:
    """Bytes are values, events or the one error."""
    splitter = Splitter(200)
    try:
        for piece in said:
            for value in splitter.feed(piece):
                read_event(value, 64)
    except EngineError:
        return


async def test_events_come_in_order() -> None:
    """As they were said, however the stream was cut."""
    said = _chunk(_wire("start") + _wire("die")) + _chunk(_wire("top")) + _chunk(_wire("destroy"))
    events = await _opened(same(HEAD, *[said[index : index + 1] for index in range(len(said))]))

    assert [(await anext(events)).action for _ in range(3)] == ["start", "die", "destroy"]  # type: ignore[union-attr]
    events.close()


async def test_the_stream_is_open_when_its_head_is_there() -> None:
    """Not before: what happens between the request and the head might be missed."""
    link = ScriptedLink(lambda _, __: [])
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_opened(link))
        await _until(lambda: link.streams)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not opening.done()
        link.streams[0].say(HEAD)
    opening.result().close()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([HEAD, End()], "engine-down"),
        ([HEAD, b"0\r\n\r\n"], "engine-down"),
        ([HEAD, Lost()], "link-lost"),
        ([HEAD, _chunk(b"not json\n")], "engine-answer-invalid"),
        ([HEAD, _chunk(b"[" * 200 + b"\n")], "engine-answer-invalid"),
        ([HEAD, _chunk(b"x" * 3000)], "engine-answer-invalid"),
        ([HEAD, b"zz\r\n"], "engine-answer-invalid"),
        ([HEAD, b"1;" + b"x" * 70_000], "engine-answer-invalid"),
    ],
)
async def test_why_a_stream_ends(said: list[Piece], code: str) -> None:
    """An engine never ends it by itself: it died, the link is lost, or it says what no engine says."""
    events = await _opened(same(*said))

    with pytest.raises(PeerError) as caught:
        await anext(events)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([answer(b'{"message":"no such filter"}', 400)], "engine-refused"),
        ([answer(b"x" * 100_000, 500)], "engine-refused"),
        ([End()], "engine-down"),
        ([b"garbage"], "engine-answer-invalid"),
    ],
)
async def test_a_refused_stream_is_told(said: list[Piece], code: str) -> None:
    """With the engine's words where it has some."""
    with pytest.raises(PeerError) as caught:
        await _opened(same(*said))
    assert caught.value.code == code


@pytest.mark.looptime
async def test_the_head_has_its_time(looptime: float) -> None:
    """The stream itself may be silent for ever."""
    with pytest.raises(EngineError) as caught:
        await _opened(same())
    assert (caught.value.code, looptime) == ("engine-timed-out", 5.0)

    events = await _opened(same(HEAD))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(86_400):
            await anext(events)
    events.close()


@pytest.mark.looptime
async def test_too_many_events_stop_the_engine(looptime: float) -> None:
    """Beyond the limit of a second events are dropped, said once, and the engine waits for the next second."""
    link = same(HEAD, _chunk(_wire() * 150), _chunk(_wire("die")))
    events = await _opened(link)
    await _until(lambda: link.streams[0].paused)

    assert await anext(events) == Flood(50)
    assert [event async for event in _first(events, 101)][-1].action == "die"
    assert looptime == 1.0
    events.close()


@pytest.mark.looptime
@pytest.mark.parametrize("sizes", [[2000] * 8, [100] * 160], ids=["large", "small"])
async def test_too_many_bytes_stop_the_engine(looptime: float, sizes: list[int]) -> None:
    """The same of their size, however few events they are."""
    settings = EngineSettings(event_bytes_per_second=10_000)
    said = [_wire(Attributes={"x": "y" * (size - len(_wire(Attributes={"x": ""})))}) for size in sizes]
    link = same(
        HEAD, _chunk(b"".join(said[: len(said) // 4])), _chunk(b"".join(said[len(said) // 4 :])), _chunk(_wire("die"))
    )
    events = await _opened(link, settings)
    await _until(lambda: link.streams[0].paused)

    assert await anext(events) == Flood(len(said) - len(said) // 4)
    assert [event async for event in _first(events, len(said) // 4 + 1)][-1].action == "die"
    assert looptime == 1.0
    events.close()


@pytest.mark.looptime
async def test_an_event_that_has_not_ended_counts_too(looptime: float) -> None:
    """Nothing of it is lost: it is whole a second later."""
    link = same(HEAD, _chunk(b'{"x":"' + b"y" * 1100), _chunk(b'y"}\n' + _wire("die")))
    events = await _opened(link, EngineSettings(event_bytes_per_second=1024))

    assert (await anext(events)).action == "die"  # type: ignore[union-attr]
    assert looptime == 1.0
    events.close()


@pytest.mark.parametrize("blank", [b"\n", b"\x1e\n", b" \r\n"])
async def test_lines_without_events_end_the_stream(blank: bytes) -> None:
    """No engine sends as many as there may be events; a few are nothing."""
    stream = await _opened(same(HEAD, _chunk(blank * 100 + _wire("die")), _chunk(blank * 50)))
    assert (await anext(stream)).action == "die"  # type: ignore[union-attr]
    with pytest.raises(EngineError) as caught:
        await anext(stream)
    assert (caught.value.code, caught.value.fields["reason"]) == (
        "engine-answer-invalid",
        "it sends lines and no events",
    )


@pytest.mark.looptime
async def test_lines_without_events_may_keep_a_stream_alive() -> None:
    """One now and then, for as long as it likes."""
    link = ScriptedLink(lambda _, __: [HEAD])
    stream = await _opened(link)
    for _ in range(SETTINGS.events_per_second + 5):
        await asyncio.sleep(1)
        link.streams[0].say(_chunk(b"\n"))
    link.streams[0].say(_chunk(_wire("die")))
    assert (await anext(stream)).action == "die"  # type: ignore[union-attr]
    stream.close()


async def _first(events: EventStream, count: int) -> Any:
    for _ in range(count):
        yield await anext(events)


@pytest.mark.looptime
async def test_a_reader_that_is_busy_misses_nothing_unsaid() -> None:
    """What does not fit is dropped and said; the stream goes on."""
    settings = EngineSettings(events_per_second=10**6)
    link = same(HEAD, *[_chunk(_wire() * 100)] * (WAITING_EVENTS // 100 + 2))
    events = await _opened(link, settings)
    while link.is_busy:
        await asyncio.sleep(0)

    flood = await anext(events)
    assert isinstance(flood, Flood)
    assert isinstance(await anext(events), EngineEvent)
    events.close()


async def test_a_batch_is_what_came_by_then() -> None:
    """Taking waits for the first event only, and no longer than asked."""
    events = await _opened(same(HEAD, _chunk(_wire("start") + _wire("die"))))

    batch = await events.take(5)
    assert isinstance(batch, list)
    assert [event.action for event in batch] == ["start", "die"]
    assert await events.take(0) == []
    events.close()


async def test_an_event_has_a_depth() -> None:
    """As everything that a guest says: the stream of one that nests without end ends."""
    deep = _wire(Attributes={"deep": json.loads("[" * 40 + "]" * 40)})
    deeper = _wire(Attributes={"deep": json.loads("[" * 200 + "]" * 200)})
    stream = await _opened(same(HEAD, _chunk(deep), _chunk(deeper)))
    assert isinstance(await anext(stream), EngineEvent)
    with pytest.raises(EngineError) as caught:
        await anext(stream)
    assert caught.value.code == "engine-answer-invalid"


async def test_small_chunks_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends chunks chooses how small they are: what comes at once is looked through once, not once for each."""
    asked: list[int] = []
    feed = Splitter.feed

    def counted(self: Splitter, data: bytes) -> list[bytes]:
        asked.append(len(data))
        return feed(self, data)

    monkeypatch.setattr(Splitter, "feed", counted)
    said = b"".join(_chunk(bytes([byte])) for byte in _wire() * 20)
    events = await _opened(same(HEAD, said))

    assert [(await anext(events)).action for _ in range(20)] == ["start"] * 20  # type: ignore[union-attr]
    assert asked == [len(_wire()) * 20]
    events.close()
