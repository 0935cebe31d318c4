"""What the client asks, and what it makes of answers."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from roadstead.errors import EngineError
from roadstead.kit.gates import Budget
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.messages.events import ACTIONS
from roadstead.settings.schema import EngineSettings
from tests.unit.peers_engine.pretender import Pretender, entry
from tests.unit.peers_engine.scripted import answer


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.24", "1.12", "1.24"), ("1.51", "1.24", "1.51"), ("1.55", "1.40", "1.55"), ("1.99", "1.44", "1.55")],
)
async def test_the_newest_common_version_stands_in_every_path(newest: str, oldest: str, spoken: str) -> None:
    """Save in the two calls that find it out."""
    engine = Pretender(newest=newest, oldest=oldest)
    client = engine.client()
    hello = await client.hello()
    await client.containers()
    await client.inspect("ab" * 32)

    assert hello.engine.api_version == spoken
    assert hello.date == 1795422441.0
    assert engine.asked[:2] == ["GET /_ping", "GET /version"]
    assert all(asked.startswith(f"GET /v{spoken}/") for asked in engine.asked[2:])


@pytest.mark.parametrize(
    ("newest", "oldest", "direction"), [("1.23", "1.12", "old"), ("1.60", "1.56", "new"), ("2.0", "1.60", "new")]
)
async def test_an_engine_without_a_common_version_is_refused(newest: str, oldest: str, direction: str) -> None:
    """Too old and too new are told apart."""
    with pytest.raises(EngineError) as caught:
        await Pretender(newest=newest, oldest=oldest).client().hello()
    assert (caught.value.code, caught.value.fields["direction"]) == ("engine-unsupported", direction)


@pytest.mark.parametrize("newest", ["", "one", "1.x", "1", "1.2.3", "9" * 50])
async def test_a_version_that_is_none_is_refused(newest: str) -> None:
    """What stands in every path is never a guest's free text."""
    with pytest.raises(EngineError) as caught:
        await Pretender(newest=newest).client().hello()
    assert caught.value.code == "engine-answer-invalid"


async def test_a_list_never_asks_for_sizes() -> None:
    """Sizes make the engine walk every container's files."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    listing = await client.containers()

    assert (len(listing.containers), listing.total, listing.hidden) == (3, 3, 0)
    assert engine.asked[-1] == "GET /v1.51/containers/json?all=1&limit=64"


async def test_a_list_over_its_bound_is_asked_again_with_half_the_limit() -> None:
    """What fits is shown, and the engine's own count tells what is hidden."""
    engine = Pretender()
    engine.entries = [entry(number, Command="c" * 3000) for number in range(50)]
    client = engine.client()
    await client.hello()
    listing = await client.containers()

    limits = [int(asked.rpartition("=")[2]) for asked in engine.asked if "limit=" in asked]
    assert limits == [64, 32, 16]
    assert (len(listing.containers), listing.total, listing.hidden) == (16, 50, 34)


async def test_more_containers_than_the_limit_are_counted() -> None:
    """The list ends at the limit without a word; the engine's own count tells the rest."""
    engine = Pretender()
    engine.entries = [entry(number) for number in range(100)]
    client = engine.client()
    await client.hello()
    listing = await client.containers()

    assert (len(listing.containers), listing.total, listing.hidden) == (64, 100, 36)


async def test_one_container_too_large_for_any_answer_hides_all() -> None:
    """Even that is a listing, not an outage."""
    engine = Pretender()
    engine.entries = [entry(0, Command="c" * 2**17)]
    client = engine.client()
    await client.hello()
    listing = await client.containers()

    assert (listing.containers, listing.total, listing.hidden) == ([], 1, 1)


async def test_one_guest_fills_no_more_than_its_share() -> None:
    """Records are kept up to a number of bytes."""
    engine = Pretender()
    engine.entries = [entry(number, Command="c" * 4000) for number in range(40)]
    client = engine.client(EngineSettings(kept_bytes=2**16))
    await client.hello()
    listing = await client.containers()

    assert 10 < len(listing.containers) < 20
    assert listing.total - listing.hidden == len(listing.containers)


async def test_a_container_is_read_by_its_id_alone() -> None:
    """An engine that gives others besides, or nothing, is not believed."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    wanted = engine.entries[1]["Id"]
    found = await client.containers_by_id([wanted])

    assert {engine_id: record.name for engine_id, record in found.items()} == {wanted: "web1"}
    assert await client.containers_by_id(["f" * 64]) == {}
    engine.answers["/containers/json"] = answer(json.dumps([entry(2)]).encode())
    assert await client.containers_by_id([wanted]) == {}
    engine.answers["/containers/json"] = answer(b'{"message":"no such container"}', 404)
    assert await client.containers_by_id([wanted]) == {}


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_an_action_is_done_or_there_was_nothing_to_do(status: int) -> None:
    """All three are success."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.answers[f"/containers/{'ab' * 32}/stop"] = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    await client.act("stop", "ab" * 32)

    assert engine.asked[-1] == f"POST /v1.51/containers/{'ab' * 32}/stop"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, b'{"message":"No such container: x"}', "No such container: x"),
        (409, b'{"cause":"c","message":"is paused","response":409}', "is paused"),
        (500, b"plain words\n", "plain words"),
        (501, b"", "HTTP status 501"),
        (500, b'{"message": 5}', '{"message": 5}'),
        (500, b"{" * 1000, "{" * 256),
        (500, b"\xff\x1b[31m" * 200, None),
    ],
)
async def test_a_refusal_carries_the_engines_words(status: int, body: bytes, reason: str | None) -> None:
    """In any of their three forms, cut, and harmless to show."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.answers[f"/containers/{'ab' * 32}/stop"] = answer(body, status)

    with pytest.raises(EngineError) as caught:
        await client.act("stop", "ab" * 32)
    assert caught.value.code == "engine-refused"
    said = caught.value.fields["reason"]
    assert len(said) <= 256
    assert said.isprintable()
    if reason is not None:
        assert said in (reason, reason[:256])


async def test_an_id_cannot_become_another_path() -> None:
    """Whatever is asked for stays one part of the path."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    await client.inspect("../../info?x=")

    assert engine.asked[-1] == "GET /v1.51/containers/..%2F..%2Finfo%3Fx%3D/json"


@pytest.mark.parametrize(
    ("server", "newest", "is_filtered"),
    [("Docker/28", "1.51", True), ("Docker/1.12", "1.24", False), ("Libpod/5.4", "1.41", False)],
)
async def test_events_are_filtered_where_the_engine_can(server: str, newest: str, is_filtered: bool) -> None:  # noqa: FBT001
    """Containers only, from the engine's own time on; Docker leaves out what health checks cause."""
    engine = Pretender(server=server, newest=newest)
    client = engine.client()
    hello = await client.hello()
    engine.answers["/events"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with client.events(hello.date):
        pass

    query = parse_qs(urlsplit(engine.asked[-1].split()[1]).query)
    filters = json.loads(query["filters"][0])
    assert query["since"] == ["1795422441"]
    assert filters == {"type": ["container"], **({"event": list(ACTIONS)} if is_filtered else {})}


async def test_a_closed_client_keeps_no_stream() -> None:
    """The link stays."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    client.close()
    await client.containers()

    assert len(engine.link.streams) == 2
    assert engine.link.is_open


@pytest.mark.parametrize(
    ("path", "body"), [("/version", b"[]"), ("/version", b"x"), ("/info", b"null"), ("/containers/json", b"{}")]
)
async def test_answers_of_another_shape_are_refused(path: str, body: bytes) -> None:
    """An engine's answers are objects or lists, each in its place."""
    engine = Pretender()
    engine.answers[path] = answer(body)
    client = engine.client()

    with pytest.raises(EngineError) as caught:
        await _introduced_and_listed(client)
    assert caught.value.code == "engine-answer-invalid"


@pytest.mark.parametrize(
    "body",
    [
        *(b"9", b"[{}]", b"", b"null", b'{"a":' * 100),
        *(b'{"a":nope}', b'{"a":1', b'{"a":"b', b'{"a":1} {', b"{}}", b'{"a":"\xff"}', b'{"a":NaN}'),
    ],
)
async def test_an_inspection_that_is_no_whole_object_is_refused(body: bytes) -> None:
    """Clients that are given it take it apart by its names."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.answers[f"/containers/{ONE}/json"] = answer(body)

    with pytest.raises(EngineError) as caught:
        await client.inspect(ONE)
    assert caught.value.code == "engine-answer-invalid"


async def test_an_inspection_that_was_cut_off_is_refused() -> None:
    """Where nothing tells its length (HTTP/1.0), the end of the connection is also that of a whole one."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    said = b'{"Id":"a","State":{"Status":"running"}}'
    engine.unframed.add(f"/containers/{ONE}/json")
    engine.answers[f"/containers/{ONE}/json"] = b"HTTP/1.0 200 OK\r\n\r\n" + said
    assert await client.inspect(ONE) == said

    engine.answers[f"/containers/{ONE}/json"] = b"HTTP/1.0 200 OK\r\n\r\n" + said[:-5]
    with pytest.raises(EngineError) as caught:
        await client.inspect(ONE)
    assert caught.value.code == "engine-answer-invalid"


async def _introduced_and_listed(client: EngineClient) -> None:
    await client.hello()
    await client.containers()


ONE, OTHER = f"{1:064x}", f"{2:064x}"


async def test_a_container_that_settles_is_inspected_first() -> None:
    """In one go with the question that counts; what the inspection says is of no interest."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.asked.clear()

    found = await client.containers_by_id([ONE], settling=ONE)

    assert list(found) == [ONE]
    assert [asked.partition("?")[0] for asked in engine.asked] == [
        f"GET /v1.51/containers/{ONE}/json",
        "GET /v1.51/containers/json",
    ]
    assert (await client.containers()).total == 3
    assert len(engine.link.streams) == 1


@pytest.mark.looptime
async def test_waiting_for_a_container_to_settle_has_an_end(looptime: float) -> None:
    """An engine that holds the container for longer loses that channel, and is asked without waiting."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.silent.add(f"/containers/{OTHER}/json")

    assert list(await client.containers_by_id([OTHER], settling=OTHER)) == [OTHER]
    assert looptime == 0.1
    assert (await client.containers()).total == 3


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(b" " * 2**17), id="too large"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n{}", id="no framing"),
        pytest.param(answer(b"{}", 200, "Connection: close"), id="closed"),
        pytest.param(answer(b"no", 404), id="no such container"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="no HTTP"),
    ],
)
@pytest.mark.looptime
async def test_whatever_the_inspection_says_the_container_is_read(said: bytes) -> None:
    """It is only a way to wait."""
    engine = Pretender()
    engine.answers[f"/containers/{ONE}/json"] = said
    client = engine.client()
    await client.hello()

    found = await client.containers_by_id([ONE], settling=ONE)

    assert [container.name for container in found.values()] == ["web1"]


async def test_waiting_for_a_container_to_settle_takes_no_room() -> None:
    """What an inspection says takes none from others, however much it is."""
    engine = Pretender()
    engine.answers[f"/containers/{ONE}/json"] = answer(b" " * 2**17)
    budget = Budget(2**17, 2**17)
    client = engine.client(EngineSettings(), budget)
    await client.hello()
    with budget.share() as share:
        await share.grow(2**17)
        async with asyncio.timeout(1):
            assert await client.containers_by_id([ONE], settling=ONE)


@pytest.mark.looptime
async def test_waiting_for_a_container_to_settle_ends_whatever_hangs(looptime: float) -> None:
    """Not even an engine that opens no new stream makes that part longer."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.link.streams[0].end(None)
    engine.link.opens_after = 1.0
    await client.containers_by_id([ONE], settling=ONE)

    assert looptime == 1.1


@pytest.mark.looptime
async def test_a_list_that_ignores_the_limit_is_given_up(looptime: float) -> None:
    """So few containers cannot be that large: nothing is shown, and that is said."""
    engine = Pretender()
    engine.answers["/containers/json"] = answer(b" " * 2**21)
    client = engine.client(EngineSettings(answer_bytes=2**20))
    await client.hello()
    listing = await client.containers()

    limits = [int(asked.rpartition("=")[2]) for asked in engine.asked if "limit=" in asked]
    assert limits == [4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4]
    assert (listing.containers, listing.total, listing.hidden) == ([], 3, 3)
    assert looptime < 1


@pytest.mark.looptime
@pytest.mark.parametrize("seconds", [0.7, 15.0])
async def test_a_list_has_its_time_however_often_it_is_asked(looptime: float, seconds: float) -> None:
    """All halvings together take no longer than one answer may; what was found out by then is said."""
    engine = Pretender()
    said = answer(b" " * 2**17)
    engine.delays["/containers/json"] = seconds
    engine.answers["/containers/json"] = said
    client = engine.client()
    await client.hello()
    listing = await client.containers()

    assert (listing.containers, listing.hidden) == ([], 3)
    assert looptime <= 20.1


async def test_who_lists_more_than_it_counts_is_not_believed() -> None:
    """The list was cut off at the limit, so there may be any number more: that some are not shown is said."""
    engine = Pretender()
    engine.entries = [entry(number) for number in range(100)]
    client = engine.client()
    await client.hello()
    engine.answers["/info"] = answer(json.dumps({"Containers": 3}).encode())
    listing = await client.containers()
    assert (len(listing.containers), listing.total, listing.hidden) == (64, 65, 1)

    engine.answers["/info"] = answer(json.dumps({"Containers": 64}).encode())
    assert (await client.containers()).hidden == 0


TOP = "/containers/" + "0" * 63 + "1/top"


async def test_processes_are_read_on_a_channel_of_their_own() -> None:
    """Every row keeps its columns, whatever stands in them; an answer without content is no process."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    rows = [["1", "sh -c x"], ["2", None, 3], "no row"]
    engine.answers[TOP] = answer(json.dumps({"Titles": ["PID", "CMD"], "Processes": rows}).encode())
    before = len(engine.link.streams)
    assert await client.top("0" * 63 + "1") == (["PID", "CMD"], [["1", "sh -c x"], ["2", "", "3"], []])
    assert len(engine.link.streams) == before + 1
    engine.answers[TOP] = answer(b"")
    assert await client.top("0" * 63 + "1") == ([], [])


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(b'{"message":"container x is not running"}', 409), "engine-refused"),
        (answer(b"[]"), "engine-answer-invalid"),
        (answer(b"{"), "engine-answer-invalid"),
        (answer(b'{"Processes":' + b"[" * 100 + b"]" * 100 + b"}"), "engine-answer-invalid"),
        (answer(b"x" * 2**17), "engine-answer-invalid"),
    ],
)
async def test_processes_that_are_none_are_refused(said: bytes, code: str) -> None:
    """With the engine's words, or because no engine says such a thing."""
    engine = Pretender()
    client = engine.client()
    await client.hello()
    engine.answers[TOP] = said
    with pytest.raises(EngineError) as caught:
        await client.top("0" * 63 + "1")
    assert caught.value.code == code
    assert caught.value.fields.get("status") == ("409" if code == "engine-refused" else None)
