"""How the logs of engines differ, one test for each difference: ``docs/engines.md`` lists them with the tests' names.

No logs were recorded: the answers here are those that moby's and Podman's sources document; real engines are read by
the contract tests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from roadstead.errors import EngineError
from roadstead.lab.guests.logs import LONGEST_BYTES
from roadstead.model import LogWish
from tests.unit.peers_engine.logged import ID, MULTIPLEXED, PATH, RAW, begun, engine, frame, logged, read
from tests.unit.peers_engine.scripted import answer

BOTH = frame(1, b"out\n") + frame(2, b"err\n")
NOON = datetime(2026, 11, 27, 12, 0, 0, 500_000, tzinfo=UTC)
PODMAN = "Libpod/5.4.2 (linux)"


@pytest.mark.parametrize("newest", ["1.42", "1.44", "1.51", "1.55"])
async def test_logs_in_frames_are_told_by_the_content_type(newest: str) -> None:
    """From API 1.42 on Docker says so, and nobody inspects the container."""
    made = engine(BOTH, MULTIPLEXED, newest=newest)

    assert await logged(made) == [("stdout", "out"), ("stderr", "err")]
    assert not any(asked.endswith("/json") for asked in made.asked[4:])


@pytest.mark.parametrize(
    ("newest", "headers", "server"),
    [
        ("1.24", (), ""),
        ("1.41", (), ""),
        ("1.41", ("Content-Type: application/octet-stream",), ""),
        ("1.41", (RAW,), ""),
        ("1.41", (), PODMAN),
        ("1.44", (RAW,), PODMAN),
    ],
)
@pytest.mark.parametrize("tty", [False, True])
async def test_logs_whose_form_is_not_told(newest: str, headers: tuple[str, ...], server: str, *, tty: bool) -> None:
    """Below API 1.42, and on Podman, the inspection tells; ``raw-stream`` is not believed: Docker 23 and newer say it
    of frames, too, when an older version is spoken.
    """
    made = engine(b"out\r\n" if tty else BOTH, *headers, tty=tty, newest=newest, server=server)

    assert await logged(made) == ([("stdout", "out")] if tty else [("stdout", "out"), ("stderr", "err")])


@pytest.mark.parametrize("newest", ["1.41", "1.51"])
async def test_logs_of_a_terminal_have_no_frames(newest: str) -> None:
    """All is ``stdout``; what looks like a frame is text; the end of the last line may be missing."""
    made = engine(b"one\r\n" + frame(2, b"two") + b"\nlast", RAW, tty=True, newest=newest)

    _, stream = await begun(made)
    found = await read(stream)

    assert [each.text for each in found] == ["one", "\x02\x00\x00\x00\x00\x00\x00\x03two", "last"]
    assert [each.partial for each in found] == [False, False, True]
    assert {each.stream for each in found} == {"stdout"}


async def test_logs_are_an_answer_and_no_upgrade() -> None:
    """No upgrade is asked for, so the answer is 200 and HTTP to its end; 101 is an answer to something else."""
    made = engine(BOTH, MULTIPLEXED)
    assert len(await logged(made)) == 2
    assert b"pgrade" not in made.link.streams[-1].requests[0]
    made.answers[PATH] = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + BOTH
    with pytest.raises(EngineError) as caught:
        await logged(made)
    assert caught.value.code == "engine-answer-invalid"


async def test_an_end_of_logs_came_with_1_35() -> None:
    """Older engines (stand-ins) would send everything: they are not asked."""
    wish = LogWish(until=NOON)
    old = engine(BOTH, tty=False, newest="1.34")
    with pytest.raises(EngineError) as caught:
        await logged(old, wish)
    assert caught.value.code == "logs-until-unsupported"
    assert not any("/logs" in asked for asked in old.asked)
    assert len(await logged(engine(BOTH, tty=False, newest="1.35"), wish)) == 2


@pytest.mark.parametrize(
    "said",
    [
        answer(b'{"message":"configured logging driver does not support reading"}', 501),
        answer(b"configured logging driver does not support reading\n", 500),
        answer(b'{"cause":"x","message":"using the none driver does not support reading","response":500}', 500),
        answer(frame(3, b"this driver does not support reading"), 200, MULTIPLEXED),
    ],
    ids=["docker", "older docker", "podman", "in the middle"],
)
async def test_logs_that_the_engine_cannot_read(said: bytes) -> None:
    """Of the log driver ``none``, say: the engine's reason is told, with a problem of ours."""
    made = engine(b"")
    made.answers[PATH] = said
    with pytest.raises(EngineError) as caught:
        await logged(made)
    assert caught.value.code == "logs-unreadable"
    assert "does not support reading" in caught.value.fields["reason"]


async def test_logs_of_windows() -> None:
    """They end their lines with both; frames as elsewhere."""
    made = engine(frame(1, b"C:\\> dir\r\n") + frame(2, b"no\r\n"), MULTIPLEXED, server="Docker/28.5 (windows)")

    assert await logged(made) == [("stdout", "C:\\> dir"), ("stderr", "no")]


@pytest.mark.parametrize("stamp", [b"", b"2026-11-27T12:00:00.123456789Z "])
async def test_long_lines_come_in_parts(stamp: bytes) -> None:
    """Docker cuts them after 16 KiB, between the bytes of a character too, with a time before each part."""
    line = "ü".encode() * LONGEST_BYTES
    parts = [b"x" + line[: LONGEST_BYTES - 1], line[LONGEST_BYTES - 1 :] + b"\n"]
    made = engine(b"".join(frame(1, stamp + part) for part in parts), MULTIPLEXED)

    _, stream = await begun(made, LogWish(timestamps=bool(stamp)))
    found = await read(stream)

    assert "".join(each.text for each in found) == "x" + line.decode()
    assert found[0].partial
    assert not found[-1].partial
    assert {each.time for each in found} <= {"", stamp.decode().strip()}
    assert found[0].time == stamp.decode().strip()


STAMP = b"2026-11-27T12:00:00.123456789Z "


async def test_long_lines_of_a_terminal_have_times_in_them() -> None:
    """Before each part, without a frame: they are no text, also where a part ends with its line, or with the answer."""
    whole, rest = b"x" * LONGEST_BYTES, b"y" * 10
    body = (
        STAMP + whole + STAMP + whole + STAMP + rest + b"\r\n" + STAMP + whole + STAMP + b"\r\n" + STAMP + whole + STAMP
    )
    _, stream = await begun(engine(body, RAW, tty=True), LogWish(timestamps=True))
    found = await read(stream)

    assert [(each.text.encode(), each.partial) for each in found] == [
        (whole, True),
        (whole, True),
        (rest, False),
        (whole, True),
        (b"", False),
        (whole, True),
    ]
    assert {each.time for each in found} == {STAMP.decode().strip()}


@pytest.mark.parametrize(
    "time", ["2026-11-27T12:00:00.000000001Z", "2026-11-27T12:00:00Z", "2026-11-27T13:00:00.000000001+01:00"]
)
async def test_times_before_lines(time: str) -> None:
    """In UTC, Podman's with a zone; what stands there without having been asked for is text."""
    body = frame(1, f"{time} a b\n".encode()) + frame(1, b"2026 c\n")
    _, stream = await begun(engine(body, MULTIPLEXED), LogWish(timestamps=True))

    assert [(each.time, each.text) for each in await read(stream)] == [(time, "a b"), ("", "2026 c")]
    assert await logged(engine(body, MULTIPLEXED)) == [("stdout", f"{time} a b"), ("stdout", "2026 c")]


async def test_moments_are_asked_for_in_seconds() -> None:
    """Docker takes nothing else, and Podman 3.0 no parts of a second. A stream is always named: without one both
    refuse.
    """
    wish = LogWish(streams=("stderr",), tail=5, since=NOON, until=NOON, timestamps=True, follow=True)
    made = engine(b"", MULTIPLEXED)
    await logged(made, wish)
    await logged(made)
    first, second = (parse_qs(urlsplit(asked.split()[1]).query) for asked in made.asked if "/logs" in asked)

    whole = int(NOON.timestamp())
    both = {"timestamps": ["1"], "follow": ["1"]}
    assert first == {"stderr": ["1"], "tail": ["5"], "since": [str(whole)], "until": [str(whole + 1)], **both}
    assert second == {"stdout": ["1"], "stderr": ["1"], "tail": ["all"]}


async def test_a_frame_may_come_in_pieces() -> None:
    """Podman writes its header and its text one after the other."""
    made = engine(b"", tty=False, newest="1.41", server=PODMAN)
    client = made.client()
    await client.hello()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    made.answers[PATH] = head
    stream = await client.logs(ID, LogWish(follow=True))
    channel = next(each for each in made.link.streams if b"/logs" in each.requests[0])
    whole = frame(1, b"out\n")
    for piece in (whole[:3], whole[3:8], whole[8:]):
        assert stream.take() == []
        channel.say(b"%x\r\n%b\r\n" % (len(piece), piece))
        await stream.wait()

    assert [each.text for each in stream.take()] == ["out"]
    stream.close()
