"""Answers of a server are read as HTTP/1.1 has them, and what is none is told."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pytest

from roadstead.cli.api import wire

T = TypeVar("T")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\none\ntwo\nend"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\nt\r\n6\r\nwo\nend\r\n0\r\n\r\n"
UNFRAMED = b"HTTP/1.0 200 OK\r\n\r\none\ntwo\nend"
BODY = b"one\ntwo\nend"


def answered(pieces: list[bytes], read: Callable[[wire.Exchange], T]) -> tuple[T, bytes]:
    """Return what ``read`` makes of an answer that comes in these pieces, and the request."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    asked = []

    def answer() -> None:
        asked.append(theirs.recv(65536))
        with theirs, suppress(BrokenPipeError):  # we do not read what is no answer to its end
            for piece in pieces:
                theirs.sendall(piece)

    thread = threading.Thread(target=answer)
    thread.start()
    exchange = wire.Exchange(ours, wire.head("GET", "/x", {"Host": "h"}))
    try:
        return read(exchange), asked[0]
    finally:
        exchange.close()
        thread.join()


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED, UNFRAMED], ids=["length", "chunked", "unframed"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_bodies_are_read_whole(answer: bytes, size: int) -> None:
    """Whatever frames a body, and however it is cut on its way."""
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]

    assert answered(pieces, lambda it: (it.status(), it.body()))[0] == (200, BODY)
    assert answered(pieces, lambda it: list(it.lines(100)))[0] == [b"one\n", b"two\n", b"end"]


def test_the_request_is_as_written() -> None:
    """Method, target and headers, each on its line."""
    assert answered([PLAIN], lambda it: it.status())[1] == b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("answer", [PLAIN[:-1], CHUNKED[:-5], b"HTTP/1.1 200 OK\r\nConte", b""])
def test_an_answer_that_ends_early_is_a_broken_connection(answer: bytes) -> None:
    """A list that was cut is never taken for a shorter one."""
    with pytest.raises(ConnectionResetError):
        answered([answer], lambda it: it.body())


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**18])
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    """Another protocol, and a head without an end."""
    with pytest.raises((wire.NotHttp, ConnectionResetError)) as caught:
        answered([answer], lambda it: it.status())
    assert caught.type is wire.NotHttp


def test_a_line_is_bounded() -> None:
    """A line without an end is given up."""
    with pytest.raises(wire.NotHttp):
        answered([b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 200, b"x"], lambda it: list(it.lines(100)))


def test_a_query_leaves_out_what_is_not_given() -> None:
    """None is no value, a list is several, and what has a meaning in a query is escaped."""
    assert wire.target("/p", {"q": ["a b", "c&d"], "fields": None}) == "/p?q=a+b&q=c%26d"
    assert wire.target("/p", {"q": None}) == "/p"
    assert wire.target("/p", None) == "/p"
