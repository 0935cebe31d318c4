"""Inputs for the fuzz targets: what real peers say, damaged in the ways in which hostile ones would."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

LONGEST = 2**18
"""Bytes of one input: more would only take longer."""
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\r\n", b"\n", b"\x00", b"\x1e", b"\x1b[2J", b"\xff"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 30, b"9" * 5000, b"0.5", b"{}", b"[]", b'""'),
    *(b"-11644473600", b"253402300799", b"1601", b"9999", b"\\ud800", b"\\u0000", b"\\u202e", b"\xc0\xaf"),
    *(b"..", b"/", b"%2e", b"a" * 64, b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"HTTP/1.1 101 X\r\n\r\n", b"<script>", b"]]>", b"&", b"\xed\xa0\x80", b"[" * 200, b'{"a":' * 100),
    *("\u2028".encode(), "\ufeff".encode(), "\uffff".encode(), "🐋".encode()),
)
"""What turns the sense of a text."""

Change = Callable[[bytes], bytes]


def _place(data: bytes, where: float) -> int:
    return int(where * len(data))


def _inserted(where: float, token: bytes, times: int) -> Change:
    return lambda data: data[: _place(data, where)] + token * times + data[_place(data, where) :]


def _replaced(where: float, token: bytes) -> Change:
    return lambda data: data[: _place(data, where)] + token + data[_place(data, where) + len(token) :]


def _repeated(where: float, size: int, times: int) -> Change:
    def change(data: bytes) -> bytes:
        start = _place(data, where)
        return data[:start] + data[start : start + size] * times + data[start + size :]

    return change


_WHERE = st.floats(0, 1, exclude_max=True)
_TOKEN = st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=8))
_CHANGE = st.one_of(
    st.builds(_inserted, _WHERE, _TOKEN, st.sampled_from([1, 1, 1, 1, 2, 30, 30, 1000])),
    st.builds(_replaced, _WHERE, _TOKEN),
    st.builds(_repeated, _WHERE, st.integers(1, 400), st.sampled_from([0, 0, 0, 2, 3, 30, 30, 1000])),
)


def _changed(data: bytes, changes: list[Change]) -> bytes:
    for change in changes:
        data = change(data)[:LONGEST]
    return data


def inputs(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Return damaged ``seeds``, and now and then plain bytes."""
    damaged = st.builds(_changed, st.sampled_from(seeds), st.lists(_CHANGE, max_size=6))
    return st.one_of(damaged, damaged, damaged, st.binary(max_size=300))
