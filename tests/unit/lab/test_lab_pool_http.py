"""The pool's HTTP: limits, headers, error pages and encodings as a real host has them."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roadstead.lab.pool import wire
from roadstead.lab.pool.http import BODY_BYTES, HEAD_BYTES, Mood
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.values import Date, notation

SILENCE_S = 0.5
"""After this time without an answer there will be none."""


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of one host."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        yield running


async def exchange(pool: LabPool, request: bytes, answers: int = 1) -> bytes:
    """Send raw bytes over TLS; the answers that come back, or what came until the host closes or falls silent."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        reader, writer = await asyncio.open_connection("127.88.0.1", pool.port, ssl=context)
    except OSError:
        return b""
    writer.write(request)
    told = b""
    try:
        async with asyncio.timeout(SILENCE_S):
            while not is_complete(told, answers) and (piece := await reader.read(65536)):
                told += piece
    except (TimeoutError, OSError):
        pass
    finally:
        writer.transport.abort()
    return told


def is_complete(told: bytes, answers: int) -> bool:
    """Whether so many whole answers have come."""
    for _ in range(answers):
        head, end, rest = told.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not end or length is None or len(rest) < int(length[1]):
            return False
        told = rest[int(length[1]) :]
    return True


def post(body: bytes, path: str = "/jsonrpc", *more: str) -> bytes:
    """A POST with the right length."""
    head = [f"POST {path} HTTP/1.1", "Host: lab", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def call(**members: object) -> bytes:
    """A JSON-RPC call that needs no session."""
    return json.dumps({"method": "VM.get_all", "params": ["none"], "id": 1, **members}).encode()


async def test_answers_have_the_headers_of_a_real_host(pool: LabPool) -> None:
    """A good answer has exactly these headers: no server, no date."""
    head, _, body = (await exchange(pool, post(call()))).partition(b"\r\n\r\n")

    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert sorted(line.split(":")[0] for line in lines[1:]) == [
        "access-control-allow-headers",
        "access-control-allow-origin",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
    ]
    assert json.loads(body) == {"result": None, "error": ["SESSION_INVALID", "none"], "id": 1}


async def test_connection_is_kept(pool: LabPool) -> None:
    """One connection serves request after request."""
    told = await exchange(pool, post(call()) + post(call()), answers=2)

    assert told.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("verb", ["GET", "PUT"])
async def test_other_verbs_find_nothing(pool: LabPool, verb: str) -> None:
    """What is no POST is answered with a page that says 404."""
    told = await exchange(pool, f"{verb} / HTTP/1.1\r\nHost: lab\r\n\r\n".encode())

    assert told.startswith(b"HTTP/1.1 404 ")
    assert b"<address>Xapi Server</address>" in told


async def test_options_tell_what_browsers_may(pool: LabPool) -> None:
    """OPTIONS is answered for browsers of any origin."""
    told = await exchange(pool, b"OPTIONS /jsonrpc HTTP/1.1\r\nHost: lab\r\n\r\n")

    assert told.startswith(b"HTTP/1.1 200 OK")
    assert b"access-control-allow-methods: PUT" in told


async def test_length_is_mandatory(pool: LabPool) -> None:
    """A body without its length is refused."""
    told = await exchange(pool, b"POST /jsonrpc HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    assert told.startswith(b"HTTP/1.1 500 ")
    assert b"content-length: HTTP header" in told


async def test_body_has_a_limit(pool: LabPool) -> None:
    """A body of 300 KiB is read, one byte more is refused before it is sent."""
    filled = call().ljust(BODY_BYTES)
    head = f"POST /jsonrpc HTTP/1.1\r\nContent-Length: {BODY_BYTES + 1}\r\n\r\n".encode()

    assert (await exchange(pool, post(filled))).startswith(b"HTTP/1.1 200")
    assert b"Client_requested_size_over_limit" in await exchange(pool, head)


@pytest.mark.parametrize(
    ("extra", "answer"),
    [(0, b"HTTP/1.1 200"), (1, b""), (200, b"HTTP/1.1 431"), (100_000, b"HTTP/1.1 431")],
)
async def test_headers_have_a_limit(pool: LabPool, extra: int, answer: bytes) -> None:
    """Request line and headers may take 1,024 bytes: a little more ends the connection, much more gets 431."""
    bare = len(post(call(), "/jsonrpc", "X: ").partition(b"\r\n\r\n")[0]) + 4
    told = await exchange(pool, post(call(), "/jsonrpc", "X: " + "x" * (HEAD_BYTES - bare + extra)))

    assert told[: len(answer)] == answer
    assert bool(told) == bool(answer)


@pytest.mark.parametrize(
    "body",
    [b'{"jsonrpc":', b"[]", b'{"method":"a","params":[]}', b'{"method":"a","params":["\\ud800x"],"id":1}', b"\xff"],
)
async def test_malformed_json_is_an_error_page(pool: LabPool, body: bytes) -> None:
    """What is no call gets an HTML page and the end of the connection."""
    told = await exchange(pool, post(body))

    assert told.startswith(b"HTTP/1.1 500 ")
    assert b"connection: close" in told
    assert b"Additional information" in told


@pytest.mark.parametrize("body", [b"<methodCall>", b"", b"<a/>", b"<methodCall><params/></methodCall>"])
async def test_malformed_xml_is_an_error_page(pool: LabPool, body: bytes) -> None:
    """The same for XML-RPC, on any path."""
    assert (await exchange(pool, post(body, "/anything"))).startswith(b"HTTP/1.1 500 ")


async def test_silent_host_never_answers(pool: LabPool) -> None:
    """A silent host takes requests and says nothing."""
    pool.set_mood(Mood.SILENT)

    assert await exchange(pool, post(call())) == b""


async def test_garbage_is_no_json(pool: LabPool) -> None:
    """A host that talks garbage answers what no client can read."""
    pool.set_mood(Mood.GARBAGE, 1)
    _, _, body = (await exchange(pool, post(call()))).partition(b"\r\n\r\n")

    with pytest.raises(ValueError):  # noqa: PT011 - whatever the reader says
        json.loads(body)


async def test_closing_host_ends_connections(pool: LabPool) -> None:
    """A host whose XAPI is starting ends every connection, and answers again afterwards."""
    pool.set_mood(Mood.CLOSES)
    assert await exchange(pool, post(call())) == b""

    pool.set_mood(Mood.WELL)
    assert await exchange(pool, post(call()))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a<&>\"'", "<value>a&lt;&amp;&gt;&quot;'</value>"),
        (5, "<value>5</value>"),
        (True, "<value><boolean>1</boolean></value>"),
        (1.0, "<value><double>1</double></value>"),
        (Date("20260101T00:00:00Z"), "<value><dateTime.iso8601>20260101T00:00:00Z</dateTime.iso8601></value>"),
        (("a",), "<value><array><data><value>a</value></data></array></value>"),
        (
            {"k": []},
            "<value><struct><member><name>k</name><value><array><data></data></array></value></member></struct></value>",
        ),
    ],
)
def test_values_in_xml(value: object, text: str) -> None:
    """Strings and ints have no type in XML, the others do."""
    assert wire.fragment(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "I(5)"),
        (True, "B(true)"),
        (1.5, "F(1.5)"),
        ("a", "S(a)"),
        (["a", 1], "[S(a);I(1)]"),
        ({"a": 1}, "{a:I(1)}"),
        (None, "N"),
        (Date("x"), "D(x)"),
    ],
)
def test_notation_of_wrong_arguments(value: object, text: str) -> None:
    """XAPI's errors show a wrong argument in this notation."""
    assert notation(value) == text
