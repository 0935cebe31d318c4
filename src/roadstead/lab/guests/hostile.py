"""Answers that no honest engine gives, for guests that were told to misbehave.

Whatever has no end is an iterator that is read as fast as the client takes it, so a hostile guest costs this process
no memory either.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

import msgspec

from roadstead.lab.guests import api, events, profiles, queries, records
from roadstead.lab.guests.containers import CATALOGUE, HEX_DIGITS, Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.http import HttpStream, Reply
from roadstead.lab.guests.misbehaviour import Layer, of_layer

DRIP_SECONDS = 0.02
PIECE_BYTES = 64 * 1024
PIECE_ENTRIES = 64
LARGE_BODY_BYTES = 64 * 1024 * 1024
MANY_CONTAINERS = 100_000
DEPTH = 100_000
CRUMBS = 256
"""How many of them are written in one go."""
STRANGERS = 1_000
"""Containers that a flood tells of and that do not exist."""
BULK_BYTES = 60_000
HUGE_NAME_BYTES = 1_000_000
TEN_GIGABYTES = 10 * 10**9
BOMB_BYTES = 2**30
ELSEWHERE = "http://169.254.169.254/latest/"
LONG_NUMBER = b"9" * 10_000
YEAR_1601, YEAR_9999 = -11_644_473_600, 253_402_300_799
"""First second of the one and last of the other: the ends of what Windows and what Python's calendar can tell."""
AT_ONCE = 0.0
OLD_API = profiles.PROFILES["docker-1.11"]

MARKUP = "<script>alert(1)</script>]]>&amp;'\"=cmd|'/c calc'!A1{{7*7}}"
ODD_IDS = ("../../etc/passwd", "a/b", "..", "id\nSet-Cookie: x", "\r\n\r\nGET / HTTP/1.1", "A" * 64, "", "\x1b[2J")
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\u202egpj.exe\u0000\u0085\r\nroot@host# "

_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def serve(engine: Engine, hostname: str, faults: frozenset[str], reply: Reply) -> None:
    """Answer `reply` as a guest with these misbehaviours does."""
    for name in of_layer(faults, Layer.ENGINE):
        _ENGINE[name](engine, hostname, reply)
        return
    path = reply.request.path
    table, layer = (_EVENTS, Layer.EVENTS) if path.endswith("/events") else (_LIST, Layer.LIST)
    named = of_layer(faults, layer)
    if not named or not path.endswith(("/events", "/containers/json")):
        api.serve(engine, hostname, reply)
        return
    for name in named:
        table[name](engine, hostname, reply)
        return


Answer = Callable[[Engine, str, Reply], None]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# Every answer


def _silence(_engine: Engine, _hostname: str, _reply: Reply) -> None:
    """No answer is the answer."""


class _Bucket:
    """An outlet that keeps an honest answer until it is let out."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes, /) -> None:
        self.content += data

    def close(self) -> None:
        """Nothing is behind it."""


def _drip(engine: Engine, hostname: str, reply: Reply) -> None:
    bucket = _Bucket()
    inner = HttpStream(lambda _: None, bucket)
    honest = Reply(inner, reply.request)

    def forget() -> None:
        honest.lost()
        inner.connection_lost()

    reply.on_lost = forget
    api.serve(engine, hostname, honest)

    def drops() -> Iterator[bytes]:
        while bucket.content or honest.is_open:
            drop, bucket.content = bucket.content[:1], bucket.content[1:]
            yield drop

    reply.pump(drops(), DRIP_SECONDS, close=False)


def _garbage(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(b"\x00\xff\xfeSSH-2.0-nonsense\r\n\r\n" + bytes(range(256)) * 4)
    reply.cut()


def _endless_headers(_engine: Engine, _hostname: str, reply: Reply) -> None:
    lines = (b"".join(b"X-Lab-%d-%d: more\r\n" % (block, line) for line in range(2048)) for block in itertools.count())
    reply.pump(itertools.chain((_JSON_HEAD,), lines), AT_ONCE, close=False)


def _endless_header_line(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.pump(itertools.chain((_JSON_HEAD + b"X-Lab: ",), itertools.repeat(b"x" * PIECE_BYTES)), AT_ONCE, close=False)


def _cut(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(_JSON_HEAD + b'Content-Length: 1000\r\n\r\n[{"Id":"')
    reply.cut()


def _endless(head: bytes, piece: bytes) -> Answer:
    """Answers that begin with ``head`` and go on with ``piece``."""

    def answer(_engine: Engine, _hostname: str, reply: Reply) -> None:
        pieces = itertools.repeat(piece * max(1, PIECE_BYTES // len(piece)))
        reply.pump(itertools.chain((head,), pieces), AT_ONCE, close=False)

    return answer


def _crumbs(_engine: Engine, _hostname: str, reply: Reply) -> None:
    def pieces() -> Iterator[bytes]:
        yield _JSON_HEAD + b"Content-Length: %d\r\n\r\n" % TEN_GIGABYTES
        while True:
            for _ in range(CRUMBS):
                reply.write_raw(b" ")
            yield b" "

    reply.pump(pieces(), AT_ONCE, close=False)


def _compressed(_engine: Engine, _hostname: str, reply: Reply) -> None:
    def pieces() -> Iterator[bytes]:
        packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        yield _JSON_HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(BOMB_BYTES // 2**20):
            packed = packer.compress(bytes(2**20))
            if packed:
                yield _chunk(packed)
        yield _chunk(packer.flush()) + b"0\r\n\r\n"

    reply.pump(pieces(), AT_ONCE, close=False)


def _redirect(engine: Engine, hostname: str, reply: Reply) -> None:
    headers = api.Call(engine, hostname, reply).headers("text/plain")
    reply.send(
        HTTPStatus.TEMPORARY_REDIRECT, [*headers, ("Location", "http://169.254.169.254/latest/")], b"elsewhere\n"
    )


def _upgrade(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
    reply.write_raw(b"\x01\x00\x00\x00\x00\x00\x00\x05hello")


def _one_byte(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(b"H")
    reply.cut()


def _odd_clock(engine: Engine, hostname: str, reply: Reply) -> None:
    now, engine.clock = engine.clock, lambda: YEAR_1601 * 10**9
    try:
        api.serve(engine, hostname, reply)
    finally:
        engine.clock = now


def _server_error(engine: Engine, hostname: str, reply: Reply) -> None:
    api.Call(engine, hostname, reply).send({"message": "layer does not exist"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _old_api(engine: Engine, hostname: str, reply: Reply) -> None:
    now, engine.profile = engine.profile, OLD_API
    try:
        api.serve(engine, hostname, reply)
    finally:
        engine.profile = now


# Lists


def _listed(body: Callable[[Engine, str, Reply], bytes]) -> Callable[[Engine, str, Reply], None]:
    def answer(engine: Engine, hostname: str, reply: Reply) -> None:
        headers = api.Call(engine, hostname, reply).headers("application/json")
        reply.send(HTTPStatus.OK, headers, body(engine, hostname, reply))

    return answer


def _honest(engine: Engine, hostname: str, reply: Reply) -> list[records.Record]:
    return api.listing(api.Call(engine, hostname, reply))


def _spoil(**spoiled: object) -> Callable[[Engine, str, Reply], bytes]:
    def body(engine: Engine, hostname: str, reply: Reply) -> bytes:
        return msgspec.json.encode([entry | spoiled for entry in _honest(engine, hostname, reply)])

    return body


def _named(text: str) -> Callable[[Engine, str, Reply], bytes]:
    def body(engine: Engine, hostname: str, reply: Reply) -> bytes:
        entries = [
            entry
            | {"Names": [f"/{text}{number}"], "Image": text, "Command": text, "Status": text, "Labels": {text: text}}
            for number, entry in enumerate(_honest(engine, hostname, reply))
        ]
        return msgspec.json.encode(entries)

    return body


def _invalid_json(engine: Engine, hostname: str, reply: Reply) -> bytes:
    return msgspec.json.encode(_honest(engine, hostname, reply))[:-20] + b'{"Id":'


def _invalid_utf8(engine: Engine, hostname: str, reply: Reply) -> bytes:
    return msgspec.json.encode(_honest(engine, hostname, reply)).replace(b'"Names":["/', b'"Names":["/\xff\xfe\xc0\xaf')


def _duplicate_keys(engine: Engine, hostname: str, reply: Reply) -> bytes:
    written = msgspec.json.encode(_honest(engine, hostname, reply))
    return written.replace(b'"State":"', b'"State":"dead","Names":["/twice"],"State":"')


def _duplicate_ids(engine: Engine, hostname: str, reply: Reply) -> bytes:
    return msgspec.json.encode(2 * _honest(engine, hostname, reply))


def _deep_nesting(engine: Engine, hostname: str, reply: Reply) -> bytes:
    written = msgspec.json.encode(_honest(engine, hostname, reply))
    return written.replace(b'"Labels":{', b'"Labels":{"deep":' + b"[" * DEPTH + b"]" * DEPTH + b',"x":"y",', 1)


def _long_body(size: int) -> Answer:
    """An empty list of ``size`` bytes, at least one piece."""

    def answer(_engine: Engine, _hostname: str, reply: Reply) -> None:
        head = _JSON_HEAD + b"Content-Length: %d\r\n\r\n[" % size
        pieces, rest = divmod(size - 2, PIECE_BYTES)
        spaces = itertools.repeat(b" " * PIECE_BYTES, pieces)
        reply.pump(itertools.chain((head,), spaces, (b" " * rest + b"]",)), AT_ONCE, close=False)

    return answer


def _no_numbers(engine: Engine, hostname: str, reply: Reply) -> bytes:
    numbers = itertools.cycle((b"NaN", LONG_NUMBER, b"1e999", b"-Infinity", b"0.5"))
    written = [msgspec.json.encode(entry | {"Created": 1}) for entry in _honest(engine, hostname, reply)]
    spoiled = (entry.replace(b'"Created":1', b'"Created":%b' % next(numbers)) for entry in written)
    return b"[" + b",".join(spoiled) + b"]"


def _odd_ids(engine: Engine, hostname: str, reply: Reply) -> bytes:
    entries = _honest(engine, hostname, reply)
    return msgspec.json.encode([*({**entry, "Id": odd} for odd in ODD_IDS for entry in entries[:1]), *entries])


def _odd_times(engine: Engine, hostname: str, reply: Reply) -> bytes:
    times = itertools.cycle((YEAR_1601, YEAR_9999, 10**18, -(10**18)))
    entries = _honest(engine, hostname, reply)
    return msgspec.json.encode([entry | {"Created": next(times), "Status": "Up 8000 years"} for entry in entries])


def _synthetic(number: int) -> Container:
    made = Container(f"{number:0{HEX_DIGITS}x}", f"many-{number}", CATALOGUE[number % len(CATALOGUE)], 10**18 + number)
    made.state, made.started_ns = "running", made.created_ns
    return made


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a turn of the loop."""
    return iter(lambda: b"".join(itertools.islice(pieces, PIECE_ENTRIES)), b"")


def _endless_list(engine: Engine, _hostname: str, reply: Reply) -> None:
    entries = (records.list_entry(engine, _synthetic(number), engine.profile.api) for number in itertools.count())
    pieces = (_chunk(msgspec.json.encode(entry) + b",") for entry in entries)
    reply.pump(itertools.chain((_CHUNKED + _chunk(b"["),), _gathered(pieces)), AT_ONCE, close=False)


def _many_containers(engine: Engine, hostname: str, reply: Reply) -> None:
    entries = _honest(engine, hostname, reply)
    limit = queries.limit(reply.request.query.get("limit", "")) or MANY_CONTAINERS
    more = 0 if "filters" in reply.request.query else min(limit, MANY_CONTAINERS) - len(entries)
    synthetic = (records.list_entry(engine, _synthetic(number), engine.profile.api) for number in range(more))
    pieces = (_chunk(b"," + msgspec.json.encode(entry)) for entry in synthetic)
    first = _CHUNKED + _chunk(msgspec.json.encode(entries)[:-1])
    reply.pump(itertools.chain((first,), _gathered(pieces), (_chunk(b"]") + b"0\r\n\r\n",)), AT_ONCE, close=False)


# Events


def _started(engine: Engine, container: Container) -> bytes:
    """An event as the engine writes it."""
    image = engine.image_name(container)
    event = events.Event(
        engine.now(), "container", "start", container.id, image, (("image", image), ("name", container.name))
    )
    return events.render(event, engine.profile, engine.profile.api)


def _unknown_events(engine: Engine, _hostname: str, reply: Reply) -> None:
    said = (_chunk(_started(engine, _synthetic(number))) for number in itertools.count())
    reply.pump(itertools.chain((_CHUNKED,), said), DRIP_SECONDS, close=True)


def _flood(containers: Callable[[Engine], Iterable[Container]]) -> Answer:
    """Events of these containers, written once: no time is lost with making more of them."""

    def answer(engine: Engine, _hostname: str, reply: Reply) -> None:
        said = b"".join(_started(engine, container) for container in containers(engine))
        piece = _chunk(said * max(1, PIECE_BYTES // len(said)))
        reply.pump(itertools.chain((_CHUNKED,), itertools.repeat(piece)), AT_ONCE, close=True)

    return answer


def _known(engine: Engine) -> Iterable[Container]:
    return tuple(engine.containers.values()) or (_synthetic(0),)


def _strangers(_engine: Engine) -> Iterable[Container]:
    return map(_synthetic, range(STRANGERS))


def _odd_events(engine: Engine, _hostname: str, reply: Reply) -> None:
    seconds = itertools.cycle((YEAR_1601, YEAR_9999, 2**62))

    def lines() -> Iterator[bytes]:
        for container in engine.containers.values():
            event = {"Type": "container", "Action": "start", "Actor": {"ID": container.id}, "time": next(seconds)}
            yield msgspec.json.encode(event) + b"\n"

    reply.write_raw(b"".join((_CHUNKED, *map(_chunk, lines()))))


def _event_lines(*lines: bytes) -> Callable[[Engine, str, Reply], None]:
    def answer(_engine: Engine, _hostname: str, reply: Reply) -> None:
        reply.write_raw(b"".join((_CHUNKED, *map(_chunk, lines))))

    return answer


def _bulk(filling: bytes) -> Answer:
    """Events that change nothing, each of a list full of ``filling``, without end."""
    filled = filling * (BULK_BYTES // len(filling))
    return _endless(_CHUNKED, _chunk(b'{"Type":"container","Action":"top","x":[%b0]}\n' % filled))


def _cut_events(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(_CHUNKED)
    reply.cut()


_ENGINE: dict[str, Answer] = {
    "silence": _silence,
    "drip": _drip,
    "garbage": _garbage,
    "endless-headers": _endless_headers,
    "endless-header-line": _endless_header_line,
    "endless-announcements": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless-chunks": _endless(_CHUNKED, b"1\r\n \r\n"),
    "endless-chunk-line": _endless(_CHUNKED + b"1;", b"x"),
    "crumbs": _crumbs,
    "compressed": _compressed,
    "redirects": _redirect,
    "upgrades": _upgrade,
    "one-byte-answers": _one_byte,
    "odd-clock": _odd_clock,
    "cut-answers": _cut,
    "server-errors": _server_error,
    "old-api": _old_api,
}

_LIST: dict[str, Answer] = {
    "invalid-json": _listed(_invalid_json),
    "not-a-list": _listed(lambda *_: b'{"message":"no list"}\n'),
    "large-body": _long_body(LARGE_BODY_BYTES),
    "ten-gigabytes": _long_body(TEN_GIGABYTES),
    "endless-text": _endless(_CHUNKED + _chunk(b'[{"Id":"%b","Names":["/' % (b"a" * 64)), _chunk(b"n" * 1024)),
    "endless-list": _endless_list,
    "many-containers": _many_containers,
    "deep-nesting": _listed(_deep_nesting),
    "invalid-utf8": _listed(_invalid_utf8),
    "wrong-types": _listed(
        _spoil(Names=5, State={"a": 1}, Created="yesterday", Ports="none", Labels=["a"], Status=None, Image=[1])
    ),
    "no-numbers": _listed(_no_numbers),
    "odd-ids": _listed(_odd_ids),
    "odd-times": _listed(_odd_times),
    "duplicate-keys": _listed(_duplicate_keys),
    "duplicate-ids": _listed(_duplicate_ids),
    "markup-names": _listed(_named(MARKUP)),
    "terminal-names": _listed(_named(ESCAPES)),
    "huge-names": _listed(_named("n" * HUGE_NAME_BYTES)),
}

_EVENTS: dict[str, Answer] = {
    "unknown-containers": _unknown_events,
    "unknown-flood": _flood(_strangers),
    "event-flood": _flood(_known),
    "event-blanks": _endless(_CHUNKED, _chunk(b"\n" * PIECE_BYTES)),
    "event-bulk": _bulk(b'"%b",' % (b"y" * 997)),
    "event-bulk-numbers": _bulk(b"NaN,"),
    "event-bulk-lists": _bulk(b"[1,2],"),
    "event-garbage": _event_lines(b"not json at all\n", b'{"Type":\n'),
    "event-huge": _event_lines(
        b'{"Type":"container","Action":"start","Actor":{"ID":"%b"}}\n' % (b"a" * HUGE_NAME_BYTES)
    ),
    "event-odd-ids": _event_lines(
        *(
            msgspec.json.encode({"Type": "container", "Action": "start", "Actor": {"ID": odd}}) + b"\n"
            for odd in ODD_IDS
        )
    ),
    "event-odd-times": _odd_events,
    "event-wrong-types": _event_lines(
        b'{"Type":1,"Action":[],"Actor":"me","time":"now"}\n', b"[]\n", b"7\n", b"null\n"
    ),
    "events-cut": _cut_events,
}
